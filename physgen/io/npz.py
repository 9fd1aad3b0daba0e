"""Arrays of NPY and NPZ files; nothing in them is ever unpickled."""

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from physgen.errors import InputError

_BROKEN = ValueError, OSError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error


@contextmanager
def open_numpy(path: Path) -> Iterator[np.ndarray | Mapping[str, np.ndarray]]:
    """The array of an NPY file, or those of an NPZ file, which are read when they are asked for.

    Whatever NumPy raises here or in the body becomes an InputError of one line.
    """
    try:
        with path.open("rb") as handle:
            yield np.load(handle, allow_pickle=False)
    except InputError:
        raise
    except _BROKEN as error:
        raise InputError(
            f"{path} cannot be read as an NPY or NPZ file of plain arrays: it is damaged, of "
            "another format, or holds Python objects, which are never loaded; write it with "
            "numpy.save or numpy.savez"
        ) from error


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an NPZ file.

    Raises InputError for a file that is damaged, of another format, or holds Python objects.
    """
    with open_numpy(path) as file:
        if isinstance(file, np.ndarray):
            raise InputError(f"{path} is one array, not an NPZ file: write it with numpy.savez")
        return {name: file[name] for name in file}
