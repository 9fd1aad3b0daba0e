"""Rockstar and consistent-trees catalogues in text: out_N.list, halos_N.M.ascii, hlist_A.list.

The first line names the columns (`#ID DescID Mvir Vmax ... X Y Z VX VY VZ`, or `#scale(0) id(1)
...` of consistent-trees), more lines with # follow, among them `#Box size: 1000.000000 Mpc/h`,
then one halo a line: masses in Msun/h, comoving positions in Mpc/h, physical peculiar velocities
in km/s. halos_N.M.ascii holds the haloes of the part M of the box alone.
Source: io/meta_io.c of Rockstar (Behroozi, Wechsler & Wu 2013).
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from physgen.errors import InputError
from physgen.galaxies.readers.chunks import chunks_from_zero
from physgen.galaxies.readers.haloes import halo_fields, one_box_size

NAME = r"(?P<output>halos_\w+)\.(?P<chunk>\d+)\.ascii"

_MASSES = ("mvir", "m200b", "m200c", "m500c", "m2500c", "mass", "m")
_BOX = re.compile(r"box size\s*[:=]\s*([0-9.eE+-]+)\s*(mpc|kpc)?", re.IGNORECASE)


def read_rockstar(path: Path, *, objects: str) -> dict[str, Any]:
    """The haloes of one file, or of all parts of the output that a halos_N.M.ascii belongs to.

    The mass is the first of Mvir, M200b, M200c, M500c, M2500c. Where there is a column PID
    (find_parents, consistent-trees), "halos" are those within no other and "subhalos" are all;
    without it all are read.

    Raises InputError for files that are missing or truncated, or have no such columns.
    """
    parts = [_read(file, objects) for file in chunks_from_zero(path, NAME)]
    box_size = one_box_size([box for _, box in parts], path)
    table = np.concatenate([halos for halos, _ in parts])
    if not len(table):
        raise InputError(f"{path} holds no halo: it is empty or truncated")
    return halo_fields(table[:, :3], table[:, 3:6], table[:, 6], box_size, path)


def _read(path, objects):
    """Position, velocity and mass of each halo of a file (n, 7), and the side of its box."""
    comments, first, last = _ends(path)
    names = [re.sub(r"\(\d+\)$", "", name).lower() for name in comments[0].lstrip("# ").split()]
    mass = next((name for name in _MASSES if name in names), None)
    wanted = ["x", "y", "z", "vx", "vy", "vz", mass or "mvir"]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InputError(
            f"{path} has no columns {missing}: expected X Y Z VX VY VZ and a mass (Mvir, M200b, "
            f"...) in its first line, got {' '.join(names)!r:.80}"
        )
    if first is None or last is None:
        return np.zeros((0, 7)), _box_size(comments)
    for which, line in (("first", first), ("last", last)):
        if len(line.split()) != len(names):
            raise InputError(
                f"{path}: its {which} halo has {len(line.split())} columns, the header names "
                f"{len(names)}: the file is truncated or damaged; copy it again"
            )
    hosts = objects == "halos" and "pid" in names
    columns = [names.index(name) for name in (wanted + ["pid"] if hosts else wanted)]
    try:
        table = np.loadtxt(path, usecols=columns, ndmin=2, comments="#")
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} is damaged ({' '.join(str(error).split())}): write or copy it again"
        ) from error
    if hosts:
        table = table[table[:, 7] < 0]
    return table[:, :7], _box_size(comments)


def _ends(path):
    """The lines of comments, the first halo and the last, None where there is no halo."""
    comments = []
    with path.open("rb") as file:
        for line in file:
            text = line.decode(errors="replace").strip()
            if not text.startswith("#"):
                break
            comments.append(text)
        else:
            if comments:
                return comments, None, None
            raise InputError(f"{path} holds no halo: it is empty")
        if not comments:
            raise InputError(f"{path}: the first line must name the columns, got {text!r:.60}")
        file.seek(0, 2)
        file.seek(max(file.tell() - 16384, 0))
        last = file.read().decode(errors="replace").rstrip().splitlines()[-1]
    return comments, text, last


def _box_size(comments):
    for line in comments:
        found = _BOX.search(line)
        if found:
            return float(found[1]) * (1e-3 if (found[2] or "").lower() == "kpc" else 1.0)
    return None
