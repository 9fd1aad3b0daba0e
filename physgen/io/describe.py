"""What is in an HDF5 file, in words."""

import os
from typing import Any

import h5py
import numpy as np

from physgen.io.files import open_hdf5


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The attributes of an HDF5 file, then shape, type and unit of each of its datasets.

    Returns:
        Names and plain values, ready for JSON; JSON attributes stay text.

    Raises:
        InputError: if the file is missing, damaged or not HDF5.
    """
    with open_hdf5(path) as file:
        facts = {name: _plain(value) for name, value in file.attrs.items()}

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                unit = _plain(item.attrs.get("unit", ""))
                facts[f"/{name}"] = f"{item.dtype} {item.shape}" + (f" {unit}" if unit else "")

        file.visititems(visit)
        return facts


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
