"""How many peaks and how many haloes a Gaussian universe holds, and the mass that matches them."""

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf
from jaxtyping import Array, Float

from physgen.galaxies import linear

_HEIGHTS = np.linspace(-3.0, 9.0, 193).astype(np.float32)
_CURVATURES = np.linspace(0.02, 12.0, 300).astype(np.float32)


def peak_abundance(
    power: linear.LinearPower, radius: Float[Array, ""]
) -> tuple[Float[Array, " h"], Float[Array, " h"]]:
    """(peak heights nu, peaks per (Mpc/h)^3 above each) of the density smoothed at `radius`.

    nu is the density contrast over its rms under exp(-k^2 radius^2 / 2). The exact integral of
    Bardeen, Bond, Kaiser & Szalay (1986), eqs. 4.3 and A14-A19.
    """
    sigma_0, sigma_1, sigma_2 = (linear.gaussian_rms(power, radius, order) for order in range(3))
    gamma = sigma_1**2 / (sigma_0 * sigma_2)
    width = jnp.sqrt(1 - gamma**2)
    distance = (_CURVATURES[None, :] - gamma * _HEIGHTS[:, None]) / width
    conditional = jnp.exp(-(distance**2) / 2) / (np.sqrt(2 * np.pi) * width)
    factor = conditional @ _curvature_factor(_CURVATURES) * (_CURVATURES[1] - _CURVATURES[0])
    scale = np.sqrt(3) * sigma_1 / sigma_2
    density = jnp.exp(-(_HEIGHTS**2) / 2) * factor / (4 * np.pi**2 * scale**3)
    return jnp.asarray(_HEIGHTS), _above(density, _HEIGHTS)


def _curvature_factor(x):
    """f(x) of Bardeen et al. (1986), eq. A15."""
    root = np.sqrt(2.5) * x
    first = (x**3 - 3 * x) * (erf(root) + erf(root / 2)) / 2
    near = (31 * x**2 / 4 + 8 / 5) * jnp.exp(-5 * x**2 / 8)
    far = (x**2 / 2 - 8 / 5) * jnp.exp(-5 * x**2 / 2)
    return first + np.sqrt(2 / (5 * np.pi)) * (near + far)


def halo_abundance(power: linear.LinearPower) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
    """(ln mass in Msun/h, haloes per (Mpc/h)^3 above each), Sheth & Tormen (1999), eq. 10."""
    radii, rms = linear.top_hat_rms(power)
    density = linear.CRITICAL_DENSITY * power.omega_m
    log_mass = jnp.log(4 * np.pi / 3 * density) + 3 * jnp.log(radii)
    threshold = 0.707 * (linear.COLLAPSE_THRESHOLD / rms) ** 2
    multiplicity = (
        0.3222 * jnp.sqrt(2 * threshold / np.pi) * (1 + threshold**-0.3) * jnp.exp(-threshold / 2)
    )
    slope = -jnp.diff(jnp.log(rms)) / jnp.diff(log_mass)
    slope = jnp.concatenate([slope[:1], (slope[1:] + slope[:-1]) / 2, slope[-1:]])
    return log_mass, _above(density * jnp.exp(-log_mass) * multiplicity * slope, log_mass)


def _above(density, x):
    """The integral of `density` from each x to the last, by the trapezoid rule."""
    cells = (density[1:] + density[:-1]) / 2 * jnp.diff(x)
    return jnp.concatenate([jnp.cumsum(cells[::-1])[::-1], jnp.zeros(1)])


def matched_log_mass(
    peak_height: Float[Array, " n"], power: linear.LinearPower, radius: Float[Array, ""]
) -> Float[Array, " n"]:
    """log10 mass (Msun/h) above which there are as many haloes as there are higher peaks."""
    heights, peaks = peak_abundance(power, radius)
    log_mass, haloes = halo_abundance(power)
    tiny = 1e-30
    wanted = jnp.interp(peak_height, heights, jnp.log(peaks + tiny))
    matched = jnp.interp(wanted, jnp.log(haloes + tiny)[::-1], log_mass[::-1])
    return matched / np.log(10)
