"""Rockstar catalogues in binary: halos_N.M.bin.

A header of 256 bytes (magic number, snapshot, chunk, cosmology, bounds, numbers of haloes and
particles, box size, revision of the format), the haloes as C structures, and the 8-byte numbers of
their particles. Source: io/io_internal.h and halo.h of Rockstar (Behroozi, Wechsler & Wu 2013).

Revisions 1 and 2 are read: in both, and in Rockstar-Galaxies, a halo begins with the same fields up
to its number of particles. Its length follows from that of the file, and the numbers of particles
must add up to that of the header, so that another layout is noticed. Older files, of revision 0,
had several layouts and are refused.
"""

from pathlib import Path
from typing import Any

import numpy as np

from physgen.errors import InputError
from physgen.galaxies.readers.chunks import chunks_from_zero
from physgen.galaxies.readers.haloes import halo_fields, one_box_size

MAGIC = (0xFADEDACEC0C0D0D0).to_bytes(8, "little")
NAME = r"(?P<output>halos_\w+)\.(?P<chunk>\d+)\.bin"

_HEADER = np.dtype(
    {
        "names": ["magic", "halos", "particles", "box_size", "revision"],
        "formats": ["<u8", "<i8", "<i8", "<f4", "<i4"],
        "offsets": [0, 64, 72, 80, 96],
        "itemsize": 256,
    }
)
_LENGTHS = (264, 288)  # bytes of a halo: Rockstar, Rockstar-Galaxies


def _halo(length):
    return np.dtype(
        {
            "names": ["position", "velocity", "bound_mass", "particles"],
            "formats": ["(3,)<f4", "(3,)<f4", "<f4", "<i8"],
            "offsets": [8, 20, 72, 200],
            "itemsize": length,
        }
    )


def read_rockstar_binary(path: Path) -> dict[str, Any]:
    """All haloes and subhaloes of a folder, or of the output that one file belongs to.

    The mass is the gravitationally bound one, which out_N.list has as Mvir by default. Comoving
    Mpc/h, physical peculiar km/s and Msun/h.

    Raises InputError for files that are missing, truncated or of another layout.
    """
    parts = [_read(file) for file in chunks_from_zero(path, NAME)]
    box_size = one_box_size([box for _, box in parts], path)
    position, velocity, mass = (np.concatenate([halos[i] for halos, _ in parts]) for i in range(3))
    return halo_fields(position, velocity, mass, box_size, path)


def _read(file):
    size = file.stat().st_size
    if size < _HEADER.itemsize:
        raise InputError(f"{file} is truncated: it has {size} bytes, less than its header")
    header = np.fromfile(file, _HEADER, count=1)[0]
    if header["magic"].tobytes() != MAGIC or header["revision"] not in (1, 2):
        raise InputError(
            f"{file}: expected Rockstar's binary format of revision 1 or 2, got revision "
            f"{header['revision']}; give the out_*.list instead"
        )
    count, particles = int(header["halos"]), int(header["particles"])
    room = size - _HEADER.itemsize - 8 * particles
    length = next((length for length in _LENGTHS if count * length == room), None)
    if length is None or count < 0:
        raise InputError(
            f"{file} is truncated or of another layout: its header says {count} haloes and "
            f"{particles} particles, got {size} bytes; copy it again, or give the out_*.list"
        )
    halos = np.fromfile(file, _halo(length), count=count, offset=_HEADER.itemsize)
    if halos["particles"].sum() != particles:
        raise InputError(
            f"{file} is of another layout: its haloes have {halos['particles'].sum()} particles, "
            f"its header says {particles}; give the out_*.list instead"
        )
    columns = (halos[name].astype(np.float64) for name in ("position", "velocity", "bound_mass"))
    return tuple(columns), float(header["box_size"])
