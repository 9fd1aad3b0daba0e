"""Predators and prey.

Lueckmann et al. 2021 (AISTATS, arXiv:2101.04653), appendix T: "Lotka-Volterra"; the equations are
those of Lotka 1920 and Volterra 1926.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from physgen.inference.priors import log_normal_prior
from physgen.inference.tasks.task import Task
from physgen.inference.tasks.trajectory import trajectory

_START = 30.0, 1.0
_TIMES = 2.1 * np.arange(10)  # days
_FEWEST, _MOST = 1e-10, 1e4
_NOISE = 0.1


def lotka_volterra() -> Task:
    """Counts of prey on ten days, then of predators, each with a log-normal error of 0.1.

    X' = alpha X - beta X Y and Y' = -gamma Y + delta X Y, from X = 30 and Y = 1, rates in 1/day;
    x, shape (20,), is X at 0, 2.1, ..., 18.9 days and then Y, without dimension. The counts vary
    over many orders of magnitude: learn from their logarithms.
    """
    prior = log_normal_prior(
        [-0.125, -3.0, -0.125, -3.0],
        [0.5] * 4,
        names=["alpha", "beta", "gamma", "delta"],
        units=["1/day"] * 4,
    )
    return Task("lotka_volterra", prior, _simulate, (2 * len(_TIMES),), _log_likelihood)


def log_populations(theta: Float[Array, "4"]) -> Float[Array, "20"]:
    """log X at the ten times, then log Y, where X and Y are between 1e-10 and 1e4."""
    alpha, beta, gamma, delta = theta

    def field(y):
        log_prey, log_predators = y
        return alpha - beta * jnp.exp(log_predators), delta * jnp.exp(log_prey) - gamma

    logs = trajectory(field, np.log(_START).tolist(), _TIMES)
    return jnp.clip(logs, np.log(_FEWEST), np.log(_MOST)).T.ravel()


def _simulate(key: PRNGKeyArray, theta: Float[Array, "4"]) -> Float[Array, "20"]:
    logs = log_populations(theta)
    return jnp.exp(logs + _NOISE * jax.random.normal(key, logs.shape))


def _log_likelihood(theta: Float[Array, "4"], x: Float[Array, "20"]) -> Float[Array, ""]:
    log_x = jnp.log(jnp.where(x > 0, x, 1.0))
    terms = jax.scipy.stats.norm.logpdf(log_x, log_populations(theta), _NOISE) - log_x
    return jnp.sum(jnp.where(x > 0, terms, -jnp.inf))
