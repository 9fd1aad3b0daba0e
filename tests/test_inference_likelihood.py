from dataclasses import replace
from types import SimpleNamespace

import conjugate
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from flax import nnx

from physgen.densities.bijections import Support
from physgen.errors import InputError
from physgen.inference import mcmc, uniform_prior
from physgen.inference.architectures import AffineFlow
from physgen.inference.likelihood import Likelihood, fit_likelihood
from physgen.inference.mcmc import LikelihoodPosterior, Sampler
from physgen.inference.observation import ObservationFrame, spread, whole_of
from physgen.inference.scaling import KINDS, Scaling
from physgen.inference.tempering import Tempering
from physgen.nets.residual import MLPEmbedding
from physgen.train import Silent

KEY = jax.random.key(5)
SMALL = AffineFlow(layers=1, width=16)
FEATURES = MLPEmbedding(width=16, depth=0, features=8)
QUICK = Sampler(Tempering(1000, most=50), chains=40, warmup=50, steps=50)


def columns(n=4000):
    """One of each kind of scaling, and a count."""
    rng = np.random.default_rng(0)
    normal, other, another, z = rng.normal(size=(4, n))
    parts = [
        10 + 3 * normal,
        np.exp(2 * z + other),
        rng.standard_t(2, size=n) + z,
        np.where(rng.uniform(size=n) < 0.9, z - 20, 1e3 * np.exp(another)),
        rng.poisson(40 + 5 * np.abs(z)),
    ]
    return np.stack(parts, axis=1).astype(np.float32), z[:, None].astype(np.float32)


@pytest.fixture(scope="module")
def scaling():
    x, _ = columns()
    return Scaling.fit(x), x


def test_every_scaling_can_be_undone(scaling):
    scaling, x = scaling
    assert [KINDS[k] for k in scaling.settings.kinds[:4]] == list(KINDS)
    edges = np.stack([x.min(axis=0) - 1, x.max(axis=0) * 1.5])
    edges[0, 1] = x[:, 1].min() / 2  # positive
    both = jnp.asarray(np.concatenate([x[:500], edges]))
    y = jax.jit(jax.vmap(scaling))(both)
    back = jax.jit(jax.vmap(scaling.invert))(y)
    np.testing.assert_allclose(back, both, rtol=1e-4, atol=1e-3 * x.std(axis=0).min())


def test_scaling_keeps_light_tails_straight_and_takes_logarithms_of_decades():
    rng = np.random.default_rng(0)
    extinct = np.where(rng.uniform(size=4000) < 0.05, 1e-9, 1.0)
    x = np.stack([rng.uniform(-10, 10, 4000), np.exp(rng.normal(0, 3, 4000)) * extinct], axis=1)
    scaling = Scaling.fit(x.astype(np.float32))
    assert [KINDS[k] for k in scaling.settings.kinds] == ["linear", "log"]
    points = jnp.stack([jnp.linspace(-10, 10, 5), jnp.ones(5)], axis=1)
    line = jax.jit(jax.vmap(scaling))(points)
    np.testing.assert_allclose(np.diff(line[:, 0], 2), 0, atol=1e-5)


def test_slopes_of_the_scaling_are_those_of_its_jacobian(scaling):
    scaling, x = scaling
    some = jnp.asarray(x[:50])
    jacobians = jax.jit(jax.vmap(jax.jacobian(scaling)))(some)
    slopes = jax.jit(jax.vmap(scaling.log_slopes))(some)
    np.testing.assert_allclose(
        slopes, jnp.log(jnp.einsum("nii->ni", jacobians)), rtol=1e-4, atol=1e-4
    )


def test_the_frame_of_observations_knows_its_jacobian_and_its_inverse():
    x, z = columns()
    whole = whole_of(x)
    assert whole == (False, False, False, False, True)
    x = spread(x, whole, np.random.default_rng(1))
    assert (np.round(x[:, 4]) == columns()[0][:, 4]).all() and np.ptp(x[:, 4] % 1) > 0.9
    frame = ObservationFrame.fit(x, z, whole)

    @jax.jit
    @jax.vmap
    def look(x, z):
        prediction = frame.predict(z)
        latent, log_det = frame.to_latent(x, prediction)
        jacobian = jax.jacobian(lambda x: frame.to_latent(x, prediction)[0])(x)
        return latent, log_det, jacobian, frame.to_observation(latent, prediction)

    latent, log_det, jacobian, back = look(jnp.asarray(x[:200]), jnp.asarray(z[:200]))
    _, expected = np.linalg.slogdet(np.asarray(jacobian, np.float64))
    np.testing.assert_allclose(log_det, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(back[:, :4], x[:200, :4], rtol=1e-3, atol=1e-2)
    np.testing.assert_array_equal(back[:, 4], np.round(x[:200, 4]))
    assert np.abs(latent.mean(axis=0)).max() < 0.5 and np.abs(latent.std(axis=0) - 1).max() < 0.5


@pytest.fixture(scope="module")
def likelihood():
    return fit_likelihood(
        KEY,
        conjugate.PRIOR,
        conjugate.simulations(2000),
        density=SMALL,
        embedding=FEATURES,
        training=conjugate.short(200),
        report=Silent(),
    )


def test_the_likelihood_is_that_of_the_simulator(likelihood):
    theta, x = conjugate.simulations(500, seed=1)
    exact = jax.vmap(conjugate.log_likelihood)(jnp.asarray(theta), jnp.asarray(x))
    found = likelihood.log_prob(x, theta)
    assert abs(float(jnp.mean(found - exact))) < 0.05
    assert float(jnp.std(found - exact)) < 0.25
    assert likelihood.training.validation_loss == pytest.approx(-float(exact.mean()), abs=0.3)


def test_it_emulates_the_simulator(likelihood):
    theta = np.array([1.0, -2.0], np.float32)
    x = np.asarray(likelihood.sample(KEY, 4000, theta))
    expected = conjugate.MATRIX @ theta
    np.testing.assert_allclose(x.mean(axis=0), expected, atol=0.1)
    np.testing.assert_allclose(x.std(axis=0), conjugate.NOISE, rtol=0.1)


def test_saved_and_loaded_it_is_the_same_to_the_bit(likelihood, tmp_path):
    likelihood.save(tmp_path / "likelihood.h5")
    loaded = Likelihood.load(tmp_path / "likelihood.h5")
    theta, x = conjugate.simulations(20)
    np.testing.assert_array_equal(loaded.log_prob(x, theta), likelihood.log_prob(x, theta))
    np.testing.assert_array_equal(loaded.sample(KEY, 20, theta), likelihood.sample(KEY, 20, theta))
    assert loaded.training == likelihood.training and "AffineFlow" in repr(loaded)


def test_an_ensemble_is_the_mean_of_its_members(likelihood):
    other, pair = nnx.clone(likelihood), nnx.clone(likelihood)
    graph, state = nnx.split(likelihood.members)
    moved = jax.tree.map(lambda leaf: leaf + 0.1, state)
    other.members = nnx.merge(graph, moved)
    pair.members = nnx.merge(graph, jax.tree.map(lambda *a: jnp.concatenate(a), state, moved))
    pair.settings = replace(likelihood.settings, members=2)
    theta, x = conjugate.simulations(10)
    expected = np.logaddexp(likelihood.log_prob(x, theta), other.log_prob(x, theta)) - np.log(2)
    np.testing.assert_allclose(pair.log_prob(x, theta), expected, rtol=1e-4)


def test_its_posterior_is_the_conjugate_one(likelihood):
    posterior = LikelihoodPosterior(likelihood, conjugate.PRIOR, QUICK)
    draws = posterior.draw(KEY, 2000, conjugate.OBSERVATION)
    assert draws.r_hat.max() < 1.05
    effective = min(draws.effective_sample_size.min(), 2000)
    assert effective > 500
    conjugate.assert_posterior(draws.samples, effective, bias=0.15)
    assert posterior.names == ("a", "b") and posterior.context_shape == (3,)


def test_discrete_observations_have_their_probabilities():
    prior = uniform_prior([-1.5], [1.5])
    theta = np.asarray(prior.sample(KEY, 3000))
    rng = np.random.default_rng(0)
    chance = 1 / (1 + np.exp(-theta * np.array([2.0, -1.0])))
    x = (rng.uniform(size=chance.shape) < chance).astype(np.float32) * np.array([1, 3])
    likelihood = fit_likelihood(
        KEY,
        prior,
        (theta, x),
        density=SMALL,
        embedding=FEATURES,
        training=conjugate.short(250),
        report=Silent(),
    )
    at = np.linspace(-1.2, 1.2, 5)
    states = np.array([[0, 0], [0, 3], [1, 0], [1, 3]], np.float32)
    found = np.exp([likelihood.log_prob(states, [t]) for t in at])
    one, other = (1 / (1 + np.exp(-at * slope)) for slope in (2.0, -1.0))
    exact = np.stack(
        [(1 - one) * (1 - other), (1 - one) * other, one * (1 - other), one * other], 1
    )
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-4)
    assert np.abs(found - exact).max() < 0.06
    drawn = np.asarray(likelihood.sample(KEY, 2000, [1.0]))
    assert set(np.unique(drawn[:, 1])) == {0.0, 3.0}
    assert float(likelihood.log_prob(np.array([0.5, 0.0]), [1.0])) == -np.inf
    with pytest.raises(InputError, match="that the simulator can make"):
        LikelihoodPosterior(likelihood, prior).sample(KEY, 10, [0.5, 0.0])


class TwoModes(nnx.Module):
    """theta^2 seen through noise: two modes far apart, of equal weight."""

    def __init__(self):
        self.x_shape = (1,)

    def log_likelihood(self, theta, x):
        return jax.scipy.stats.norm.logpdf(theta[0] ** 2 - x[0], scale=0.05)


MODES = LikelihoodPosterior(TwoModes(), uniform_prior([-2.0], [2.0]), replace(QUICK, steps=100))


def test_both_modes_are_found_and_left_again():
    draws = MODES.draw(KEY, 2000, np.ones(1))
    assert draws.r_hat[0] < 1.05
    error = 5 * 0.5 / np.sqrt(draws.effective_sample_size[0])
    assert abs(float(jnp.mean(draws.samples > 0)) - 0.5) < error < 0.2
    positive = np.abs(np.asarray(draws.samples)[:, 0])
    grid = np.linspace(0.5, 1.5, 4001)
    density = np.exp(scipy.stats.norm.logpdf(grid**2 - 1, scale=0.05))
    cumulative = np.cumsum(density) / density.sum()
    assert np.abs(
        np.interp(np.quantile(positive, [0.1, 0.5, 0.9]), grid, cumulative) - [0.1, 0.5, 0.9]
    ).max() < 5 * 0.5 / np.sqrt(500)


def test_chains_that_disagree_are_told_of(monkeypatch):
    monkeypatch.setattr(mcmc, "CONVERGED", 0.1)
    with pytest.warns(UserWarning, match="disagree about theta_1"):
        MODES.sample(KEY, 10, np.ones(1))


def test_bad_input_is_refused():
    theta, x = conjugate.simulations(60)
    with pytest.raises(InputError, match="for a likelihood"):
        fit_likelihood(KEY, conjugate.PRIOR, (theta, x[:, None]))
    with pytest.raises(InputError, match="got 7 for entry 1"):
        fit_likelihood(KEY, conjugate.PRIOR, (theta, np.where([True, False, True], x, 7)))
    simulated = SimpleNamespace(
        x_shape=(1,), log_likelihood=lambda theta, x: 0.0, support=Support((0.0, 0.0), (1.0, 1.0))
    )
    LikelihoodPosterior(simulated, uniform_prior([0.2, 0.0], [0.5, 1.0]))
    with pytest.raises(InputError, match="a prior of theta_1 within 0 to 1, .* got 0 to 5"):
        LikelihoodPosterior(simulated, uniform_prior([0.0, 0.0], [5.0, 1.0]))
    with pytest.raises(InputError, match="one observation of shape"):
        LikelihoodPosterior(conjugate.Exact(), conjugate.PRIOR).draw(KEY, 5, x)
