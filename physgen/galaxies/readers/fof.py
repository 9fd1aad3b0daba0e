"""Friends-of-friends groups of Gadget in binary, as Quijote keeps them and Pylians reads them.

A file group_tab_SSS.N has six numbers, Ngroups, TotNgroups, Nids (int32), TotNids (uint64) and
Nfiles (uint32), and then for all its groups GroupLen, GroupOffset (int32), GroupMass (float32,
1e10 Msun/h), GroupPos (float32 x 3, kpc/h), GroupVel (float32 x 3, km/s times a), and by type of
particle GroupLenType and GroupMassType (4 bytes x 6); some runs add one or two columns of four
bytes (star formation, type). Source: readfof.py of Pylians (Villaescusa-Navarro 2018), and
"Halo catalogs" in the documentation of Quijote.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from physgen.errors import InputError
from physgen.galaxies.readers.chunks import chunks
from physgen.galaxies.readers.haloes import halo_fields

NAME = r"(?P<output>group_tab_\d+)\.(?P<chunk>\d+)"

_HEADER = np.dtype(
    [
        ("groups", "<i4"),
        ("all_groups", "<i4"),
        ("ids", "<i4"),
        ("all_ids", "<u8"),
        ("files", "<u4"),
    ]
)
_ROW = 84  # bytes of a group
_EXTRA = 4  # of a column that some runs add
_QUIJOTE_REDSHIFTS = {0: 3.0, 1: 2.0, 2: 1.0, 3: 0.5, 4: 0.0}


def read_fof(path: Path, *, box_size: float | None, redshift: float | None) -> dict[str, Any]:
    """The groups of a folder groups_SSS, or of the output that one of its files belongs to.

    Peculiar velocities are GroupVel (1 + z). The files say neither the redshift nor the side of the
    box: without `redshift` it is that of Quijote's numbers (000 to 004 are z = 3, 2, 1, 0.5, 0),
    with a warning.

    Raises InputError without box_size, and for files that are missing, truncated or of another
    layout.
    """
    if box_size is None:
        raise InputError(
            f"{path}: group_tab files do not say the side of their box: give it in Mpc/h "
            "(--box, box_size=), 1000 in Quijote"
        )
    files = chunks(path, NAME)
    parts = [_read(file) for file in files]
    header = parts[0][0]
    if [file.name.rsplit(".", 1)[1] for file in files] != [str(i) for i in range(header["files"])]:
        raise InputError(
            f"{path} has {len(files)} files of this output, expected {header['files']} as the "
            f"first says: {files[0].name} and on; copy them again"
        )
    total = sum(int(part[0]["groups"]) for part in parts)
    if total != header["all_groups"]:
        raise InputError(
            f"{path} holds {total} groups, expected {header['all_groups']} as its header says: "
            "copy the files again"
        )
    mass, position, velocity = (np.concatenate([part[i] for part in parts]) for i in (1, 2, 3))
    if redshift is None:
        redshift = _redshift(int(files[0].name.split(".")[0].rsplit("_", 1)[1]), path)
    return halo_fields(
        position.astype(np.float64) / 1e3,
        velocity.astype(np.float64) * (1 + redshift),
        mass.astype(np.float64) * 1e10,
        box_size,
        path,
    )


def _read(file):
    size = file.stat().st_size
    if size < _HEADER.itemsize:
        raise InputError(f"{file} is truncated: it has {size} bytes, less than its header")
    header = np.fromfile(file, _HEADER, count=1)[0]
    groups = int(header["groups"])
    expected = [_HEADER.itemsize + groups * (_ROW + extra * _EXTRA) for extra in range(3)]
    if groups < 0 or size not in expected:
        raise InputError(
            f"{file} is truncated or of another layout: its header says {groups} groups, "
            f"{expected[0]} bytes, got {size}; copy it again"
        )
    offset = _HEADER.itemsize + 8 * groups
    columns = np.fromfile(file, "<f4", count=7 * groups, offset=offset)
    mass, position, velocity = np.split(columns, [groups, 4 * groups])
    return header, mass, position.reshape(groups, 3), velocity.reshape(groups, 3)


def _redshift(snapshot, path):
    if snapshot not in _QUIJOTE_REDSHIFTS:
        raise InputError(
            f"{path}: the redshift of output {snapshot:03d} is not known, and velocities need it: "
            "give it (--redshift, redshift=)"
        )
    redshift = _QUIJOTE_REDSHIFTS[snapshot]
    warnings.warn(
        f"output {snapshot:03d} is taken to be at redshift {redshift:g}, as Quijote numbers most "
        "of its outputs: give the redshift if it is another (velocities scale as 1 + z)",
        stacklevel=2,
    )
    return redshift
