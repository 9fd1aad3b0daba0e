from types import SimpleNamespace

import conjugate
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from physgen.errors import InputError
from physgen.inference import JaxSimulator, PythonSimulator, sequential, uniform_prior
from physgen.inference.architectures import AffineFlow
from physgen.inference.mcmc import LikelihoodPosterior, Sampler
from physgen.inference.posterior import Training
from physgen.inference.sequential import SNLE, TSNPE, infer_sequentially
from physgen.inference.store import Simulations
from physgen.inference.tempering import Tempering
from physgen.inference.truncation import truncated_prior
from physgen.nets.residual import MLPEmbedding
from physgen.train import Silent

KEY = jax.random.key(7)
SMALL = AffineFlow(layers=1, width=16)
FEATURES = MLPEmbedding(width=16, depth=0, features=8)
QUICK = Sampler(Tempering(1000, most=50), chains=40, warmup=50, steps=50)


def quiet(status):
    pass


def infer(method, simulator=None, **settings):
    given = {"simulations": 1200, "rounds": 2} | settings
    return infer_sequentially(
        KEY,
        conjugate.PRIOR,
        simulator or JaxSimulator(conjugate.simulator),
        conjugate.OBSERVATION,
        method=method,
        report=Silent(),
        simulation_report=quiet,
        **given,
    )


def test_truncated_rounds_find_the_conjugate_posterior():
    result = infer(TSNPE(SMALL, FEATURES, training=conjugate.short(150)))
    first, second = result.simulations
    assert len(first) == len(second) == 600
    assert (second.parameters.std(axis=0) < 0.8 * first.parameters.std(axis=0)).all()
    mean, covariance = conjugate.posterior()
    distance = scipy.stats.chi2(2).ppf(1 - 1e-4) ** 0.5  # of the region that is kept
    residual = np.linalg.solve(np.linalg.cholesky(covariance), (second.parameters - mean).T)
    assert np.linalg.norm(residual, axis=0).max() < 1.5 * distance
    samples = result.posterior.sample(KEY, 4000, conjugate.OBSERVATION)
    conjugate.assert_posterior(samples, 4000, bias=0.25)


@pytest.fixture
def known(monkeypatch):
    """Rounds whose likelihood need not be learned; what each was given, and which is stopped."""
    rounds = SimpleNamespace(given=[], interrupted_at=None)

    def fit_likelihood(key, prior, simulations, **settings):
        rounds.given.append(simulations)
        interrupted = len(simulations) == rounds.interrupted_at
        return conjugate.Exact(Training(len(simulations), 0, 0, 0.0, 0.0, 0.0, (), interrupted))

    monkeypatch.setattr(sequential, "fit_likelihood", fit_likelihood)
    return rounds


class Unmoved(SNLE):
    """Goes on to simulate under the prior."""

    def proposal(self, key, prior, posterior, x, report):
        return prior


def test_later_rounds_of_likelihood_simulate_at_draws_of_the_posterior(known):
    result = infer(SNLE(sampler=QUICK))
    first, second = result.simulations
    conjugate.assert_posterior(second.parameters, 500)
    assert first.parameters.std(axis=0).min() > 1.5 * second.parameters.std(axis=0).max()
    assert [len(s) for s in known.given] == [600, 1200]
    assert isinstance(result.posterior, LikelihoodPosterior) and result.posterior.sampler == QUICK


def test_every_round_learns_from_all_simulations_and_keeps_them(known, tmp_path):
    settings = {"simulations": 301, "rounds": 3, "store": tmp_path / "rounds"}
    result = infer(Unmoved(), **settings)
    assert [len(s) for s in known.given] == [100, 200, 301]
    stored = [Simulations.load(tmp_path / "rounds" / f"round-{i}.h5") for i in (1, 2, 3)]
    for made, kept in zip(result.simulations, stored, strict=True):
        np.testing.assert_array_equal(made.observations, kept.observations)
    assert not np.isin(stored[1].parameters, stored[0].parameters).any()
    with pytest.raises(InputError, match="exists already"):
        infer(Unmoved(), **settings)
    again = infer(Unmoved(), resume=True, **settings)
    np.testing.assert_array_equal(again.simulations[2].parameters, stored[2].parameters)


def test_ctrl_c_returns_the_last_finished_round(known):
    calls = []

    def interrupted(theta):
        calls.append(theta)
        if len(calls) == limit:
            raise KeyboardInterrupt
        return theta[[0, 1, 1]]

    limit = 250
    result = infer(Unmoved(), PythonSimulator(interrupted), simulations=300, rounds=3)
    assert [len(s) for s in result.simulations] == [100, 100]
    calls.clear()
    limit = 50
    with pytest.raises(KeyboardInterrupt, match="before the first round"):
        infer(Unmoved(), PythonSimulator(interrupted), simulations=300, rounds=3)


def test_rounds_may_have_missing_entries(known):
    def gaps(theta):
        return np.array([theta[0], theta[1], theta[1] if theta[0] > 0 else np.nan])

    embedding = MLPEmbedding(width=16, depth=0, features=8, missing=True)
    method = TSNPE(SMALL, embedding, training=conjugate.short(5))
    made = infer(method, PythonSimulator(gaps), simulations=100, rounds=1).simulations[0]
    assert made.missing and made.failed == 0 and np.isnan(made.observations[:, 2]).any()
    made = infer(Unmoved(), PythonSimulator(gaps), simulations=100, rounds=1).simulations[0]
    assert made.failed > 0 and not np.isnan(made.observations).any()


def test_a_training_that_was_stopped_does_not_count(known):
    known.interrupted_at = 200
    result = infer(Unmoved(), simulations=300, rounds=3)
    assert [len(s) for s in result.simulations] == [100]


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="50 simulations a round"):
        infer(Unmoved(), simulations=100, rounds=3)
    with pytest.raises(InputError, match="expected an observation of shape"):
        infer(Unmoved(), PythonSimulator(lambda theta: theta), simulations=100, rounds=2)


class Believes:
    """A normal posterior around 1, whatever is observed."""

    def __init__(self, scale):
        self.scale = scale

    def sample(self, key, n, x):
        return 1 + self.scale * jax.random.normal(key, (n, 1))

    def log_prob(self, theta, x):
        return jax.scipy.stats.norm.logpdf(theta[..., 0], 1.0, self.scale)

    def _log_prob(self, theta, x):
        return self.log_prob(theta, x)


@pytest.mark.parametrize("scale", [0.3, 0.003])  # by rejection; by resampling
def test_the_truncated_prior_is_the_prior_inside_the_region(scale):
    prior = uniform_prior([-10.0], [10.0])
    epsilon = 1e-2
    reach = scipy.stats.norm.isf(epsilon / 2) * scale
    truncated, share = truncated_prior(KEY, prior, Believes(scale), np.zeros(1), epsilon)
    assert share == pytest.approx(reach / 10, abs=4 * np.sqrt(reach / 10 / 10_000))
    theta = np.asarray(truncated.sample(KEY, 1000))[:, 0]
    assert np.abs(theta - 1).max() < 1.1 * reach
    uniform = scipy.stats.uniform(1 - reach, 2 * reach)
    assert scipy.stats.kstest(theta, uniform.cdf).statistic < 1.95 / np.sqrt(1000) + 0.02
    outside = jnp.array([1 + 1.2 * reach])
    assert truncated.log_prob(outside) == -np.inf
    assert np.isfinite(truncated.log_prob(jnp.array([1 + 0.8 * reach])))
