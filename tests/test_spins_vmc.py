import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.flatten_util import ravel_pytree

from physgen.errors import InputError
from physgen.spins import (
    GRUWavefunction,
    HandOver,
    Heisenberg,
    PauliSum,
    StochasticReconfiguration,
    TransformerWavefunction,
    TransverseFieldIsing,
    energy,
    ground_state,
    reference_energy,
    self_check,
)
from physgen.spins.optimisers import natural_direction
from physgen.spins.symmetry import could_impose_spin_flip
from physgen.spins.vmc import sampled_problem
from physgen.train import NonFiniteError, Silent

KEY = jax.random.key(0)
SMALL = GRUWavefunction(units=8)
ISING = TransverseFieldIsing(6)


def test_stochastic_reconfiguration_finds_the_ground_state():
    found = ground_state(
        KEY,
        ISING,
        SMALL,
        steps=150,
        samples=128,
        report=Silent(),
    )
    exact = reference_energy(ISING)
    assert exact is not None and exact.method == "free fermions"
    assert found.energy.energy - exact.energy < 2e-3 * abs(exact.energy)
    assert found.energy.energy - exact.energy > -4 * found.energy.error
    assert found.energy.v_score < 2e-3
    assert found.steps == 150 and len(found.history["v_score"]) == 15


@pytest.mark.parametrize(
    ("ansatz", "hamiltonian", "could"),
    [
        (GRUWavefunction(units=4), ISING, True),
        (GRUWavefunction(units=4, spin_flip=True), ISING, False),
        (GRUWavefunction(units=4), TransverseFieldIsing(6, longitudinal=0.1), False),
        (GRUWavefunction(units=4, sector=0), Heisenberg(6), True),
        (GRUWavefunction(units=4, sector=2), Heisenberg(6), False),
    ],
)
def test_a_spin_flip_that_could_be_imposed_is_noticed(ansatz, hamiltonian, could):
    wavefunction = ansatz.build(6, rngs=nnx.Rngs(0))
    assert could_impose_spin_flip(wavefunction, hamiltonian.operator) is could


def test_the_unit_of_energy_changes_nothing():
    options = {"steps": 10, "samples": 32, "energy_samples": 32, "report": Silent()}
    one = ground_state(KEY, ISING, SMALL, **options)
    eight = ground_state(KEY, TransverseFieldIsing(6, field=8.0, coupling=8.0), SMALL, **options)
    assert eight.energy.energy == pytest.approx(8 * one.energy.energy, rel=1e-5)


def test_a_complex_wavefunction_finds_the_frustrated_chain():
    hamiltonian = Heisenberg(4, j2=0.3)
    ansatz = GRUWavefunction(units=8, phase=True, sector=0)
    found = ground_state(
        KEY,
        hamiltonian,
        ansatz,
        steps=200,
        samples=128,
        optimiser=StochasticReconfiguration(0.1),
        temperature=0.2,
        report=Silent(),
    )
    exact = reference_energy(hamiltonian, sector=0)
    assert exact is not None
    assert abs(found.energy.energy - exact.energy) < 1e-2 * abs(exact.energy)


class Interrupting(Silent):
    def status(self, status):
        if status.step == 20:
            os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path):
    options = {"steps": 40, "samples": 16, "optimiser": HandOver(), "energy_samples": 16}
    file = tmp_path / "run.h5"
    whole = ground_state(KEY, ISING, SMALL, report=Silent(), **options)
    part = ground_state(KEY, ISING, SMALL, checkpoint=file, report=Interrupting(), **options)
    assert part.interrupted and part.steps == 30
    rest = ground_state(KEY, ISING, SMALL, checkpoint=file, resume=True, report=Silent(), **options)
    assert rest.steps == 40 and not rest.interrupted
    for one, other in zip(
        jax.tree.leaves(nnx.state(whole.wavefunction)),
        jax.tree.leaves(nnx.state(rest.wavefunction)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    assert rest.energy == whole.energy


@pytest.mark.parametrize("phase", [False, True])
def test_gradient_and_jacobian_are_those_of_log_psi(phase):
    ansatz = GRUWavefunction(units=4, phase=phase)
    wavefunction = ansatz.build(4, rngs=nnx.Rngs(3))
    graph, parameters, rest = nnx.split(wavefunction, nnx.Param, ...)
    vector, unravel = ravel_pytree(parameters)
    operator = PauliSum(4, [*TransverseFieldIsing(4).strings(), (0.3, "ZY", (0, 2))])

    def at(vector):
        return nnx.merge(graph, unravel(vector), rest)

    @jax.jit
    def run(vector):
        problem, _ = sampled_problem(KEY, vector, at, operator, 32)
        return problem.costs, problem.gradient(), problem.jacobian()

    costs, gradient, jacobian = run(vector)
    assert costs.shape == (32, 2 if phase else 1)
    np.testing.assert_allclose(costs.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(
        gradient, 2 * jnp.einsum("bc,bcp->p", costs, jacobian) / 32, rtol=1e-3, atol=1e-5
    )
    direction = jax.random.normal(KEY, vector.shape)
    samples = jax.vmap(lambda k: wavefunction._sample(k, None))(jax.random.split(KEY, 32))
    with jax.enable_x64(True):
        wide = vector.astype(jnp.float64)
        up, down = (
            np.asarray(jax.vmap(at(wide + sign * 1e-4 * direction).parts)(samples))
            for sign in (1, -1)
        )
    numerical = ((up - down) / 2e-4)[:, : costs.shape[1]]
    np.testing.assert_allclose(jacobian @ direction, numerical, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(("m", "p"), [(5, 20), (20, 5)])
def test_both_linear_systems_give_the_regularised_solution(m, p):
    rng = np.random.default_rng(0)
    rows, wanted = rng.normal(size=(m, p)), rng.normal(size=m)
    dense = np.linalg.solve(rows.T @ rows + 0.1 * np.eye(p), rows.T @ wanted)
    found = natural_direction(jnp.asarray(rows, jnp.float32), jnp.asarray(wanted, jnp.float32), 0.1)
    np.testing.assert_allclose(found, dense, rtol=1e-4, atol=1e-5)
    assert found.dtype == jnp.float32


def test_the_energy_is_that_of_the_dense_matrix():
    from physgen.spins.exact import pauli_matrix

    wavefunction = SMALL.build(6, rngs=nnx.Rngs(1))
    every = (np.arange(64)[:, None] >> np.arange(6)[::-1]) & 1
    psi = np.exp(np.asarray(wavefunction.log_psi(every), complex))
    matrix = pauli_matrix(6, ISING.strings())
    mean = (psi.conj() @ matrix @ psi).real
    variance = np.linalg.norm(matrix @ psi) ** 2 - mean**2
    found = energy(KEY, wavefunction, ISING, samples=20_000)
    assert abs(found.energy - mean) < 4 * found.error
    assert found.variance == pytest.approx(variance, rel=0.1)
    assert found.v_score == pytest.approx(6 * found.variance / found.energy**2)


def test_the_self_check_passes_and_can_fail(monkeypatch):
    check = self_check(KEY, GRUWavefunction(units=8, phase=True), ISING.operator)
    assert "sampler = evaluator" in str(check)
    monkeypatch.setattr(PauliSum, "trace", property(lambda self: 0.1))
    with pytest.raises(InputError, match="do not trust"):
        self_check(KEY, SMALL, ISING.operator)


@pytest.mark.parametrize(
    ("hamiltonian", "ansatz", "message"),
    [
        (ISING, GRUWavefunction(sector=0), "conserves the total S_z"),
        (TransverseFieldIsing(6, longitudinal=0.1), GRUWavefunction(spin_flip=True), "flipping"),
        (
            TransverseFieldIsing(3, field=(1.0, 2.0, 3.0)),
            GRUWavefunction(reflection=True),
            "a reflection or translation",
        ),
        (ISING, SMALL.build(4, rngs=nnx.Rngs(0)), "a wavefunction of 6 sites"),
    ],
)
def test_a_wavefunction_that_does_not_fit_is_refused(hamiltonian, ansatz, message):
    with pytest.raises(InputError, match=message):
        ground_state(KEY, hamiltonian, ansatz, steps=2, samples=4)


def test_only_recurrent_networks_have_a_reach():
    for ansatz, reach in ((TransformerWavefunction(), 3), (SMALL, 0)):
        with pytest.raises(InputError, match="a reach of at least 1 and a recurrent network"):
            ground_state(KEY, ISING, ansatz, reach=reach)


def test_an_energy_that_is_not_finite_stops_the_run():
    hamiltonian = PauliSum(3, [(-1e30, "X", (0,)), (1e38, "ZZ", (0, 1)), (3e38, "ZZ", (1, 2))])
    with pytest.raises(NonFiniteError, match="lower the learning rate"):
        ground_state(KEY, hamiltonian, SMALL, steps=4, samples=8, report=Silent())
