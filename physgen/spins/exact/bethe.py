"""The Bethe ansatz of the periodic spin-1/2 Heisenberg chain (Bethe 1931, Z. Phys. 71, 205).

The notation is that of Karbach, Hu & Mueller 1998 (arXiv:cond-mat/9809163): rapidities z_i, and
phi(z) = 2 arctan z.
"""

import numpy as np
from jaxtyping import Float

from physgen.errors import InputError

STEPS = 50


def bethe_rapidities(n: int) -> Float[np.ndarray, " half"]:
    """The n / 2 real rapidities z of the ground state of n sites, ascending.

    They solve n phi(z_i) = 2 pi I_i + sum_j phi((z_i - z_j) / 2) with the Bethe quantum numbers
    I = -n/4 + 1/2, ..., n/4 - 1/2, by Newton's method from the infinite chain's.

    Raises:
        InputError: unless n is even and at least 4.
    """
    if n < 4 or n % 2:
        raise InputError(f"expected an even number of sites from 4, got {n}; take another chain")
    numbers = np.arange(n // 2) - n / 4 + 0.5
    z = 4 / np.pi * np.arctanh(np.tan(np.pi * numbers / n))
    for _ in range(STEPS):
        apart = (z[:, None] - z) / 2
        residual = 2 * (n * np.arctan(z) - np.pi * numbers - np.arctan(apart).sum(axis=1))
        coupling = 1 / (1 + apart**2)
        jacobian = coupling + np.diag(2 * n / (1 + z**2) - coupling.sum(axis=1))
        step = np.linalg.solve(jacobian, residual)
        z = z - step
        if np.abs(step).max() < 1e-9:  # convergence is quadratic: the next would be rounding
            return z
    raise RuntimeError(f"Newton's method found no rapidities of {n} sites in {STEPS} steps")


def heisenberg_chain_energy(n: int) -> float:
    """Ground-state energy of H = sum_i S_i . S_{i+1}, S = sigma / 2, on a ring of even n.

    n / 4 - sum_i 2 / (1 + z_i^2). With Pauli matrices, sum_i (XX + YY + ZZ), it is 4 times as much.
    Per site it tends to 1/4 - ln 2 (Hulthen 1938). 1000 sites take a second.

    Raises:
        InputError: unless n is even and at least 4.
    """
    return float(n / 4 - (2 / (1 + bethe_rapidities(n) ** 2)).sum())
