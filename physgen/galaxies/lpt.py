"""Lagrangian perturbation theory on a periodic grid: densities in, displacements out.

Fields enter as the `rfftn` of a (grid, grid, grid) density contrast without mean or Nyquist modes.
Displacements are in the unit of `box_size`. Reference: Bouchet et al. (1995), Scoccimarro (1998).
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from physgen.galaxies.linear import mode_numbers


def first_order_displacement(
    density: Complex[Array, "g g h"], box_size: float
) -> Float[Array, "3 g g g"]:
    """The Zel'dovich displacement: curl-free, with divergence minus the density contrast."""
    grid = density.shape[0]
    potential = density * _inverse_laplacian(grid, box_size)
    return -_gradient(potential, box_size)


def second_order_displacement(
    density: Complex[Array, "g g h"], box_size: float
) -> Float[Array, "3 g g g"]:
    """The gradient of phi_2, to be multiplied by D_2 (negative; see `second_order_growth`).

    laplacian phi_2 = sum_{i>j} (phi_ii phi_jj - phi_ij^2) with laplacian phi = delta
    (Scoccimarro 1998, appendix D). It vanishes for a single plane wave.
    """
    grid = density.shape[0]
    k = _wave_numbers(grid, box_size)
    potential = density * _inverse_laplacian(grid, box_size)

    def second_derivative(i, j):
        return jnp.fft.irfftn(-k[i] * k[j] * potential, s=(grid,) * 3)

    xx, yy, zz = (second_derivative(i, i) for i in range(3))
    source = xx * yy + xx * zz + yy * zz
    for i, j in ((0, 1), (0, 2), (1, 2)):
        source = source - jnp.square(second_derivative(i, j))
    return _gradient(jnp.fft.rfftn(source) * _inverse_laplacian(grid, box_size), box_size)


def _wave_numbers(grid, box_size):
    return [(2 * np.pi / box_size * n).astype(np.float32) for n in mode_numbers(grid)]


def _inverse_laplacian(grid, box_size):
    x, y, z = (2 * np.pi / box_size * n for n in mode_numbers(grid))
    squared = x**2 + y**2 + z**2
    squared[0, 0, 0] = np.inf
    return (-1 / squared).astype(np.float32)


def _gradient(field, box_size):
    grid = field.shape[0]
    odd = [np.abs(n) < grid / 2 for n in mode_numbers(grid)]  # i k has no real Nyquist mode
    return jnp.stack(
        [
            jnp.fft.irfftn(1j * (k * keep) * field, s=(grid,) * 3)
            for k, keep in zip(_wave_numbers(grid, box_size), odd, strict=True)
        ]
    )
