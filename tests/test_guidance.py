"""Guidance against a closed form: two normals, which of them being the context.

p_t(x | c) = N(b c m, V) with V = sigma^2 + b^2 s^2 and c = -1 or 1, p_t(x) is the mean of both, and
the guided score is the slope of log p_t(x | c) + weight (log p_t(x | c) - log p_t(x)).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.scipy.stats import norm

from physgen import InputError
from physgen.densities import (
    Gaussian,
    Guided,
    Prediction,
    Transport,
    Trigonometric,
    drop_context,
)

MEAN, SPREAD = 1.2, 0.5
TIME = 0.6
NOISE, DATA = np.cos(np.pi / 2 * TIME), np.sin(np.pi / 2 * TIME)
VARIANCE = NOISE**2 + DATA**2 * SPREAD**2


def log_given(x, c):
    return jnp.sum(norm.logpdf(x, DATA * c * MEAN, np.sqrt(VARIANCE)))


def log_either(x):
    return jnp.logaddexp(log_given(x, -1), log_given(x, 1)) - jnp.log(2)


class Exact(nnx.Module):
    """What a network learns of both, at TIME, from the slopes of the log-densities."""

    def __init__(self, prediction):
        self.prediction = prediction

    def __call__(self, time, x, context, mask=None):
        c, known = context
        score = jnp.where(known, jax.grad(log_given)(x, c), jax.grad(log_either)(x))
        noise = -NOISE * score
        data = (x - NOISE * noise) / DATA
        match self.prediction:
            case Prediction.VELOCITY:
                return np.pi / 2 * (-DATA * noise + NOISE * data)
            case Prediction.NOISE:
                return noise
            case Prediction.SCORE:
                return score
            case _:
                return data


@pytest.mark.parametrize("prediction", Prediction)
@pytest.mark.parametrize("weight", [-1.0, 0.0, 2.5])
def test_the_guided_score_is_the_closed_form(prediction, weight):
    density = Transport(
        Guided(Exact(prediction), weight),
        Gaussian(),
        (1,),
        (1,),
        interpolant=Trigonometric(),
        prediction=prediction,
    )
    with jax.enable_x64(True):
        for position, c in ((0.3, 1.0), (-1.4, 1.0), (0.2, -1.0)):
            x = jnp.array([position])

            def guided(x, c=c):
                return (1 + weight) * log_given(x, c) - weight * log_either(x)

            found = density.score(jnp.array(TIME), x, jnp.array([c]))
            np.testing.assert_allclose(found, jax.grad(guided)(x), rtol=1e-9)


class Table(nnx.Module):
    """A number for each of the two contexts, and one for none."""

    def __init__(self):
        self.values = nnx.Param(jnp.zeros(3))

    def __call__(self, time, x, context, mask=None):
        c, known = context
        row = jnp.where(known > 0, jnp.where(c > 0, 2, 1), 0)
        return jnp.full_like(x, self.values[...][row])


def test_dropped_contexts_teach_what_is_there_without_one():
    """At the means of the velocity given c, and of all, the loss has no slope in any of the three.

    The velocity x_1 - x_0 has the mean of the data; contexts 1 are three times as frequent.
    """
    n = 20_000
    keys = jax.random.split(jax.random.key(0), (2, n))
    c = jnp.where(jnp.arange(n) % 4 < 3, 1.0, -1.0)
    x1 = MEAN * c + SPREAD * jax.random.normal(jax.random.key(1), (n,))

    def losses(values):
        table = Table()
        table.values[...] = values
        density = Transport(Guided(table), Gaussian(), (1,), (1,))

        def one(key, drop, x, c):
            return density.loss(key, x[None], drop_context(drop, c[None], 0.3))

        return jax.vmap(one)(*keys, x1, c)

    best = MEAN * jnp.array([0.5, -1.0, 1.0])
    slopes = jax.jacfwd(losses)(best)  # (n, 3)
    assert slopes.shape == (n, 3) and (jnp.std(slopes, axis=0) > 0).all()
    assert (jnp.abs(jnp.mean(slopes, axis=0)) < 4 * jnp.std(slopes, axis=0) / np.sqrt(n)).all()
    for shift in 0.3 * jnp.eye(3):
        assert jnp.mean(losses(best + shift)) > jnp.mean(losses(best))


def test_contexts_are_dropped_whole_and_at_the_rate():
    keys = jax.random.split(jax.random.key(2), 4000)
    context = jnp.array([0.2, 0.4])
    dropped = jax.vmap(lambda key: drop_context(key, context, 0.3))(keys)
    missing = np.isnan(dropped)
    assert (missing[:, 0] == missing[:, 1]).all()
    assert abs(missing[:, 0].mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 4000)
    np.testing.assert_array_equal(np.unique(dropped[~missing[:, 0]], axis=0), context[None])
    with pytest.raises(InputError, match="rate between 0 and 1"):
        drop_context(keys[0], context, 1.5)
