"""Galaxy catalogues: what one is, and the HDF5 layout that it is kept in.

The layout is readable with h5py alone. Datasets: `position` (n, N, 3), `mask` (n, N), `parameters`
(n, p) where p may be 0 and, where they exist, `velocity` (n, N, 3), `log_mass` (n, N) and, in the
group `columns`, any further number of a galaxy (n, N) by its name. The attribute `unit` of each but
`mask` and `parameters` says theirs. Root attributes: `box_size`
(absent where the catalogue is not periodic), `parameter_names`, `parameter_units`, `modelled`
(generated catalogues: the features that their generator models), `kind` = "catalogue",
`schema_version`, `physgen_version`. `provenance`, where it is known, is JSON of how it was made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Int

from physgen.errors import InputError
from physgen.galaxies.column import Column
from physgen.galaxies.readers import read_fields, read_table
from physgen.io import atomic_path, write_header, write_json
from physgen.words import counted

KIND = "catalogue"
_ARRAYS = ("position", "velocity", "log_mass", "mask", "parameters")
_UNITS = ("position", "velocity", "log_mass")


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Boxes of galaxies with the parameters that made them.

    position (n, N, 3), mask (n, N) True for a real galaxy (all are if not given), velocity
    (n, N, 3) or None, log_mass (n, N), log10 of the mass, or None, columns of any further numbers,
    parameters (n, p) with their names and units (none, p = 0, if not given). box_size is the side
    of the periodic box, or None where it is not periodic; positions are then anywhere, else in
    [0, box_size). Padding (mask False) is set to zero. modelled names what the maker of a generated
    catalogue models ("position", ...): such a catalogue is judged by that alone; None for real
    ones.

    Raises InputError for wrong shapes, an empty catalogue, a box_size that is not positive, and
    galaxies that are not finite or not in the box.
    """

    position: np.ndarray
    mask: np.ndarray = None  # type: ignore[assignment]
    velocity: np.ndarray | None = None
    log_mass: np.ndarray | None = None
    columns: tuple[Column, ...] = ()
    parameters: np.ndarray = None  # type: ignore[assignment]
    parameter_names: tuple[str, ...] = ()
    parameter_units: tuple[str, ...] = ()
    box_size: float | None = None
    modelled: tuple[str, ...] | None = None
    position_unit: str = "Mpc/h"
    velocity_unit: str = "km/s"
    log_mass_unit: str = "log10 Msun/h"

    def __post_init__(self):
        position = _floating("position", self.position)
        if position.ndim != 3 or position.shape[-1] != 3:
            raise InputError(
                f"position must have shape (boxes, galaxies, 3), got {position.shape}"
                + ("; add a leading axis for one box" if position.ndim == 2 else "")
            )
        n, width, _ = position.shape
        mask = np.ones((n, width), bool) if self.mask is None else np.asarray(self.mask)
        _expect_shape("mask", mask, (n, width))
        if mask.dtype != bool:
            raise InputError(f"mask must be boolean (True for a real galaxy), got {mask.dtype}")
        if not mask.any():
            raise InputError(
                f"the catalogue is empty: position has shape {position.shape} and no galaxy is "
                "unmasked; at least one galaxy is needed"
            )
        object.__setattr__(self, "mask", mask)
        self._set_galaxies("position", position, (n, width, 3))
        if self.velocity is not None:
            self._set_galaxies("velocity", _floating("velocity", self.velocity), (n, width, 3))
        if self.log_mass is not None:
            self._set_galaxies("log_mass", _floating("log_mass", self.log_mass), (n, width))
        self._set_columns((n, width))
        self._set_parameters(n)
        if self.box_size is not None:
            self._check_box(float(self.box_size))

    def _set_columns(self, shape):
        names = [column.name for column in self.columns]
        taken = {"position", "velocity", "log_mass"}
        if len(set(names)) != len(names) or taken & set(names) or any("/" in n for n in names):
            raise InputError(
                f"each column needs a name of its own, without a slash and none of "
                f"{sorted(taken)}, got {names}"
            )
        columns = tuple(
            replace(c, values=self._finite_galaxies(c.name, _floating(c.name, c.values), shape))
            for c in self.columns
        )
        object.__setattr__(self, "columns", columns)

    def _set_galaxies(self, name, array, shape):
        object.__setattr__(self, name, self._finite_galaxies(name, array, shape))

    def _finite_galaxies(self, name, array, shape):
        _expect_shape(name, array, shape)
        bad = ~np.isfinite(array) & self.mask.reshape(self.mask.shape + (1,) * (array.ndim - 2))
        if bad.any():
            rows = bad.reshape(*self.mask.shape, -1).any(axis=-1)
            box, galaxy = np.argwhere(rows)[0]
            raise InputError(
                f"{name} must be finite: {rows.sum()} of {self.mask.sum()} galaxies hold NaN or "
                f"infinity, the first is galaxy {galaxy} of box {box}; remove or mask them"
            )
        padding = ~self.mask
        if padding.any():
            array = array.copy()
            array[padding] = 0
        return array

    def _set_parameters(self, n):
        names = tuple(str(name) for name in self.parameter_names)
        units = tuple(str(unit) for unit in self.parameter_units) or ("",) * len(names)
        empty = np.zeros((n, 0), np.float32)
        parameters = empty if self.parameters is None else self.parameters
        parameters = _floating("parameters", parameters)
        if parameters.ndim == 2 and parameters.shape[1] != len(names):
            raise InputError(
                f"parameter_names must have one name for each of the {parameters.shape[1]} columns "
                f"of parameters, got {names}"
            )
        if len(set(names)) != len(names):
            raise InputError(f"each parameter needs a name of its own, got {names}")
        _expect_shape("parameters", parameters, (n, len(names)))
        if len(units) != len(names):
            raise InputError(f"parameter_units must have one unit for each of {names}, got {units}")
        if not np.isfinite(parameters).all():
            row = int(np.argwhere(~np.isfinite(parameters))[0, 0])
            raise InputError(f"parameters must be finite, row {row} is {parameters[row].tolist()}")
        object.__setattr__(self, "parameters", parameters)
        object.__setattr__(self, "parameter_names", names)
        object.__setattr__(self, "parameter_units", units)

    def _check_box(self, box_size):
        if not (np.isfinite(box_size) and box_size > 0):
            raise InputError(f"box_size must be positive, got {box_size}")
        object.__setattr__(self, "box_size", box_size)
        outside = ((self.position < 0) | (self.position >= box_size)).any(axis=-1) & self.mask
        if outside.any():
            box, galaxy = np.argwhere(outside)[0]
            raise InputError(
                f"{outside.sum()} of {self.mask.sum()} galaxies are outside the box "
                f"[0, {box_size:g}), the first is galaxy {galaxy} of box {box} at "
                f"{self.position[box, galaxy].tolist()}; wrap them with `position % box_size` "
                "if the box is periodic, or give the right box_size"
            )

    def __len__(self) -> int:
        """How many boxes there are."""
        return len(self.position)

    def __repr__(self) -> str:
        few, many = self.counts.min(), self.counts.max()
        side = "" if self.box_size is None else f" in {self.box_size:g} {self.position_unit}"
        given = f", given {', '.join(self.parameter_names)}" if self.parameter_names else ""
        return (
            f"<Catalogue of {counted(len(self), 'box', 'boxes')}{side} of "
            f"{few if few == many else f'{few} to {many}'} galaxies "
            f"({', '.join(self.features)}){given}>"
        )

    @property
    def counts(self) -> Int[np.ndarray, " n"]:
        """How many galaxies each box holds."""
        return self.mask.sum(axis=1)

    @property
    def features(self) -> tuple[str, ...]:
        """What each galaxy has: "position", then "velocity", "log_mass" and columns by name."""
        optional = [name for name in ("velocity", "log_mass") if getattr(self, name) is not None]
        return ("position", *optional, *(column.name for column in self.columns))

    @property
    def units(self) -> dict[str, str]:
        """The unit of each feature."""
        own = {name: getattr(self, f"{name}_unit") for name in _UNITS if name in self.features}
        return own | {column.name: column.unit for column in self.columns}

    def with_features(self, names: tuple[str, ...]) -> Catalogue:
        """The same boxes with no other features than those of these names, and their positions.

        Raises InputError for a feature that the catalogue has not.
        """
        unknown = [name for name in names if name not in self.features]
        if unknown:
            raise InputError(
                f"expected features among {', '.join(self.features)}, got {', '.join(unknown)}: "
                "the catalogue lacks them"
            )
        return replace(
            self,
            velocity=self.velocity if "velocity" in names else None,
            log_mass=self.log_mass if "log_mass" in names else None,
            columns=tuple(column for column in self.columns if column.name in names),
        )

    def positions_only(self) -> Catalogue:
        """The same boxes with nothing but positions."""
        return self.with_features(())

    def select(self, indices) -> Catalogue:
        """The boxes at `indices` (integers, booleans or a slice) of the first axis."""
        chosen = np.atleast_1d(np.arange(len(self))[indices])
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return replace(
            self,
            **{name: None if a is None else a[chosen] for name, a in arrays.items()},
            columns=tuple(replace(c, values=c.values[chosen]) for c in self.columns),
        )


def _floating(name, array):
    array = np.asarray(array)
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} must be an array of numbers, got dtype {array.dtype}")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _expect_shape(name, array, shape):
    if array.shape != shape:
        raise InputError(f"{name} must have shape {shape} to go with position, got {array.shape}")


def write_catalogue(
    path: str | os.PathLike[str],
    catalogue: Catalogue,
    *,
    overwrite: bool = False,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write `catalogue` in the HDF5 layout of this module's docstring, bit for bit.

    provenance: how it was made, as JSON values; `physgen info` shows them.

    Raises InputError if `path` exists and `overwrite` is False, or if its folder is missing.
    """
    with atomic_path(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
        write_header(file, KIND)
        if provenance is not None:
            write_json(file, "provenance", provenance)
        file.attrs["parameter_names"] = _strings(catalogue.parameter_names)
        file.attrs["parameter_units"] = _strings(catalogue.parameter_units)
        if catalogue.modelled is not None:
            file.attrs["modelled"] = _strings(catalogue.modelled)
        if catalogue.box_size is not None:
            file.attrs["box_size"] = catalogue.box_size
        for name in _ARRAYS:
            array = getattr(catalogue, name)
            if array is not None:
                file.create_dataset(name, data=array)
        for name in _UNITS:
            if name in file:
                file[name].attrs["unit"] = getattr(catalogue, f"{name}_unit")
        if catalogue.columns:
            columns = file.create_group("columns", track_order=True)
            for column in catalogue.columns:
                dataset = columns.create_dataset(column.name, data=column.values)
                dataset.attrs["unit"] = column.unit


def _strings(values):
    return np.array(values, dtype=h5py.string_dtype())


def read_catalogue(
    path: str | os.PathLike[str],
    *,
    box_size: float | None = None,
    conditions: str | os.PathLike[str] | None = None,
    omega_m: float = 0.3,
    objects: str = "halos",
    redshift: float | None = None,
) -> Catalogue:
    """Read galaxies or haloes from a file or folder; `physgen.galaxies.readers` has the layouts.

    box_size: the side of the periodic box, if the file does not say it (or says it wrongly).
    conditions: a CSV table with a header, one row a box, that becomes the parameters.
    omega_m: the flat LCDM universe in which right ascensions, declinations and redshifts become
    comoving Cartesian positions in Mpc/h, which are not periodic.
    objects: "halos" or "subhalos", where a simulation has both.
    redshift: of files that need it and do not say it (group_tab).

    Raises InputError for a file that cannot be read as a catalogue, and all that Catalogue raises.
    """
    path = Path(path)
    found = read_fields(
        path, omega_m=omega_m, box_size=box_size, objects=objects, redshift=redshift
    )
    if conditions is not None:
        names, table = read_table(Path(conditions))
        if len(table) != len(found["position"]):
            raise InputError(
                f"expected a row of {conditions} for each of {len(found['position'])} boxes of "
                f"{path}, got {len(table)}; give one, in the order of the boxes"
            )
        found |= {"parameters": table, "parameter_names": names, "parameter_units": ()}
    try:
        return Catalogue(**found)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
