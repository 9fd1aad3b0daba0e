"""Redshift space: where galaxies seem to be when their velocities are taken for distances."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from physgen.errors import InputError
from physgen.galaxies.catalogue import Catalogue
from physgen.galaxies.periodic import wrapped
from physgen.galaxies.survey import expansion_rate
from physgen.stats.points import Numbers
from physgen.words import of_other_case

OMEGA_M = "Omega_m"


def redshift_space(
    catalogue: Catalogue,
    *,
    line_of_sight: Numbers = (0.0, 0.0, 1.0),
    observer: Numbers | None = None,
    omega_m: float | np.floating | str | None = None,
    redshift: float = 0.0,
) -> Catalogue:
    """The same galaxies at s = x + (v . n) n (1 + z) / H(z) (Kaiser 1987, eq. 1.1).

    x are comoving positions in Mpc/h, v peculiar velocities in km/s, and H = 100 E(z) km/s per
    Mpc/h in a flat LCDM universe, so that E matters beyond z = 0 alone. In a periodic box positions
    are wrapped. Velocities stay as they are.

    Args:
        line_of_sight: the direction n, of any length, the same for all galaxies: a far observer.
        observer: a place (3,) in open space; n is then the direction from there to each galaxy, and
            line_of_sight is not used.
        omega_m: today's matter density, or the name of the parameter that has it for every box;
            the parameter Omega_m if not given. Not used at redshift 0.
        redshift: of the galaxies, one for all.

    Raises:
        InputError: without velocities, in other units, for a line of sight that is no direction,
            for an observer of a periodic box, and where omega_m is needed and not known.
    """
    if catalogue.velocity is None:
        raise InputError("redshift space needs velocities, the catalogue has none: give them")
    if (catalogue.position_unit, catalogue.velocity_unit) != ("Mpc/h", "km/s"):
        raise InputError(
            "redshift space needs positions in Mpc/h and velocities in km/s, got "
            f"{catalogue.position_unit} and {catalogue.velocity_unit}: convert them"
        )
    if not (np.isfinite(redshift) and redshift >= 0):
        raise InputError(f"redshift must be finite and not negative, got {redshift}")
    position, velocity = catalogue.position, catalogue.velocity
    if observer is None:
        direction = _direction(line_of_sight)
    elif catalogue.box_size is not None:
        raise InputError(
            f"expected a line of sight in a periodic box of {catalogue.box_size:g}, got an "
            "observer: leave it out"
        )
    else:
        away = position - _vector("observer", observer)
        distance = np.linalg.norm(away, axis=-1, keepdims=True)
        direction = np.divide(away, distance, out=np.zeros_like(away), where=distance > 0)
    length = (1 + redshift) / (100 * _expansion(catalogue, omega_m, redshift))
    along = (velocity * direction).sum(axis=-1) * length[:, None]
    moved = (position + along[..., None] * direction).astype(position.dtype)
    if catalogue.box_size is not None:
        moved = wrapped(moved, catalogue.box_size)
    return replace(catalogue, position=moved)


def _expansion(catalogue, omega_m, redshift) -> Float[np.ndarray, " n"]:
    """H(z) / H_0 of every box."""
    if redshift == 0:
        return np.ones(len(catalogue))
    if not (omega_m is None or isinstance(omega_m, str)):
        values = np.full(len(catalogue), float(omega_m))
    else:
        name = OMEGA_M if omega_m is None else omega_m
        if name not in catalogue.parameter_names:
            raise InputError(
                f"omega_m is needed at redshift {redshift:g}: expected a number, or one of the "
                f"parameters {list(catalogue.parameter_names)}, got {name!r}"
                f"{of_other_case([name], catalogue.parameter_names)}"
            )
        values = catalogue.parameters[:, catalogue.parameter_names.index(name)]
    z = np.full(1, float(redshift))
    return np.concatenate([expansion_rate(z, omega_m=float(value)) for value in values])


def _direction(line_of_sight):
    vector = _vector("line_of_sight", line_of_sight)
    length = np.linalg.norm(vector)
    if length == 0:
        raise InputError("line_of_sight must be a direction, got zero: give (0, 0, 1) for z")
    return vector / length


def _vector(name, values):
    vector = np.asarray(values, dtype=np.float64)
    if vector.shape != (3,) or not np.isfinite(vector).all():
        raise InputError(f"{name} must be three finite numbers, got {values}")
    return vector
