"""A linear Gaussian problem, whose likelihood, evidence and posterior are known."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from flax import nnx

from physgen.inference import normal_prior
from physgen.inference.training import PosteriorTraining
from physgen.train import FitSettings

MATRIX = np.array([[1.0, 0.5], [-0.5, 1.0], [0.3, 0.3]], np.float32)
NOISE = 0.5
MEAN, SCALE = np.array([1.0, -1.0]), np.array([1.0, 2.0])
OBSERVATION = np.array([1.0, -2.0, 0.5], np.float32)

PRIOR = normal_prior(MEAN, SCALE, names=["a", "b"])


def simulator(key, theta):
    return MATRIX @ theta + NOISE * jax.random.normal(key, (3,))


def simulations(n, seed=0):
    theta_key, noise_key = jax.random.split(jax.random.key(seed))
    theta = PRIOR.sample(theta_key, n)
    x = jax.jit(jax.vmap(simulator))(jax.random.split(noise_key, n), theta)
    return np.asarray(theta), np.asarray(x)


def posterior(x=OBSERVATION):
    """Mean and covariance."""
    precision = np.diag(SCALE**-2.0) + MATRIX.T @ MATRIX / NOISE**2
    covariance = np.linalg.inv(precision)
    return covariance @ (MEAN / SCALE**2 + MATRIX.T @ x / NOISE**2), covariance


def evidence():
    """The distribution of observations."""
    covariance = MATRIX @ np.diag(SCALE**2) @ MATRIX.T + NOISE**2 * np.eye(3)
    return scipy.stats.multivariate_normal(MATRIX @ MEAN, covariance)


def log_likelihood(theta, x):
    return jnp.sum(jax.scipy.stats.norm.logpdf(x - MATRIX @ theta, scale=NOISE))


class Exact(nnx.Module):
    """The likelihood itself, where a learned one is expected."""

    def __init__(self, training=None):
        self.x_shape = (3,)
        self.training = training

    def log_likelihood(self, theta, x):
        return log_likelihood(theta, x)


def short(steps, batch_size=128, **settings):
    schedule = FitSettings(
        batch_size=batch_size, steps=steps, steps_per_dispatch=50, validate_every=100
    )
    return PosteriorTraining(schedule, **settings)


def assert_posterior(samples, effective, x=OBSERVATION, bias=0.0):
    """Mean and deviations within 5 standard errors of those of `effective` independent draws.

    bias: what is allowed besides, in posterior standard deviations.
    """
    mean, covariance = posterior(x)
    deviation = np.sqrt(np.diag(covariance))
    samples = np.asarray(samples, np.float64)
    slack = 5 / np.sqrt(effective) + bias
    assert np.abs((samples.mean(axis=0) - mean) / deviation).max() < slack
    assert np.abs(samples.std(axis=0) / deviation - 1).max() < slack
    correlation = covariance[0, 1] / deviation.prod()
    assert abs(np.corrcoef(samples.T)[0, 1] - correlation) < slack
