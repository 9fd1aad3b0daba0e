"""The judge of anything that is an array: samples, curves, fields."""

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from physgen.errors import InputError
from physgen.io import open_hdf5
from physgen.io.npz import open_numpy
from physgen.plots import SampleSet, triangle
from physgen.plots.style import CaptionedFigure
from physgen.stats.points import as_box
from physgen.validation.clouds_view import CloudView
from physgen.validation.fields import field_statistics
from physgen.validation.figures import report_figures
from physgen.validation.judge import validate
from physgen.validation.memorisation import memorisation_test
from physgen.validation.page import Shown
from physgen.validation.report import Report
from physgen.validation.statistic import Statistic

_FEW = 6  # numbers up to which samples are drawn against each other
_NAMED = 40  # bins up to which each has a name
_DRAWN = 3000


class Kind(Enum):
    """What the rows of an array are."""

    SAMPLES = "samples"
    CURVES = "curves"
    FIELDS = "fields"


_ONE = {Kind.SAMPLES: "a sample", Kind.CURVES: "a curve", Kind.FIELDS: "a field"}


def validate_arrays(
    generated: ArrayLike,
    held_out: ArrayLike,
    train: ArrayLike | None = None,
    *,
    kind: Kind | None = None,
    box_size: float | None = None,
    edges: ArrayLike | None = None,
    alpha: float = 0.05,
    tolerance: float = 1.0,
    draws: int = 999,
    seed: int | np.random.Generator = 0,
) -> tuple[Report, list[Shown]]:
    """Judge generated simulations against held-out ones, and look for copies of `train`.

    Samples (n, d), curves (n, p), in bins of `edges` (p + 1,) if they are given, or fields
    (n, nx, ny) or (n, nx, ny, nz), which are compared by `field_statistics`. By default arrays of
    two axes are samples up to d = 6 and curves above, all others fields. Fields of a box of side
    `box_size` have wavenumbers in its unit. See `validate` for the rest; a box there is one row.

    Copies of samples and curves are looked for by their numbers, those of fields by their
    statistics, which do not change when a periodic field is moved.

    Raises:
        InputError: for shapes that do not fit, NaN or infinity, fewer than two rows.
    """
    given = [("generated", generated), ("held-out", held_out)]
    given += [] if train is None else [("training", train)]
    arrays = [_checked(array, name) for name, array in given]
    for (name, _), array in zip(given[1:], arrays[1:], strict=True):
        if array.shape[1:] != arrays[0].shape[1:]:
            raise InputError(
                f"generated and {name} arrays must have equal shapes but for their number, got "
                f"{arrays[0].shape} and {array.shape}"
            )
    as_box(box_size)
    kind = kind or _kind_of(arrays[0])
    if (kind is Kind.FIELDS) != (arrays[0].ndim > 2):
        raise InputError(
            f"expected {kind.value} as arrays "
            f"{'(n, nx, ny) or (n, nx, ny, nz)' if kind is Kind.FIELDS else '(n, p)'}, got "
            f"{arrays[0].shape}; name another kind"
        )
    made = [_statistics(array, kind, box_size, edges) for array in arrays]
    memorisation = None
    if train is not None:
        rows = [np.concatenate([s.values for s in statistics], axis=1) for statistics in made]
        memorisation = memorisation_test(rows[0], rows[1], rows[2])
    nothing = [np.zeros((len(array), 0)) for array in arrays[:2]]
    report = validate(
        made[1],
        made[0],
        real_parameters=nothing[1],
        generated_parameters=nothing[0],
        memorisation=memorisation,
        alpha=alpha,
        tolerance=tolerance,
        draws=draws,
        seed=seed,
    )
    row = f"A box is here one row of the files: {_ONE[kind]}. Rows and columns count from 1."
    report = replace(report, notes=(row, *report.notes))
    return report, [*_views(made, arrays, kind), *report_figures(report)]


def read_array(path: Path, name: str | None = None) -> np.ndarray:
    """The array in an NPY, NPZ or HDF5 file; `name` says which one, where there are several.

    Raises:
        InputError: for a file that is none of these or is damaged, and where the name is missing.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist: check the name")
    if path.is_dir():
        raise InputError(f"{path} is a folder: expected an NPY, NPZ or HDF5 file")
    if h5py.is_hdf5(path) or path.suffix.lower() in (".h5", ".hdf5"):
        with open_hdf5(path) as file:
            found: dict[str, Any] = {}

            def visit(key: str, item: Any) -> None:
                if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu" and item.ndim:
                    found[key] = item

            file.visititems(visit)
            return np.asarray(_chosen(found, name, path)[()])
    with open_numpy(path) as loaded:
        if isinstance(loaded, np.ndarray):
            return loaded
        return np.asarray(_chosen(loaded, name, path))


def _chosen(found: Mapping[str, Any], name: str | None, path: Path) -> Any:
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name is None or name not in found:
        raise InputError(
            f"{path} holds the arrays {', '.join(sorted(found)) or 'none'}: "
            + ("say which one (--name)" if name is None else f"expected one of them, got {name!r}")
        )
    return found[name]


def _checked(array: ArrayLike, name: str) -> np.ndarray:
    values = np.asarray(array)
    if values.dtype.kind not in "fiu" or not 2 <= values.ndim <= 4 or 0 in values.shape:
        raise InputError(
            f"expected {name} numbers of shape (n, p), (n, nx, ny) or (n, nx, ny, nz), got "
            f"{values.dtype} {values.shape}"
        )
    if len(values) < 2:
        raise InputError(f"expected at least 2 {name} simulations, got one; give more")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))[0])
        raise InputError(
            f"expected finite {name} numbers, got NaN or infinity in row {row + 1}, the first "
            "is 1; leave it out"
        )
    return values


def _kind_of(array: np.ndarray) -> Kind:
    if array.ndim > 2:
        return Kind.FIELDS
    return Kind.SAMPLES if array.shape[1] <= _FEW else Kind.CURVES


def _statistics(array, kind: Kind, box_size: float | None, edges) -> list[Statistic]:
    if kind is Kind.FIELDS:
        return field_statistics(array, box_size)
    count = array.shape[1]
    name = "numbers" if kind is Kind.SAMPLES else "curve"
    if edges is not None:
        return [Statistic(name, "value", "", "bin", "", array, edges=np.asarray(edges, float))]
    if count > _NAMED:
        ends = np.arange(count + 1, dtype=float)
        return [Statistic(name, "value", "", "bin number", "", array, edges=ends)]
    names = tuple(str(i) for i in range(1, count + 1))
    return [Statistic(name, "value", "", "number", "", array, bin_names=names)]


def _views(made, arrays, kind: Kind) -> list[Shown]:
    """The clouds of both ensembles, in the space of their numbers or statistics."""
    shown: list[Shown] = []
    generated, real = (
        np.concatenate([s.values for s in statistics], axis=1)[:_DRAWN] for statistics in made[:2]
    )
    if kind is Kind.SAMPLES and generated.shape[1] == 3:
        shown.append(
            CloudView("Samples", "Every sample is a point.", real, generated, together=True)
        )
    elif generated.shape[1] >= 3:
        axes, share = _principal_axes(real)
        centre, scale = np.nanmean(real, axis=0), _scale(real)
        placed = [np.nan_to_num((rows - centre) / scale) @ axes for rows in (real, generated)]
        shown.append(
            CloudView(
                "Simulations",
                f"Every simulation is a point, along the three directions in which held-out ones "
                f"scatter most ({share:.0%} of their variance).",
                *placed,
                together=True,
            )
        )
    if kind is Kind.SAMPLES and real.shape[1] <= _FEW and (real.std(axis=0) > 0).all():
        names = [str(i) for i in range(1, real.shape[1] + 1)]
        sets = [SampleSet("held-out", real), SampleSet("generated", generated)]
        shown.append(
            CaptionedFigure(
                "Marginals", "Densities of numbers and pairs.",
                triangle(sets, names, [""] * len(names)),
            )
        )  # fmt: skip
    return shown


def _scale(values: Float[np.ndarray, "n p"]) -> Float[np.ndarray, " p"]:
    deviation = np.nanstd(values, axis=0)
    return np.where(deviation > 0, deviation, 1.0)


def _principal_axes(values: Float[np.ndarray, "n p"]) -> tuple[Float[np.ndarray, "p 3"], float]:
    centred = np.nan_to_num((values - np.nanmean(values, axis=0)) / _scale(values))
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    if len(axes) < 3:
        axes = np.concatenate([axes, np.zeros((3 - len(axes), values.shape[1]))])
    variance = singular**2
    return axes[:3].T, float(variance[:3].sum() / max(variance.sum(), np.finfo(float).tiny))
