"""Every bridge and prediction against closed forms: a Gaussian moved to a Gaussian.

On x = sigma e + b x_1 with x_1 ~ N(m, s^2), x is N(b m, V) with V = sigma^2 + b^2 s^2, and

    <e> = sigma (x - b m) / V,   <x_1> = m + b s^2 (x - b m) / V,   score = -(x - b m) / V,
    velocity = sigma' <e> + b' <x_1>,

whose flow keeps (x - b m) / sqrt(V).
"""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from physgen import InputError
from physgen.densities import (
    Adaptive,
    AncestralSteps,
    ChurnedSteps,
    Clock,
    FixedSteps,
    Gaussian,
    LatentNoise,
    Linear,
    OptimalTransport,
    Prediction,
    StochasticSteps,
    Transport,
    Trigonometric,
    Uniform,
    VarianceExploding,
    VariancePreserving,
    WrappedGaussian,
)
from physgen.geometry import Torus

MEAN, SPREAD = 1.5, 0.4
FASTEST, SLOWEST = 20.0, 0.1


def preserving(t):
    left = 1 - t
    exponent = SLOWEST * left + (FASTEST - SLOWEST) * left**2 / 2
    rate = SLOWEST + (FASTEST - SLOWEST) * left
    b = np.exp(-exponent / 2)
    sigma = np.sqrt(1 - b**2)
    return sigma, b, -(b**2) * rate / (2 * sigma), b * rate / 2


half = np.pi / 2
COEFFICIENTS = {  # sigma, b and their rates, written out
    Linear(): lambda t: (1 - t, t, -1.0, 1.0),
    Trigonometric(): lambda t: (
        np.cos(half * t),
        np.sin(half * t),
        -half * np.sin(half * t),
        half * np.cos(half * t),
    ),
    VariancePreserving(SLOWEST, FASTEST): preserving,
    VarianceExploding(): lambda t: (1 - t, 1.0, -1.0, 0.0),
}
BRIDGES = list(COEFFICIENTS)


class Exact(nnx.Module):
    """What a network of that prediction learns, from closed forms."""

    def __init__(self, interpolant, scale, prediction, latent=0.0):
        self.interpolant, self.scale, self.prediction = interpolant, scale, prediction
        self.latent = latent

    def moments(self, t):
        base = self.scale * self.interpolant.base(t)
        if self.latent:
            base = jnp.sqrt(base**2 + (self.latent * 4 * t * (1 - t)) ** 2)
        return base, self.interpolant.data(t)

    def __call__(self, time, x, context=None, mask=None):
        t = time
        (sigma, b), (sigma_rate, b_rate) = jax.jvp(self.moments, (t,), (jnp.ones_like(t),))
        off = (x - b * MEAN) / (sigma**2 + b**2 * SPREAD**2)
        noise, data = sigma * off, MEAN + b * SPREAD**2 * off
        match self.prediction:
            case Prediction.VELOCITY:
                return sigma_rate * noise + b_rate * data
            case Prediction.NOISE:
                return noise
            case Prediction.SCORE:
                return -off
            case _:
                return data


def exact(interpolant, prediction=Prediction.VELOCITY, scale=1.0, latent=None, **options):
    gamma = 0.0 if latent is None else latent.scale
    return Transport(
        Exact(interpolant, scale, prediction, gamma),
        Gaussian(scale),
        (2,),
        interpolant=interpolant,
        prediction=prediction,
        latent=latent,
        **options,
    )


@pytest.mark.parametrize("prediction", Prediction)
@pytest.mark.parametrize("interpolant", BRIDGES)
def test_velocity_score_and_means_are_the_closed_forms(interpolant, prediction, scale=1.7):
    with jax.enable_x64(True):
        x = jnp.array([0.3, -1.2])
        for t in (0.05, 0.4, 0.9):
            sigma, b, sigma_rate, b_rate = COEFFICIENTS[interpolant](t)
            sigma, sigma_rate = scale * sigma, scale * sigma_rate
            off = (x - b * MEAN) / (sigma**2 + b**2 * SPREAD**2)
            noise, data = sigma * off, MEAN + b * SPREAD**2 * off
            density = exact(interpolant, prediction, scale)
            time = jnp.array(t)
            velocity = density.velocity(time, x)
            np.testing.assert_allclose(velocity, sigma_rate * noise + b_rate * data, rtol=1e-9)
            np.testing.assert_allclose(density.score(time, x), -off, rtol=1e-9)
            found = density.means(time, x)
            np.testing.assert_allclose(found.noise, noise, rtol=1e-9)
            np.testing.assert_allclose(found.data, data, rtol=1e-9)


@pytest.mark.parametrize(
    ("interpolant", "prediction"),
    [*((each, Prediction.VELOCITY) for each in BRIDGES), (BRIDGES[2], Prediction.NOISE)],
)
def test_map_and_likelihood_are_the_closed_forms(interpolant, prediction):
    with jax.enable_x64(True):
        sigma, b, _, _ = COEFFICIENTS[interpolant](0.0)
        start_mean, start_deviation = b * MEAN, np.sqrt(sigma**2 + b**2 * SPREAD**2)
        density = exact(interpolant, prediction, solver=Adaptive(1e-9, 1e-9))
        x0 = jnp.array([0.4, -1.3])
        x1 = MEAN + SPREAD * (x0 - start_mean) / start_deviation
        np.testing.assert_allclose(density.transport(x0), x1, atol=1e-5)
        expected = jax.scipy.stats.norm.logpdf(x0).sum() - 2 * np.log(SPREAD / start_deviation)
        np.testing.assert_allclose(density.log_prob(x1), expected, atol=1e-5)


@pytest.mark.parametrize("prediction", Prediction)
def test_the_closed_form_is_where_the_loss_has_no_slope(prediction):
    keys = jax.random.split(jax.random.key(3), 20_000)
    x1 = MEAN + SPREAD * jax.random.normal(jax.random.key(4), (20_000, 2))

    class Scaled(nnx.Module):
        def __init__(self, factor, network):
            self.factor, self.network = nnx.data(factor), network

        def __call__(self, time, x, context, mask):
            return self.factor * self.network(time, x, context, mask)

    def loss(factor):
        latent = LatentNoise(0.3)
        network = Exact(Trigonometric(), 1.0, prediction, 0.3)
        density = Transport(
            Scaled(factor, network),
            Gaussian(),
            (2,),
            interpolant=Trigonometric(),
            prediction=prediction,
            latent=latent,
        )
        return jax.vmap(density.loss)(keys, x1)

    slopes = jax.jacfwd(loss)(1.0)
    assert jnp.abs(jnp.mean(slopes)) < 4 * jnp.std(slopes) / jnp.sqrt(len(keys))
    assert jnp.mean(loss(0.8)) > jnp.mean(loss(1.0)) < jnp.mean(loss(1.2))


def check_moments(x, count):
    """Mean and deviation within four standard errors, and 1% for the steps."""
    x = np.asarray(x, np.float64)
    assert np.abs(x.mean(0) - MEAN).max() < 4 * SPREAD / np.sqrt(count) + 0.01 * SPREAD
    assert np.abs(x.std(0) / SPREAD - 1).max() < 4 / np.sqrt(2 * count) + 0.01


@pytest.mark.parametrize(
    ("interpolant", "latent"),
    [(Linear(), None), (Trigonometric(), LatentNoise(0.5)), (VariancePreserving(), None)],
)
def test_random_paths_end_in_the_data(interpolant, latent):
    density = exact(interpolant, latent=latent, clock=Clock(2.0))
    solver = StochasticSteps(400)
    keys = jax.random.split(jax.random.key(0), 4000)
    x = jax.jit(jax.vmap(lambda key: density.draw(key, (2,), solver=solver)))(keys)
    check_moments(x, 4000)


@pytest.mark.parametrize(
    ("interpolant", "churn"),
    [(Linear(), 0.5), (VariancePreserving(), 0.0), (VariancePreserving(), 1.0)],
)
def test_ancestral_steps_end_in_the_data(interpolant, churn):
    density = exact(interpolant, clock=Clock(2.0))
    solver = AncestralSteps(400, churn)
    keys = jax.random.split(jax.random.key(1), 4000)
    x = jax.jit(jax.vmap(lambda key: density.draw(key, (2,), solver=solver)))(keys)
    check_moments(x, 4000)


@pytest.mark.parametrize(
    ("interpolant", "latent", "churn"),
    [
        (Linear(), None, 1.0),
        (Trigonometric(), LatentNoise(0.5), 2.5),
        (VariancePreserving(), None, 1.0),
    ],
)
def test_churned_steps_end_in_the_data(interpolant, latent, churn):
    density = exact(interpolant, latent=latent, clock=Clock(2.0))
    solver = ChurnedSteps(64, churn)
    keys = jax.random.split(jax.random.key(3), 4000)
    x = jax.jit(jax.vmap(lambda key: density.draw(key, (2,), solver=solver)))(keys)
    check_moments(x, 4000)


def test_churned_paths_forget_where_they_started():
    """With the same noise of the base, the flow ends in the same place and churned paths do not."""
    density = exact(Linear(), clock=Clock(2.0))
    x0 = jnp.array([[-1.5, 0.0], [1.5, 0.0]])

    def ends(solver):
        def one(key):
            return jax.vmap(lambda start: density._churn(key, start, None, None, solver))(x0)

        return jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(4), 2000))

    apart = jnp.abs(jnp.diff(ends(ChurnedSteps(32, churn=0.0)).mean(0)[:, 0]))
    assert apart == pytest.approx(3.0 * SPREAD, rel=0.02)
    assert jnp.abs(jnp.diff(ends(ChurnedSteps(64)).mean(0)[:, 0])) < apart / 2


@pytest.mark.parametrize("method", [diffrax.Euler(), diffrax.Bosh3()], ids=str)
def test_churned_steps_without_churn_are_the_flow(method):
    density = exact(Trigonometric(), clock=Clock(2.0))
    key = jax.random.key(2)
    still = density.draw(key, (2,), solver=ChurnedSteps(12, 0.0, method))
    flow = density.draw(key, (2,), solver=FixedSteps(12, method))
    np.testing.assert_allclose(still, flow, rtol=1e-5)


def test_ancestral_steps_are_ddpm_s():
    """One step of Ho et al. 2020, eq. 11 and 7: variance (1 - a') / (1 - a) (1 - a / a')."""
    density = exact(VariancePreserving(), Prediction.NOISE)
    x0 = jax.random.normal(jax.random.key(0), (2,))
    solver = AncestralSteps(2)
    key = jax.random.key(5)
    got = density.draw(key, (2,), solver=solver)
    x = density.base.sample(key, (2,))
    for z_key, (t, t_next) in zip(
        jax.random.split(jax.random.fold_in(key, 2), 2), [(0.0, 0.5), (0.5, 1.0)], strict=True
    ):
        time = np.clip(t, *Prediction.NOISE.ends)
        time_next = np.clip(t_next, 0, 1 - 1e-5)
        alpha_bar, alpha_bar_next = (preserving(u)[1] ** 2 for u in (time, time_next))
        alpha = alpha_bar / alpha_bar_next
        noise = density.network(jnp.float32(time), x, None, None)
        mean = (x - (1 - alpha) / np.sqrt(1 - alpha_bar) * noise) / np.sqrt(alpha)
        variance = (1 - alpha_bar_next) / (1 - alpha_bar) * (1 - alpha)
        x = mean + np.sqrt(variance) * jax.random.normal(z_key, (2,))
    np.testing.assert_allclose(got, x, rtol=2e-4)
    assert x0.shape == got.shape


def test_random_paths_without_churn_are_the_flow():
    density = exact(Trigonometric())
    key = jax.random.key(2)
    still = density.draw(key, (2,), solver=StochasticSteps(2000, churn=0.0))
    np.testing.assert_allclose(still, density.draw(key, (2,)), atol=2e-3)


class Spot(nnx.Module):
    """Noise of `scale` (1 - t) around a spot on the unit torus, as a wrapped normal."""

    spot, width, scale = 0.3, 0.05, 0.7

    def __call__(self, time, x, context=None, mask=None):
        t = time
        images = self.spot + jnp.arange(-4, 5)
        sigma = self.scale * (1 - t)
        variance = sigma**2 + self.width**2
        gaps = x[:, None] - images[None]
        weights = jax.nn.softmax(-(gaps**2) / (2 * variance))
        off = jnp.sum(weights * gaps, -1) / variance
        return -self.scale * sigma * off


@pytest.mark.parametrize(
    "solver",
    [FixedSteps(128), StochasticSteps(400), AncestralSteps(200), ChurnedSteps(64)],
    ids=str,
)
def test_a_diffusion_on_the_torus(solver):
    density = Transport(
        Spot(),
        WrappedGaussian(0.7),
        (1,),
        geometry=Torus(1.0),
        clock=Clock(3.0),
        interpolant=VarianceExploding(),
    )
    keys = jax.random.split(jax.random.key(6), 4000)
    x = jax.jit(jax.vmap(lambda key: density.draw(key, (1,), solver=solver)))(keys)[:, 0]
    assert ((x >= 0) & (x < 1)).all()
    off = np.asarray(x) - Spot.spot
    off -= np.round(off)
    assert abs(off.mean()) < 4 * Spot.width / np.sqrt(4000) + 5e-4
    assert off.std() == pytest.approx(Spot.width, rel=4 / np.sqrt(8000) + 0.02)


def test_the_wrapped_normal_has_all_its_images():
    x = jnp.linspace(0, 1, 2001)[:-1, None, None]
    for scale in (0.05, 0.7, 2.0):
        densities = jnp.exp(jax.vmap(WrappedGaussian(scale).log_prob)(x))
        assert jnp.mean(densities) == pytest.approx(1.0, abs=1e-4)
    near_uniform = jax.vmap(WrappedGaussian(0.7).log_prob)(x)
    assert jnp.abs(near_uniform).max() < 2e-4


def test_latent_noise_and_a_denoiser_give_any_base_a_score():
    """Uniform on a torus to uniform on a torus: velocity and score vanish, and so must samples."""

    class Zero(nnx.Module):
        def __call__(self, time, x, context=None, mask=None):
            return jnp.zeros_like(x)

    density = Transport(
        Zero(), Uniform(), (3,), geometry=Torus(1.0), latent=LatentNoise(0.2), denoiser=Zero()
    )
    np.testing.assert_array_equal(density.score(jnp.array(0.5), jnp.ones(3)), jnp.zeros(3))
    keys = jax.random.split(jax.random.key(7), 3000)
    x = jax.vmap(lambda key: density.draw(key, (3,), solver=StochasticSteps(50)))(keys)
    assert ((x >= 0) & (x < 1)).all()
    assert jnp.abs(jnp.mean(x, axis=0) - 0.5).max() < 4 / np.sqrt(12 * 3000)
    x1 = jax.random.uniform(jax.random.key(8), (3000, 3))
    losses = jax.vmap(density.loss)(keys, x1)
    expected = 1 / 12 + 1.0  # of the displacement, and of the noise; gamma' adds its square
    expected += 16 * 0.2**2 / 3
    assert jnp.mean(losses) == pytest.approx(
        expected, abs=4 * float(jnp.std(losses)) / np.sqrt(3000)
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"geometry": Torus(1.0)}, "on a torus"),
        ({"geometry": Torus(1.0), "base": Uniform(), "interpolant": Trigonometric()}, "torus"),
        ({"base": Uniform(), "prediction": Prediction.SCORE}, "Gaussian noise"),
        ({"denoiser": Spot()}, "latent"),
        (
            {
                "geometry": Torus(1.0),
                "base": WrappedGaussian(),
                "interpolant": VarianceExploding(),
                "coupling": OptimalTransport(),
            },
            "independent",
        ),
    ],
)
def test_impossible_transports_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        Transport(Spot(), arguments.pop("base", Gaussian()), (3,), **arguments)


def test_a_uniform_base_alone_has_no_random_paths():
    density = Transport(Spot(), Uniform(), (3,), geometry=Torus(1.0))
    with pytest.raises(InputError, match="denoiser"):
        density.draw(jax.random.key(0), (3,), solver=StochasticSteps())
    with pytest.raises(InputError, match="Gaussian"):
        density.draw(jax.random.key(0), (3,), solver=AncestralSteps())
    with pytest.raises(InputError, match="Gaussian"):
        density.draw(jax.random.key(0), (3,), solver=ChurnedSteps())
    with pytest.raises(InputError, match="Gaussian"):
        density.score(jnp.array(0.5), jnp.zeros(3))


@pytest.mark.parametrize("make", [StochasticSteps, AncestralSteps, ChurnedSteps])
def test_random_steps_need_sense(make):
    with pytest.raises(InputError, match="evaluation"):
        make(0)
    with pytest.raises(InputError, match="churn"):
        make(8, -1.0)
    with pytest.raises(InputError):
        LatentNoise(0.0)
