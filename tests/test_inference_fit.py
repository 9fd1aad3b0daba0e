"""From simulations to a posterior: closed forms, files, ensembles, and what is refused."""

import copy
from argparse import Namespace
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.scipy.special import logsumexp
from scipy.stats import norm

import physgen
from physgen.cli.posteriors import words_of
from physgen.densities.truncation import normalise
from physgen.errors import InputError
from physgen.inference import Simulations, normal_prior, simulate, uniform_prior
from physgen.inference.architectures import AffineFlow, FlowMatching, SplineFlow
from physgen.inference.checks import require_usable
from physgen.inference.fit import fit_posterior
from physgen.inference.frame import Frame
from physgen.inference.misspecification import UnlikeSimulations
from physgen.inference.posterior import Posterior, PosteriorSettings
from physgen.inference.scaling import Scaling
from physgen.inference.training import PosteriorTraining, schedule_for
from physgen.nets.clouds import CloudEmbedding
from physgen.nets.residual import MLPEmbedding
from physgen.nets.sets import DeepSetsEmbedding
from physgen.train import FitSettings, Silent

KEY = jax.random.key(0)
SMALL = MLPEmbedding(width=16, depth=1, features=8)
AFFINE = AffineFlow(layers=2, width=8)
BOX = uniform_prior([-1.0, 0.0], [1.0, 3.0], names=("a", "b"), units=("km", ""))


def quick(steps, batch_size=64):
    """So many steps, and the last state, not the best."""
    return PosteriorTraining(
        schedule=FitSettings(batch_size=batch_size, steps=steps, steps_per_dispatch=20)
    )


def learn(prior, simulations, steps=20, **more):
    arguments = {"density": AFFINE, "embedding": SMALL, "training": quick(steps)} | more
    return fit_posterior(KEY, prior, simulations, report=Silent(), **arguments)


def bent(n=400, seed=0):
    """Parameters in BOX and a nonlinear observation with one constant entry."""
    rng = np.random.default_rng(seed)
    theta = rng.uniform(BOX.low, BOX.high, (n, 2)).astype(np.float32)
    x = np.stack([theta[:, 0] * theta[:, 1], theta[:, 1] ** 2, np.full(n, 7.0)], axis=1)
    x[:, :2] += rng.normal(0, 0.5, (n, 2))
    return theta, x.astype(np.float32)


@pytest.fixture(scope="module")
def boxed():
    """A spline flow with a few steps of training in a box."""
    return learn(BOX, bent(), steps=100, density=SplineFlow(layers=1, bins=4, width=16))


def test_three_lines_for_a_linear_gaussian_simulator():
    """Bishop 2006, eq. 2.116: the posterior covariance is (I + A^T A / s^2)^-1."""
    matrix, noise = jnp.array([[1.0, 0.5], [0.0, 1.0], [0.3, -0.4]]), 0.5
    observation = jnp.array([0.4, -0.2, 0.1])

    def simulator(key, theta):
        return matrix @ theta + noise * jax.random.normal(key, (3,))

    prior = normal_prior([0.0, 0.0], [1.0, 1.0])
    simulations = simulate(KEY, prior, simulator, 4000, report=lambda status: None)
    posterior = learn(prior, simulations, steps=60)
    samples = np.asarray(posterior.sample(KEY, 8000, observation), np.float64)

    covariance = np.linalg.inv(np.eye(2) + np.asarray(matrix.T @ matrix) / noise**2)
    mean = covariance @ np.asarray(matrix.T @ observation) / noise**2
    error = (samples.mean(axis=0) - mean) / np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(error, 0, atol=0.15)
    whitened = np.linalg.solve(np.linalg.cholesky(covariance), (samples - mean).T)
    np.testing.assert_allclose(whitened @ whitened.T / len(samples), np.eye(2), atol=0.2)


def test_density_integrates_to_one_in_the_box_and_vanishes_outside(boxed):
    """Trapezoids on a grid that is denser towards the edges: theta = low + width Phi(s)."""
    x, s = bent()[1][0], np.linspace(-5, 5, 401)
    nodes = BOX.low + (BOX.high - BOX.low) * norm.cdf(s)[:, None]
    weight = norm.pdf(s)[:, None] * norm.pdf(s) * np.prod(BOX.high - BOX.low)
    grid = np.stack(np.meshgrid(*nodes.T, indexing="ij"), axis=-1)
    density = np.exp(np.asarray(boxed.log_prob(grid, x), np.float64)) * weight
    assert np.trapezoid(np.trapezoid(density, s), s) == pytest.approx(1, abs=1e-3)

    outside = np.array([[1.001, 1.0], [0.0, -0.001], [-1e6, 1e6], [0.0, 3.01]])
    assert (np.asarray(boxed.log_prob(outside, x)) == -np.inf).all()


def test_a_run_that_stops_early_remembers_its_best_step():
    schedule = FitSettings(
        batch_size=64, steps=2000, steps_per_dispatch=20, validate_every=20, patience=1
    )
    quickly = learn(BOX, bent(100), training=PosteriorTraining(schedule=schedule)).training
    assert quickly.best_step is not None and quickly.steps == quickly.best_step + 20 < 2000
    options = Namespace(out="p.h5", force=False)
    words = words_of(options, SimpleNamespace(training=quickly), "p.png")
    assert f"{quickly.steps} steps (stopped early: best at step {quickly.best_step}) in" in words
    assert f"held-out -log p {quickly.validation_loss:.4g} nats -> p.h5, p.png" in words
    late = SimpleNamespace(training=replace(quickly, best_step=None))
    assert "early" not in words_of(options, late)


def test_of_several_densities_the_best_on_held_out_simulations_is_kept(tmp_path):
    stiff, flexible = AffineFlow(layers=1, width=1), AffineFlow(layers=2, width=32)
    posterior = learn(
        BOX, bent(2000), steps=200, density=[flexible, stiff], checkpoint=tmp_path / "run.h5"
    )
    (first, its_loss), (second, worse) = posterior.training.tried
    assert (first, second) == (repr(flexible), repr(stiff)) and its_loss < worse
    assert posterior.settings.density == flexible
    assert posterior.training.validation_loss == its_loss
    assert {path.name for path in tmp_path.iterdir()} == {"run.h5", "run.h5-2"}
    posterior.save(tmp_path / "posterior.h5")
    assert Posterior.load(tmp_path / "posterior.h5").training == posterior.training
    with pytest.raises(InputError, match="a density to learn"):
        learn(BOX, bent(), density=[])


def test_the_upper_end_of_a_box_is_as_far_out_as_the_number_below_it():
    mean, deviation = jnp.array([0.4]), jnp.array([0.3])
    end, below = (
        normalise(jnp.array([u]), mean, deviation)
        for u in (1.0, np.nextafter(np.float32(1), np.float32(0)))
    )
    assert end == below and 4 < float(end[0][0]) < 7


def test_networks_see_where_the_regression_is_in_coordinates_of_the_box():
    """Of a parameter that the observation knows well; of the other they see nothing."""
    theta, _ = bent()
    noise = np.random.default_rng(1).normal(0, [0.1, 5.0], (len(theta), 2))
    x = (theta + noise).astype(np.float32)
    frame = Frame.fit(BOX.support, theta, x)
    for observation in x[:20]:
        prediction = frame.predict(jnp.asarray(observation))
        mean = BOX.low + (BOX.high - BOX.low) * np.clip(prediction.mean, 1e-6, 1 - 1e-6)
        latent, _ = frame.to_latent(jnp.asarray(mean, jnp.float32), prediction)
        expected = np.clip((frame.factor @ latent)[0], -4, 4)
        np.testing.assert_allclose(prediction.seen[-2:], [expected, 0], atol=2e-3)


def test_samples_are_where_the_density_is(boxed):
    """The entropy from samples against that from importance weights of a uniform proposal."""
    x = bent()[1][0]
    own = np.asarray(boxed.log_prob(boxed.sample(KEY, 4000, x), x), np.float64)
    proposed = np.asarray(boxed.log_prob(BOX.sample(jax.random.key(1), 40_000), x), np.float64)
    weights = np.exp(proposed)
    expected = np.sum(weights * proposed) / np.sum(weights)
    error = own.std() * np.sqrt(1 / 4000 + 1 / 5000)
    assert own.mean() == pytest.approx(expected, abs=6 * error)


def test_saved_and_loaded_it_samples_the_same_bits(boxed, tmp_path, caplog):
    boxed.save(tmp_path / "posterior.h5")
    loaded = physgen.load(tmp_path / "posterior.h5")
    x = bent()[1][:3]
    theta = bent()[0][:3]

    def numbers(posterior):
        return (
            posterior.sample(KEY, 100, x[0]),
            posterior.sample_each(KEY, 9, x),
            posterior.log_prob(theta, x),
        )

    expected = numbers(boxed)
    other = copy.copy(loaded)
    other.training = replace(loaded.training, simulations=0)
    with jax.log_compiles():
        for ours, theirs in zip(numbers(other), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert not caplog.records  # what was compiled for one serves all of its structure
    for ours, theirs in zip(loaded.held_out, boxed.held_out, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert loaded.names == ("a", "b") and loaded.units == ("km", "")
    assert loaded.training == boxed.training and loaded.settings == boxed.settings


@pytest.mark.filterwarnings("ignore::physgen.inference.misspecification.UnlikeSimulations")
def test_observations_far_out_leave_values_and_gradients_finite(boxed):
    value_and_gradients = jax.jit(jax.value_and_grad(boxed._log_prob, argnums=(0, 1)))
    for size in (1e6, -1e6):
        for theta in ([0.1, 1.0], [-1.0, 3.0], [0.999999, 1e-6]):
            value, gradients = value_and_gradients(jnp.array(theta), jnp.full(3, size))
            assert np.isfinite(value)
            assert all(np.isfinite(gradient).all() for gradient in gradients)
        value, gradients = value_and_gradients(jnp.full(2, size), jnp.full(3, size))
        assert value == -jnp.inf
        assert all(np.isfinite(gradient).all() for gradient in gradients)
        drawn = np.asarray(boxed.sample(KEY, 50, jnp.full(3, size)))
        assert (drawn >= BOX.low).all() and (drawn <= BOX.high).all()


@pytest.mark.parametrize(
    "density",
    [
        AffineFlow(layers=2, width=8, coupling=True),
        SplineFlow(layers=2, bins=4, width=8, coupling=True),
        FlowMatching(width=16, depth=1, evaluations=4),
    ],
)
def test_every_architecture_trains_and_stays_in_the_box(density):
    theta, x = bent(120)
    posterior = learn(BOX, (theta, x), density=density)
    drawn = np.asarray(posterior.sample_each(KEY, 200, x[:5]))
    assert (drawn >= BOX.low).all() and (drawn <= BOX.high).all()
    assert np.isfinite(posterior.training.validation_loss) and posterior.training.steps == 20
    assert np.isfinite(np.asarray(posterior.log_prob(theta[:4], x[:4]))).all()


def test_an_ensemble_is_the_mixture_of_its_members():
    theta, x = bent(120)
    posterior = learn(BOX, (theta, x), members=3)
    prediction = posterior.frame.predict(jnp.asarray(x[0]))
    latent, log_det = posterior.frame.to_latent(jnp.asarray(theta[0]), prediction)
    graph, states = nnx.split(posterior.members)
    each = [
        nnx.merge(graph, jax.tree.map(lambda leaf, i=i: leaf[i], states))._log_prob(
            latent, prediction.seen
        )
        for i in range(3)
    ]
    assert len({float(value) for value in each}) == 3
    mixture = logsumexp(jnp.stack(each)) - jnp.log(3.0) + log_det
    np.testing.assert_allclose(posterior.log_prob(theta[0], x[0]), mixture, rtol=1e-5)
    assert posterior.sample(KEY, 100, x[0]).shape == (100, 2)
    for n in (2, 7):
        one_each = posterior.sample(KEY, n, np.repeat(x[:1], n, axis=0))
        np.testing.assert_allclose(one_each, posterior.sample(KEY, n, x[0]), rtol=1e-4)
    assert posterior.features(x[:5]).shape == (5, 3 * 8)


def test_several_galaxy_maps_are_sampled_together():
    """XLA crashes where each member of an ensemble has its own copy of such clouds."""
    maps = np.random.default_rng(0).uniform(0, 10, (2, 128, 6)).astype(np.float32)
    settings = PosteriorSettings(
        names=BOX.names,
        units=BOX.units,
        low=tuple(BOX.low.tolist()),
        high=tuple(BOX.high.tolist()),
        x_shape=maps.shape[1:],
        scaling=Scaling.fit(maps, raw=True).settings,
        density=AffineFlow(layers=1, width=8),
        embedding=CloudEmbedding(10.0, vectors=1),
    )
    posterior = Posterior(settings, rngs=nnx.Rngs(0))
    assert posterior.sample_each(KEY, 8, maps).shape == (2, 8, 2)
    assert posterior.sample(KEY, 2, maps).shape == (2, 2)


def test_the_prior_of_the_simulations_is_used_where_none_is_given():
    theta, x = bent(120)
    simulations = Simulations.from_arrays(
        theta, x, names=BOX.names, units=BOX.units, low=BOX.low, high=BOX.high
    )
    posterior = learn(None, simulations)
    assert posterior.names == BOX.names and posterior.units == BOX.units
    np.testing.assert_array_equal([posterior.low, posterior.high], [BOX.low, BOX.high])
    unbounded = require_usable(None, (theta, x))
    assert np.isinf(unbounded.low).all() and unbounded.parameter_names == ("theta_1", "theta_2")


@pytest.mark.parametrize(
    ("embedding", "shape"),
    [
        (MLPEmbedding(width=16, depth=1, features=8, missing=True), (3,)),
        (DeepSetsEmbedding(width=16, features=8), (4, 3)),
    ],
)
def test_missing_entries_are_allowed_by_embeddings_that_know_them(embedding, shape):
    theta, x = bent(120)
    x = np.tile(x[:, None], (1, shape[0], 1)) if len(shape) == 2 else x
    x[(slice(None, None, 4), *(0,) * (len(shape) - 1), 1)] = np.nan
    posterior = learn(BOX, (theta, x), embedding=embedding)
    assert posterior.training.failed == 0 and posterior.settings.missing
    assert np.isfinite(posterior.training.validation_loss)
    drawn = np.asarray(posterior.sample_each(KEY, 20, x[:8]))
    assert (drawn >= BOX.low).all() and (drawn <= BOX.high).all()


def test_simulations_with_nan_are_left_out_and_counted():
    theta, x = bent(200)
    x[:20, 0], theta[20:25, 1] = np.nan, np.inf
    kept = require_usable(BOX, (theta, x))
    assert kept.failed == 25 and len(kept) == 175
    np.testing.assert_array_equal(kept.parameters, theta[25:])


def test_single_entries_that_are_lost_are_told_of():
    theta, x = bent(200)
    x = np.concatenate([x, 1e-46 * x.astype(float)], axis=1)
    with pytest.warns(UserWarning, match="2 of 4 entries"):
        require_usable(BOX, (theta, x))


def altered(n=200, **changes):
    theta, x = bent(n)
    for name, change in changes.items():
        theta, x = (change(theta), x) if name == "theta" else (theta, change(x))
    return theta, x


def with_nan(x):
    return np.where(np.arange(len(x))[:, None] < 0.6 * len(x), np.nan, x)


def with_constant(theta):
    return np.stack([theta[:, 0], np.ones(len(theta), np.float32)], axis=1)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (altered(theta=lambda t: t[:-1]), "one row of each to a simulation"),
        (altered(x=with_nan), "at most 50% of the simulations to fail, got 120 of 200"),
        (altered(theta=lambda t: 2 * t), "inside the prior"),
        (altered(theta=with_constant), "expected parameter b to vary, got 1.0"),
        (altered(x=np.ones_like), "observations that vary"),
        (altered(x=lambda x: x.astype(float) * 1e-46), "single precision holds, got entries that"),
        (altered(x=lambda x: x.astype(float) * 1e45), "single precision holds, got sizes of"),
        (altered(theta=lambda t: t[:, :1]), "(n, 2) as the prior has, got (200, 1)"),
        (altered(49), "at least 50 simulations, got 49"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(pair, message):
    with pytest.raises(InputError) as caught:
        learn(BOX, pair)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        (np.zeros(4), "expected context of shape (..., 3), got (4,)"),
        (np.array([0.0, np.nan, 0.0]), "observation of finite numbers"),
        (None, "expected a context of shape (3,), got none"),
        (np.zeros((2, 3)), "one context for all samples, or one for each"),
    ],
)
def test_observations_that_do_not_fit_are_refused(boxed, observation, message):
    with pytest.raises(InputError) as caught:
        boxed.sample(KEY, 10, observation)
    assert message in str(caught.value)


def test_an_observation_unlike_the_simulations_is_warned_of(boxed):
    theta, x = bent()
    boxed.sample(KEY, 10, x[0])  # warnings are errors here
    odd = x[0] + np.array([40.0, 0.0, 0.0], np.float32)
    with pytest.warns(UnlikeSimulations, match=r"out of the simulated range .*: x\[0\];"):
        boxed.sample(KEY, 10, odd)
    boxed.sample_each(KEY, 10, odd[None])


def test_a_file_of_another_kind_is_refused(boxed, tmp_path):
    Simulations.from_arrays(*bent(60)).save(tmp_path / "simulations.h5")
    assert isinstance(physgen.load(tmp_path / "simulations.h5"), Simulations)
    with pytest.raises(InputError, match="holds a simulations, not a model"):
        Posterior.load(tmp_path / "simulations.h5")


def test_raw_observations_stay_as_they_are():
    x = np.random.default_rng(0).uniform(0, 128, (50, 7, 3)).astype(np.float32)
    np.testing.assert_array_equal(Scaling.fit(x, raw=True)(jnp.asarray(x[0])), x[0])


def test_more_simulations_are_learned_from_for_longer():
    few, many = schedule_for(1000), schedule_for(100_000)
    assert few.steps < schedule_for(10_000).steps == 4000 < many.steps
    assert few.batch_size <= many.batch_size


def test_it_checks_itself_on_what_was_held_out(boxed):
    found = boxed.check(KEY, n_samples=60)
    assert f"{len(boxed.held_out[0])} simulations" in found.summary()
