"""Pairs of parameters and observations, and their HDF5 file.

The file holds the datasets `parameters` (n, d), `observations` (n, ...), `low` and `high` (d,),
and as root attributes `parameter_names`, `parameter_units` and `failed`.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from physgen.errors import InputError
from physgen.inference.parameters import checked_names, checked_units
from physgen.inference.pieces import join, parts_of, read_piece
from physgen.io import atomic_path, open_hdf5, write_header
from physgen.io.files import text_of

KIND = "simulations"

_PARAMETERS = "parameters", "theta"
_OBSERVATIONS = "observations", "observation", "x", "data"


@dataclass(frozen=True, eq=False)
class Simulations:
    """n parameter vectors, drawn from a prior, and what the simulator made of each.

    All numbers are finite, except that where `missing` is True entries of an observation may be
    NaN. `low` and `high` are the box of the prior, infinite where it has no end; `failed` counts
    the simulations that gave no finite result and were left out.

    Raises:
        InputError: for arrays that do not fit each other, or hold NaN or infinity.
    """

    parameters: Float[np.ndarray, "n d"]
    observations: Float[np.ndarray, "n *x"]
    parameter_names: tuple[str, ...]
    parameter_units: tuple[str, ...]
    low: Float[np.ndarray, " d"]
    high: Float[np.ndarray, " d"]
    failed: int = 0
    missing: bool = False

    def __post_init__(self):
        n, d = self.parameters.shape
        if len(self.observations) != n:
            raise InputError(
                f"expected as many observations as parameters, got {len(self.observations)} and "
                f"{n}; give one row of each to a simulation"
            )
        checked_names(self.parameter_names, d)
        checked_units(self.parameter_units, d)
        if not (_finite_rows(self.parameters) & usable_rows(self.observations, self.missing)).all():
            raise InputError(
                "expected finite parameters and observations, got NaN or infinity; "
                "Simulations.from_arrays leaves such rows out and counts them"
            )

    @classmethod
    def from_arrays(
        cls,
        parameters: ArrayLike,
        observations: ArrayLike,
        *,
        names: Sequence[str] | None = None,
        units: Sequence[str] | None = None,
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
        failed: int = 0,
        max_failed_share: float = 0.5,
        missing: bool = False,
    ) -> "Simulations":
        """Simulations of arrays (n, d) and (n, ...), rows with NaN or infinity left out.

        Args:
            parameters: (n,) stands for (n, 1), and so for observations.
            names: theta_1 ... theta_d for None.
            units: empty for None.
            low, high: the box of the prior, infinite for None.
            failed: how many more there were that are not among the rows.
            max_failed_share: what share may be left out.
            missing: NaN in an observation stands for what was not observed, and is kept; only an
                observation without any number is left out.

        Raises:
            InputError: for arrays that do not fit each other, or too many rows left out.
        """
        theta, x = _rows("parameters", parameters), _rows("observations", observations)
        if theta.ndim != 2 or len(theta) != len(x):
            raise InputError(
                f"expected parameters (n, d) and observations (n, ...), got {theta.shape} and "
                f"{x.shape}; give one row of each to a simulation"
            )
        d = theta.shape[1]
        good = _finite_rows(theta) & usable_rows(x, missing)
        failed += int((~good).sum())
        total = failed + int(good.sum())
        if not good.any() or failed > max_failed_share * total:
            example = f", such as that at {theta[~good][0].tolist()}" if (~good).any() else ""
            raise InputError(
                f"expected at most {max_failed_share:.0%} of the simulations to fail, got {failed} "
                f"of {total} without a finite result{example}; mend the simulator, narrow the "
                "prior, or raise max_failed_share"
            )
        return cls(
            theta[good],
            x[good],
            checked_names(names, d),
            checked_units(units, d),
            _ends("low", low, np.full(d, -np.inf)),
            _ends("high", high, np.full(d, np.inf)),
            failed,
            missing,
        )

    def __len__(self) -> int:
        """How many simulations there are."""
        return len(self.parameters)

    def __repr__(self) -> str:
        return (
            f"<Simulations, {len(self)} of {', '.join(self.parameter_names)} "
            f"with observations of shape {self.observations.shape[1:]}>"
        )

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write one HDF5 file, by renaming a complete one.

        Raises:
            InputError: if `path` exists and `overwrite` is False, or its folder is missing.
        """
        with atomic_path(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
            self.write(file)

    def write(self, file: h5py.File) -> None:
        """Fill an open, empty file."""
        write_header(file, KIND)
        file.attrs["failed"] = self.failed
        file.attrs["missing"] = self.missing
        for name in ("parameter_names", "parameter_units"):
            file.attrs[name] = np.array(getattr(self, name), h5py.string_dtype())
        for name in ("parameters", "observations", "low", "high"):
            file.create_dataset(name, data=getattr(self, name))

    @classmethod
    def load(cls, path: str | os.PathLike[str], max_failed_share: float = 0.5) -> "Simulations":
        """The simulations in an HDF5 file, by physgen or by others.

        The parameters of a foreign file are a dataset `parameters` or `theta`, its observations
        `observations`, `observation`, `x` or `data`. Names, units and the box of the prior may be
        missing: then they are as in `from_arrays`, and so are rows that are not finite. Of a store
        that `simulate` has not finished yet, all that is done is read.

        Raises:
            InputError: if the file is missing or damaged, or holds no simulations.
        """
        path = Path(path)
        if parts := parts_of(path) if not path.exists() else []:
            pieces = {part: read_piece(part) for part in parts}
            piece = join(list(pieces.values()))
            if len(piece.index) == 0:
                raise InputError(f"{path} holds no simulation yet: resume the run that fills it")
            some = next(part for part in parts if len(pieces[part].index))
            return replace(
                cls._read(some, 1.0),
                parameters=piece.parameters,
                observations=piece.observations,
                failed=len(piece.failed),
            )
        return cls._read(path, max_failed_share)

    @classmethod
    def _read(cls, path: Path, max_failed_share: float) -> "Simulations":
        with open_hdf5(path) as file:
            kind = text_of(file.attrs.get("kind"))
            if kind not in (None, KIND):
                raise InputError(f"{path} holds a {kind}: expected simulations")
            found = {
                "names": _texts(file, "parameter_names"),
                "units": _texts(file, "parameter_units"),
                "low": _optional(file, "low"),
                "high": _optional(file, "high"),
                "failed": int(file.attrs.get("failed", 0)),
                "missing": bool(file.attrs.get("missing", False)),
            }
            parameters = _first(file, _PARAMETERS)
            observations = _first(file, _OBSERVATIONS)
        share = max_failed_share if kind is None else 1.0
        try:
            return cls.from_arrays(parameters, observations, max_failed_share=share, **found)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def floating(values: Any) -> np.ndarray:
    """An array of floats that hold the numbers, float32 or wider, NaN for those that are masked.

    Raises:
        InputError: for anything but real numbers and truth values.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise InputError(f"expected real numbers, got {array.dtype}; return an array of them")
    array = array.astype(np.result_type(array.dtype, np.float32), copy=False)
    return np.where(np.ma.getmaskarray(values), np.nan, array) if np.ma.isMA(values) else array


def _rows(name: str, values: ArrayLike) -> np.ndarray:
    try:
        array = floating(values)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None
    if array.ndim == 0:
        raise InputError(f"expected {name} of shape (n, ...), got one number; give a row each")
    return array[:, None] if array.ndim == 1 else array


def _finite_rows(array: np.ndarray) -> np.ndarray:
    return np.asarray(np.isfinite(array).all(axis=tuple(range(1, array.ndim))))


def usable_rows(observations: np.ndarray, missing: bool) -> np.ndarray:
    """Which observations are finite; if `missing`, which have a number and no infinity."""
    if not missing:
        return _finite_rows(observations)
    entries = tuple(range(1, observations.ndim))
    return np.asarray(
        np.isfinite(observations).any(axis=entries) & ~np.isinf(observations).any(axis=entries)
    )


def _ends(name: str, given: ArrayLike | None, none: np.ndarray) -> np.ndarray:
    ends = none if given is None else np.array(given, np.float64, ndmin=1)
    if ends.shape != none.shape:
        raise InputError(
            f"expected {name} of shape {none.shape}, got {ends.shape}; give each parameter an end, "
            "infinite where there is none"
        )
    return ends


def _first(file: h5py.File, names: Sequence[str]) -> np.ndarray:
    for name in names:
        if isinstance(file.get(name), h5py.Dataset):
            return np.asarray(file[name])
    raise InputError(
        f"{file.filename}: expected a dataset {' or '.join(names)}, found "
        f"{', '.join(file) or 'none'}; rename it"
    )


def _optional(file: h5py.File, name: str) -> np.ndarray | None:
    return np.asarray(file[name]) if isinstance(file.get(name), h5py.Dataset) else None


def _texts(file: h5py.File, name: str) -> list[str] | None:
    values: Any = file.attrs.get(name)
    return None if values is None else [text_of(v) or "" for v in np.atleast_1d(values).tolist()]
