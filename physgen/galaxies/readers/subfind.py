"""Groups and subhaloes in HDF5, as Illustris, IllustrisTNG and CAMELS keep them.

`Header` has the attributes BoxSize, Time (the scale factor a) or Redshift and NumFiles; `Group` has
GroupPos, GroupVel, GroupMass and `Subhalo` has SubhaloPos, SubhaloVel, SubhaloMass. Lengths are
comoving kpc/h, masses 1e10 Msun/h. GroupVel is the peculiar velocity times a, SubhaloVel is the
peculiar velocity itself, both in km/s ("Group catalogs" in the data specifications of
IllustrisTNG). Subhaloes with SubhaloFlag 0, which did not form as galaxies do, are left out.

Units are those of UnitLength_in_cm, UnitMass_in_g, UnitVelocity_in_cm_per_s where `Header`,
`Parameters` or `Units` have them. Without them a BoxSize of 5000 or more is in kpc/h and a smaller
one in Mpc/h.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from physgen.errors import InputError
from physgen.galaxies.readers.chunks import chunks
from physgen.galaxies.readers.haloes import halo_fields
from physgen.io import open_hdf5

NAME = r"(?P<output>(?:fof_subhalo_tab|fof_tab|groups)_\d+)(?:\.(?P<chunk>\d+))?\.hdf5"

OBJECTS = ("halos", "subhalos")

_MEGAPARSEC = 3.085678e24  # cm
_SOLAR_MASS = 1.989e33  # g
_SMALLEST_IN_KPC = 5000.0  # no box that is kept in Mpc/h is larger
_COLUMNS = {"halos": ("Group", "Group"), "subhalos": ("Subhalo", "Subhalo")}
_COUNTS = {
    "halos": ("Ngroups_ThisFile",),
    "subhalos": ("Nsubgroups_ThisFile", "Nsubhalos_ThisFile"),
}


def read_subfind(path: Path, *, objects: str, box_size: float | None) -> dict[str, Any]:
    """The groups ("halos") or "subhalos" of a file, of all chunks of its output, or of a folder.

    box_size: in Mpc/h, needed where Header has no BoxSize.

    Raises InputError for files that are missing, truncated or without these columns, and where the
    side of the box or the unit of lengths is not known.
    """
    files = chunks(path, NAME)
    parts = []
    for file in files:
        with open_hdf5(file) as opened:
            header = _numbers(opened["Header"])
            expected = int(header.get("NumFiles", 1.0))
            if expected != len(files):
                raise InputError(
                    f"{path} has {len(files)} files of this output, expected {expected} as "
                    f"{file.name} says: copy them again"
                )
            part = _read(opened, header, objects)
            if part is not None:
                parts.append(part)
            units = _units(opened, header)
    if not parts:
        raise InputError(f"{path} holds no {objects}: expected at least one")
    length, weight, speed = units
    position, velocity, mass = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    size = header["BoxSize"] * length if "BoxSize" in header else box_size
    if size is None:
        raise InputError(
            f"{path}: Header has no BoxSize, expected one number or equal sides: give the side of "
            "the box in Mpc/h (--box, box_size=)"
        )
    return halo_fields(position * length, velocity * speed, mass * weight, size, path)


def _read(file, header, objects):
    group, prefix = _COLUMNS[objects]
    count = next((int(header[name]) for name in _COUNTS[objects] if name in header), None)
    if count == 0:
        return None  # its datasets are not written then
    columns = [f"{group}/{prefix}{name}" for name in ("Pos", "Vel", "Mass")]
    for column in columns:
        if column not in file:
            raise InputError(
                f"{file.filename} has no {column}: expected Pos, Vel and Mass of {group}; write "
                "these columns too"
            )
    position, velocity, mass = (np.asarray(file[column], np.float64) for column in columns)
    if len({len(position), len(velocity), len(mass), len(mass) if count is None else count}) != 1:
        raise InputError(
            f"{file.filename} is damaged: its columns of {group} have {len(position)}, "
            f"{len(velocity)} and {len(mass)} rows, its header says {count}"
        )
    if objects == "halos":
        velocity = velocity / _scale_factor(file, header)
    elif "Subhalo/SubhaloFlag" in file:
        real = np.asarray(file["Subhalo/SubhaloFlag"]) != 0
        return position[real], velocity[real], mass[real]
    return position, velocity, mass


def _scale_factor(file, header):
    if header.get("Redshift", -1.0) > -1:
        return 1 / (1 + header["Redshift"])
    if header.get("Time", 0.0) > 0:
        return header["Time"]
    raise InputError(
        f"{file.filename}: Header has neither a Redshift above -1 nor a Time above 0, expected one "
        "for velocities; write it too"
    )


def _units(file, header):
    """Mpc/h, Msun/h and km/s in the units of the file."""
    stated = dict(header)
    for name in ("Parameters", "Units"):
        if isinstance(file.get(name), h5py.Group):
            stated |= _numbers(file[name])
    length = stated.get("UnitLength_in_cm", 0.0) / _MEGAPARSEC
    if length == 0 and "BoxSize" not in header:
        raise InputError(
            f"{file.filename} says neither BoxSize nor UnitLength_in_cm, expected one to know the "
            "unit of positions; write it in Header"
        )
    if length == 0:
        length = 1e-3 if header["BoxSize"] >= _SMALLEST_IN_KPC else 1.0
    mass = stated.get("UnitMass_in_g", 1e10 * _SOLAR_MASS) / _SOLAR_MASS
    speed = stated.get("UnitVelocity_in_cm_per_s", 1e5) / 1e5
    return float(f"{length:.4g}"), float(f"{mass:.4g}"), speed


def _numbers(group) -> dict[str, float]:
    """The attributes that are one number, or equal ones."""
    attributes = ((name, np.ravel(value)) for name, value in group.attrs.items())
    return {
        name: float(value[0])
        for name, value in attributes
        if value.size and value.dtype.kind in "fiu" and (value == value[0]).all()
    }
