"""The linear matter power spectrum of a flat LCDM universe at z = 0, and its Gaussian fields.

Omega_m and sigma_8 vary; h, Omega_b and n_s are fixed to the constants below. Wave numbers are in
h/Mpc, lengths in Mpc/h, powers in (Mpc/h)^3.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax_cosmo
import numpy as np
from jax_cosmo.transfer import Eisenstein_Hu
from jaxtyping import Array, Complex, Float, Key

HUBBLE = 0.6711
OMEGA_BARYON = 0.049
SPECTRAL_INDEX = 0.9624
CRITICAL_DENSITY = 2.77536627e11  # (Msun/h) / (Mpc/h)^3
COLLAPSE_THRESHOLD = 1.686

_LOG_K = np.linspace(np.log(1e-5), np.log(1e2), 1024)  # quadrature nodes of every variance
_K = np.exp(_LOG_K)


def _top_hat(x):
    """The Fourier transform of a ball of unit volume, 3 j_1(x) / x, in float64."""
    x = np.asarray(x, np.float64)
    small = x < 1e-2
    safe = np.where(small, 1.0, x)
    exact = 3 * (np.sin(safe) - safe * np.cos(safe)) / safe**3
    return np.where(small, 1 - x**2 / 10, exact)


_K_CUBED = (_K**3 / (2 * np.pi**2) * np.gradient(_LOG_K)).astype(np.float32)
_TOP_HAT_8_SQUARED = (_top_hat(8 * _K) ** 2).astype(np.float32)
_RADII = np.geomspace(0.02, 60.0, 256)
_TOP_HATS_SQUARED = (_top_hat(_RADII[:, None] * _K) ** 2).astype(np.float32)


class LinearPower(NamedTuple):
    """The linear power spectrum of one cosmology, normalised to sigma_8.

    `amplitude` is sigma_8^2 / (the variance that the unnormalised spectrum has in 8 Mpc/h balls).
    """

    omega_m: Float[Array, ""]
    amplitude: Float[Array, ""]

    def __call__(self, k: Float[Array | np.ndarray, " k"]) -> Float[Array, " k"]:
        """P(k) at z = 0 for k > 0."""
        return self.amplitude * _unnormalised_power(self.omega_m, k)


def linear_power(omega_m: Float[Array, ""], sigma_8: Float[Array, ""]) -> LinearPower:
    """P(k) with the transfer function of Eisenstein & Hu (1998), eqs. 2-24 (with wiggles).

    sigma_8 is the linear rms of the mean density contrast in spheres of 8 Mpc/h.
    """
    variance = jnp.sum(_unnormalised_power(omega_m, _K) * _K_CUBED * _TOP_HAT_8_SQUARED)
    return LinearPower(jnp.asarray(omega_m), sigma_8**2 / variance)


def _unnormalised_power(omega_m, k):
    cosmology = jax_cosmo.Cosmology(
        Omega_c=omega_m - OMEGA_BARYON,
        Omega_b=OMEGA_BARYON,
        h=HUBBLE,
        n_s=SPECTRAL_INDEX,
        sigma8=1.0,
        Omega_k=0.0,
        w0=-1.0,
        wa=0.0,
    )
    k = jnp.asarray(k)
    return k**SPECTRAL_INDEX * Eisenstein_Hu(cosmology, k) ** 2


def gaussian_rms(power: LinearPower, radius: Float[Array, ""], order: int = 0) -> Float[Array, ""]:
    """sigma_order: the rms of k^order delta(k) exp(-k^2 radius^2 / 2), in (h/Mpc)^order."""
    window = jnp.exp(-jnp.square(_K * radius)) * _K ** (2 * order)
    return jnp.sqrt(jnp.sum(power(_K) * _K_CUBED * window))


def top_hat_rms(power: LinearPower) -> tuple[Float[Array, " r"], Float[Array, " r"]]:
    """(radii in Mpc/h, ascending; rms linear density contrast in spheres of those radii)."""
    return jnp.asarray(_RADII), jnp.sqrt(_TOP_HATS_SQUARED @ (power(_K) * _K_CUBED))


def gaussian_radius(mass: float, omega_m: Float[Array, ""]) -> Float[Array, ""]:
    """The Gaussian smoothing length whose window encloses `mass`, (2 pi)^(3/2) rho_m radius^3."""
    density = CRITICAL_DENSITY * omega_m
    return jnp.cbrt(mass / density) / np.sqrt(2 * np.pi)


def growth_rate(omega_m: Float[Array, ""]) -> Float[Array, ""]:
    """f_1 = dlnD_1/dlna = Omega_m^(5/9) at z = 0, flat LCDM (Bouchet et al. 1995)."""
    return omega_m ** (5 / 9)


def second_order_growth(omega_m: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(D_2 / D_1^2, f_2) = (-3/7 Omega_m^(-1/143), 2 Omega_m^(6/11)) (Bouchet et al. 1995)."""
    return -3 / 7 * omega_m ** (-1 / 143), 2 * omega_m ** (6 / 11)


def mode_numbers(grid: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Integer wave numbers of a real (grid, grid, grid) transform, shaped to broadcast."""
    full = np.fft.fftfreq(grid, 1 / grid).round().astype(np.int32)
    half = np.arange(grid // 2 + 1, dtype=np.int32)
    return full[:, None, None], full[None, :, None], half[None, None, :]


def gaussian_field(
    key: Key[Array, ""],
    power: LinearPower,
    grid: int,
    box_size: float,
    smoothing: float | Float[Array, ""] = 0.0,
) -> Complex[Array, "g g h"]:
    """One realisation of the linear density contrast at z = 0, as its `rfftn`.

    It is smoothed by exp(-k^2 smoothing^2 / 2). The mean and the Nyquist planes are zero, so that
    every derivative is exact on the grid.
    """
    x, y, z = mode_numbers(grid)
    kept = (np.abs(x) < grid / 2) & (np.abs(y) < grid / 2) & (z < grid / 2)
    squared = np.where(kept, x**2 + y**2 + z**2, 0)
    k = 2 * np.pi / box_size * np.sqrt(np.arange(1, 3 * (grid // 2) ** 2 + 1), dtype=np.float32)

    def scale(k):
        window = jnp.exp(-jnp.square(k * smoothing) / 2)
        return jnp.sqrt(power(k) * (grid / box_size) ** 3) * window

    # P depends on the integer |n|^2 alone. Without the loop XLA computes it for every mode.
    shells = jax.lax.map(scale, k.reshape(3, -1)).reshape(-1)
    scales = jnp.concatenate([jnp.zeros(1), shells])[squared]
    return jnp.fft.rfftn(jax.random.normal(key, (grid, grid, grid))) * scales
