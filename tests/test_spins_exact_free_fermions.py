"""Free fermions against exact diagonalisation on small chains, and closed forms on long ones."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from physgen import InputError
from physgen.spins.exact import (
    expectation,
    ground_state,
    ising_chain,
    pauli_matrix,
    renyi_2_entropy,
    von_neumann_entropy,
    xy_chain,
)


def chain(n, couplings, fields, field_letter):
    """-sum of couplings {letters: values by bond} and of fields, as Pauli strings."""
    strings = [
        (-float(value), letters, (i, (i + 1) % n))
        for letters, values in couplings.items()
        for i, value in enumerate(values)
    ]
    return strings + [(-float(h), field_letter, (i,)) for i, h in enumerate(fields)]


def levels(n, strings):
    return np.linalg.eigvalsh(pauli_matrix(n, strings).toarray())


def assert_same_state(found, n, strings, field):
    """Energy, gap, parity, each correlation and each entropy."""
    lowest = levels(n, strings)
    np.testing.assert_allclose(found.energy, lowest[0], rtol=1e-12)
    np.testing.assert_allclose(found.gap, lowest[1] - lowest[0], rtol=0, atol=1e-11)
    state = ground_state(n, strings).state

    def mean(letters, *sites):
        return expectation(n, [(1.0, letters, sites)], state)

    close = {"rtol": 0, "atol": 1e-11 / found.gap}
    np.testing.assert_allclose(found.parity, mean(field * n, *range(n)), **close)
    for axis in "XYZ":
        magnetisation = [mean(axis, i) for i in range(n)]
        np.testing.assert_allclose(found.magnetisation(axis), magnetisation, **close)
        for i in range(n):
            assert found.correlation(axis, i, i) == 1
            for j in range(i + 1, n):
                expected = mean(2 * axis, i, j)
                np.testing.assert_allclose(found.correlation(axis, i, j), expected, **close)
                assert found.correlation(axis, j, i) == found.correlation(axis, i, j)
    for k in range(1, n):
        for entropy, of_vector in (
            (found.renyi_2_entropy, renyi_2_entropy),
            (found.von_neumann_entropy, von_neumann_entropy),
        ):
            np.testing.assert_allclose(entropy(k), of_vector(state, k), **close)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 7), st.booleans())
def test_xy_chain_equals_diagonalisation(seed, n, periodic):
    rng = np.random.default_rng(seed)
    jx, jy = rng.standard_normal((2, n if periodic else n - 1))
    h = rng.standard_normal(n)
    found = xy_chain(n, jx, jy, h, periodic=periodic)
    assume(found.gap > 1e-3)
    assert_same_state(found, n, chain(n, {"XX": jx, "YY": jy}, h, "Z"), "Z")


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
def test_ising_chain_equals_diagonalisation(periodic, sign):
    n, rng = 8, np.random.default_rng(1)
    j, h = sign * rng.uniform(0.5, 1.5, n if periodic else n - 1), rng.uniform(0.5, 1.5, n)
    found = ising_chain(n, j, h, periodic=periodic)
    assert_same_state(found, n, chain(n, {"ZZ": j}, h, "X"), "X")


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("h", [0.0, 0.7, 1.0, 2.0])
@pytest.mark.parametrize("jy", [1.0, 0.0])
def test_zero_modes_and_ties_of_parity_have_the_right_levels(n, periodic, h, jy):
    for sign in (1, -1):
        found = xy_chain(n, sign, sign * jy, h, periodic=periodic)
        ones = np.full(n if periodic else n - 1, sign)
        strings = chain(n, {"XX": ones, "YY": jy * ones}, np.full(n, h), "Z")
        lowest = levels(n, strings)
        np.testing.assert_allclose(found.energy, lowest[0], rtol=1e-12)
        np.testing.assert_allclose(found.gap, lowest[1] - lowest[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("periodic", [False, True])
def test_of_two_ground_states_the_even_one_is_given(periodic):
    found = ising_chain(12, 1, 0, periodic=periodic)
    assert (found.gap, found.parity) == (0, 1)
    for distance in range(1, 12):
        np.testing.assert_allclose(found.correlation("Z", 0, distance), 1, rtol=1e-12)
    np.testing.assert_allclose(found.renyi_2_entropy(5), np.log(2), rtol=1e-12)
    np.testing.assert_allclose(found.von_neumann_entropy(5), np.log(2), rtol=1e-12)


@pytest.mark.parametrize("n", [2, 40, 1000])
def test_energy_of_the_critical_open_chain(n):
    expected = 1 - 1 / np.sin(np.pi / (2 * (2 * n + 1)))
    np.testing.assert_allclose(ising_chain(n, 1, 1).energy, expected, rtol=1e-13)


@pytest.mark.parametrize("n", [3, 40, 201])
def test_critical_ring_is_its_own_dual(n):
    ring = ising_chain(n, 1, 1, periodic=True)
    per_site = 1 / (n * np.sin(np.pi / (2 * n)))
    np.testing.assert_allclose(ring.energy, -2 * n * per_site, rtol=1e-13)
    np.testing.assert_allclose(ring.magnetisation("X"), per_site, rtol=1e-12)
    np.testing.assert_allclose(ring.correlation("Z", n - 2, n - 1), per_site, rtol=1e-12)
    np.testing.assert_allclose(ring.correlation("Z", 0, n - 1), per_site, rtol=1e-10)


def test_order_of_the_long_open_chain():
    """In the bulk (1 - h^2)^(1/4), Pfeuty 1970; between the ends 1 - h^2."""
    n, h = 160, 0.5
    found = ising_chain(n, 1, h)
    np.testing.assert_allclose(found.correlation("Z", 60, 100), (1 - h**2) ** 0.25, rtol=1e-10)
    np.testing.assert_allclose(found.correlation("Z", 0, n - 1), 1 - h**2, rtol=1e-10)


def test_entropy_of_the_critical_ring_grows_with_central_charge_one_half():
    ring = ising_chain(400, 1, 1, periodic=True)
    grown = ring.von_neumann_entropy(200) - ring.von_neumann_entropy(100)
    np.testing.assert_allclose(grown, np.log(2) / 12, rtol=1e-4)  # c / 3 ln(1 / sin(pi / 4))
    np.testing.assert_allclose(ring.von_neumann_entropy(300), ring.von_neumann_entropy(100))


def test_energy_of_the_long_xx_ring():
    """Free fermions hopping on 4 m sites: -4 sum of cos k over half the antiperiodic momenta."""
    n = 200
    momenta = 2 * np.pi / n * (np.arange(n // 2) - n / 4 + 0.5)
    for sign in (1, -1):
        ring = xy_chain(n, sign, sign, 0, periodic=True)
        np.testing.assert_allclose(ring.energy, -4 * np.cos(momenta).sum(), rtol=1e-13)


@pytest.mark.parametrize("h", [np.ones(3), np.ones((4, 1)), [1.0, 1.0, np.nan, 1.0]])
def test_couplings_that_do_not_fit_are_refused(h):
    with pytest.raises(InputError, match="expected fields to be one finite number or 4"):
        ising_chain(4, 1, h)


def test_other_bad_input_is_refused():
    with pytest.raises(InputError, match="expected couplings to be one finite number or 4"):
        ising_chain(4, np.ones(3), 1, periodic=True)
    with pytest.raises(InputError, match="at least 2 sites"):
        xy_chain(1, 1, 1, 1)
    found = ising_chain(4, 1, 1)
    with pytest.raises(InputError, match="sites from 0 to 3"):
        found.correlation("Z", 0, 4)
    for ask in (found.magnetisation, lambda axis: found.correlation(axis, 0, 1)):
        with pytest.raises(InputError, match='axis "X", "Y" or "Z", got \'z\''):
            ask("z")
    for k in (0, 4):
        with pytest.raises(InputError, match="cut after 1 to 3 sites"):
            found.renyi_2_entropy(k)
