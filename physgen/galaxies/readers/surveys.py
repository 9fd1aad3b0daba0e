"""A survey: its galaxies, and the random points that say where it looked."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from physgen.errors import InputError
from physgen.galaxies.readers.columns import lower, positions, read_columns, stack
from physgen.galaxies.readers.formats import format_of


@dataclass(frozen=True, eq=False)
class Survey:
    """Comoving positions in Mpc/h, the observer at the origin, with weights: galaxies, randoms."""

    position: Float[np.ndarray, "n 3"]
    weights: Float[np.ndarray, " n"]
    random_position: Float[np.ndarray, "m 3"]
    random_weights: Float[np.ndarray, " m"]


def read_survey(
    galaxies: str | os.PathLike[str],
    randoms: str | os.PathLike[str],
    *,
    omega_m: float = 0.3,
    weights: str | Sequence[str] = (),
    random_weights: str | Sequence[str] | None = None,
) -> Survey:
    """Galaxies and randoms from two tables, FITS, NPZ or text, with columns as for a Catalogue.

    omega_m: of the flat LCDM universe in which redshifts become distances.
    weights: a column, or several whose product weighs a galaxy ("WEIGHT_FKP", "WEIGHT_SYSTOT");
        1 if not given.
    random_weights: the same of the randoms; those of the galaxies if not given.

    Raises InputError for files that cannot be read as such tables, columns that they have not, and
    weights that are not finite or are negative.
    """
    position, weight = _read(Path(galaxies), omega_m, weights, "weights")
    chosen = weights if random_weights is None else random_weights
    return Survey(position, weight, *_read(Path(randoms), omega_m, chosen, "random_weights"))


def _read(path, omega_m, names, option):
    kind = format_of(path)
    if kind not in ("fits", "npz", "text"):
        raise InputError(f"{path}: expected a table of a survey, FITS, NPZ or text, got {kind}")
    columns = lower(read_columns(path, kind))
    position = positions(columns, path, omega_m)
    if not len(position):
        raise InputError(f"{path} holds no galaxy: expected a row for each; write or copy it again")
    names = (names,) if isinstance(names, str) else tuple(names)
    wanted = tuple(name.lower() for name in names)
    missing = [name for name in names if name.lower() not in columns]
    if missing:
        raise InputError(
            f"{path} has no columns {missing}: expected some of {sorted(columns)}; "
            f"give others (--{option.replace('_', '-')}, {option}=)"
        )
    if not wanted:
        return position, np.ones(len(position))
    weight = stack(columns, wanted, path).prod(axis=1)
    if len(weight) != len(position):
        raise InputError(f"{path}: columns must be of one length, got weights {len(weight)}")
    bad = ~(np.isfinite(weight) & (weight >= 0))
    if bad.any():
        raise InputError(
            f"{path}: weights must be finite and not negative, {bad.sum()} of {bad.size} rows are "
            "not; remove them"
        )
    return position, weight
