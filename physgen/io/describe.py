"""What is in an HDF5 file, in words."""

import os
from typing import Any

import h5py
import numpy as np

from physgen.io.files import open_hdf5, read_json

_PARAMETERS = "parameters"


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What an HDF5 file holds, as names and plain values, ready for JSON.

    Attributes first; then texts and settings, then shape, type and unit of every array. The arrays
    of a model are summed up.

    Raises:
        InputError: if the file is missing, damaged or not HDF5.
    """
    with open_hdf5(path) as file:
        facts = {name: _plain(value) for name, value in file.attrs.items()}
        model = file.get(_PARAMETERS) if isinstance(file.get(_PARAMETERS), h5py.Group) else None
        sizes = []

        def visit(name: str, item: Any) -> None:
            if not isinstance(item, h5py.Dataset):
                return
            if model is not None and name.startswith(f"{_PARAMETERS}/"):
                sizes.append(item.size)
            elif item.dtype.kind == "S" and item.shape == ():
                facts[name] = read_json(file, name)
            else:
                unit = _plain(item.attrs.get("unit", ""))
                facts[name] = f"{item.dtype} {item.shape}" + (f" {unit}" if unit else "")

        file.visititems(visit)
        if model is not None:
            facts["trained"] = f"{sum(sizes)} numbers in {len(sizes)} arrays"
        return facts


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
