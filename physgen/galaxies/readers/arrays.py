"""HDF5 and NPZ files with the names of a Catalogue, or `features` (n, N, >= 3)."""

import contextlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from physgen.errors import InputError
from physgen.galaxies.column import Column
from physgen.io import open_hdf5, read_header

_GALAXIES = ("position", "velocity", "log_mass", "mask")
_TEXTS = ("parameter_names", "parameter_units", "modelled")
_DATASETS = (*_GALAXIES, "parameters", *_TEXTS, "box_size")


def from_hdf5(path: Path) -> dict[str, Any]:
    """The arguments of a Catalogue in HDF5 of physgen's layout; `position` is needed."""
    with open_hdf5(path) as file:
        if "kind" in file.attrs:
            header = read_header(file)
            if header.kind != "catalogue":
                raise InputError(f"{path} holds a {header.kind}, not a catalogue: give a catalogue")
        items = ((name, file.get(name)) for name in _DATASETS)
        datasets = {name: item for name, item in items if isinstance(item, h5py.Dataset)}
        if "position" not in datasets:
            has = sorted(name for name, item in file.items() if isinstance(item, h5py.Dataset))
            raise InputError(
                f"{path} needs a dataset 'position' of shape (boxes, galaxies, 3); "
                f"it has {has or 'none'}"
            )
        found = {**dict(file.attrs), **{name: value[()] for name, value in datasets.items()}}
        fields = known(found, path)
        for name in ("position", "velocity", "log_mass"):
            if name in datasets and "unit" in datasets[name].attrs:
                fields[f"{name}_unit"] = _text(datasets[name].attrs["unit"])
        columns = file.get("columns")
        if isinstance(columns, h5py.Group):
            one = datasets["position"].ndim == 2
            fields["columns"] = tuple(
                Column(name, _galaxies(values[()], one), _text(values.attrs.get("unit", "")))
                for name, values in columns.items()
                if isinstance(values, h5py.Dataset)
            )
    return fields


def known(found: dict[str, Any], path: Path) -> dict[str, Any]:
    """What a Catalogue takes of what an HDF5 or NPZ file with its names holds."""
    one = np.ndim(found["position"]) == 2
    arrays = {name: _galaxies(found[name], one) for name in _GALAXIES if name in found}
    if "mask" in arrays:
        arrays["mask"] = as_mask(arrays["mask"])
    return arrays | of_boxes(found, path, one=arrays["position"].shape[:1] == (1,))


def of_boxes(found: dict[str, Any], path: Path, *, one: bool) -> dict[str, Any]:
    """What a file says of its boxes: their side, their parameters (n, p), or (p,) of one."""
    fields: dict[str, Any] = {
        name: tuple(_text(entry) for entry in np.ravel(found[name]))
        for name in _TEXTS
        if name in found
    }
    if "parameters" in found:
        parameters = np.asarray(found["parameters"])
        parameters = parameters.reshape(1, -1) if one and parameters.ndim < 2 else parameters
        columns = parameters.shape[-1] if parameters.ndim == 2 else 0
        names = tuple(f"parameter_{i}" for i in range(columns))
        fields = {"parameter_names": names, **fields, "parameters": parameters}
    if "box_size" in found:
        fields["box_size"] = _box_size(found["box_size"], path)
    return fields


def from_features(arrays: dict[str, np.ndarray], path: Path) -> dict[str, Any]:
    """Positions in the first three of the columns of `features`, velocities in the next three
    where there are as many, further columns in the rest; beside it the names of a Catalogue.

    Raises InputError for velocities in both.
    """
    features = np.asarray(arrays["features"])
    if features.ndim != 3 or features.shape[-1] < 3 or features.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: features must be numbers of shape (boxes, galaxies, at least 3), "
            f"got {features.dtype} {features.shape}"
        )
    found = {**arrays, "position": features[..., :3]}
    units = {"position_unit": "file units"}
    moving = features.shape[-1] >= 6
    if moving:
        if "velocity" in arrays:
            raise InputError(
                f"{path} has velocities in columns 3 to 5 of features, counted from 0, and in "
                "velocity: leave one out"
            )
        found["velocity"] = features[..., 3:6]
        units["velocity_unit"] = "file units"
    columns = tuple(
        Column(f"feature_{i}", features[..., i], "file units")
        for i in range(6 if moving else 3, features.shape[-1])
    )
    return {**known(found, path), **units, "columns": columns}


def _galaxies(values, one):
    """With an axis of boxes, where a file of `one` has none."""
    return np.asarray(values)[None] if one else np.asarray(values)


def _text(value):
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _box_size(value, path):
    with contextlib.suppress(TypeError, ValueError):
        sides = {float(side) for side in np.ravel(value)}
        if len(sides) == 1:
            return sides.pop()
    raise InputError(f"{path}: box_size must be one number, or equal sides, got {value!r}")


def as_mask(mask: np.ndarray) -> np.ndarray:
    """A boolean mask of one kept as the numbers 0 and 1."""
    mask = np.asarray(mask)
    if mask.dtype != bool and mask.dtype.kind in "fiu" and np.isin(mask, (0, 1)).all():
        return mask.astype(bool)
    return mask
