"""All layers, in one suite: round trips, log-determinants, extremes, contexts."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from randomised import randomised
from scipy import stats
from scipy.optimize import brentq

from physgen import InputError
from physgen.densities.boxmuller import BoxMuller
from physgen.densities.elementwise import Affine, Spline
from physgen.densities.layers import Chain, Repeated
from physgen.densities.linear import LinearLU, Permutation, Rotation
from physgen.densities.masked import AutoregressiveLayer, CouplingLayer
from physgen.densities.planar import Planar

D, C, N = 4, 3, 64


def coupling(*maps):
    return lambda rngs: CouplingLayer(D, C, maps, width=16, rngs=rngs)


def autoregressive(*maps):
    return lambda rngs: AutoregressiveLayer(D, C, maps, width=16, rngs=rngs)


def chain(rngs):
    return Chain([Rotation(D, rngs=rngs), coupling(Affine())(rngs), Permutation([1, 3, 0, 2])])


LAYERS = {
    "permutation": lambda rngs: Permutation([2, 0, 3, 1]),
    "rotation": lambda rngs: Rotation(D, rngs=rngs),
    "lu": lambda rngs: LinearLU(D, rngs=rngs),
    "planar": lambda rngs: Planar(D, rngs=rngs),
    "planar-context": lambda rngs: Planar(D, C, width=8, rngs=rngs),
    "box-muller": lambda rngs: BoxMuller(),
    "coupling-affine": coupling(Affine()),
    "coupling-spline": coupling(Spline()),
    "autoregressive-affine": autoregressive(Affine()),
    "autoregressive-spline": autoregressive(Spline()),
    "chain": chain,
    "repeated": lambda rngs: Repeated(chain, 2, rngs=rngs),
}
IGNORE_CONTEXT = {"permutation", "rotation", "lu", "planar", "box-muller"}
VOLUME_PRESERVING = {"permutation", "rotation"}
DIRECTIONS = {"forward": "inverse", "inverse": "forward"}
FAST_COMPILATION = {"xla_backend_optimization_level": 0}


@pytest.fixture(scope="module", params=LAYERS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def layer(name):
    return randomised(LAYERS[name])


CONTEXT = jax.random.normal(jax.random.key(4), (N, C))


@pytest.fixture(scope="module")
def points(name):
    normal = 1.5 * jax.random.normal(jax.random.key(2), (2, N, D))
    if name == "box-muller":
        uniform = jax.random.uniform(jax.random.key(2), (N, D), minval=1e-3, maxval=0.999)
        return {"forward": uniform, "inverse": normal[1]}
    return {"forward": normal[0], "inverse": normal[1]}


@pytest.fixture(scope="module")
def single(layer):
    """Each direction in float32: ((log_det, image), gradients by parameters, event, context).

    The gradients are those of the log-determinant and the image, weighted.
    """
    graph, params, rest = nnx.split(layer, nnx.Param, ...)

    def compiled(direction):
        def total(params, x, context):
            image, log_det = getattr(nnx.merge(graph, params, rest), direction)(x, context)
            return log_det + jnp.sum(image) / 1e6, (image, log_det)

        gradient = jax.value_and_grad(total, argnums=(0, 1, 2), has_aux=True)
        batched = jax.vmap(gradient, in_axes=(None, 0, 0))
        return partial(jax.jit(batched, compiler_options=FAST_COMPILATION), params)

    return {direction: compiled(direction) for direction in DIRECTIONS}


def doubled(tree):
    def convert(leaf):
        leaf = np.asarray(leaf)
        return jnp.asarray(leaf, leaf.dtype if leaf.dtype.kind == "i" else np.float64)

    return jax.tree.map(convert, tree)


@pytest.fixture(scope="module")
def double(layer):
    """Each direction in float64: (image, log_det, Jacobian)."""
    graph, leaves = nnx.split(layer)

    def compiled(direction):
        def evaluate(leaves, x, context):
            def image(x):
                image, log_det = getattr(nnx.merge(graph, leaves), direction)(x, context)
                return image, (image, log_det)

            jacobian, (value, log_det) = jax.jacfwd(image, has_aux=True)(x)
            return value, log_det, jacobian

        batched = jax.vmap(evaluate, in_axes=(None, 0, 0))
        function = jax.jit(batched, compiler_options=FAST_COMPILATION)

        def call(x, context):
            with jax.enable_x64(True):
                return jax.device_get(function(*doubled((leaves, x, context))))

        return call

    return {direction: compiled(direction) for direction in DIRECTIONS}


@pytest.mark.parametrize("there", DIRECTIONS)
def test_round_trip(double, points, there):
    image, log_det, _ = double[there](points[there], CONTEXT)
    same, back, _ = double[DIRECTIONS[there]](image, CONTEXT)
    np.testing.assert_allclose(same, points[there], atol=1e-8)
    np.testing.assert_allclose(back, -log_det, atol=1e-7)


@pytest.mark.parametrize("there", DIRECTIONS)
def test_log_det_is_that_of_the_jacobian(double, points, there):
    _, log_det, jacobian = double[there](points[there], CONTEXT)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian).logabsdet, atol=1e-8)


@pytest.mark.parametrize("there", DIRECTIONS)
def test_round_trip_in_single_precision(single, points, there):
    (_, (image, log_det)), _ = single[there](points[there], CONTEXT)
    (_, (same, back)), _ = single[DIRECTIONS[there]](image, CONTEXT)
    np.testing.assert_allclose(same, points[there], atol=3e-4)
    np.testing.assert_allclose(back, -log_det, atol=3e-4)


@pytest.mark.parametrize("there", DIRECTIONS)
def test_single_precision_is_double_precision_rounded(single, double, points, there):
    (_, (image, log_det)), _ = single[there](points[there], CONTEXT)
    expected_image, expected_log_det, _ = double[there](points[there], CONTEXT)
    assert image.dtype == log_det.dtype == jnp.float32
    np.testing.assert_allclose(image, expected_image, rtol=1e-5, atol=3e-5)
    np.testing.assert_allclose(log_det, expected_log_det, rtol=1e-5, atol=1e-4)


def test_values_and_gradients_are_finite_far_out(single, name):
    signs = jnp.sign(jax.random.normal(jax.random.key(5), (N - 2 * D, D)))
    far = 1e6 * jnp.concatenate([signs, jnp.eye(D), -jnp.eye(D)])
    for direction in ["inverse"] if name == "box-muller" else DIRECTIONS:
        for leaf in jax.tree.leaves(single[direction](far, CONTEXT)):
            assert np.isfinite(leaf).all()


def test_context_matters_where_it_should(single, points, name):
    for direction in DIRECTIONS:
        _, (_, _, by_context) = single[direction](points[direction], CONTEXT)
        if name in IGNORE_CONTEXT:
            np.testing.assert_array_equal(by_context, 0)
        else:
            assert (jnp.max(jnp.abs(by_context), axis=0) > 1e-3).all()


def test_context_may_be_left_out_where_it_is_ignored(layer, name, points):
    if name in IGNORE_CONTEXT:
        x = points["inverse"][0]
        for one, other in zip(layer.inverse(x), layer.inverse(x, CONTEXT[0]), strict=True):
            np.testing.assert_array_equal(one, other)


def test_volume_is_preserved_exactly_where_it_should(single, points, name):
    for direction in DIRECTIONS:
        (_, (_, log_det)), _ = single[direction](points[direction], CONTEXT)
        assert ((log_det == 0) == (name in VOLUME_PRESERVING)).all()


@pytest.mark.parametrize("size", [1, 6, 40])
def test_rotations_are_rotations_at_any_parameters(size):
    graph, params = nnx.split(Rotation(size, rngs=nnx.Rngs(0)))
    matrix = jax.jit(lambda params: nnx.merge(graph, params).matrix())
    for scale in (0.0, 0.1, 30.0):
        rotation = np.asarray(matrix(jax.tree.map(lambda p, s=scale: s * p, params)), np.float64)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(size), atol=2e-5)
        assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-4)


def test_lu_starts_as_a_random_rotation_and_is_a_matrix():
    layer = LinearLU(D, rngs=nnx.Rngs(3))
    matrix = np.array([layer.forward(z)[0] for z in jnp.eye(D)]).T
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(D), atol=1e-5)
    assert np.count_nonzero(np.abs(matrix) > 1e-3) > 10


def test_lu_trains_neither_its_permutation_nor_its_signs():
    _, params, rest = nnx.split(LinearLU(D, rngs=nnx.Rngs(3)), nnx.Param, ...)
    assert len(jax.tree.leaves(params)) == 3 and len(jax.tree.leaves(rest)) == 2


def test_repeated_is_the_chain_of_its_layers():
    repeated = randomised(LAYERS["repeated"])
    graph, states = nnx.split(repeated.layers)
    parts = [nnx.merge(graph, jax.tree.map(lambda s, i=i: s[i], states)) for i in range(2)]
    z = jnp.linspace(-1, 1, D)
    expected = jax.jit(Chain(parts).forward)(z, CONTEXT[0])
    for one, other in zip(jax.jit(repeated.forward)(z, CONTEXT[0]), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("order", [[0, 0, 1], [1, 2, 3], [0, 2]])
def test_a_permutation_must_be_one(order):
    with pytest.raises(InputError, match="each of 0"):
        Permutation(order)


def test_planar_inverse_is_the_root_that_scipy_finds():
    layer = randomised(LAYERS["planar"], scale=1.0)
    push, normal, bias, strength = (np.asarray(p, np.float64) for p in layer._plane(None))
    for x in np.random.default_rng(0).normal(size=(5, D)):
        a = brentq(lambda a, x=x: a + strength * np.tanh(a) - normal @ x - bias, -50, 50)
        z, _ = layer.inverse(jnp.asarray(x, jnp.float32))
        np.testing.assert_allclose(z, x - push * np.tanh(a), atol=1e-5)


def test_planar_is_invertible_for_all_parameters():
    graph, _ = nnx.split(Planar(2, rngs=nnx.Rngs(0)))
    points = jnp.linspace(-3, 3, 31)[:, None] * jnp.array([[1.0, -0.5]])

    def log_det(offset, x):
        return nnx.merge(graph, nnx.State({"offset": nnx.Param(offset)})).inverse(x)[1]

    function = jax.jit(jax.vmap(jax.value_and_grad(log_det, (0, 1)), in_axes=(None, 0)))
    for push, normal in itertools.product([-30, -3, -1e-3, 0, 5], [0, 1e-8, 1, 30]):
        offset = jnp.array([push, 1.0, normal, 0.0, 0.1])
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(function(offset, points)))
        plane = nnx.merge(graph, nnx.State({"offset": nnx.Param(offset)}))._plane(None)
        assert plane.strength > -1
        np.testing.assert_allclose(plane.push @ plane.normal, plane.strength, atol=1e-4)
        if push * normal >= 0:
            np.testing.assert_array_equal(plane.push, offset[:2])


def test_box_muller_is_the_normal_distribution():
    rng = np.random.default_rng(0)
    normal, uniform = rng.normal(size=(20_000, 2)), 1 - rng.uniform(size=(20_000, 2))
    forward, inverse = (jax.jit(jax.vmap(f)) for f in (BoxMuller().forward, BoxMuller().inverse))
    x, _ = forward(jnp.asarray(uniform, jnp.float32))
    z, log_det = inverse(jnp.asarray(normal, jnp.float32))
    np.testing.assert_allclose(log_det, stats.norm.logpdf(normal).sum(axis=1), rtol=1e-5)
    assert min(stats.kstest(column, "norm").pvalue for column in np.asarray(x).T) > 1e-3
    assert min(stats.kstest(column, "uniform").pvalue for column in np.asarray(z).T) > 1e-3
    assert abs(np.corrcoef(x.T)[0, 1]) < 4 / np.sqrt(len(x))


def test_box_muller_is_finite_on_the_edge():
    x, log_det = BoxMuller().forward(jnp.array([0.0, 0.25]))
    np.testing.assert_allclose(x, [0.0, np.sqrt(-2 * np.log(np.finfo(np.float32).tiny))], atol=1e-4)
    assert np.isfinite(log_det)
