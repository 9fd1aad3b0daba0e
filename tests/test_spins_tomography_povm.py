import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from physgen.densities.sequences import SequenceDensity
from physgen.errors import InputError
from physgen.nets.autoregressive import FVSBN
from physgen.spins.tomography.povm import (
    density_matrix,
    fit_outcomes,
    pauli_povm,
    tetrahedral_povm,
)
from physgen.spins.tomography.shots import Shots
from physgen.train import Silent

POVMS = [pauli_povm(), tetrahedral_povm()]


def random_density_matrix(d, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(d, d)) + 1j * rng.normal(size=(d, d))
    rho = a @ a.conj().T
    return rho / np.trace(rho).real


@pytest.mark.parametrize("povm", POVMS)
def test_duals_give_back_every_state(povm):
    np.testing.assert_allclose(povm.effects.sum(axis=0), np.eye(2), atol=1e-12)
    assert np.linalg.eigvalsh(povm.effects).min() > -1e-12
    rho = random_density_matrix(2)
    p = np.einsum("aij,ji->a", povm.effects, rho)
    np.testing.assert_allclose(np.tensordot(p, povm.duals(), 1), rho, atol=1e-12)


class Exact(SequenceDensity):
    """The outcomes of a given state of two sites."""

    def __init__(self, povm, rho):
        super().__init__(FVSBN(2, 1, 1, rngs=nnx.Rngs(0)), 2)
        effects = np.einsum("aij,bkl->abikjl", povm.effects, povm.effects)
        effects = effects.reshape(*effects.shape[:2], 4, 4)
        self.p = nnx.Param(jnp.asarray(np.einsum("abij,ji->ab", effects, rho).real))

    def _log_prob(self, x, context):
        return jnp.log(self.p[...][x[0], x[1]])


@pytest.mark.parametrize("povm", POVMS)
def test_the_matrix_of_a_density_of_outcomes(povm):
    rho = random_density_matrix(4, 1)
    np.testing.assert_allclose(density_matrix(povm, Exact(povm, rho)), rho, atol=1e-5)


def test_settings_are_a_fair_die_and_all_sums_up_to_one():
    density = SequenceDensity(FVSBN(3, 6, 6, rngs=nnx.Rngs(1)), 3, settings=3)
    graph, state = nnx.split(density, nnx.Param)
    state = jax.tree.map(lambda a: a + jax.random.normal(jax.random.key(0), a.shape), state)
    density = nnx.merge(graph, state)
    every = np.stack(np.unravel_index(np.arange(6**3), (6, 6, 6)), axis=1)
    p = np.exp(np.asarray(density.log_prob(every), float)).reshape(3, 2, 3, 2, 3, 2)
    np.testing.assert_allclose(p.sum(axis=(1, 3, 5)), 1 / 27, atol=1e-6)
    drawn = np.asarray(density.sample(jax.random.key(1), 20_000))
    counts = np.bincount(drawn @ np.array([36, 6, 1]), minlength=216) / 20_000
    assert np.abs(counts - p.ravel()).max() < 5 * np.sqrt(p.max() / 20_000)


def test_outcomes_of_a_mixed_state_give_it_back():
    povm = pauli_povm()
    rho = 0.8 * np.outer([1, 0, 0, 1], [1, 0, 0, 1]) / 2 + 0.2 * np.eye(4) / 4
    p = np.exp(np.asarray(Exact(povm, rho).log_prob(np.indices((6, 6)).reshape(2, -1).T), float))
    drawn = np.random.default_rng(2).choice(36, 4000, p=p / p.sum())
    outcomes = np.stack([drawn // 6, drawn % 6], axis=1)
    found = fit_outcomes(jax.random.key(0), povm, outcomes, steps=200, report=Silent())
    matrix = density_matrix(povm, found.density)
    assert np.trace(matrix).real == pytest.approx(1, abs=1e-5)
    bell = np.array([1, 0, 0, 1]) / 2**0.5
    assert (bell @ matrix @ bell).real == pytest.approx(0.85, abs=0.06)
    with pytest.raises(InputError, match="0 to 5"):
        fit_outcomes(jax.random.key(0), povm, outcomes + 1)
    with pytest.raises(InputError, match="pauli_povm"):
        tetrahedral_povm().symbols(Shots.of([[0, 1]], "XY"))
    shots = Shots.of([[0, 1], [1, 1]], ["XY", "ZZ"])
    assert povm.symbols(shots).tolist() == [[0, 3], [5, 5]]
