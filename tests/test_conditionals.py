"""Autoregressive densities: causality, sums over all states, integrals, and their samples."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from randomised import randomised
from scipy import stats

from physgen import InputError
from physgen.densities.conditionals import Autoregressive, Categorical, MixtureOfGaussians
from physgen.nets.masked import MaskedLinear, MaskedMLP, hidden_degrees

CONTEXT = jnp.array([0.7, -1.2])
GAUSSIANS = MixtureOfGaussians(3)
N = 20_000


def network(*sizes, **options):
    return randomised(lambda rngs: MaskedMLP(*sizes, rngs=rngs, **options))


def density(*conditionals, context_shape=(2,)):
    return randomised(lambda rngs: Autoregressive(conditionals, context_shape, width=24, rngs=rngs))


@pytest.fixture(scope="module")
def mixed():
    return density(Categorical(2), GAUSSIANS, Categorical(3))


@pytest.fixture(scope="module")
def discrete():
    return density(Categorical(3), Categorical(2), Categorical(4))


def probabilities(model, events, context=CONTEXT):
    log_prob = jax.jit(model.log_prob)(jnp.asarray(events, jnp.float32), context)
    return np.exp(np.asarray(log_prob, np.float64))


def states(*levels):
    return np.array(list(itertools.product(*map(range, levels))))


AXIS = np.linspace(-12, 12, 301)
STEP = AXIS[1] - AXIS[0]


@pytest.mark.parametrize(("d", "context_size"), [(1, 0), (1, 2), (5, 0), (5, 2)])
def test_masked_network_sees_what_it_should(d, context_size):
    model = network(d, context_size, 3, 17, 2)
    context = CONTEXT if context_size else None
    by_x, by_context = jax.jit(jax.jacrev(model, argnums=(0, 1)))(jnp.linspace(-1, 1, d), context)
    assert by_x.shape == (d, 3, d)
    np.testing.assert_array_equal(np.any(by_x != 0, axis=1), np.tri(d, k=-1))
    if context_size:
        assert (jnp.abs(by_context) > 1e-6).all()


def test_masked_network_takes_several_features_an_entry():
    model = network(3, 0, 2, 12, 1, features_per_input=4)
    seen = jnp.any(jax.jit(jax.jacrev(model))(jnp.ones(12)) != 0, axis=1)
    np.testing.assert_array_equal(seen, np.repeat(np.tri(3, k=-1), 4, axis=1))


@pytest.mark.parametrize("width", [1, 3])
def test_narrow_masked_network_stays_causal(width):
    jacobian = jax.jit(jax.jacrev(network(5, 2, 3, width, 1)))(jnp.ones(5), CONTEXT)
    np.testing.assert_array_equal(np.triu(jnp.max(jnp.abs(jacobian), axis=1)), 0)
    assert jnp.any(jacobian[-1] != 0)


@pytest.mark.parametrize(
    ("d", "context_size", "width", "features"),
    [(1, 0, 3, 1), (1, 2, 5, 1), (4, 2, 17, 1), (5, 0, 18, 1), (3, 2, 12, 4), (5, 2, 3, 1)],
)
def test_entries_generated_in_turn_are_those_of_one_call(d, context_size, width, features):
    """x is fed by its own outputs, so a call on the finished x must give the same outputs."""
    model = network(d, context_size, 2, width, 2, features_per_input=features)
    context = CONTEXT if context_size else None

    def entry(i, row):
        numbers = jnp.sin(row[0] + jnp.arange(features) + i)
        return numbers, (numbers, row)

    x, rows = jax.jit(lambda: model.generate(entry, context))()
    np.testing.assert_allclose(rows, model(x.ravel(), context), atol=2e-6)
    assert np.ptp(rows) > 0.1


def test_masked_network_starts_at_zero_and_learns_from_there():
    model = MaskedMLP(3, 2, 2, 16, 2, rngs=nnx.Rngs(0))
    value, gradient = jax.jit(jax.value_and_grad(lambda m: jnp.sum(m(jnp.ones(3), CONTEXT))))(model)
    assert value == 0
    reached = gradient.last.kernel[...] != 0
    np.testing.assert_array_equal(reached, gradient.last.mask())


def test_hidden_units_start_at_the_size_of_their_inputs():
    hidden = hidden_degrees(6, 250, lowest=1)
    layer = MaskedLinear(np.arange(1, 7), hidden, rngs=nnx.Rngs(0))
    variance = np.sum(np.asarray(layer.kernel[...]) ** 2, axis=0)
    for degree in range(1, 6):
        assert variance[hidden == degree].mean() == pytest.approx(1, abs=4 * np.sqrt(2 / 50))


def test_hidden_degrees_are_even():
    np.testing.assert_array_equal(hidden_degrees(4, 8, lowest=0), [0, 0, 1, 1, 2, 2, 3, 3])
    np.testing.assert_array_equal(hidden_degrees(4, 7, lowest=1), [1, 1, 2, 2, 3, 3, 3])
    np.testing.assert_array_equal(hidden_degrees(1, 3, lowest=1), [0, 0, 0])


def test_probabilities_of_all_states_sum_to_one(discrete):
    found = probabilities(discrete, states(3, 2, 4))
    assert found.sum() == pytest.approx(1, abs=1e-5)
    assert found.std() > 0.01


@pytest.mark.parametrize("value", [-1.0, 2.0, 0.5, jnp.inf])
def test_no_probability_beside_the_levels(mixed, value):
    assert probabilities(mixed, [value, 0.0, 1.0]) == 0


def test_density_of_continuous_entries_integrates_to_one():
    points = np.stack(np.meshgrid(AXIS, AXIS), axis=-1)
    found = probabilities(density(GAUSSIANS, GAUSSIANS), points)
    assert found.sum() * STEP**2 == pytest.approx(1, abs=1e-4)


def mixed_probabilities(mixed):
    """(2, number, 3): the density of `mixed` for each pair of levels along AXIS."""
    levels, values, more = np.meshgrid(range(2), AXIS, range(3), indexing="ij")
    return probabilities(mixed, np.stack([levels, values, more], axis=-1))


def test_mixed_density_sums_and_integrates_to_one(mixed):
    assert mixed_probabilities(mixed).sum() * STEP == pytest.approx(1, abs=1e-4)


def test_one_entry_without_context_is_a_plain_mixture():
    model = density(GAUSSIANS, context_shape=None)
    logits, means, log_scales = GAUSSIANS._unpack(model._parameters(jnp.zeros(1), None)[0])
    weights = np.exp(logits) / np.exp(logits).sum()
    x = np.linspace(-3, 3, 7)[:, None]
    expected = stats.norm.pdf(x, means, np.exp(log_scales)) @ weights
    np.testing.assert_allclose(probabilities(model, x, None), expected, rtol=1e-5)


@pytest.mark.parametrize("components", [1, 2, 8, 20])
def test_a_mixture_starts_near_the_standard_normal(components):
    family = MixtureOfGaussians(components)
    raw = jnp.zeros(family.size)
    _, means, log_scales = family._unpack(raw)
    assert len(set(np.asarray(means))) == components
    assert np.mean(means) == pytest.approx(0, abs=1e-6)
    assert np.mean(means**2 + np.exp(2 * log_scales)) == pytest.approx(1, abs=1e-5)
    x = jnp.linspace(-2, 2, 9)
    log_prob = jax.jit(jax.vmap(family.log_prob, in_axes=(None, 0)))(raw, x)
    np.testing.assert_allclose(log_prob, stats.norm.logpdf(x), atol=0.1)


def test_discrete_samples_follow_the_probabilities(discrete):
    everything = states(3, 2, 4)
    samples = np.asarray(jax.jit(discrete.sample, static_argnums=1)(jax.random.key(1), N, CONTEXT))
    counts = (samples[:, None] == everything[None]).all(axis=2).sum(axis=0)
    assert counts.sum() == N
    expected = probabilities(discrete, everything)
    assert stats.chisquare(counts, N * expected / expected.sum()).pvalue > 1e-3


def test_mixed_samples_follow_the_density(mixed):
    """The levels against their probabilities, the number given each against its distribution."""
    found = mixed_probabilities(mixed) * STEP
    samples = np.asarray(jax.jit(mixed.sample, static_argnums=1)(jax.random.key(2), N, CONTEXT))
    counts, expected = np.zeros((2, 3)), N * found.sum(axis=1)
    for a, b in itertools.product(range(2), range(3)):
        numbers = samples[(samples[:, 0] == a) & (samples[:, 2] == b), 1]
        counts[a, b] = len(numbers)
        cumulative = np.cumsum(found[a, :, b]) / found[a, :, b].sum()
        uniform = np.interp(numbers, AXIS + STEP / 2, cumulative)
        assert stats.kstest(uniform, "uniform").pvalue > 1e-3
    assert counts.sum() == N
    assert stats.chisquare(counts.ravel(), expected.ravel() * N / expected.sum()).pvalue > 1e-3


def test_entries_depend_on_earlier_ones_and_the_context_only(mixed):
    parameters = jax.jit(mixed._parameters)
    event = jnp.array([1.0, 0.3, 2.0])
    before = parameters(event, CONTEXT)
    for i, value in enumerate([0.0, 1.3, 1.0]):
        same = (parameters(event.at[i].set(value), CONTEXT) == before).all(axis=1)
        np.testing.assert_array_equal(same, np.arange(3) <= i)
    assert jnp.any(parameters(event, -CONTEXT) != before, axis=1).all()


def test_far_out_is_finite(mixed):
    graph, params = nnx.split(mixed)

    def log_prob(params, x, context):
        return nnx.merge(graph, params)._log_prob(x, context)

    gradient = jax.jit(jax.vmap(jax.value_and_grad(log_prob, (0, 1, 2)), in_axes=(None, 0, None)))
    events = jnp.array([[1, 1e6, 0], [0, -1e6, 2], [0, 0, 1]], jnp.float32)
    for leaf in jax.tree.leaves(gradient(params, events, CONTEXT)):
        assert np.isfinite(leaf).all()


def test_integers_are_events_too(discrete):
    levels = np.array([0, 1, 3])
    found = jax.jit(discrete.log_prob)(levels, CONTEXT)
    assert np.exp(found) == pytest.approx(probabilities(discrete, levels), rel=1e-6)


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda: Autoregressive([], rngs=nnx.Rngs(0)), "none"),
        (lambda: Autoregressive([GAUSSIANS], (2, 2), rngs=nnx.Rngs(0)), "embed"),
        (lambda: Categorical(1), "two levels"),
        (lambda: MixtureOfGaussians(0), "one component"),
    ],
)
def test_refusals(make, remedy):
    with pytest.raises(InputError, match=remedy):
        make()
