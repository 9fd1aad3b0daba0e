"""Observations with reference posteriors from NPZ files, one a task.

`<name>.npz` holds `observation` (m, *x), `true_parameters` (m, d) and `reference_posterior`
(m, n, d), for observations numbered 1 to m. Tasks that share a posterior share its file.
"""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from physgen.errors import InputError
from physgen.io.npz import read_npz

_SAME_POSTERIOR = {"slcp_distractors": "slcp", "bernoulli_glm_raw": "bernoulli_glm"}


class StoredObservation(NamedTuple):
    """An observation, draws of its posterior, and the parameters that made it, if known."""

    x: Float[np.ndarray, "..."]
    reference: Float[np.ndarray, "n d"]
    theta: Float[np.ndarray, " d"] | None


def stored_observation(folder: str | os.PathLike[str], name: str, number: int) -> StoredObservation:
    """Observation `number`, counted from 1, of the task called `name`.

    Raises:
        InputError: if a file is missing, damaged or of another layout, or has no such number.
    """
    path = Path(folder) / f"{name}.npz"
    arrays = _read(path)
    x = _row(path, arrays, "observation", number)
    theta = None
    if "true_parameters" in arrays:
        theta = _row(path, arrays, "true_parameters", number)
    if "reference_posterior" not in arrays and name in _SAME_POSTERIOR:
        path = Path(folder) / f"{_SAME_POSTERIOR[name]}.npz"
        arrays = _read(path)
    reference = _row(path, arrays, "reference_posterior", number)
    if reference.ndim != 2 or (theta is not None and theta.shape != reference.shape[1:]):
        raise InputError(
            f"{path}: expected a reference_posterior of shape (observations, draws, parameters), "
            f"got draws of shape {reference.shape}; write it so"
        )
    return StoredObservation(x, reference, theta)


def _read(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise InputError(
            f"expected reference posteriors in {path}, found no such file; check the folder, or "
            "leave it out"
        )
    return read_npz(path)


def _row(path: Path, arrays: dict[str, np.ndarray], name: str, number: int) -> np.ndarray:
    if name not in arrays:
        raise InputError(
            f"{path}: expected an array {name}, found {', '.join(arrays) or 'none'}; add it"
        )
    rows = arrays[name]
    if rows.ndim < 2 or rows.dtype.kind not in "fiub":
        raise InputError(
            f"{path}: expected {name} to be numbers, one row an observation, "
            f"got {rows.dtype} {rows.shape}; write it so"
        )
    if not 1 <= number <= len(rows):
        raise InputError(
            f"{path}: expected an observation number from 1 to {len(rows)}, got {number}; ask for "
            "one of these"
        )
    return rows[number - 1].astype(np.float32, copy=False)
