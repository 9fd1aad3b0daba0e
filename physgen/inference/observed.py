"""Reading one observation from a file: HDF5, NPY, or text."""

import os
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float

from physgen.density import Shape
from physgen.errors import InputError
from physgen.io import open_hdf5

_NAMES = "observation", "observations", "x", "data"


def read_observation(path: str | os.PathLike[str], x_shape: Shape) -> Float[np.ndarray, "..."]:
    """The observation of shape `x_shape` in a file, all of it finite.

    HDF5: the array `observation`, `observations`, `x` or `data`, or the only one in the file or in
    a group of such a name. NPY: the array. Any other file is text: numbers with spaces or commas
    between, `#` starts a comment. A leading axis of length one is dropped; a vector may be written
    as one line or as one column.

    Raises:
        InputError: if the file is missing or damaged, or holds anything else.
    """
    path = Path(path)
    if path.suffix == ".npy":
        array = _read_npy(path)
    elif path.suffix in (".h5", ".hdf5") or (path.is_file() and h5py.is_hdf5(path)):
        with open_hdf5(path) as file:
            array = _find(file, path)
    else:
        array = _read_text(path)
    if array.dtype.kind not in "fiub":
        raise InputError(
            f"{path}: expected real numbers, got {array.dtype}; write an array of them"
        )
    if array.shape == (1, *x_shape):
        array = array[0]
    elif len(x_shape) == 1 and array.shape in [(*x_shape, 1), ()] and array.size == x_shape[0]:
        array = array.reshape(x_shape)
    if array.shape != x_shape:
        raise InputError(
            f"{path}: expected an observation of shape {x_shape}, as the simulations have, got "
            f"{array.shape}; give one observation of that shape"
        )
    if not np.isfinite(array).all():
        raise InputError(
            f"{path}: expected finite numbers, got {np.sum(~np.isfinite(array))} of {array.size} "
            "NaN or infinite; fill in what is missing"
        )
    return array.astype(np.float32)


def _find(group: h5py.Group, path: Path) -> np.ndarray:
    for name in _NAMES:
        found = group.get(name)
        if isinstance(found, h5py.Dataset):
            return np.asarray(found)
        if isinstance(found, h5py.Group):
            return _find(found, path)
    arrays = [item for item in group.values() if isinstance(item, h5py.Dataset)]
    if len(arrays) == 1:
        return np.asarray(arrays[0])
    raise InputError(
        f"{path}: expected an array {' or '.join(_NAMES)}, found {', '.join(group) or 'none'}; "
        "rename it"
    )


def _read_npy(path: Path) -> np.ndarray:
    _require_existing(path)
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        raise InputError(
            f"{path} is not an array of numbers ({error}): write it with numpy.save"
        ) from error


def _read_text(path: Path) -> np.ndarray:
    _require_existing(path)
    try:
        text = path.read_text(encoding="utf-8")
        lines = [line.partition("#")[0].replace(",", " ").split() for line in text.splitlines()]
        rows = [[float(word) for word in words] for words in lines if words]
        return np.array(rows, np.float64)
    except (ValueError, OSError) as error:
        raise InputError(
            f"{path} is not a table of numbers ({error}): write numbers with spaces or commas "
            "between, or an HDF5 or NPY file"
        ) from error


def _require_existing(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path} does not exist: check the name")
