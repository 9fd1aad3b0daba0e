"""Embeddings: symmetries hold for any weights, absent rows do not exist, and each can learn."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from physgen.errors import InputError
from physgen.geometry import Torus
from physgen.nets import (
    CloudEmbedding,
    CNNEmbedding,
    DeepSetsEmbedding,
    Embedding,
    EmbeddingSettings,
    MLPEmbedding,
    NoEmbedding,
    SetTransformerEmbedding,
    TransformerEmbedding,
)
from physgen.nets.attention import MultiHeadAttention, rotate
from physgen.nets.missing import present_rows
from physgen.nets.pairs import radial_basis
from physgen.nets.sequence import CausalTransformer
from physgen.nets.shells import invariants, shell_volumes, shells_of

BOX = 20.0
CLOUD = CloudEmbedding(BOX, vectors=1, layers=2, width=12, features=5)
SETS = [
    DeepSetsEmbedding(width=12, features=5),
    SetTransformerEmbedding(width=12, heads=3, features=5, inducing=3),
    CLOUD,
]
SERIES = TransformerEmbedding(width=12, heads=3, features=5)
CASES = [
    (NoEmbedding(), (3, 2)),
    (NoEmbedding(), ()),
    (MLPEmbedding(width=16, features=5), (7,)),
    (MLPEmbedding(width=16, features=5, norm=True, missing=True), (3, 2)),
    (CNNEmbedding(width=4, features=5), (17,)),
    (CNNEmbedding(width=4, features=5, pool=False, missing=True), (17, 2)),
    (CNNEmbedding(width=4, features=5, periodic=True, stages=2, kernel=4), (16, 3)),
    (CNNEmbedding(2, width=4, features=5, stages=2, pool=False), (9, 12)),
    (CNNEmbedding(2, width=4, features=5, stages=2, missing=True, periodic=True), (8, 8, 2)),
    (CNNEmbedding(3, width=4, features=5, stages=1, periodic=True), (6, 6, 6)),
    (SERIES, (11,)),
    (SERIES, (11, 2)),
    (TransformerEmbedding(width=12, heads=3, features=5, missing=True), (11, 2)),
    (SETS[0], (9, 2)),
    (SETS[1], (9, 2)),
    (CloudEmbedding(BOX, width=12, features=5), (9, 3)),
    (CLOUD, (9, 8)),
]


@functools.cache
def weighted(settings, x_shape):
    """The embedding with weights of which none is zero."""
    network = nnx.eval_shape(lambda: settings.build(x_shape, rngs=nnx.Rngs(0)))
    rng = np.random.default_rng(0)

    def weight(leaf):
        scale = 0.5 if len(leaf.shape) == 1 else np.prod(leaf.shape[:-1]) ** -0.5
        return jnp.asarray(scale * rng.normal(size=leaf.shape), leaf.dtype)

    return jax.tree.map(weight, network)


@functools.cache
def built(settings, x_shape):
    """The same as a compiled function."""
    return jax.jit(weighted(settings, x_shape))


@functools.cache
def gradients(settings, x_shape):
    """The gradients of a function of the features, by the weights and by the observation."""
    graph, parameters, rest = nnx.split(weighted(settings, x_shape), nnx.Param, ...)

    def loss(parameters, x):
        return jnp.sum(nnx.merge(graph, parameters, rest)(x) ** 2)

    gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    return lambda x: gradient(parameters, x)


def observation(x_shape, seed=0):
    return jax.random.normal(jax.random.key(seed), x_shape)


def clouds(seed, n, entries=8):
    """Points in the box, with what they carry."""
    key, other = jax.random.split(jax.random.key(seed))
    position = jax.random.uniform(key, (n, 3), maxval=BOX)
    return jnp.concatenate([position, jax.random.normal(other, (n, entries - 3))], axis=1)


def elements(settings, seed, n):
    return clouds(seed, n) if settings is CLOUD else observation((n, 2), seed)


def close(a, b, atol=1e-5):
    assert float(jnp.max(jnp.abs(b))) > 1e-3
    np.testing.assert_allclose(a, b, atol=atol, rtol=1e-4)


def assert_finite(tree):
    for leaf in jax.tree.leaves(tree):
        assert jnp.all(jnp.isfinite(leaf))


@pytest.mark.parametrize(("settings", "x_shape"), CASES)
def test_shapes_and_batches(settings, x_shape):
    network = weighted(settings, x_shape)
    assert isinstance(network, Embedding) and isinstance(settings, EmbeddingSettings)
    x = observation((3, *x_shape)).at[2].set(observation((3, *x_shape))[0])
    features = jax.jit(lambda network, x: jax.vmap(network)(x))(network, x)
    assert features.shape == (3, network.size)
    assert network.size == getattr(settings, "features", int(np.prod(x_shape)))
    np.testing.assert_allclose(features[2], features[0], atol=1e-5)
    assert jnp.max(jnp.abs(features[1] - features[0])) > 1e-3


@pytest.mark.parametrize("settings", {type(s): s for s, _ in CASES}.values())
def test_settings_are_plain_values(settings):
    text = json.dumps(dataclasses.asdict(settings))
    assert type(settings)(**json.loads(text)) == settings


@pytest.mark.parametrize(
    ("settings", "x_shape", "expected"),
    [
        (CNNEmbedding(), (4, 4, 4), r"\(length,\) or \(length, channels\).*got \(4, 4, 4\)"),
        (CNNEmbedding(2), (4,), r"\(height, width\) or"),
        (SERIES, (3, 3, 3), r"\(length,\) or"),
        (SETS[0], (3,), r"\(elements, entries\) for DeepSetsEmbedding, got \(3,\)"),
        (SETS[1], (3, 3, 3), "SetTransformerEmbedding"),
        (CLOUD, (30,), "CloudEmbedding"),
        (CLOUD, (30, 5), "at least 6 entries a point .* got 5"),
        (SETS[0], (0, 2), r"got \(0, 2\)"),
        (TransformerEmbedding(width=12, heads=4), (5, 1), "2 x heads divides, got 12"),
    ],
)
def test_wrong_shapes_are_refused(settings, x_shape, expected):
    with pytest.raises(InputError, match=expected):
        settings.build(x_shape, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    "make",
    [
        lambda: CNNEmbedding(dimensions=4),
        lambda: MLPEmbedding(width=0),
        lambda: CloudEmbedding(-1.0),
        lambda: CloudEmbedding(1.0, shortest=0.5, longest=0.1),
        lambda: CloudEmbedding(1.0, shells=1),
    ],
)
def test_bad_settings_are_refused(make):
    with pytest.raises(InputError, match="expected"):
        make()


# Absent elements


@pytest.mark.parametrize("settings", SETS)
def test_order_and_absent_rows_have_no_meaning(settings):
    x = elements(settings, 0, 12)
    network = built(settings, x.shape)
    close(network(x[::-1]), network(x))
    padded = jnp.concatenate([x[:5], jnp.full((4, x.shape[1]), jnp.nan), x[5:]])
    padded = padded.at[6, 1].set(3.0)  # one NaN is enough
    close(network(padded), network(x))
    fewer = x.at[3].set(jnp.nan)
    rest = jnp.concatenate([x[:3], x[4:], jnp.full((1, x.shape[1]), jnp.nan)])
    close(network(fewer), network(rest))
    assert jnp.max(jnp.abs(network(fewer) - network(x))) > 1e-4


@pytest.mark.parametrize("settings", SETS)
def test_the_number_of_elements_is_a_feature(settings):
    x = elements(settings, 1, 12)
    network = built(settings, x.shape)
    repeated = x.at[6:].set(x[:6])
    once = repeated.at[6:].set(jnp.nan)
    assert jnp.max(jnp.abs(network(repeated) - network(once))) > 1e-3


@pytest.mark.parametrize("settings", [*SETS, SERIES])
@pytest.mark.parametrize("present", [0, 1, 2, 9])
def test_gradients_are_finite_with_absent_rows(settings, present):
    x = observation((11, 2)) if settings is SERIES else elements(settings, 2, 9)
    x = x.at[present:].set(jnp.nan)
    assert_finite(gradients(settings, x.shape)(x))


def test_gradients_are_finite_for_coincident_points():
    x = clouds(0, 9).at[1].set(clouds(0, 9)[0]).at[:, 3:].set(0.0)
    assert_finite(gradients(CLOUD, x.shape)(x))


MISSING = [case for case in CASES if getattr(case[0], "missing", False)]


@pytest.mark.parametrize(("settings", "x_shape"), MISSING)
@pytest.mark.parametrize("everything", [False, True])
def test_gradients_are_finite_with_missing_entries(settings, x_shape, everything):
    gone = (jnp.zeros(x_shape, bool) | everything).at[0].set(True)
    x = observation(x_shape)
    assert_finite(gradients(settings, x_shape)(jnp.where(gone, jnp.nan, x)))
    network = built(settings, x_shape)
    as_zero = network(jnp.where(gone, 0.0, x))
    assert jnp.max(jnp.abs(network(jnp.where(gone, jnp.nan, x)) - as_zero)) > 1e-3


def test_present_rows():
    x = jnp.array([[1.0, 2.0], [jnp.nan, 3.0], [jnp.nan, jnp.nan]])
    rows, present = present_rows(x)
    np.testing.assert_array_equal(present, [True, False, False])
    np.testing.assert_array_equal(rows, [[1, 2], [0, 0], [0, 0]])


# Series


def test_attention_is_a_weighted_mean():
    layer = MultiHeadAttention(4, 2, rngs=nnx.Rngs(0))
    queries, items = observation((3, 4)), observation((5, 4), 1)
    mask = jnp.array([[1, 1, 0, 1, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]], bool)
    expected = []
    for query, seen in zip(queries, mask, strict=True):
        heads = []
        for part in (slice(0, 2), slice(2, 4)):
            q, k, v = (
                np.asarray(layer_(x))[..., part]
                for layer_, x in ((layer.query, query), (layer.key, items), (layer.value, items))
            )
            weights = np.where(seen, np.exp(k @ q / np.sqrt(2)), 0)
            heads.append(weights @ v / max(weights.sum(), 1e-9))
        expected.append(layer.out(jnp.concatenate(heads)))
    np.testing.assert_allclose(layer(queries, items, mask), jnp.stack(expected), atol=1e-5)


def test_rotated_products_depend_on_the_difference_of_positions():
    q, k = observation((1, 1, 6)), observation((1, 1, 6), 1)
    length = 8
    q, k = (rotate(jnp.repeat(x, length, axis=0), length)[:, 0] for x in (q, k))
    products = q @ k.T
    for lag in range(-5, 6):
        diagonal = jnp.diagonal(products, lag)
        np.testing.assert_allclose(diagonal, jnp.full(diagonal.shape, diagonal[0]), atol=1e-5)
    assert jnp.std(products[0]) > 1e-2


def test_the_transformer_is_causal():
    transformer = CausalTransformer(8, 2, 2, 6, rngs=nnx.Rngs(0))
    jacobian = jax.jit(jax.jacobian(transformer))(observation((6, 8)))
    reach = jnp.max(jnp.abs(jacobian), axis=(1, 3))
    np.testing.assert_array_equal(reach > 0, jnp.tril(jnp.ones((6, 6), bool)))


def test_the_summary_of_a_series_is_its_last_present_time():
    network = built(SERIES, (11, 2))
    x = observation((11, 2))
    short = network(x.at[7:].set(jnp.nan))
    assert jnp.max(jnp.abs(short - network(x))) > 1e-3
    _, (_, gradient) = gradients(SERIES, (11, 2))(x.at[7:].set(jnp.nan))
    np.testing.assert_array_equal(jnp.any(gradient != 0, axis=1), jnp.arange(11) < 7)
    np.testing.assert_allclose(network(x.at[7:, 0].set(jnp.nan)), short, atol=1e-6)


def test_the_order_of_a_series_has_meaning():
    network = built(SERIES, (11, 2))
    x = observation((11, 2))
    x_swapped = x.at[jnp.array([2, 5])].set(x[jnp.array([5, 2])])
    assert jnp.max(jnp.abs(network(x_swapped) - network(x))) > 1e-3


# Fields


@pytest.mark.parametrize("dimensions", [1, 2])
def test_periodic_fields_may_be_translated(dimensions):
    settings = CNNEmbedding(dimensions, width=4, stages=2, features=5, periodic=True)
    x = observation((12,) * dimensions)
    network = built(settings, x.shape)
    moved = jnp.roll(x, (4, 8)[:dimensions], axis=tuple(range(dimensions)))
    close(network(moved), network(x))
    kept = built(dataclasses.replace(settings, pool=False), x.shape)
    assert jnp.max(jnp.abs(kept(moved) - kept(x))) > 1e-3


# Clouds


def test_clouds_may_be_translated_on_the_torus():
    x = clouds(3, 12)
    network = built(CLOUD, x.shape)
    shift = jnp.array([[7.0, -3.0, 11.0]])
    moved = x.at[:, :3].set(Torus(BOX).wrap(x[:, :3] + shift))
    close(network(moved), network(x), atol=1e-4)
    assert jnp.max(jnp.abs(network(x.at[0, 0].add(1.0)) - network(x))) > 1e-3


@pytest.mark.parametrize("axes", [(1, 0, 2), (2, 0, 1)])
def test_clouds_may_be_turned_with_their_vectors(axes):
    x = clouds(4, 12)
    network = built(CLOUD, x.shape)
    signs = jnp.array([[1.0, -1.0, 1.0]])

    def turned(v):
        return v[:, jnp.array(axes)] * signs

    position = x.at[:, :3].set(Torus(BOX).wrap(turned(x[:, :3])))
    both = position.at[:, 3:6].set(turned(x[:, 3:6]))
    close(network(both), network(x), atol=1e-4)
    assert jnp.max(jnp.abs(network(position) - network(x))) > 1e-3


def test_shells_against_pairs_one_by_one():
    radii, n = (0.05, 0.4), 14
    x = clouds(5, n)
    position, scalar, vector = x[:, :3] / BOX, x[:, 6:7], x[:, 3:6]
    present = jnp.arange(n) != 4
    volumes = shell_volumes(radii, 4)
    shells = shells_of(position, present, radii, volumes)
    seen = invariants(shells, position, scalar, vector[:, None], radii).reshape(n, 4, 6)

    others = np.sum(present) - 1
    noise = np.sqrt(1 + others * np.asarray(volumes))
    expected = np.zeros((n, 4, 6))
    for i in range(n):
        sums = np.zeros((4, 10))
        for j in range(n):
            if i == j or 4 in (i, j):
                continue
            delta = np.asarray(position[j] - position[i], np.float64)
            chord = np.linalg.norm(np.sin(np.pi * delta)) / np.pi
            d = np.sin(2 * np.pi * delta) / (2 * np.pi)
            inside = radial_basis(jnp.log(max(chord, radii[0])), *np.log(radii).tolist(), 4)
            v = np.asarray(vector[j])
            carried = [1, *d, float(scalar[j, 0]), v @ d, (v - vector[i]) @ d, *v]
            sums += np.asarray(inside)[:, None] * np.array(carried)[None]
        sums /= noise[:, None]
        centres = np.geomspace(*radii, 4)
        outward = sums[:, 1:4] / centres[:, None]
        expected[i] = np.stack(
            [
                sums[:, 0] - others * np.asarray(volumes) / noise,
                np.linalg.norm(outward, axis=1),
                sums[:, 4],
                sums[:, 6] / centres,
                outward @ vector[i],
                sums[:, 7:] @ vector[i],
            ],
            axis=1,
        )
    np.testing.assert_allclose(seen[present], expected[present], atol=2e-3)


def test_a_uniform_cloud_has_no_contrast():
    radii, n, shells = (0.05, 0.5), 64, 6
    volumes = shell_volumes(radii, shells)
    positions = jax.random.uniform(jax.random.key(0), (400, n, 3))

    def contrasts(position):
        made = shells_of(position, jnp.ones(n, bool), radii, volumes)
        return jnp.mean(made.contrast(made.sums(jnp.ones((n, 1)))), axis=(1, 2))

    values = np.asarray(jax.lax.map(contrasts, positions, batch_size=50))
    error = values.std(axis=0) / np.sqrt(len(values))
    expected = np.sqrt((n - 1) * np.asarray(volumes))
    np.testing.assert_array_less(np.abs(values.mean(axis=0)), 4 * error + 0.01 * expected)


# Each family can learn: the share of the variance that is left after a short training


def unexplained(settings, draw, steps=200, batch=64, rate=5e-3):
    """Mean squared error over variance, on new observations."""
    x, target = draw(jax.random.key(0), batch)
    network = settings.build(x.shape[1:], rngs=nnx.Rngs(0))
    readout = nnx.Linear(network.size, target.shape[1], rngs=nnx.Rngs(1))
    graph, parameters, rest = nnx.split((network, readout), nnx.Param, ...)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(rate, steps))
    )

    def loss(parameters, x, target):
        network, readout = nnx.merge(graph, parameters, rest)
        return jnp.mean((readout(jax.vmap(network)(x)) - target) ** 2)

    def step(carry, key):
        parameters, moments = carry
        gradient = jax.grad(loss)(parameters, *draw(key, batch))
        update, moments = optimizer.update(gradient, moments)
        return (optax.apply_updates(parameters, update), moments), None

    @jax.jit
    def train(parameters):
        keys = jax.random.split(jax.random.key(1), steps)
        (parameters, _), _ = jax.lax.scan(step, (parameters, optimizer.init(parameters)), keys)
        x, target = draw(jax.random.key(2), 512)
        return loss(parameters, x, target) / jnp.mean(jnp.var(target, axis=0))

    return float(train(parameters))


def gaussian_sets(key, n):
    """Sets of 4 to 16 draws from a Gaussian; the targets are their own mean and log scatter."""
    keys = jax.random.split(key, 4)
    scale = jnp.exp(jax.random.uniform(keys[0], (n, 1), minval=-1.0))
    x = jax.random.normal(keys[1], (n, 1)) + scale * jax.random.normal(keys[2], (n, 16))
    present = jnp.arange(16)[None] < jax.random.randint(keys[3], (n, 1), 4, 17)
    mean = jnp.mean(x, axis=1, where=present)
    scatter = jnp.std(x, axis=1, where=present)
    x = jnp.where(present, x, jnp.nan)[..., None]
    return x, jnp.stack([mean, jnp.log(scatter)], axis=1)


def sines(key, n):
    """Sines of unknown phase; the target is the frequency."""
    keys = jax.random.split(key, 2)
    frequency = jax.random.uniform(keys[0], (n, 1), minval=1.0, maxval=4.0)
    phase = 2 * jnp.pi * jax.random.uniform(keys[1], (n, 1))
    time = jnp.arange(32)[None] / 32
    return jnp.sin(2 * jnp.pi * frequency * time + phase), frequency


def products(key, n):
    """Vectors with missing entries; the target is a product of two that never are."""
    keys = jax.random.split(key, 2)
    x = jax.random.uniform(keys[0], (n, 4), minval=-1.0)
    target = x[:, :1] * x[:, 1:2]
    gone = jax.random.bernoulli(keys[1], 0.5, (n, 4)) & (jnp.arange(4) > 1)[None]
    return jnp.where(gone, jnp.nan, x), target


def couples(key, n):
    """Points that come in twos; the target is the logarithm of the distance between partners."""
    keys = jax.random.split(key, 3)
    log_distance = jax.random.uniform(keys[0], (n, 1), minval=jnp.log(0.02), maxval=jnp.log(0.2))
    first = jax.random.uniform(keys[1], (n, 10, 3))
    arrow = jax.random.normal(keys[2], (n, 10, 3))
    arrow = arrow / jnp.linalg.norm(arrow, axis=-1, keepdims=True)
    second = first + jnp.exp(log_distance)[..., None] * arrow
    return BOX * Torus(1.0).wrap(jnp.concatenate([first, second], axis=1)), log_distance


@pytest.mark.parametrize(
    ("settings", "draw", "limit"),
    [
        (MLPEmbedding(width=32, features=8, missing=True), products, 0.1),
        (CNNEmbedding(width=8, stages=2, features=8), sines, 0.1),
        (TransformerEmbedding(width=16, heads=2, features=8), sines, 0.1),
        (DeepSetsEmbedding(width=32, features=8), gaussian_sets, 0.1),
        (SetTransformerEmbedding(width=16, heads=2, layers=1, features=8), gaussian_sets, 0.1),
        (CloudEmbedding(BOX, width=12, features=8), couples, 0.1),
    ],
)
def test_learns(settings, draw, limit):
    left = unexplained(settings, draw)
    print(type(settings).__name__, left)
    assert left < limit
