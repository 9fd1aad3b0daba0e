"""HDF5 and NPZ files with the names of a Catalogue, or `features` (n, N, >= 3)."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from physgen.errors import InputError
from physgen.galaxies.column import Column
from physgen.io import open_hdf5, read_header

_GALAXIES = ("position", "velocity", "log_mass", "mask")


def from_hdf5(path: Path) -> dict[str, Any]:
    """The arguments of a Catalogue in HDF5 of physgen's layout; `position` is needed."""
    with open_hdf5(path) as file:
        if "kind" in file.attrs:
            header = read_header(file)
            if header.kind != "catalogue":
                raise InputError(f"{path} holds a {header.kind}, not a catalogue: give a catalogue")
        datasets = {k: v for k, v in file.items() if isinstance(v, h5py.Dataset)}
        if "position" not in datasets:
            raise InputError(
                f"{path} needs a dataset 'position' of shape (boxes, galaxies, 3); "
                f"it has {sorted(datasets) or 'none'}"
            )
        found = {**dict(file.attrs), **{name: value[()] for name, value in datasets.items()}}
        fields = known(found, path)
        for name in ("position", "velocity", "log_mass"):
            if name in datasets and "unit" in datasets[name].attrs:
                fields[f"{name}_unit"] = _text(datasets[name].attrs["unit"])
        columns = file.get("columns")
        if isinstance(columns, h5py.Group):
            fields["columns"] = tuple(
                Column(name, values[()], _text(values.attrs.get("unit", "")))
                for name, values in columns.items()
                if isinstance(values, h5py.Dataset)
            )
    return fields


def known(found: dict[str, Any], path: Path) -> dict[str, Any]:
    """What a Catalogue takes of what an HDF5 or NPZ file with its names holds."""
    arrays = {name: np.asarray(found[name]) for name in (*_GALAXIES, "parameters") if name in found}
    if "mask" in arrays:
        arrays["mask"] = _as_mask(arrays["mask"])
    if arrays["position"].ndim == 2:
        arrays |= {name: arrays[name][None] for name in _GALAXIES if name in arrays}
    fields: dict[str, Any] = dict(arrays)
    for name in ("parameter_names", "parameter_units", "modelled"):
        if name in found:
            fields[name] = tuple(_text(entry) for entry in np.ravel(found[name]))
    if "parameters" in arrays and "parameter_names" not in found:
        columns = arrays["parameters"].shape[-1] if arrays["parameters"].ndim == 2 else 0
        fields["parameter_names"] = tuple(f"parameter_{i}" for i in range(columns))
    if "box_size" in found:
        fields["box_size"] = _box_size(found["box_size"], path)
    return fields


def from_features(arrays: dict[str, np.ndarray], path: Path) -> dict[str, Any]:
    """Positions in the first three of the columns of `features`, velocities in the next three,
    further columns in the rest."""
    features = np.asarray(arrays["features"])
    if features.ndim != 3 or features.shape[-1] < 3 or features.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: features must be numbers of shape (boxes, galaxies, at least 3), "
            f"got {features.dtype} {features.shape}"
        )
    fields = {"position": features[..., :3], "position_unit": "file units"}
    if features.shape[-1] >= 6:
        fields |= {"velocity": features[..., 3:6], "velocity_unit": "file units"}
        fields["columns"] = tuple(
            Column(f"feature_{i}", features[..., i], "file units")
            for i in range(6, features.shape[-1])
        )
    if "mask" in arrays:
        fields["mask"] = _as_mask(arrays["mask"])
    return fields


def _text(value):
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _box_size(value, path):
    try:
        return float(np.asarray(value)[()])
    except (TypeError, ValueError):
        raise InputError(f"{path}: box_size must be one number, got {value!r}") from None


def _as_mask(mask):
    """A boolean mask of one kept as the numbers 0 and 1."""
    mask = np.asarray(mask)
    if mask.dtype != bool and mask.dtype.kind in "fiu" and np.isin(mask, (0, 1)).all():
        return mask.astype(bool)
    return mask
