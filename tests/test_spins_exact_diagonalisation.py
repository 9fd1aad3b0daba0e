"""Sparse matrices of Pauli strings against Kronecker products, entropies against partial traces."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physgen import InputError
from physgen.spins.exact import (
    expectation,
    ground_state,
    pauli_matrix,
    renyi_2_entropy,
    sector_basis,
    von_neumann_entropy,
)

PAULI = {
    "I": np.eye(2),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
}


def kronecker(n, strings):
    total = np.zeros((2**n, 2**n), complex)
    for coefficient, letters, sites in strings:
        on = dict(zip(sites, letters, strict=True))
        total += coefficient * reduce(np.kron, [PAULI[on.get(site, "I")] for site in range(n)])
    return total


@st.composite
def sums(draw):
    n = draw(st.integers(1, 5))
    coefficients = st.floats(-2, 2, allow_subnormal=False)
    strings = []
    for _ in range(draw(st.integers(0, 6))):
        sites = tuple(draw(st.permutations(range(n)))[: draw(st.integers(0, n))])
        letters = draw(st.text("XYZ", min_size=len(sites), max_size=len(sites)))
        strings.append((draw(coefficients), letters, sites))
    return n, strings


def random_state(n, seed=0):
    rng = np.random.default_rng(seed)
    state = rng.standard_normal(2**n) + 1j * rng.standard_normal(2**n)
    return state / np.linalg.norm(state)


def heisenberg(n, delta=1.0):
    bonds = [(i, (i + 1) % n) for i in range(n)]
    return [(c, p, b) for b in bonds for c, p in ((1.0, "XX"), (1.0, "YY"), (delta, "ZZ"))]


@given(sums())
def test_matrix_is_the_sum_of_kronecker_products(case):
    n, strings = case
    matrix = pauli_matrix(n, strings)
    np.testing.assert_allclose(matrix.toarray(), kronecker(n, strings), rtol=0, atol=1e-14)
    even = all(letters.count("Y") % 2 == 0 for _, letters, _ in strings)
    assert matrix.dtype == (np.float64 if even else np.complex128)


@given(sums(), st.integers(0, 2**32 - 1))
def test_expectation_is_that_of_the_kronecker_products(case, seed):
    n, strings = case
    state = random_state(n, seed)
    expected = np.vdot(state, kronecker(n, strings) @ state).real
    np.testing.assert_allclose(expectation(n, strings, state), expected, rtol=0, atol=1e-13)


@given(sums())
def test_ground_state_is_the_lowest_of_all(case):
    n, strings = case
    matrix = kronecker(n, strings)
    energy, state = ground_state(n, strings)
    np.testing.assert_allclose(energy, np.linalg.eigvalsh(matrix)[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(matrix @ state, energy * state, rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(state), 1)


@pytest.mark.parametrize("letters", ["XY", "XX"])
def test_lanczos_finds_what_lapack_does(letters):
    n, rng = 10, np.random.default_rng(3)
    strings = [(rng.standard_normal(), letters, (i, (i + 1) % n)) for i in range(n)]
    strings += [(rng.standard_normal(), "Z", (i,)) for i in range(n)]
    matrix = kronecker(n, strings)
    energy, state = ground_state(n, strings)
    np.testing.assert_allclose(energy, np.linalg.eigvalsh(matrix)[0], rtol=1e-13)
    np.testing.assert_allclose(matrix @ state, energy * state, rtol=0, atol=1e-11)
    assert np.array_equal(state, ground_state(n, strings).state)


def test_zero_has_energy_zero():
    assert ground_state(10, [(0.0, "ZZ", (0, 1))]).energy == 0


@pytest.mark.parametrize("n", [4, 5])
def test_sectors_are_blocks_of_the_matrix(n):
    strings = [*heisenberg(n, 0.3), (0.7, "Z", (1,)), (0.2, "XY", (0, 2)), (-0.2, "YX", (0, 2))]
    matrix = kronecker(n, strings)
    total = kronecker(n, [(1.0, "Z", (i,)) for i in range(n)]).diagonal().real
    levels = []
    for two_sz in range(-n, n + 1, 2):
        basis = sector_basis(n, two_sz)
        assert np.array_equal(basis, np.flatnonzero(total == two_sz))
        block = pauli_matrix(n, strings, two_sz)
        np.testing.assert_allclose(block.toarray(), matrix[np.ix_(basis, basis)], atol=1e-14)
        energy, state = ground_state(n, strings, two_sz)
        np.testing.assert_allclose(matrix @ state, energy * state, rtol=0, atol=1e-12)
        levels.append(energy)
    np.testing.assert_allclose(min(levels), np.linalg.eigvalsh(matrix)[0], rtol=1e-12)


def test_site_0_is_the_most_significant_bit_and_bit_0_is_up():
    assert pauli_matrix(2, [(1.0, "Z", (0,))]).diagonal().tolist() == [1, 1, -1, -1]
    assert sector_basis(3, 1).tolist() == [0b001, 0b010, 0b100]


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_entropies_are_those_of_the_partial_trace(k):
    state = random_state(5)
    matrix = np.einsum("ab,cb->ac", state.reshape(2**k, -1), state.conj().reshape(2**k, -1))
    weights = np.linalg.eigvalsh(matrix)
    weights = weights[weights > 1e-14]
    purity = np.trace(matrix @ matrix).real
    np.testing.assert_allclose(renyi_2_entropy(state, k), -np.log(purity), rtol=1e-12)
    expected = -(weights * np.log(weights)).sum()
    np.testing.assert_allclose(von_neumann_entropy(state, k), expected, rtol=1e-12)


def test_entropies_of_a_product_and_of_a_cat():
    product, cat = np.zeros(16), np.zeros(16)
    product[5], cat[[0, 15]] = 1, np.sqrt(0.5)
    for entropy in (renyi_2_entropy, von_neumann_entropy):
        assert entropy(product, 2) == 0
        np.testing.assert_allclose(entropy(cat, 1), np.log(2))


@pytest.mark.parametrize("string", [(1.0, "X", (0,)), (1.0, "XX", (0, 1))])
def test_an_operator_that_leaves_the_sector_is_refused(string):
    with pytest.raises(InputError, match="conserves the total S_z"):
        pauli_matrix(4, [*heisenberg(4), string], 0)


@pytest.mark.parametrize(
    "string", [(1.0, "A", (0,)), (1.0, "XX", (0,)), (1.0, "XX", (1, 1)), (1.0, "X", (3,))]
)
def test_strings_that_do_not_fit_are_refused(string):
    with pytest.raises(InputError, match="different sites from 0 to 2"):
        pauli_matrix(3, [string])


def test_other_bad_input_is_refused():
    with pytest.raises(InputError, match="1 to 20 sites"):
        ground_state(21, [])
    with pytest.raises(InputError, match="total 2 S_z among"):
        sector_basis(4, 1)
    with pytest.raises(InputError, match=r"at most 0.001 GB, got 0.1 GB"):
        pauli_matrix(18, heisenberg(18), max_gigabytes=0.001)
    with pytest.raises(InputError, match=r"shape \(8,\), got \(4,\)"):
        expectation(3, [], np.ones(4))
    with pytest.raises(InputError, match="cut after 1 to 2 sites"):
        renyi_2_entropy(random_state(3), 3)
    with pytest.raises(InputError, match="state vector of shape"):
        von_neumann_entropy(np.ones(6), 1)
