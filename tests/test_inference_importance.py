import conjugate
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from physgen.errors import InputError
from physgen.inference.importance import (
    correct,
    generalised_pareto,
    pareto_smoothed,
    weigh,
)

KEY = jax.random.key(4)


class Normal:
    """A posterior that knows the exact one, and is wider and beside it."""

    def __init__(self, scale=1.0, shift=0.0):
        mean, covariance = conjugate.posterior()
        self.mean = mean + shift * np.sqrt(np.diag(covariance))
        self.factor = scale * np.linalg.cholesky(covariance)

    def sample(self, key, n, observation):
        z = jax.random.normal(key, (n, 2))
        return jnp.asarray(self.mean, z.dtype)[None] + z @ jnp.asarray(self.factor, z.dtype).T

    def log_prob(self, theta, observation):
        normal = scipy.stats.multivariate_normal(self.mean, self.factor @ self.factor.T)
        return normal.logpdf(np.asarray(theta))


def corrected(posterior, n=4000):
    observation = conjugate.OBSERVATION
    return correct(KEY, posterior, conjugate.PRIOR, conjugate.log_likelihood, observation, n)


def test_draws_of_the_exact_posterior_keep_equal_weights():
    draws = corrected(Normal(), n=500)
    assert draws.effective_sample_size == pytest.approx(500, rel=1e-3)
    assert draws.log_evidence == pytest.approx(
        conjugate.evidence().logpdf(conjugate.OBSERVATION), abs=1e-3
    )


def test_the_effective_sample_size_is_that_of_normals():
    scale = 1.5  # n / ESS = mean of squared weights = (scale^2 / sqrt(2 scale^2 - 1))^d
    draws = corrected(Normal(scale))
    share = (np.sqrt(2 * scale**2 - 1) / scale**2) ** 2
    assert draws.effective_sample_size / 4000 == pytest.approx(share, abs=0.03)
    assert draws.pareto_k < 0.5


def test_weights_undo_a_wrong_posterior():
    draws = corrected(Normal(1.5, shift=0.7))
    effective = draws.effective_sample_size
    mean, covariance = conjugate.posterior()
    error = np.abs(draws.mean() - mean) / np.sqrt(np.diag(covariance))
    assert error.max() < 5 / np.sqrt(effective)
    ratio = np.diag(draws.covariance()) / np.diag(covariance)
    assert np.abs(ratio - 1).max() < 10 / np.sqrt(effective)
    conjugate.assert_posterior(draws.resample(KEY, 4000), effective)
    assert draws.log_evidence == pytest.approx(
        conjugate.evidence().logpdf(conjugate.OBSERVATION), abs=5 / np.sqrt(effective)
    )
    assert draws.weights.sum() == pytest.approx(1)


def test_a_posterior_that_misses_the_tails_is_found_out():
    scale = 0.15  # weights of two dimensions have a Pareto tail of shape 1 - scale^2
    with pytest.warns(UserWarning, match="cannot be trusted"):
        draws = corrected(Normal(scale), n=20_000)
    tail = 3 * np.sqrt(20_000)
    assert draws.pareto_k == pytest.approx(1 - scale**2, abs=4 * 2 / np.sqrt(tail))


def test_a_posterior_somewhere_else_is_refused():
    with pytest.raises(InputError, match="finite likelihood"):
        correct(
            KEY, Normal(), conjugate.PRIOR, lambda theta, x: -jnp.inf, conjugate.OBSERVATION, 50
        )


@pytest.mark.parametrize("shape", [0.2, 0.5, 1.0])
def test_the_pareto_shape_is_found(shape):
    draws = scipy.stats.genpareto(shape, scale=2.0).rvs(4000, random_state=1)
    found, scale = generalised_pareto(np.sort(draws))
    assert found == pytest.approx(shape, abs=0.1)  # its standard error is (1 + shape) / sqrt(4000)
    assert scale == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("finite", [1, 3, 12])
def test_weights_that_are_zero_for_most_are_not_trusted(finite):
    raw = np.full(1000, -np.inf)
    raw[:finite] = np.random.default_rng(0).normal(size=finite) * 3
    weighted = weigh(jnp.zeros((1000, 1)), raw)
    assert weighted.pareto_k > 0.7 and weighted.effective_sample_size < finite + 1e-9


def test_equal_weights_have_no_tail():
    for raw in (np.zeros(1000), np.where(np.arange(1000) < 300, 0.0, -np.inf)):
        assert pareto_smoothed(raw)[1] == 0.0


def test_smoothing_keeps_the_bulk_and_tames_the_largest():
    raw = scipy.stats.norm(scale=3).rvs(1000, random_state=2)
    smoothed, shape = pareto_smoothed(raw)
    order = np.argsort(raw)
    tail = int(3 * np.sqrt(1000))
    np.testing.assert_allclose(smoothed[order[:-tail]], raw[order[:-tail]])
    assert (np.diff(smoothed[order[-tail:]]) >= 0).all()
    assert smoothed.max() <= raw.max() and shape > 0.7
    assert pareto_smoothed(raw[:20])[1] == np.inf
