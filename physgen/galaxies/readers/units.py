"""Are the numbers in the units that they are said to be in?"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from physgen.errors import InputError

_FAR = 100.0  # boxes
_UNIVERSE = 2e4  # Mpc/h, about the diameter of what can be seen
_SPARSE = 1e3  # Mpc/h between neighbours: no galaxies are as rare
_TINY = 1e3  # kpc/h: no periodic box of galaxies is as small
_ENOUGH = 8  # galaxies that cannot all be in a corner by chance
_FASTEST = 1e4  # rms, km/s
_LARGEST = 20.0  # log10 Msun/h
_SMALLEST = 3.0


def check_units(fields: dict[str, Any], path: Path) -> None:
    """Raise InputError, or warn, where the arguments of a Catalogue look like other units.

    Errors: positions that reach further than 100 boxes, and logarithms of masses above 20.
    Warnings: positions in the first hundredth of the box alone, positions beyond the observable
    universe, galaxies in a box more than 1000 Mpc/h apart, a box of less than 1000 kpc/h,
    velocities of an rms above 1e4 km/s, and masses below 1e3 Msun/h. What is said to be in other
    units is not looked at.
    """
    mask = np.asarray(fields.get("mask", True))
    unit, box = str(fields.get("position_unit", "Mpc/h")), fields.get("box_size")
    if unit == "Mpc/h":
        position = _of(fields, "position", mask)
        if box is not None:
            _check_positions(position, float(box), path)
        _check_size(position, len(np.atleast_1d(fields["position"])), box is not None, path)
    elif unit.startswith("kpc") and box is not None and 0 < float(box) < _TINY:
        warnings.warn(
            f"{path}: a periodic box of {float(box):g} {unit} is too small for galaxies: it looks "
            "like Mpc/h; say so in the file's unit of position",
            stacklevel=2,
        )
    if fields.get("velocity_unit", "km/s") == "km/s":
        velocity = _of(fields, "velocity", mask)
        rms = np.sqrt(np.mean(np.square(velocity, dtype=np.float64))) if velocity.size else 0.0
        if rms > _FASTEST:
            warnings.warn(
                f"{path}: velocities have an rms of {rms:.3g} km/s: they look like m/s or cm/s; "
                "divide by 1e3 or 1e5",
                stacklevel=2,
            )
    if fields.get("log_mass_unit", "log10 Msun/h") == "log10 Msun/h":
        _check_masses(_of(fields, "log_mass", mask), path)


def _of(fields, name, mask):
    """The finite values of unmasked galaxies; none where shapes do not fit, told elsewhere."""
    values = np.asarray(fields.get(name, ()))
    if values.dtype.kind not in "fiu" or mask.dtype != bool:
        return np.zeros(0)
    if mask.shape and values.shape[:2] != mask.shape:
        return np.zeros(0)
    kept = values[mask] if mask.shape else values
    return kept[np.isfinite(kept)]


def _check_positions(positions, box, path):
    if not positions.size or box <= 0:
        return
    reach = float(np.abs(positions).max())
    if reach > _FAR * box:
        raise InputError(
            f"{path}: positions reach {reach:.4g} in a box of {box:g}: they look like kpc/h beside "
            "a box in Mpc/h; divide them by 1000, or give the right box_size"
        )
    if reach < box / _FAR and positions.size >= 3 * _ENOUGH:
        warnings.warn(
            f"{path}: positions reach only {reach:.4g} in a box of {box:g}: the box looks like "
            "kpc/h beside positions in Mpc/h; give it as box_size",
            stacklevel=3,
        )


def _check_size(positions, boxes, periodic, path):
    if not positions.size:
        return
    reach = float(np.abs(positions).max())
    spacing = reach * (3 * boxes / positions.size) ** (1 / 3) if periodic else 0.0
    if reach > _UNIVERSE or spacing > _SPARSE:
        apart = f" and are {spacing:.3g} apart" if periodic else ""
        warnings.warn(
            f"{path}: positions reach {reach:.4g} Mpc/h{apart}: they look like kpc/h; divide them "
            "and the box by 1000, or say so in the file's unit of position",
            stacklevel=3,
        )


def _check_masses(log_mass, path):
    if not log_mass.size:
        return
    if log_mass.max() > _LARGEST:
        raise InputError(
            f"{path}: log_mass reaches {log_mass.max():.4g}, expected log10 of Msun/h: they look "
            "like masses; take their log10, or name the column mass"
        )
    if log_mass.min() < _SMALLEST:
        warnings.warn(
            f"{path}: some masses are below {10**_SMALLEST:g} Msun/h: they look like 1e10 "
            "Msun/h, or like logarithms in a column called mass",
            stacklevel=3,
        )
