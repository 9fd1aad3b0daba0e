"""The symmetries of the velocity field hold for any weights, so random ones are tested."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from physgen.geometry import Euclidean, Torus
from physgen.nets import PairNetwork, PairSettings
from physgen.nets.pairs import radial_basis

POINTS = 24
TIME, CONTEXT = jnp.array(0.6), jnp.array([0.3, -1.0])
TOLERANCE = 1e-5


def randomised(geometry, **changes):
    """A network with no zero weights left, of velocities of order one."""
    sizes = {"width": 16, "layers": 2, "heads": 2, "filters": 4} | changes
    network = PairNetwork(geometry, PairSettings(2, **sizes), rngs=nnx.Rngs(0))
    graph, parameters, rest = nnx.split(network, nnx.Param, ...)
    leaves, structure = jax.tree.flatten(parameters)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [
        leaf + 0.1 * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.jit(nnx.merge(graph, jax.tree.unflatten(structure, moved), rest))


TORUS = randomised(Torus(1.0))
OPEN = randomised(Euclidean(), longest=6.0, shortest=0.02)
ANCHORED = randomised(Euclidean(), longest=6.0, shortest=0.02, anchored=True)


UNATTENDED = randomised(Torus(1.0), heads=0)
WAVY = randomised(Torus(1.0), waves=4)
PERIODIC = pytest.mark.parametrize("network", [TORUS, WAVY])


def cloud(seed):
    return jax.random.uniform(jax.random.key(seed), (POINTS, 3))


def close(a, b):
    scale = float(jnp.max(jnp.abs(b)))
    assert scale > 1e-3
    np.testing.assert_allclose(a, b, atol=TOLERANCE * max(scale, 1.0))


@PERIODIC
@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_permutation(network, seed):
    x = cloud(seed)
    order = jax.random.permutation(jax.random.key(seed + 1), POINTS)
    close(network(TIME, x[order], CONTEXT), network(TIME, x, CONTEXT)[order])


@PERIODIC
@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_translation_on_the_torus(network, seed):
    x = cloud(seed)
    shift = jax.random.uniform(jax.random.key(seed + 1), (1, 3))
    close(network(TIME, Torus(1.0).wrap(x + shift), CONTEXT), network(TIME, x, CONTEXT))


@PERIODIC
@pytest.mark.parametrize("axes", [(1, 0, 2), (2, 0, 1)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1)])
def test_symmetries_of_the_cube(network, axes, signs):
    x = cloud(0)
    flip = jnp.array(signs, jnp.float32)[None]

    def turned(v):
        return v[:, jnp.array(axes)] * flip

    close(network(TIME, Torus(1.0).wrap(turned(x)), CONTEXT), turned(network(TIME, x, CONTEXT)))


@pytest.mark.parametrize("network", [TORUS, ANCHORED, UNATTENDED, WAVY])
def test_padding_changes_nothing_and_does_not_move(network):
    x = cloud(3)
    mask = jnp.arange(POINTS + 8) < POINTS
    padded = jnp.concatenate([x, cloud(4)[:8]])
    velocity = network(TIME, padded, CONTEXT, mask)
    close(velocity[:POINTS], network(TIME, x, CONTEXT))
    np.testing.assert_array_equal(velocity[POINTS:], 0.0)


def test_open_space_rotations_and_translations():
    x = cloud(5)
    q, _ = jnp.linalg.qr(jax.random.normal(jax.random.key(6), (3, 3)))
    close(OPEN(TIME, x @ q + 0.7, CONTEXT), OPEN(TIME, x, CONTEXT) @ q)


def test_anchored_network_sees_the_origin():
    x = cloud(7)
    q, _ = jnp.linalg.qr(jax.random.normal(jax.random.key(8), (3, 3)))
    close(ANCHORED(TIME, x @ q, CONTEXT), ANCHORED(TIME, x, CONTEXT) @ q)
    moved = ANCHORED(TIME, x + 0.7, CONTEXT) - ANCHORED(TIME, x, CONTEXT)
    assert jnp.max(jnp.abs(moved)) > 1e-2


@pytest.mark.parametrize("network", [TORUS, OPEN, ANCHORED, WAVY])
@pytest.mark.parametrize("time", [0.0, 0.5, 1.0])
def test_coincident_points_are_finite_with_their_gradients(network, time):
    x = jnp.zeros((4, 3))
    value = network(jnp.array(time), x, CONTEXT)
    gradient = jax.grad(lambda y: jnp.sum(network(jnp.array(time), y, CONTEXT) ** 2))(x)
    assert jnp.all(jnp.isfinite(value)) and jnp.all(jnp.isfinite(gradient))


def test_no_heads_are_heads_that_are_not_heard():
    heard, width = nnx.clone(UNATTENDED.__wrapped__), 16
    network = PairNetwork(
        Torus(1.0), PairSettings(2, width=width, layers=2, heads=2, filters=4), rngs=nnx.Rngs(3)
    )
    state = nnx.to_pure_dict(nnx.state(network))

    def widened(path, full):
        part = heard_state
        for step in path:
            part = part[step.key]
        missing = [n - m for n, m in zip(full.shape, part.shape, strict=True)]
        if not any(missing):
            return part
        filler = full if "update" not in jax.tree_util.keystr(path) else jnp.zeros_like(full)
        return filler.at[tuple(slice(m, None) for m in missing)].set(part)

    heard_state = nnx.to_pure_dict(nnx.state(heard))
    nnx.update(network, jax.tree.map_with_path(widened, state))
    close(jax.jit(network)(TIME, cloud(1), CONTEXT), UNATTENDED(TIME, cloud(1), CONTEXT))


def test_context_and_time_matter():
    x = cloud(9)
    base = TORUS(TIME, x, CONTEXT)
    assert jnp.max(jnp.abs(TORUS(TIME, x, -CONTEXT) - base)) > 1e-3
    assert jnp.max(jnp.abs(TORUS(jnp.array(0.95), x, CONTEXT) - base)) > 1e-3


@pytest.mark.parametrize("geometry", [Torus(2.0), Euclidean()])
def test_pair_quantities_agree_with_the_minimum_image_at_short_range(geometry):
    x = jax.random.uniform(jax.random.key(0), (9, 3), minval=0.99, maxval=1.01)
    delta = geometry.displacement(x[:, None], x[None])
    np.testing.assert_allclose(
        geometry.squared_distances(x), jnp.sum(delta**2, -1), rtol=1e-2, atol=1e-9
    )
    a, b = geometry.direction_factors(x)
    products = a[:, None] * b[None]
    np.testing.assert_allclose(products[..., :3] + products[..., 3:], delta, rtol=1e-2, atol=1e-6)


def test_radial_basis_has_compact_smooth_bumps():
    x = jnp.linspace(-3, 3, 601)
    basis = radial_basis(x, -1.0, 1.0, 5)
    assert basis.shape == (5, 601)
    np.testing.assert_allclose(basis.max(axis=1), 1.0)
    assert jnp.max(jnp.sum(basis > 0, axis=0)) == 4
    np.testing.assert_array_equal(basis[:, jnp.abs(x) > 2.01], 0.0)


CARRYING = randomised(Torus(1.0), vectors=1, scalars=2, waves=3)


def carrying_cloud(seed):
    place, rest = jax.random.split(jax.random.key(seed))
    carried = jax.random.normal(rest, (POINTS, 5))
    return jnp.concatenate([jax.random.uniform(place, (POINTS, 3)), carried], axis=1)


def rotated(x, axes, signs):
    """Positions and the vector turned by a symmetry of the cube, scalars as they are."""
    flip = jnp.array(signs, jnp.float32)[None]
    place, vector = (part[:, jnp.array(axes)] * flip for part in (x[:, :3], x[:, 3:6]))
    return jnp.concatenate([place, vector, x[:, 6:]], axis=1)


@pytest.mark.parametrize("axes", [(1, 0, 2), (2, 0, 1)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1)])
def test_carried_vectors_turn_and_carried_scalars_stay(axes, signs):
    x = carrying_cloud(0)
    close(
        CARRYING(TIME, rotated(x, axes, signs), CONTEXT),
        rotated(CARRYING(TIME, x, CONTEXT), axes, signs),
    )


def test_carried_numbers_permute_translate_and_ignore_padding():
    x = carrying_cloud(1)
    velocity = CARRYING(TIME, x, CONTEXT)
    assert velocity.shape == x.shape
    order = jax.random.permutation(jax.random.key(2), POINTS)
    close(CARRYING(TIME, x[order], CONTEXT), velocity[order])
    shift = jnp.array([[0.4, 0.7, 0.1, 0, 0, 0, 0, 0]])
    close(CARRYING(TIME, x + shift, CONTEXT), velocity)
    mask = jnp.arange(POINTS + 6) < POINTS
    padded = CARRYING(TIME, jnp.concatenate([x, carrying_cloud(3)[:6]]), CONTEXT, mask)
    close(padded[:POINTS], velocity)
    np.testing.assert_array_equal(padded[POINTS:], 0.0)


@pytest.mark.parametrize("column", [3, 6, 7])
def test_what_is_carried_matters_to_every_column(column):
    """Also to the neighbours: one galaxy's number is changed, the others' velocities follow."""
    x = carrying_cloud(4)
    change = CARRYING(TIME, x.at[0, column].add(1.0), CONTEXT) - CARRYING(TIME, x, CONTEXT)
    assert jnp.min(jnp.max(jnp.abs(change[1:]), axis=0)) > 1e-5


def test_untrained_velocities_of_carried_numbers_keep_them_normal():
    """With zero last layers dy/dt = (2t - 1) / (t^2 + (1 - t)^2) y: y(t)^2 goes as the variance."""
    settings = PairSettings(2, width=16, layers=1, heads=2, filters=4, vectors=1, scalars=2)
    network = PairNetwork(Torus(1.0), settings, rngs=nnx.Rngs(0))
    x = carrying_cloud(5)
    np.testing.assert_allclose(
        network(TIME, x, CONTEXT)[:, 3:], 0.2 / 0.52 * x[:, 3:], rtol=1e-5, atol=1e-6
    )
