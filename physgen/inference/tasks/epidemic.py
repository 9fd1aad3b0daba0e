"""An epidemic that is counted in samples of the population.

Lueckmann et al. 2021 (AISTATS, arXiv:2101.04653), appendix T: "SIR"; the equations are those of
Kermack & McKendrick 1927.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln, xlog1py, xlogy
from jaxtyping import Array, Float, PRNGKeyArray

from physgen.inference.priors import log_normal_prior
from physgen.inference.tasks.task import Task
from physgen.inference.tasks.trajectory import trajectory

_POPULATION = 1e6
_TESTED = 1000
_TIMES = 17.0 * np.arange(10)  # days


def sir() -> Task:
    """Infected among 1000 tested on each of ten days, after one in a million brought it in.

    With the fractions S susceptible and I infected, S' = -beta S I and I' = beta S I - gamma I,
    rates in 1/day; x_i ~ Binomial(1000, I(t_i)), t = 0, 17, ..., 153 days.
    """
    prior = log_normal_prior(
        np.log([0.4, 0.125]), [0.5, 0.2], names=["beta", "gamma"], units=["1/day", "1/day"]
    )
    return Task("sir", prior, _simulate, (len(_TIMES),), _log_likelihood)


def infected(theta: Float[Array, "2"]) -> Float[Array, "10"]:
    """The fraction of the population that is infected, on each of the days."""
    beta, gamma = theta

    def field(y):
        log_susceptible, log_infected = y
        return -beta * jnp.exp(log_infected), beta * jnp.exp(log_susceptible) - gamma

    start = np.log1p(-1 / _POPULATION), -np.log(_POPULATION)
    return jnp.clip(jnp.exp(trajectory(field, start, _TIMES)[:, 1]), 0.0, 1.0)


def _simulate(key: PRNGKeyArray, theta: Float[Array, "2"]) -> Float[Array, "10"]:
    return jax.random.binomial(key, _TESTED, infected(theta))


def _log_likelihood(theta: Float[Array, "2"], x: Float[Array, "10"]) -> Float[Array, ""]:
    share = infected(theta)
    ways = gammaln(_TESTED + 1.0) - gammaln(x + 1) - gammaln(_TESTED - x + 1)
    return jnp.sum(ways + xlogy(x, share) + xlog1py(_TESTED - x, -share))
