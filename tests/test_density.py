"""The contract: one place that batches and checks shapes, whatever the density."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physgen import InputError
from physgen.density import Density


class Shifted(Density):
    """A normal around its context."""

    def __init__(self, context_shape):
        self.event_shape = (2,)
        self.context_shape = context_shape

    def _log_prob(self, x, context):
        centre = 0.0 if context is None else context
        return jnp.sum(jax.scipy.stats.norm.logpdf(x, centre))

    def _sample(self, key, context):
        noise = jax.random.normal(key, (2,))
        return noise if context is None else noise + context


def test_no_events_have_no_densities():
    assert Shifted((2,)).log_prob(jnp.zeros((0, 3, 2)), jnp.zeros((3, 2))).shape == (0, 3)


def test_log_prob_broadcasts_leading_axes():
    x = jax.random.normal(jax.random.key(0), (5, 1, 2))
    context = jax.random.normal(jax.random.key(1), (3, 2))
    result = Shifted((2,)).log_prob(x, context)
    assert result.shape == (5, 3)
    expected = jax.scipy.stats.norm.logpdf(np.asarray(x), np.asarray(context)[None]).sum(-1)
    np.testing.assert_allclose(result, expected, rtol=1e-5)


class Costly(Shifted):
    """A normal around the image of its context under a large matrix."""

    def _log_prob(self, x, context):
        return super()._log_prob(x, (context @ jnp.ones((100, 100)))[:2])


@pytest.mark.parametrize("lead", [(), (1, 3), (3,)])
def test_each_context_is_worked_out_once(lead):
    density, contexts = Costly((100,)), jnp.ones((*lead, 100))

    def work(n):
        x = jnp.zeros((n, 3, 2))
        return jax.jit(density.log_prob).lower(x, contexts).compile().cost_analysis()["flops"]

    assert work(50) < 3 * work(1)
    assert density.log_prob(jnp.zeros((50, 3, 2)), contexts).shape == (50, 3)


def test_log_prob_of_one_event_is_a_scalar():
    assert Shifted(None).log_prob(jnp.zeros(2)).shape == ()


def test_sample_takes_one_context_or_one_each():
    density = Shifted((2,))
    key = jax.random.key(0)
    contexts = jnp.arange(8.0).reshape(4, 2)
    each = density.sample(key, 4, contexts)
    assert each.shape == (4, 2)
    one = density.sample(key, 4, contexts[0])
    np.testing.assert_allclose(each - contexts, one - contexts[:1], atol=1e-6)


def test_same_key_same_numbers():
    density = Shifted(None)
    first, second = (density.sample(jax.random.key(3), 7) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("context_shape", "x", "context", "message"),
    [
        (None, (3,), None, "expected x of shape"),
        (None, (2,), (2,), "unconditional"),
        ((2,), (2,), None, "conditional"),
        ((2,), (2,), (3,), "expected context of shape"),
        ((2,), (5, 2), (4, 2), "broadcast"),
    ],
)
def test_wrong_shapes_are_told_in_one_line(context_shape, x, context, message):
    given = None if context is None else jnp.zeros(context)
    with pytest.raises(InputError, match=message) as error:
        Shifted(context_shape).log_prob(jnp.zeros(x), given)
    assert "\n" not in str(error.value)


def test_sample_refuses_contexts_for_another_number_of_events():
    with pytest.raises(InputError, match="one context for all samples"):
        Shifted((2,)).sample(jax.random.key(0), 3, jnp.zeros((4, 2)))
