"""A training file from a folder of simulations and a table of their parameters."""

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from physgen.errors import InputError
from physgen.galaxies.catalogue import Catalogue, read_catalogue
from physgen.galaxies.periodic import wrapped
from physgen.galaxies.readers import ParameterTable

_SHOWN = 5


@dataclass(frozen=True)
class Selection:
    """What is taken of every simulation, and how its file is read.

    most: the number of its most massive objects. minimum_mass: in Msun/h. objects, box_size (Mpc/h)
    and redshift are those of `read_catalogue`.
    """

    most: int | None = None
    minimum_mass: float | None = None
    objects: str = "halos"
    box_size: float | None = None
    redshift: float | None = None

    def __post_init__(self):
        if self.most is not None and self.most < 1:
            raise InputError(f"most must be at least 1, got {self.most}")
        if self.minimum_mass is not None and not self.minimum_mass > 0:
            raise InputError(f"minimum_mass must be positive (Msun/h), got {self.minimum_mass}")


def find_simulations(folder: str | os.PathLike[str], pattern: str) -> list[Path]:
    """The files and folders in `folder` that match ("*/groups_004"), 2 before 10.

    Raises InputError where there is none.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root} is not a folder: expected the one that holds the simulations")
    try:
        found = list(root.glob(pattern))
    except (ValueError, NotImplementedError) as error:
        raise InputError(
            f"expected a pattern of names inside {root}, such as '*/groups_004', got {pattern!r}"
        ) from error
    if not found:
        raise InputError(f"nothing in {root} matches {pattern!r}: expected one for each simulation")
    return sorted(found, key=lambda path: _natural(path.relative_to(root)))


def match_rows(
    paths: list[Path],
    folder: str | os.PathLike[str],
    table: ParameterTable,
    *,
    partial: bool = False,
) -> list[int]:
    """The row of the table that each simulation has.

    By name where the table has labels: a folder, or the file, on the way from `folder` must be
    called as the row, with or without a suffix. Else simulation i, in order, has row i. With
    `partial` there may be fewer simulations than rows; those without labels are then matched by the
    first number in their names, 0 for the first row.

    Raises InputError where they do not match one to one, and says what was found.
    """
    relative = [path.relative_to(folder) for path in paths]
    count = len(table.values)
    if table.labels is not None:
        rows = [_labelled(path, table.labels) for path in relative]
    elif partial:
        rows = [_number(path, count) for path in relative]
    else:
        if len(paths) != count:
            raise InputError(
                f"expected a simulation for each of the {count} rows of the table, found "
                f"{len(paths)}: {_some(relative)}; {_gaps(relative, count)}"
            )
        rows = list(range(count))
    first: dict[int, Path] = {}
    for row, path in zip(rows, relative, strict=True):
        if row in first:
            raise InputError(
                f"{first[row]} and {path} have the same row {row} of the table: narrow the pattern"
            )
        first[row] = path
    missing = [row for row in range(count) if row not in first]
    if missing and not partial:
        names = [table.labels[row] if table.labels else str(row) for row in missing]
        raise InputError(
            f"expected a simulation for each of the {count} rows of the table, found {len(paths)}: "
            f"none for {_some(names)}; add them, or leave their rows out (--partial, partial=True)"
        )
    return rows


def build_catalogue(
    paths: list[Path],
    parameters: ParameterTable,
    selection: Selection = Selection(),
    *,
    jobs: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> Catalogue:
    """One catalogue of all simulations, row i of `parameters` those of paths[i].

    Of each the most massive objects are kept, the most massive first, and padded to the largest
    number; a simulation may have none of the minimum mass. All numbers of galaxies are float32.
    Files are read by `jobs` threads, and `progress(done, total)` is called as they are read.

    Raises InputError for a file that cannot be read, and for simulations of different boxes or
    columns, it names the file; and where no simulation has an object of the minimum mass.
    """
    if len(paths) != len(parameters.values) or not paths:
        raise InputError(
            f"expected as many rows of parameters as files, got {len(parameters.values)} and "
            f"{len(paths)}"
        )
    if jobs < 1:
        raise InputError(f"jobs must be at least 1, got {jobs}")
    parts: list[Catalogue] = []
    counts: list[int] = []
    pool = ThreadPoolExecutor(jobs)
    try:
        for part, count in pool.map(lambda path: _read(path, selection), paths):
            _check_alike(part, paths[len(parts)], parts[0] if parts else part, paths[0])
            parts.append(part)
            counts.append(count)
            if progress is not None:
                progress(len(parts), len(paths))
    finally:
        pool.shutdown(cancel_futures=True)
    if not any(counts):
        largest = max(part.log_mass.max() for part in parts if part.log_mass is not None)
        raise InputError(
            f"expected an object of at least {selection.minimum_mass:g} Msun/h in some simulation, "
            f"the most massive of all {len(parts)} has {10**largest:.3g}; lower the minimum mass"
        )

    def padded(array_of):
        return _padded([array_of(part)[0, :n] for part, n in zip(parts, counts, strict=True)])

    columns = tuple(
        replace(column, values=padded(lambda part: part.columns[i].values))  # noqa: B023
        for i, column in enumerate(parts[0].columns)
    )
    return Catalogue(
        columns=columns,
        position=padded(lambda part: part.position),
        mask=padded(lambda part: part.mask),
        velocity=None if parts[0].velocity is None else padded(lambda part: part.velocity),
        log_mass=None if parts[0].log_mass is None else padded(lambda part: part.log_mass),
        parameters=parameters.values,
        parameter_names=parameters.names,
        box_size=parts[0].box_size,
        position_unit=parts[0].position_unit,
        velocity_unit=parts[0].velocity_unit,
        log_mass_unit=parts[0].log_mass_unit,
    )


def _read(path, selection) -> tuple[Catalogue, int]:
    """The simulation as one box of at least its most massive object, and how many are wanted."""
    whole = read_catalogue(
        path,
        box_size=selection.box_size,
        objects=selection.objects,
        redshift=selection.redshift,
    )
    if len(whole) != 1:
        raise InputError(f"{path} holds {len(whole)} boxes: expected one simulation a file")
    kept = np.flatnonzero(whole.mask[0])
    count = len(kept)
    if selection.most is not None or selection.minimum_mass is not None:
        if whole.log_mass is None:
            raise InputError(f"{path} has no masses: expected them to choose the most massive")
        mass = whole.log_mass[0, kept]
        kept = kept[np.argsort(-mass, kind="stable")[: selection.most]]
        count = len(kept)
        if selection.minimum_mass is not None:
            count = int(np.sum(whole.log_mass[0, kept] >= np.log10(selection.minimum_mass)))
            kept = kept[: max(count, 1)]
    position = whole.position[:, kept].astype(np.float32)
    if whole.box_size is not None:
        position = wrapped(position, whole.box_size)
    part = Catalogue(
        position=position,
        velocity=None if whole.velocity is None else whole.velocity[:, kept].astype(np.float32),
        log_mass=None if whole.log_mass is None else whole.log_mass[:, kept].astype(np.float32),
        columns=tuple(
            replace(column, values=column.values[:, kept].astype(np.float32))
            for column in whole.columns
        ),
        box_size=whole.box_size,
        position_unit=whole.position_unit,
        velocity_unit=whole.velocity_unit,
        log_mass_unit=whole.log_mass_unit,
    )
    return part, count


def _check_alike(part, path, first, first_path):
    facts = (
        ("box size", lambda c: c.box_size),
        ("unit of positions", lambda c: c.position_unit),
        ("velocities", lambda c: c.velocity is not None and c.velocity_unit),
        ("masses", lambda c: c.log_mass is not None and c.log_mass_unit),
        ("columns", lambda c: [(column.name, column.unit) for column in c.columns]),
    )
    for name, fact in facts:
        if fact(part) != fact(first):
            raise InputError(
                f"{path} differs from {first_path} in its {name}, {fact(part)} and {fact(first)}: "
                "expected simulations of one kind"
            )


def _padded(arrays):
    shape = len(arrays), max(map(len, arrays))
    result = np.zeros(shape + arrays[0].shape[1:], arrays[0].dtype)
    for i, array in enumerate(arrays):
        result[i, : len(array)] = array
    return result


def _natural(path):
    return [int(s) if s.isdecimal() else s for s in re.split(r"([0-9]+)", path.as_posix())]


def _labelled(path, labels):
    names = {name for part in path.parts for name in (part, part.split(".")[0], Path(part).stem)}
    rows = [row for row, label in enumerate(labels) if label in names]
    if len(rows) != 1:
        found = f"{len(rows)} rows" if rows else "no row"
        raise InputError(
            f"{path} has {found} in the table: expected a folder or file called as one of its "
            f"{len(labels)} rows, {_some(labels)}"
        )
    return rows[0]


def _number(path, count):
    found = re.search(r"[0-9]+", path.as_posix())
    if found is None or int(found[0]) >= count:
        raise InputError(
            f"{path} has no row in the table of {count}: expected a number from 0 to {count - 1} "
            "in its name"
        )
    return int(found[0])


def _gaps(paths, count):
    """Which numbers are missing from names, as a remedy."""
    numbers = {int(m[0]) for m in (re.search(r"[0-9]+", path.as_posix()) for path in paths) if m}
    missing = [str(i) for i in range(count) if i not in numbers]
    if len(numbers) == len(paths) < count and len(missing) == count - len(paths):
        return f"none for {_some(missing)}; add them, or leave rows out (--partial, partial=True)"
    return "narrow or widen the pattern, or mend the table"


def _some(names):
    shown = ", ".join(str(name) for name in names[:_SHOWN])
    return shown + (", ..." if len(names) > _SHOWN else "")
