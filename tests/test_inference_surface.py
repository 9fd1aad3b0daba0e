"""Posteriors on a grid against closed forms."""

import jax
import numpy as np
import pytest
from scipy import stats

from physgen import InputError
from physgen.inference.consistency import consistency
from physgen.inference.power import coverage
from physgen.inference.priors import normal_prior, uniform_prior
from physgen.inference.results import PosteriorSamples
from physgen.inference.surface import GridPosterior


def normal(mean, covariance, noise=0.0, k=4):
    """k estimates of a normal log-density, each off by its own smooth function of theta."""
    rng = np.random.default_rng(0)
    slopes = noise * rng.normal(size=(k, len(mean)))
    slopes -= slopes.mean(axis=0)

    def estimates(theta):
        exact = stats.multivariate_normal(mean, covariance).logpdf(theta)
        return np.atleast_1d(exact)[:, None] + theta @ slopes.T

    return estimates


CASES = {
    1: ([0.3], [[0.2**2]]),
    2: ([0.3, -0.2], [[0.04, 0.02], [0.02, 0.03]]),
    3: ([0.1, -0.2, 0.2], np.diag([0.03, 0.04, 0.02])),
}


@pytest.mark.parametrize("d", CASES)
def test_moments_and_evidence_are_those_of_the_normal(d):
    mean, covariance = CASES[d]
    prior = uniform_prior([-2.0] * d, [2.0] * d)
    posterior = GridPosterior.of(normal(mean, covariance), prior)
    np.testing.assert_allclose(posterior.mean(), mean, atol=2e-3)
    np.testing.assert_allclose(posterior.covariance(), covariance, atol=1e-3)
    assert posterior.log_evidence == pytest.approx(-d * np.log(4), abs=1e-2)
    deviation = np.sqrt(np.diag(covariance))
    expected = [np.array(mean) + z * deviation for z in stats.norm.ppf([0.16, 0.84])]
    np.testing.assert_allclose(posterior.interval(), expected, atol=0.03 * deviation.max())
    np.testing.assert_array_equal(posterior.numerical_error(), np.zeros(d))


def test_a_power_of_the_likelihood():
    mean, covariance = CASES[2]
    prior = uniform_prior([-3.0] * 2, [3.0] * 2)
    posterior = GridPosterior.of(normal(mean, covariance), prior, power=0.25)
    np.testing.assert_allclose(posterior.mean(), mean, atol=2e-3)
    np.testing.assert_allclose(posterior.covariance(), 4 * np.array(covariance), atol=4e-3)
    with pytest.raises(InputError, match="power above zero"):
        GridPosterior.of(normal(mean, covariance), prior, power=0.0)


def test_truths_in_posteriors_that_are_sure_of_themselves():
    """Against closed forms: truths scatter twice as far as the posteriors claim."""
    mean, covariance = CASES[2]
    n = 20
    means = np.random.default_rng(0).multivariate_normal(mean, 4 * np.array(covariance), n)
    prior = uniform_prior([-3.0] * 2, [3.0] * 2)
    found = [GridPosterior.of(normal(m, covariance, k=1), prior) for m in means]
    claimed = coverage(found, np.tile(mean, (n, 1)))
    off = means - mean
    distances = np.einsum("ni,ij,nj->n", off, np.linalg.inv(covariance), off)
    np.testing.assert_allclose(claimed.distances, distances, rtol=0.02)
    assert claimed.power == pytest.approx(2 * np.log(2) / np.median(distances), rel=0.02)
    near = np.abs(off) <= stats.norm.ppf(0.84) * np.sqrt(np.diag(covariance))
    np.testing.assert_array_equal(claimed.inside, near.mean(axis=0))
    assert f"of {n} observations" in claimed.finding()


def test_coverage_needs_enough_truths():
    posterior = GridPosterior.of(normal(*CASES[1]), uniform_prior([-2.0], [2.0]))
    with pytest.raises(InputError, match="at least 20"):
        coverage([posterior] * 3, np.zeros((3, 1)))
    with pytest.raises(InputError, match=r"shape \(20, 1\)"):
        coverage([posterior] * 20, np.zeros(20))


def test_a_narrow_posterior_is_looked_at_again():
    prior = uniform_prior([-50.0], [50.0])
    posterior = GridPosterior.of(normal([3.0], [[0.01]]), prior)
    assert posterior.evaluations > 5 and posterior.high[0] - posterior.low[0] < 5
    assert posterior.mean()[0] == pytest.approx(3.0, abs=1e-3)
    assert posterior.covariance()[0, 0] == pytest.approx(0.01, rel=0.01)
    assert posterior.log_evidence == pytest.approx(-np.log(100), abs=1e-2)


@pytest.mark.parametrize("mean", [(0.06, -0.01), (0.5, -0.25), (2.0, 0.95)])
def test_a_narrow_posterior_between_nodes_is_looked_at_again(mean):
    """Two nodes of each side have weight, and the corners lie thousands of nats deeper."""
    _, covariance = CASES[2]
    posterior = GridPosterior.of(normal(mean, covariance), uniform_prior([-9.0] * 2, [9.0] * 2))
    np.testing.assert_allclose(posterior.mean(), mean, atol=2e-3)
    np.testing.assert_allclose(posterior.covariance(), covariance, atol=1e-3)


@pytest.mark.parametrize("width", [0.03, 0.1])
@pytest.mark.parametrize("middle", [(0.2, 0.7), (0.35, 0.85), (0.3, 0.95)])
def test_a_ridge_across_the_prior(middle, width):
    """sigma_8 Omega_m^0.5 is known best, as from clusters, and the few are exponentially few."""

    def log_likelihood(theta):
        ratio = np.log(theta / np.array(middle))
        along, across = ratio[:, 0], ratio @ [0.5, 1.0]
        counts = np.exp(-6 * across)
        return -0.5 * (across / width) ** 2 - 0.5 * (along / 0.3) ** 2 - 5 * (counts - 1)

    prior = uniform_prior([0.1, 0.6], [0.5, 1.0])
    posterior = GridPosterior.of(lambda theta: log_likelihood(theta)[:, None], prior)
    cells = (np.arange(800) + 0.5) / 800 * 0.4
    grid = np.stack(np.meshgrid(0.1 + cells, 0.6 + cells, indexing="ij"), -1).reshape(-1, 2)
    weights = np.exp(log_likelihood(grid))
    mean = weights @ grid / weights.sum()
    deviation = np.sqrt(weights @ (grid - mean) ** 2 / weights.sum())
    np.testing.assert_allclose((posterior.mean() - mean) / deviation, 0, atol=0.25)
    np.testing.assert_allclose(np.diag(posterior.covariance()) ** 0.5 / deviation, 1, atol=0.15)
    assert posterior.evaluations <= 100


def test_corners_where_the_likelihood_breaks_down_do_not_matter():
    """Steep, quartic, and NaN far away, as that of a flow outside of its training."""

    def estimates(theta):
        x, y = theta.T
        value = -((x - 0.5) ** 2) / 0.02 - ((y + 0.3 * x) ** 2) / 0.02 - 5 * x**4 - 5 * y**4
        return np.where(value < -300, np.nan, value)[:, None]

    posterior = GridPosterior.of(estimates, uniform_prior([-2, -2], [2, 2]))
    axis = np.linspace(-2, 2, 1601)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    weights = np.exp(np.nan_to_num(estimates(grid)[:, 0], nan=-np.inf))
    mean = weights @ grid / weights.sum()
    covariance = np.cov(grid.T, aweights=weights)
    np.testing.assert_allclose(posterior.mean(), mean, atol=2e-3)
    np.testing.assert_allclose(posterior.covariance(), covariance, rtol=0.03, atol=1e-4)


def test_a_prior_that_is_not_uniform_counts():
    """Normal prior cut to a box, normal likelihood: the product of normals."""
    wide = normal_prior([0.0], [1.0])
    box = uniform_prior([-4.0], [4.0])
    box.log_density = wide.log_density
    posterior = GridPosterior.of(normal([1.0], [[1.0]]), box)
    assert posterior.mean()[0] == pytest.approx(0.5, abs=2e-3)
    assert posterior.covariance()[0, 0] == pytest.approx(0.5, rel=0.01)


def test_log_prob_and_draws_are_of_the_same_density():
    mean, covariance = CASES[2]
    posterior = GridPosterior.of(normal(mean, covariance), uniform_prior([-1, -1], [1, 1]))
    draws = posterior.sample(jax.random.key(0), 20_000)
    np.testing.assert_allclose(draws.mean(0), mean, atol=4 * 0.2 / np.sqrt(20_000) + 2e-3)
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=3e-3)
    cell = np.prod(posterior.high - posterior.low) / posterior.log_posterior.size
    assert np.exp(posterior.log_posterior).sum() * cell == pytest.approx(1.0)
    expected = stats.multivariate_normal(mean, covariance).logpdf(draws[:100])
    np.testing.assert_allclose(posterior.log_prob(draws[:100]), expected, atol=0.15)
    assert posterior.log_prob([[3.0, 0.0]])[0] == -np.inf


def test_the_error_from_estimates_is_that_of_their_scatter():
    """A tilt s of the log-likelihood moves the mean of a normal by its covariance times s."""
    mean, covariance = CASES[1]
    k, noise = 6, 0.5
    posterior = GridPosterior.of(normal(mean, covariance, noise, k), uniform_prior([-2.0], [2.0]))
    slopes = noise * np.random.default_rng(0).normal(size=(k, 1))
    expected = covariance[0][0] * slopes.std(ddof=1) / np.sqrt(k)
    assert posterior.numerical_error()[0] == pytest.approx(expected, rel=0.02)
    assert posterior.log_evidence_error > 0


def test_what_a_grid_cannot_do():
    estimates = normal(*CASES[1])
    with pytest.raises(InputError, match="one to 3 parameters for a grid, got 4"):
        GridPosterior.of(estimates, uniform_prior([0.0] * 4, [1.0] * 4))
    with pytest.raises(InputError, match="finite ends"):
        GridPosterior.of(estimates, normal_prior([0.0], [1.0]))
    with pytest.raises(InputError, match="finite in most of the prior"):
        GridPosterior.of(lambda theta: np.full((len(theta), 2), -np.inf), uniform_prior([0], [1]))


def learned(mean, covariance, n=4000):
    rng = np.random.default_rng(1)
    draws = rng.multivariate_normal(mean, covariance, n)
    log_prob = stats.multivariate_normal(mean, covariance).logpdf(draws)
    return PosteriorSamples.from_arrays(draws, log_prob=log_prob)


def test_the_same_posterior_is_consistent():
    posterior = GridPosterior.of(normal(*CASES[2]), uniform_prior([-2, -2], [2, 2]))
    found = consistency(posterior, learned(*CASES[2]))
    assert found.consistent and found.effective_fraction > 0.95
    np.testing.assert_allclose(found.shift, 0, atol=0.1)
    np.testing.assert_allclose(found.width, 1, atol=0.05)
    assert found.finding().startswith("consistent")


def test_weights_turn_one_posterior_into_the_other():
    mean, covariance = CASES[2]
    posterior = GridPosterior.of(normal(mean, covariance), uniform_prior([-2, -2], [2, 2]))
    wide = learned(np.array(mean) + 0.1, 2 * np.array(covariance), 20_000)
    found = consistency(posterior, wide)
    np.testing.assert_allclose(found.shift, 0.1 / np.sqrt(np.diag(covariance)), atol=0.05)
    np.testing.assert_allclose(found.weighted.mean(), mean, atol=0.01)
    assert found.consistent and 0.2 < found.effective_fraction < 0.9


def test_a_posterior_elsewhere_is_inconsistent():
    mean, covariance = CASES[2]
    posterior = GridPosterior.of(normal(mean, covariance), uniform_prior([-2, -2], [2, 2]))
    found = consistency(posterior, learned([0.8, -0.2], covariance))
    assert not found.consistent and found.finding().startswith("INCONSISTENT")
    with pytest.raises(InputError, match="log-densities"):
        consistency(posterior, PosteriorSamples.from_arrays(np.zeros((5, 2))))
