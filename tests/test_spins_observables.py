import jax
import numpy as np
import pytest
from flax import nnx

from physgen.errors import InputError
from physgen.spins import (
    FVSBNWavefunction,
    TransformerWavefunction,
    diagonal_observables,
    entropy_profile,
    fidelity,
    pair_spins,
    renyi_2_entropy,
    single_spins,
    swap,
)
from physgen.spins.exact import expectation, ground_state
from physgen.spins.exact import renyi_2_entropy as exact_entropy
from physgen.spins.hamiltonians import XXZ, XY, Heisenberg, TransverseFieldIsing
from physgen.spins.reference import exact_observables

N = 5
KEY = jax.random.key(1)


@pytest.fixture(scope="module")
def complex_state():
    wavefunction = FVSBNWavefunction(phase=True).build(N, rngs=nnx.Rngs(0))
    state = nnx.state(wavefunction, nnx.Param)
    leaves, tree = jax.tree.flatten(state)
    keys = jax.random.split(jax.random.key(7), len(leaves))
    leaves = [a + 0.7 * jax.random.normal(k, a.shape) for k, a in zip(keys, leaves, strict=True)]
    nnx.update(wavefunction, jax.tree.unflatten(tree, leaves))
    every = (np.arange(2**N)[:, None] >> np.arange(N)[::-1]) & 1
    return wavefunction, np.exp(np.asarray(wavefunction.log_psi(every), complex))


def within(estimate, wanted, sigmas=4.5):
    error = np.asarray(estimate.error) + 1e-4
    assert (np.abs(np.asarray(estimate.value) - wanted) < sigmas * error).all()


def test_spins_are_those_of_the_state_vector(complex_state):
    wavefunction, psi = complex_state
    seen = diagonal_observables(wavefunction.sample(KEY, 20_000))
    z = [expectation(N, [(1.0, "Z", (i,))], psi) for i in range(N)]
    zz = np.array(
        [
            [1.0 if i == j else expectation(N, [(1.0, "ZZ", (i, j))], psi) for j in range(N)]
            for i in range(N)
        ]
    )
    within(seen.magnetisation, z)
    within(seen.correlations, zz)
    within(seen.correlation, [np.diagonal(zz, r).mean() for r in range(N)])
    k = seen.wave_numbers
    phases = np.exp(1j * np.outer(k, np.arange(N)))
    within(seen.structure_factor, np.einsum("ki,ij,kj->k", phases, zz, phases.conj()).real / N)
    middle = expectation(N, [(1.0, "ZZZ", (1, 2, 3))], psi)
    within(type(seen.string_order)(seen.string_order.value[2], seen.string_order.error[2]), middle)
    assert seen.histogram.sum() == 20_000 and set(seen.totals) <= {-5, -3, -1, 1, 3, 5}
    for letter in "XY":
        wanted = [expectation(N, [(1.0, letter, (i,))], psi) for i in range(N)]
        within(single_spins(KEY, wavefunction, letter, 20_000), wanted)
        wanted = [expectation(N, [(1.0, 2 * letter, (2, j))], psi) for j in (0, 1, 3, 4)]
        within(pair_spins(KEY, wavefunction, letter, 2, 20_000), wanted)


def test_a_ring_has_the_mean_over_all_shifts():
    rows = np.random.default_rng(0).integers(0, 2, (50, 6))
    z = 1 - 2 * rows
    seen = diagonal_observables(rows, periodic=True)
    wanted = [(z * np.roll(z, -r, axis=1)).mean() for r in range(6)]
    np.testing.assert_allclose(seen.correlation.value, wanted, atol=1e-12)


def test_entropies_are_those_of_the_state_vector(complex_state):
    wavefunction, psi = complex_state
    wanted = np.array([exact_entropy(psi, k) for k in range(1, N)])
    assert wanted.max() > 0.1
    within(entropy_profile(KEY, wavefunction, 20_000), wanted)
    for block in (1, 3):
        bounded = renyi_2_entropy(KEY, wavefunction, block, 8192)
        within(bounded, wanted[block - 1])
        plain = swap(KEY, wavefunction, np.arange(N) < block, 8192)
        within(plain, wanted[block - 1])
        assert bounded.error < plain.error
    # the last sites have the entropy of the first
    within(swap(KEY, wavefunction, np.arange(N) >= 3, 8192), wanted[2])


def test_entropies_of_a_symmetric_transformer():
    ansatz = TransformerWavefunction(width=8, heads=2, layers=1, spin_flip=True, phase=True)
    wavefunction = ansatz.build(4, rngs=nnx.Rngs(3))
    every = (np.arange(16)[:, None] >> np.arange(4)[::-1]) & 1
    psi = np.exp(np.asarray(wavefunction.log_psi(every), complex))
    within(entropy_profile(KEY, wavefunction, 4096), [exact_entropy(psi, k) for k in (1, 2, 3)])


def test_fidelity_is_the_overlap(complex_state):
    wavefunction, psi = complex_state
    assert fidelity(wavefunction, 3j * psi) == pytest.approx(1, abs=1e-5)
    other = np.random.default_rng(0).normal(size=2**N)
    wanted = abs(other @ psi) ** 2 / (other @ other)
    assert fidelity(wavefunction, other) == pytest.approx(wanted, abs=1e-5)
    with pytest.raises(InputError, match="amplitudes for 5 sites"):
        fidelity(wavefunction, psi[:-1])
    with pytest.raises(InputError, match="block of 1 to 4"):
        renyi_2_entropy(KEY, wavefunction, 5)
    with pytest.raises(InputError, match='"X" or "Y"'):
        single_spins(KEY, wavefunction, "Z")


@pytest.mark.parametrize(
    "hamiltonian",
    [
        TransverseFieldIsing(6, field=0.7),
        TransverseFieldIsing(6, periodic=True, field=(0.5, 1.0, 1.5, 0.7, 0.9, 1.2)),
        XY(6, anisotropy=0.4, field=0.3),
    ],
)
def test_exact_observables_are_those_of_the_diagonalised_state(hamiltonian):
    state = ground_state(6, hamiltonian.strings()).state
    every = (np.arange(64)[:, None] >> np.arange(6)[::-1]) & 1
    shares = np.repeat(every, np.round(np.abs(state) ** 2 * 1e6).astype(int), axis=0)
    expected = diagonal_observables(shares, periodic=hamiltonian.periodic)
    found = exact_observables(hamiltonian)
    for name, value in {
        "magnetisation_z": expected.magnetisation,
        "correlation_zz": expected.correlation,
        "correlations_zz": expected.correlations,
        "structure_factor": expected.structure_factor,
    }.items():
        np.testing.assert_allclose(found[name], value.value, atol=2e-4)
    mean_x = [expectation(6, [(1.0, "X", (i,))], state) for i in range(6)]
    np.testing.assert_allclose(found["magnetisation_x"], mean_x, atol=1e-9)
    np.testing.assert_allclose(found["renyi_2_entropy"][2], exact_entropy(state, 3), atol=1e-9)


def test_nothing_exact_is_said_of_other_states():
    assert exact_observables(Heisenberg(6)) == {}
    assert exact_observables(TransverseFieldIsing(6, field=0.0)) == {}  # two ground states
    model = XXZ(6, anisotropy=0.0)
    assert exact_observables(model, sector=0) and exact_observables(model, sector=2) == {}
