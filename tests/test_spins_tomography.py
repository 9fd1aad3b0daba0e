import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from physgen.errors import InputError
from physgen.spins import GRUWavefunction, fidelity
from physgen.spins.tomography import (
    Readout,
    Shots,
    TomographySettings,
    amplitudes_of,
    bootstrap,
    interval_of,
    reconstruct,
)
from physgen.spins.tomography.born import ByShot, Table, configurations
from physgen.spins.tomography.matrices import (
    linear_inversion,
    maximum_likelihood,
    outcome_probabilities,
    pauli,
    physical,
    state_fidelity,
)
from physgen.spins.tomography.readout import LearnedReadout
from physgen.spins.tomography.shots import phases_caveat
from physgen.train import Silent

BASES = ["".join(row) for row in itertools.product("XYZ", repeat=3)]


def random_state(seed, d=8):
    rng = np.random.default_rng(seed)
    psi = rng.normal(size=d) + 1j * rng.normal(size=d)
    return psi / np.linalg.norm(psi)


def random_density(seed, d=8, rank=3):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(d, rank)) + 1j * rng.normal(size=(d, rank))
    rho = a @ a.conj().T
    return rho / np.trace(rho).real


def measured(rho, bases, each, seed, readout=None):
    """Shots of a density matrix."""
    rng = np.random.default_rng(seed)
    n = len(bases[0])
    rows, strings = [], []
    for basis in bases:
        p = np.clip(outcome_probabilities(rho, basis, readout), 0, None)
        rows.append(configurations(n)[rng.choice(2**n, each, p=p / p.sum())])
        strings += [basis] * each
    return Shots.of(np.concatenate(rows), strings)


def complex_wavefunction():
    return GRUWavefunction(units=6, phase=True).build(3, rngs=nnx.Rngs(3))


def test_probabilities_are_those_of_projectors():
    rho = random_density(0)
    for letter, vectors in {
        "X": [[1, 1], [1, -1]],
        "Y": [[1, 1j], [1, -1j]],
        "Z": [[2**0.5, 0], [0, 2**0.5]],
    }.items():
        for outcome, vector in enumerate(np.array(vectors) / 2**0.5):
            operator = np.eye(2) + (-1) ** outcome * pauli(letter)
            np.testing.assert_allclose(np.outer(vector, vector.conj()), operator / 2, atol=1e-12)
    p = outcome_probabilities(rho, "XYZ")
    for k, outcome in enumerate(configurations(3)):
        projector = np.ones((1, 1))
        for letter, symbol in zip("XYZ", outcome, strict=True):
            projector = np.kron(projector, (np.eye(2) + (-1.0) ** symbol * pauli(letter)) / 2)
        assert p[k] == pytest.approx(np.trace(projector @ rho).real, abs=1e-12)


def test_both_likelihoods_are_borns_rule():
    wavefunction = complex_wavefunction()
    psi = amplitudes_of(wavefunction)
    shots = measured(np.eye(8) / 8, ["ZZZ", "XZY", "YYX", "ZXZ"], 6, 1)
    wanted = [
        np.log(outcome_probabilities(np.outer(psi, psi.conj()), basis)[outcome])
        for basis, outcome in zip(shots.strings, shots.outcomes @ np.array([4, 2, 1]), strict=True)
    ]
    for likelihood in (Table(shots.distinct()[0]), ByShot(3)):
        found = jax.jit(lambda w, like=likelihood: like(w, like.rows(shots), None))(wavefunction)
        np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_hidden_sites_are_traced_out():
    wavefunction = complex_wavefunction()
    psi = amplitudes_of(wavefunction).reshape(4, 2)
    rho = psi @ psi.conj().T
    table = Table(np.array([[0, 1], [2, 0]]), hidden=1)
    found = jax.jit(table.probabilities)(wavefunction)
    for p, basis in zip(found, ("XY", "ZX"), strict=True):
        np.testing.assert_allclose(p, outcome_probabilities(rho, basis), atol=1e-5)


def test_gradient_of_the_measured_amplitudes_is_that_of_finite_differences():
    graph, state = nnx.split(complex_wavefunction())
    shots = Shots.of([[0, 1, 1], [1, 0, 1]], ["XZY", "ZZX"])
    rows = ByShot(2).rows(shots)
    vector, unravel = jax.flatten_util.ravel_pytree(state)
    direction = jax.random.normal(jax.random.key(0), vector.shape) / vector.size**0.5

    @jax.jit
    def along(t):
        wavefunction = nnx.merge(graph, unravel(vector + t * direction))
        return ByShot(2)(wavefunction, rows, None).sum()

    step = 0.02
    difference = (along(step) - along(-step)) / (2 * step)
    assert jax.grad(along)(0.0) == pytest.approx(float(difference), rel=0.01, abs=1e-3)


def test_readout_errors_blur_as_matrices_do():
    wavefunction = complex_wavefunction()
    psi = amplitudes_of(wavefunction)
    readout = Readout.of([[[0.9, 0.2], [0.1, 0.8]], np.eye(2), [[1, 0.3], [0, 0.7]]], 3)
    table = Table(np.array([[0, 1, 2]]))
    p = jax.jit(table.probabilities)(wavefunction, jnp.asarray(readout.confusion, jnp.float32))
    wanted = outcome_probabilities(np.outer(psi, psi.conj()), "XYZ", readout)
    np.testing.assert_allclose(p[0], wanted, atol=1e-5)
    sharp = outcome_probabilities(np.outer(psi, psi.conj()), "XYZ").reshape(2, 2, 2)
    blurred = np.einsum("ai,bj,ck,ijk->abc", *readout.confusion, sharp)
    np.testing.assert_allclose(wanted, blurred.ravel(), atol=1e-12)
    learned = LearnedReadout(3, 0.05).matrices()
    np.testing.assert_allclose(learned, Readout.flips(0.05, 0.05, 3).confusion, atol=1e-6)


def test_maximum_likelihood_is_stationary_and_better_than_the_truth():
    truth = random_density(1)
    shots = measured(truth, BASES, 200, 2)
    found = maximum_likelihood(shots, tolerance=1e-6)
    values = np.linalg.eigvalsh(found.rho)
    assert np.trace(found.rho).real == pytest.approx(1) and values[0] > -1e-12
    assert found.gap < 1e-6

    def mean_log(rho):
        p = {basis: outcome_probabilities(rho, basis) for basis in BASES}
        rows = zip(shots.strings, shots.outcomes @ np.array([4, 2, 1]), strict=True)
        return np.mean([np.log(p[basis][outcome]) for basis, outcome in rows])

    assert found.log_likelihood == pytest.approx(mean_log(found.rho))
    others = [truth, *(0.98 * found.rho + 0.02 * random_density(s, rank=1) for s in range(5))]
    assert all(mean_log(other) < found.log_likelihood + 1e-6 for other in others)
    # tr rho^2 = sum <P>^2 / 8, and a string of w letters is measured in 3^(3 - w) bases
    variance = sum(3**w * count / (200 * 3 ** (3 - w)) for w, count in ((1, 3), (2, 3), (3, 1)))
    assert np.linalg.norm(found.rho - truth) < 1.5 * np.sqrt(variance / 8)


def test_linear_inversion_is_exact_for_exact_frequencies():
    rho = random_density(3)
    readout = Readout.flips(0.03, 0.08, 3)
    bases = ["XX", "XY", "YX", "YY", "XZ", "ZX", "YZ", "ZY", "ZZ"]
    bell = np.array([1, 0, 0, 1]) / 2**0.5  # all its probabilities are multiples of 1/4
    rows, strings = [], []
    for basis in bases:
        p = outcome_probabilities(np.outer(bell, bell), basis)
        rows.append(np.repeat(configurations(2), np.round(4 * p).astype(int), axis=0))
        strings += [basis] * 4
    found = linear_inversion(Shots.of(np.concatenate(rows), strings))
    np.testing.assert_allclose(found, np.outer(bell, bell), atol=1e-10)
    shots = measured(rho, BASES, 4000, 4, readout)
    corrected = linear_inversion(shots, readout=readout)
    target = random_state(5)
    assert np.trace(corrected).real == pytest.approx(1)
    assert state_fidelity(corrected, target) == pytest.approx(state_fidelity(rho, target), abs=0.02)
    with pytest.raises(InputError, match="IIX"):
        linear_inversion(Shots.of([[0, 0, 0]] * 4, "ZZZ"))


def test_the_nearest_state_is_nearer_than_any_other():
    matrix = random_density(6) + 0.3 * (pauli("XYZ") - pauli("ZZI")) / 8
    found = physical(matrix)
    assert np.linalg.eigvalsh(found)[0] > -1e-12 and np.trace(found).real == pytest.approx(1)
    distance = np.linalg.norm(found - matrix)
    for seed in range(20):
        other = 0.9 * found + 0.1 * random_density(seed, rank=1)
        assert np.linalg.norm(other - matrix) > distance
    np.testing.assert_allclose(physical(found), found, atol=1e-12)


def test_a_complex_state_is_found_with_an_interval():
    psi = random_state(7, 4)
    shots = measured(np.outer(psi, psi.conj()), ["XX", "XY", "YZ", "ZX", "ZZ"], 400, 8)
    settings = TomographySettings(steps=160, starts=3)
    found = reconstruct(
        jax.random.key(0),
        shots,
        GRUWavefunction(units=6, phase=True),
        settings=settings,
        report=Silent(),
    )
    value = fidelity(found.wavefunction, psi)
    assert value > 0.98
    assert found.caveat is None and found.held_out == 200
    assert (
        found.log_likelihood(shots).mean()
        > np.mean(
            [
                np.log(outcome_probabilities(np.outer(psi, psi.conj()), basis)[outcome])
                for basis, outcome in zip(
                    shots.strings, shots.outcomes @ np.array([2, 1]), strict=True
                )
            ]
        )
        - 0.01
    )
    refits = bootstrap(jax.random.key(1), found, 6, report=Silent())
    values = refits.fidelities(psi)
    each = [fidelity(w, psi) for w in refits.wavefunctions()]
    np.testing.assert_allclose(values, each, atol=1e-5)
    low, high = interval_of(value, values)
    assert low < value < high and refits.interval(value, lambda w: fidelity(w, psi)) == (
        pytest.approx(low, abs=1e-4),
        pytest.approx(high, abs=1e-4),
    )


def test_an_interval_holds_both_sides_of_a_bias():
    values = np.array([0.90, 0.91, 0.92, 0.93])
    low, high = interval_of(0.95, values)
    scatter = 1.96 * values.std(ddof=1)
    assert low == pytest.approx(values.mean() - scatter)
    assert high == pytest.approx(2 * 0.95 - low)
    wider = interval_of(0.95, values, 0.1)
    assert wider[1] - 0.95 == pytest.approx(np.hypot(high - 0.95, 0.196))


@pytest.mark.parametrize(
    ("outcomes", "bases", "message"),
    [
        ([[0, 2]], None, "got 2"),
        ([[0.5, 1]], None, "got 0.5"),
        ([0, 1], None, "shape"),
        (np.zeros((0, 3)), None, "shape"),
        ([[0, 1]], "XYZ", "2 letters"),
        ([[0, 1]], "XQ", "X, Y and Z"),
        ([[0, 1]] * 3, ["XX", "ZZ"], "got 2"),
    ],
)
def test_bad_shots_are_refused(outcomes, bases, message):
    with pytest.raises(InputError, match=message):
        Shots.of(outcomes, bases)


def test_what_the_bases_leave_open_is_said():
    def caveat(bases, positive):
        return phases_caveat(Shots.of(configurations(2)[[0, 1, 2, 3] * 3], bases), positive)

    assert "taken to be positive" in caveat("ZZ", True)
    assert "arbitrary" in caveat("XZ", False)
    assert "sites 1 were" in caveat(["XZ", "ZZ", "YZ"] * 4, False)
    assert caveat(["XZ", "ZX", "ZZ"] * 4, False) is None


def test_confusion_matrices_have_columns_of_probabilities():
    with pytest.raises(InputError, match="transpose"):
        Readout.of([[0.9, 0.1], [0.2, 0.8]], 2)
    with pytest.raises(InputError, match="shape"):
        Readout.of(np.eye(3), 2)
    shots = Shots.of(np.zeros((4, 13), int))
    with pytest.raises(InputError, match="at most 12"):
        reconstruct(jax.random.key(0), shots, readout=Readout.flips(0.1, 0.1, 13))
