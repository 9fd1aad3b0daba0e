"""Sums over waves against sums over pairs, one at a time."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from physgen.errors import InputError
from physgen.geometry import Euclidean, Torus
from physgen.nets import PairNetwork, PairSettings
from physgen.nets.waves import WaveFilters, long_waves, phases

BOX, LARGEST, FILTERS, POINTS = 2.5, 4, 3, 7


def test_of_each_wave_and_its_opposite_there_is_one():
    waves = long_waves(6)
    cosines, sines = np.split(waves.vector, 2)
    np.testing.assert_array_equal(cosines, sines)
    reach = range(-3, 4)
    every = [k for k in itertools.product(reach, reach, reach) if 0 < np.dot(k, k) <= 6]
    assert len(every) == 2 * len(cosines)
    assert {tuple(k) for k in np.concatenate([cosines, -cosines]).tolist()} == set(every)
    for one, other in itertools.combinations(range(len(waves.vector)), 2):
        same = np.isclose(waves.length[one], waves.length[other])
        assert same == (waves.shell[one] == waves.shell[other])


def given(seed=0):
    keys = jax.random.split(jax.random.key(seed), 4)
    x = BOX * jax.random.uniform(keys[0], (POINTS, 3))
    gains = jax.random.normal(keys[1], (2 * 16, FILTERS))
    gains = jnp.tile(gains[:16], (2, 1))  # a wave has one gain, for its cosine and its sine
    return x, gains, jax.random.normal(keys[2], (POINTS, FILTERS, 3))


def by_pairs(x, gains, charge, wave_function):
    """Double sums in float64, by `wave_function` of the phase and the unit vector."""
    x, gains, charge = (np.asarray(a, np.float64) for a in (x, gains, charge))
    waves = long_waves(LARGEST)
    half = len(waves.vector) // 2
    total = np.zeros((POINTS, FILTERS, 3))
    for i, j, k in itertools.product(range(POINTS), range(POINTS), range(half)):
        phase = 2 * np.pi / BOX * waves.vector[k] @ (x[j] - x[i])
        unit = waves.vector[k] / np.linalg.norm(waves.vector[k])
        total[i] += gains[k][:, None] * charge[j] * wave_function(phase, unit)
    return total


def test_sums_are_those_over_pairs():
    x, gains, charge = given()
    wave = phases(x, LARGEST, Torus(BOX))
    even = by_pairs(x, gains, charge, lambda phase, _: np.cos(phase))
    np.testing.assert_allclose(wave.scalar_sums(gains, charge), even, atol=2e-4)
    odd = by_pairs(x, gains, charge, lambda phase, unit: np.sin(phase) * unit)
    np.testing.assert_allclose(wave.vector_sums(gains, charge), odd, atol=2e-4)
    one = charge[:, :, :1]
    odd = by_pairs(x, gains, one, lambda phase, unit: np.sin(phase) * unit)
    np.testing.assert_allclose(wave.vector_sums(gains, one), odd, atol=2e-4)


def test_divergence_is_that_of_each_point_alone():
    x, gains, charge = given(1)
    divergence = phases(x, LARGEST, Torus(BOX)).divergence(gains, charge[:, :, 0])

    def of_one(point, i):
        moved = phases(jnp.stack([point, *jnp.delete(x, i, axis=0)]), LARGEST, Torus(BOX))
        alone = charge[:, :, :1].at[i].set(0)  # it does not pull itself
        charges = jnp.concatenate([alone[i : i + 1], jnp.delete(alone, i, axis=0)])
        return moved.vector_sums(gains, charges)[0]

    for i in range(POINTS):
        jacobian = jax.jacobian(of_one)(x[i], i)
        np.testing.assert_allclose(divergence[i], jnp.einsum("faa->f", jacobian), atol=1e-3)


def test_gains_are_of_lengths():
    filters = WaveFilters(LARGEST, FILTERS, 5, rngs=nnx.Rngs(0))
    gains = filters(jax.random.normal(jax.random.key(0), (5,)))
    shell = long_waves(LARGEST).shell
    assert gains.shape == (2 * 16, FILTERS) and len(np.unique(gains[:, 0])) == 4
    for each in range(4):
        assert np.ptp(np.asarray(gains)[shell == each], axis=0).max() == 0


def test_waves_are_of_a_periodic_box():
    with pytest.raises(InputError, match="waves=0 in open space"):
        PairNetwork(Euclidean(), PairSettings(0, waves=6), rngs=nnx.Rngs(0))
    with pytest.raises(InputError, match="waves of 0 or more"):
        PairSettings(0, waves=-1)
