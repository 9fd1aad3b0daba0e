"""The symmetries of the velocity field hold for any weights, so random ones are tested."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from physgen import InputError
from physgen.geometry import Euclidean, Torus
from physgen.nets import P3MSettings

POINTS, VECTORS, SCALARS = 250, 1, 1
BOX = Torus(1.0)
TIME, CONTEXT = jnp.array(0.6), jnp.array([0.3, -1.0])
SMALL = {"width": 16, "layers": 2, "filters": 4, "channels": 2, "carried": 2, "conditioning": 16}
TOLERANCE = 1e-5


def randomised(points=POINTS, vectors=VECTORS, scalars=SCALARS, far=True, **changes):
    """A network with no zero weights left; without `far` its mesh does nothing."""
    settings = P3MSettings.for_points(points, 2, vectors, scalars, **{**SMALL, **changes})
    network = settings.build(BOX, rngs=nnx.Rngs(0))
    graph, parameters, rest = nnx.split(network, nnx.Param, ...)
    leaves, structure = jax.tree.flatten(parameters)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [
        leaf + 0.1 * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)
    ]
    network = nnx.merge(graph, jax.tree.unflatten(structure, moved), rest)
    for layer in [] if far else network.layers:
        layer.far.at_rest[...] *= 0
        layer.far.shift.kernel[...] *= 0
    return network


NETWORK = jax.jit(randomised())
NEAR = jax.jit(randomised(far=False))


def cloud(seed, n=POINTS):
    """Positions, half of them in clumps; one vector and one scalar each."""
    keys = jax.random.split(jax.random.key(seed), 4)
    position = jax.random.uniform(keys[0], (n, 3))
    centre = jnp.repeat(position[: n // 50], 25, axis=0)
    clumped = centre + 0.02 * jax.random.normal(keys[1], centre.shape)
    position = BOX.wrap(position.at[: len(clumped)].set(clumped))
    return jnp.concatenate([position, jax.random.normal(keys[2], (n, 4))], axis=1)


def wrapped(x):
    return x.at[:, :3].set(BOX.wrap(x[:, :3]))


def close(a, b):
    scale = float(jnp.max(jnp.abs(b)))
    assert scale > 1e-3
    np.testing.assert_allclose(a, b, atol=TOLERANCE * max(scale, 1.0))


@pytest.mark.parametrize("seed", range(3))
def test_permutation(seed):
    x = cloud(seed)
    order = jax.random.permutation(jax.random.key(seed + 1), POINTS)
    close(NETWORK(TIME, x[order], CONTEXT), NETWORK(TIME, x, CONTEXT)[order])


@pytest.mark.parametrize("axes", [(1, 0, 2), (2, 0, 1)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1)])
def test_symmetries_of_the_cube(axes, signs):
    x = cloud(0)

    def turned(v):
        vectors = v[:, :6].reshape(-1, 2, 3)[:, :, jnp.array(axes)] * jnp.array(signs)[None, None]
        return jnp.concatenate([vectors.reshape(-1, 6), v[:, 6:]], axis=1)

    close(NETWORK(TIME, wrapped(turned(x)), CONTEXT), turned(NETWORK(TIME, x, CONTEXT)))


def test_translation_by_mesh_spacings():
    x = cloud(1)
    size = P3MSettings.for_points(POINTS, 2).mesh_size
    shift = jnp.array([[3, 0, size - 1]]) / size
    moved = wrapped(x.at[:, :3].add(shift))
    close(NETWORK(TIME, moved, CONTEXT), NETWORK(TIME, x, CONTEXT))


def test_what_is_nearby_follows_any_translation():
    x = cloud(2)
    moved = wrapped(x.at[:, :3].add(jnp.array([[0.1234, 0.777, 0.5]])))
    close(NEAR(TIME, moved, CONTEXT), NEAR(TIME, x, CONTEXT))


def test_the_mesh_reaches_beyond_the_neighbours():
    """A point moves; another, too far for the layers to pass it on, notices by the mesh alone."""
    x = cloud(3)
    cutoff = P3MSettings.for_points(POINTS, 2).cutoff
    distance = jnp.linalg.norm(BOX.displacement(x[:1, :3], x[:, :3]), axis=1)
    far = int(jnp.argmax(distance))
    assert distance[far] > 2 * cutoff
    moved = x.at[0, 0].add(0.05)
    for network, notices in ((NETWORK, True), (NEAR, False)):
        change = jnp.abs(network(TIME, moved, CONTEXT) - network(TIME, x, CONTEXT))[far]
        assert (jnp.max(change) > 1e-5) == notices


def test_padding_changes_nothing_and_does_not_move():
    x = cloud(3)
    padded = jnp.concatenate([cloud(4)[:9], x, cloud(5)[:8]])
    mask = (jnp.arange(POINTS + 17) >= 9) & (jnp.arange(POINTS + 17) < POINTS + 9)
    velocity = NETWORK(TIME, padded, CONTEXT, mask)
    close(velocity[9 : POINTS + 9], NETWORK(TIME, x, CONTEXT))
    np.testing.assert_array_equal(velocity[~mask], 0.0)


def test_coincident_points_are_finite_with_their_gradients():
    x = jnp.zeros((POINTS, 7)).at[:20].set(cloud(0)[:20])
    gradient = jax.jit(jax.grad(lambda y, time: jnp.sum(NETWORK(time, y, CONTEXT) ** 2)))
    for time in jnp.array([0.0, 1.0]):
        assert jnp.all(jnp.isfinite(NETWORK(time, x, CONTEXT)))
        assert jnp.all(jnp.isfinite(gradient(x, time)))


def test_the_gradient_is_that_of_finite_differences():
    x = cloud(6)
    direction = jax.random.normal(jax.random.key(7), x.shape)
    _, push = jax.jvp(lambda y: NETWORK(TIME, y, CONTEXT), (x,), (direction,))
    step = 1e-4
    ahead, behind = (NETWORK(TIME, x + s * direction, CONTEXT) for s in (step, -step))
    difference = (ahead - behind) / (2 * step)
    # The shares of a mesh have kinks, which a few points cross: medians agree.
    error = jnp.abs(push - difference) / jnp.max(jnp.abs(push))
    assert jnp.median(error) < 1e-3


def test_the_field_is_continuous_where_neighbours_change():
    """Halving the steps of a path through a clump halves the largest change: there are no jumps."""
    x = cloud(8)
    end = BOX.displacement(x[0, :3], x[30, :3])

    path = jnp.linspace(0, 1, 257)
    values = jax.lax.map(lambda s: NETWORK(TIME, x.at[0, :3].add(s * end), CONTEXT), path)
    fine, coarse = (jnp.max(jnp.abs(jnp.diff(v, axis=0))) for v in (values, values[::2]))
    assert fine < 0.75 * coarse


def test_positions_alone_and_vmap():
    network = jax.jit(randomised(vectors=0, scalars=0))
    x = jax.random.uniform(jax.random.key(0), (2, POINTS, 3))
    both = jax.jit(jax.vmap(lambda y: network(TIME, y, CONTEXT)))(x)
    close(both[1], network(TIME, x[1], CONTEXT))
    assert jnp.max(jnp.abs(network(TIME, x[0], -CONTEXT) - both[0])) > 1e-3


def test_it_starts_at_rest():
    network = P3MSettings.for_points(POINTS, 2, **SMALL).build(BOX, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(jax.jit(network)(TIME, cloud(0)[:, :3], CONTEXT), 0.0)


def test_memory_is_linear_in_the_points():
    def memory(n):
        network = randomised(n)
        graph, parameters, rest = nnx.split(network, nnx.Param, ...)

        def loss(parameters, x):
            return jnp.sum(nnx.merge(graph, parameters, rest)(TIME, x, CONTEXT) ** 2)

        compiled = jax.jit(jax.grad(loss)).lower(parameters, jnp.ones((n, 7))).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert memory(4000) < 5 * memory(1000)


def test_settings_for_points():
    settings = P3MSettings.for_points(5000, 2)
    assert settings.mesh_size == 18
    expected = 5000 * 4 / 3 * np.pi * settings.cutoff**3
    assert expected == pytest.approx(1.25 * settings.neighbours)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: P3MSettings.for_points(100, 2, layers=0), "layers of at least 1"),
        (lambda: P3MSettings.for_points(100, 2, cutoff=0.6), "shortest < cutoff"),
        (lambda: randomised(mesh_size=9), "even mesh"),
        (lambda: P3MSettings.for_points(9, 2).build(Euclidean(), rngs=nnx.Rngs(0)), "open space"),
        (lambda: NETWORK(TIME, jnp.zeros((4, 3)), CONTEXT), "expected 7 entries"),
    ],
)
def test_what_cannot_be(act, message):
    with pytest.raises(InputError, match=message):
        act()
