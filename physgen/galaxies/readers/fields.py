"""The one entry: from a path to the arguments of a Catalogue."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from physgen.errors import InputError
from physgen.galaxies.periodic import wrapped
from physgen.galaxies.readers.arrays import as_mask, from_features, from_hdf5, known, of_boxes
from physgen.galaxies.readers.columns import from_columns, lower, on_sky, read_columns
from physgen.galaxies.readers.fof import read_fof
from physgen.galaxies.readers.formats import SIMULATIONS, format_of
from physgen.galaxies.readers.rockstar import read_rockstar
from physgen.galaxies.readers.rockstar_binary import read_rockstar_binary
from physgen.galaxies.readers.subfind import OBJECTS, read_subfind
from physgen.galaxies.readers.units import check_units
from physgen.io.npz import open_numpy, read_npz

_EDGE = 0.01  # of a box: how far outside a halo may be written


def read_fields(
    path: Path,
    *,
    omega_m: float,
    box_size: float | None = None,
    objects: str = "halos",
    redshift: float | None = None,
) -> dict[str, Any]:
    """The arguments of a Catalogue that the file or folder at `path` holds.

    omega_m: for sky coordinates. box_size: the side of the box, instead of what the file says.
    objects: "halos" or "subhalos", where a simulation has both. redshift: of group_tab files.

    Positions at the side of a periodic box are those at 0, and of haloes those that rounding put
    just outside are wrapped into it.

    Raises InputError if there is no such file, if it is of no known format, and for numbers in
    other units than those that are expected.
    """
    if objects not in OBJECTS:
        raise InputError(f"expected objects 'halos' or 'subhalos', got {objects!r}")
    if redshift is not None and not (math.isfinite(redshift) and redshift >= 0):
        raise InputError(f"redshift must be finite and not negative, got {redshift}")
    kind = format_of(path)
    try:
        fields = _read(path, kind, omega_m, box_size, objects, redshift)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error}): check its permissions") from error
    if box_size is not None:
        fields["box_size"] = box_size
    check_units(fields, path)
    fields["position"] = _at_zero(np.asarray(fields["position"]), fields.get("box_size"))
    if kind in SIMULATIONS and fields.get("box_size"):
        box, position = float(fields["box_size"]), fields["position"]
        if (position > -_EDGE * box).all() and (position < (1 + _EDGE) * box).all():
            fields["position"] = wrapped(position, box)
    return fields


def _at_zero(position, box_size):
    """With 0 for the side of the box itself, as the type of the numbers rounds it."""
    if box_size is None or position.dtype.kind not in "fiu":
        return position
    side = np.asarray(box_size).astype(position.dtype if position.dtype.kind == "f" else float)
    return np.where(position == side, np.zeros((), position.dtype), position)


def _read(path, kind, omega_m, box_size, objects, redshift) -> dict[str, Any]:
    if kind == "hdf5":
        return from_hdf5(path)
    if kind == "fof":
        return read_fof(path, box_size=box_size, redshift=redshift)
    if kind == "subfind":
        return read_subfind(path, objects=objects, box_size=box_size)
    if kind == "rockstar":
        return read_rockstar(path, objects=objects)
    if kind == "rockstar binary":
        return read_rockstar_binary(path)
    if kind == "npz":
        return _read_npz(path, omega_m)
    if kind == "npy":
        with open_numpy(path) as position:
            return {"position": np.asarray(position)}
    return from_columns(read_columns(path, kind), path, omega_m)


def _read_npz(path, omega_m):
    arrays = read_npz(path)
    if "position" in arrays:
        return known(arrays, path)
    if "features" in arrays:
        return from_features(arrays, path)
    columns = lower(arrays)
    if on_sky(columns) and "box_size" in columns:
        raise InputError(
            f"{path}: galaxies at ra, dec and a redshift are in no periodic box, got box_size: "
            "leave it out, or give x, y, z"
        )
    fields = from_columns(columns, path, omega_m) | of_boxes(columns, path, one=True)
    return fields | ({"mask": as_mask(columns["mask"])[None]} if "mask" in columns else {})
