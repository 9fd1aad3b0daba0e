"""What kind of file or folder it is: told by the first bytes, then by the name."""

import re
from pathlib import Path

import h5py

from physgen.errors import InputError
from physgen.galaxies.readers import fof, rockstar, rockstar_binary, subfind

SIMULATIONS = ("fof", "rockstar", "rockstar binary", "subfind")

_SUFFIXES = {
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".npz": "npz",
    ".npy": "npy",
    ".fits": "fits",
    ".fit": "fits",
    ".csv": "text",
    ".txt": "text",
    ".dat": "text",
    ".list": "rockstar",
    ".ascii": "rockstar",
}


def format_of(path: Path) -> str:
    """ "hdf5", "npz", "npy", "fits", "text", or one of SIMULATIONS.

    Raises InputError if there is no such file, or it is none of these.
    """
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        raise InputError(f"{path} does not exist: check the name")
    suffix = path.suffix.lower()
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise InputError(f"{path} is not readable: check its permissions") from error
    if start == b"\x89HDF\r\n\x1a\n":
        return "subfind" if _has_groups(path) else "hdf5"
    if start.startswith(b"PK\x03\x04"):
        return "npz"
    if start.startswith(b"\x93NUMPY"):
        return "npy"
    if start.startswith(b"SIMPLE  "):
        return "fits"
    if start.startswith(b"\x1f\x8b"):
        if path.name.lower().endswith((".fits.gz", ".fit.gz")):
            return "fits"
        raise InputError(f"{path} is compressed by gzip, expected FITS if so: unpack it (gunzip)")
    if start == rockstar_binary.MAGIC:
        return "rockstar binary"
    if re.fullmatch(fof.NAME, path.name):
        return "fof"
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    raise InputError(
        f"{path} is of an unknown format: expected HDF5 (.h5, .hdf5), NPZ (.npz), NPY (.npy), FITS "
        "(.fits), text with a header (.csv, .txt, .dat), or haloes (.list, halos_*.bin, "
        "group_tab_*.0)"
    )


def _folder(path):
    names = [entry.name for entry in path.iterdir()]
    for kind, pattern in (
        ("fof", fof.NAME),
        ("subfind", subfind.NAME),
        ("rockstar binary", rockstar_binary.NAME),
        ("rockstar", rockstar.NAME),
    ):
        if any(re.fullmatch(pattern, name) for name in names):
            return kind
    raise InputError(
        f"{path} is a folder: expected a catalogue file, or a folder of group_tab_*.0, "
        "fof_subhalo_tab_*.hdf5, halos_*.bin or halos_*.ascii"
    )


def _has_groups(path):
    try:
        with h5py.File(path, "r") as file:
            return "Header" in file and ("Group" in file or "Subhalo" in file)
    except (OSError, RuntimeError):
        return False
