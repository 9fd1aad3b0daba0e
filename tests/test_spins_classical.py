import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from physgen.errors import InputError
from physgen.spins import Chain, Square
from physgen.spins.classical import (
    Ising,
    _density,
    _draw,
    _log_q,
    enumerated_free_energy,
    free_energy,
    torus_free_energy,
)
from physgen.train import Silent


def transfer_matrix(rows, columns, temperature):
    """-T ln tr T^rows of a torus, row by row."""
    s = 1.0 - 2.0 * ((np.arange(2**columns)[:, None] >> np.arange(columns)) & 1)
    along = (s * np.roll(s, 1, axis=1)).sum(axis=1)
    matrix = np.exp((s @ s.T + along / 2 + along[:, None] / 2) / temperature)
    return -temperature * np.log((np.linalg.eigvalsh(matrix) ** rows).sum())


@pytest.mark.parametrize("temperature", [1.5, 2.0, 2.269, 2.6, 5.0])
def test_kaufman_is_the_transfer_matrix(temperature):
    for rows, columns in ((4, 4), (3, 5), (8, 6)):
        wanted = transfer_matrix(rows, columns, temperature)
        assert torus_free_energy(rows, columns, 1.0, temperature) == pytest.approx(wanted, rel=1e-9)


def test_a_cold_torus_is_in_its_ground_states():
    for temperature in (0.05, 0.01, 1e-3):
        wanted = -2.0 * 12 - temperature * np.log(2)
        assert torus_free_energy(3, 4, 1.0, temperature) == pytest.approx(wanted, rel=1e-12)


def test_enumeration_is_the_transfer_matrix():
    model = Ising(Square(4, 4, periodic=True))
    assert enumerated_free_energy(model, 2.0) == pytest.approx(transfer_matrix(4, 4, 2.0), rel=1e-9)
    chain = Ising(Chain(10), coupling=0.7)
    wanted = -1.3 * (10 * np.log(2) + 9 * np.log(np.cosh(0.7 / 1.3)))
    assert enumerated_free_energy(chain, 1.3) == pytest.approx(wanted)


@pytest.mark.parametrize("field", [0.0, 0.3])
def test_what_is_drawn_is_normalised(field):
    model = Ising(Square(2, 3), field=field)
    density = _density(model, 4, nnx.Rngs(0))
    every = jnp.asarray((np.arange(64)[:, None] >> np.arange(6)[::-1]) & 1)
    log_q = jax.jit(jax.vmap(lambda x: _log_q(density, x, flip=model.symmetric)))(every)
    q = np.exp(np.asarray(log_q, float))
    assert q.sum() == pytest.approx(1, abs=1e-5)
    if model.symmetric:
        np.testing.assert_allclose(q, q[::-1], rtol=1e-5)
    drawn = np.asarray(_draw(density, jax.random.key(0), 5000, model.symmetric))
    share = np.bincount(drawn @ (1 << np.arange(6)[::-1]), minlength=64) / 5000
    assert np.abs(share - q).max() < 5 * np.sqrt(q.max() / 5000)


def test_a_spin_glass_in_a_field():
    lattice = Square(3, 3)
    couplings = np.random.default_rng(0).normal(size=len(lattice.bonds()))
    model = Ising(lattice, coupling=tuple(couplings.tolist()), field=0.2)
    exact = enumerated_free_energy(model, 1.0)
    found = free_energy(
        jax.random.key(0), model, 1.0, units=8, steps=200, final_samples=4000, report=Silent()
    )
    assert -3 * found.bound.error < found.bound.value - exact < 0.01 * abs(exact)
    assert abs(found.weighted.value - exact) < 4 * found.weighted.error
    assert found.effective > 1000
    with pytest.raises(InputError, match="positive temperature"):
        free_energy(jax.random.key(0), model, 0.0)
    with pytest.raises(InputError, match="at most 20"):
        enumerated_free_energy(Ising(Square(5, 5)), 1.0)
