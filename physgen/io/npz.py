"""Arrays of NPZ files; nothing in them is ever unpickled."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from physgen.errors import InputError

_BROKEN = ValueError, OSError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an NPZ file.

    Raises InputError for a file that is damaged, of another format, or holds Python objects.
    """
    try:
        with path.open("rb") as handle:
            file = np.load(handle, allow_pickle=False)
            if isinstance(file, np.lib.npyio.NpzFile):
                return {name: file[name] for name in file.files}
    except _BROKEN as error:
        raise InputError(
            f"{path} cannot be read as an NPZ file of plain arrays: it is damaged, of another "
            "format, or holds Python objects, which are never loaded; write it with numpy.savez"
        ) from error
    raise InputError(f"{path} is one array, not an NPZ file: write it with numpy.savez")
