import conjugate
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physgen
from physgen.errors import InputError
from physgen.inference.ratio import Ratio, contrastive_loss, fit_ratio
from physgen.nets.residual import MLPEmbedding
from physgen.train import Silent

KEY = jax.random.key(6)


@pytest.fixture(scope="module")
def ratio():
    return fit_ratio(
        KEY,
        conjugate.PRIOR,
        conjugate.simulations(3000),
        embedding=MLPEmbedding(width=16, depth=0, features=8),
        width=32,
        depth=1,
        training=conjugate.short(800),
        report=Silent(),
    )


def exact_log_ratio(theta, x):
    given = jax.vmap(conjugate.log_likelihood)(jnp.asarray(theta), jnp.asarray(x))
    return np.asarray(given) - conjugate.evidence().logpdf(x)


def test_the_ratio_is_the_exact_one_where_pairs_are(ratio):
    theta, x = conjugate.simulations(1000, seed=1)
    error = np.asarray(ratio.log_ratio(theta, x)) - exact_log_ratio(theta, x)
    assert abs(error.mean()) < 0.1
    assert error.std() < 0.3


def test_times_the_prior_it_is_the_conjugate_posterior(ratio):
    mean, covariance = conjugate.posterior()
    deviation = np.sqrt(np.diag(covariance))
    steps = np.linspace(-6, 6, 81)
    grid = (mean + deviation * np.stack(np.meshgrid(steps, steps), axis=-1)).reshape(-1, 2)
    found = np.asarray(ratio.log_ratio(grid, conjugate.OBSERVATION), np.float64)
    weights = np.exp(found + np.asarray(conjugate.PRIOR.log_prob(grid)))
    area = deviation.prod() * (steps[1] - steps[0]) ** 2
    assert weights.sum() * area == pytest.approx(1, abs=0.2)  # NRE-C normalises itself
    weights /= weights.sum()
    centre = weights @ grid
    np.testing.assert_allclose((centre - mean) / deviation, 0, atol=0.2)
    spread = (weights[:, None] * (grid - centre)).T @ (grid - centre)
    np.testing.assert_allclose(np.sqrt(np.diag(spread)) / deviation, 1, atol=0.15)


def test_shapes_broadcast(ratio):
    theta, x = conjugate.simulations(4)
    each = ratio.log_ratio(theta, x)
    crossed = ratio.log_ratio(theta[:, None], x)
    assert crossed.shape == (4, 4)
    np.testing.assert_allclose(jnp.diag(crossed), each, rtol=1e-4, atol=1e-5)
    assert ratio.log_ratio(theta[0], x[0]).shape == ()
    with pytest.raises(InputError, match="that broadcast"):
        ratio.log_ratio(theta, x[:3])
    with pytest.raises(InputError, match="expected theta of shape"):
        ratio.log_ratio(theta[:, :1], x)


def test_saved_and_loaded_it_is_the_same_to_the_bit(ratio, tmp_path):
    ratio.save(tmp_path / "ratio.h5")
    loaded = physgen.load(tmp_path / "ratio.h5")
    theta, x = conjugate.simulations(20)
    np.testing.assert_array_equal(loaded.log_ratio(theta, x), ratio.log_ratio(theta, x))
    assert loaded.training == ratio.training
    with pytest.raises(InputError, match="expected a ratio"):
        Ratio.load(tmp_path / "ratio.h5", network=object())


def test_the_loss_is_least_at_the_ratio_itself():
    theta, x = (jnp.asarray(a) for a in conjugate.simulations(2000, seed=2))
    exact = jnp.asarray([conjugate.evidence().logpdf(np.asarray(x))], jnp.float32)[0]

    def loss(scale, offset):
        def log_ratios(i, chosen):
            given = jax.vmap(lambda t: conjugate.log_likelihood(t, x[i]))(theta[chosen])
            return scale * (given - exact[i]) + offset

        return contrastive_loss(log_ratios, len(theta), 5)

    best = jax.jit(loss)(1.0, 0.0)
    for scale, offset in ((0.8, 0.0), (1.25, 0.0), (1.0, 0.5), (1.0, -0.5)):
        assert jax.jit(loss)(scale, offset) > best


def test_a_line_says_what_it_is(ratio):
    assert repr(ratio).startswith("<Ratio of ") and "3000 simulations>" in repr(ratio)
