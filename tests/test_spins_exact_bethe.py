"""The Bethe ansatz against exact diagonalisation, its own equations and the infinite chain."""

import numpy as np
import pytest

from physgen import InputError
from physgen.spins.exact import bethe_rapidities, ground_state, heisenberg_chain_energy


@pytest.mark.parametrize("n", [4, 6, 8, 10, 12, 14, 16])
def test_energy_equals_diagonalisation(n):
    strings = [(0.25, p, (i, (i + 1) % n)) for i in range(n) for p in ("XX", "YY", "ZZ")]
    expected = ground_state(n, strings, two_sz=0).energy
    np.testing.assert_allclose(heisenberg_chain_energy(n), expected, rtol=1e-12)


@pytest.mark.parametrize("n", [4, 50])
def test_rapidities_solve_the_equations_without_logarithms(n):
    """((z_i + i) / (z_i - i))^n = prod_{j != i} (z_i - z_j + 2i) / (z_i - z_j - 2i)."""
    z = bethe_rapidities(n)
    apart = z[:, None] - z
    factors = (apart + 2j) / (apart - 2j)
    np.fill_diagonal(factors, 1)
    np.testing.assert_allclose(((z + 1j) / (z - 1j)) ** n, factors.prod(axis=1), rtol=1e-10)
    assert (np.diff(z) > 0).all()
    np.testing.assert_allclose(z, -z[::-1], atol=1e-13)


def test_energy_tends_to_the_infinite_chain_with_central_charge_one():
    """e - (1/4 - ln 2) = -pi^2 / (12 n^2) (1 + O(1 / ln^3 n)) for velocity pi / 2 and c = 1."""
    sizes = np.array([64, 256, 1000])
    energies = np.array([heisenberg_chain_energy(int(n)) for n in sizes]) / sizes
    ratio = (energies - (0.25 - np.log(2))) / (-(np.pi**2) / (12 * sizes**2))
    assert (np.diff(ratio) < 0).all()
    assert 1 < ratio[-1] < 1.003


@pytest.mark.parametrize("n", [2, 7, 0])
def test_other_chains_are_refused(n):
    with pytest.raises(InputError, match="even number of sites from 4"):
        heisenberg_chain_energy(n)
