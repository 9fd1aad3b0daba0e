"""Sky coordinates and redshifts to comoving positions, in a flat LCDM universe."""

import numpy as np
from jaxtyping import Float

from physgen.errors import InputError

HUBBLE_LENGTH = 2997.92458  # c / H_0 in Mpc/h

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)


def comoving_distance(
    redshift: Float[np.ndarray, " n"], *, omega_m: float
) -> Float[np.ndarray, " n"]:
    """c int dz / H(z) in Mpc/h for matter and a cosmological constant (Hogg 1999, eq. 15)."""
    z = redshift[:, None] * (_NODES + 1) / 2
    integrand = 1 / expansion_rate(z, omega_m=omega_m)
    return HUBBLE_LENGTH * redshift * (integrand @ _WEIGHTS) / 2


def expansion_rate(redshift: Float[np.ndarray, "*n"], *, omega_m: float) -> Float[np.ndarray, "*n"]:
    """H(z) / H_0 in a flat LCDM universe (Hogg 1999, eq. 14); omega_m is today's."""
    if not 0 <= omega_m <= 1:
        raise InputError(f"omega_m must be between 0 and 1 (flat LCDM), got {omega_m}")
    return np.sqrt(omega_m * (1 + redshift) ** 3 + 1 - omega_m)


def comoving_positions(
    ra: Float[np.ndarray, " n"],
    dec: Float[np.ndarray, " n"],
    redshift: Float[np.ndarray, " n"],
    *,
    omega_m: float = 0.3,
) -> Float[np.ndarray, "n 3"]:
    """Cartesian comoving positions in Mpc/h, the observer at the origin; ra and dec in degrees.

    Redshifts are taken as they are: peculiar velocities are not removed. Raises InputError for
    values that are not finite, |dec| > 90 and redshifts outside [0, 20].
    """
    for name, values, low, high in (
        ("ra", ra, -360, 360),
        ("dec", dec, -90, 90),
        ("redshift", redshift, 0, 20),
    ):
        bad = ~((values >= low) & (values <= high))
        if bad.any():
            first = int(np.argmax(bad))
            raise InputError(
                f"{name} must be between {low} and {high}: {bad.sum()} of {bad.size} rows are not, "
                f"the first is row {first} with {values[first]}; remove them"
                + (", or name the column cz if it is in km/s" if name == "redshift" else "")
            )
    ra, dec = np.radians(ra), np.radians(dec)
    direction = [np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)]
    return comoving_distance(redshift, omega_m=omega_m)[:, None] * np.stack(direction, axis=-1)
