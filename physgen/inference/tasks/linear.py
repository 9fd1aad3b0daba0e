"""A Gaussian seen through Gaussian noise, under a Gaussian and under a uniform prior.

Lueckmann et al. 2021 (AISTATS, arXiv:2101.04653), appendix T: "Gaussian linear", "Gaussian linear
uniform". The noise has variance 0.1 in each of ten dimensions.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from physgen.inference.priors import normal_prior, uniform_prior
from physgen.inference.tasks.task import Task
from physgen.inference.tasks.truncated import truncated_normal

_DIMENSION = 10
_VARIANCE = 0.1
_SCALE = _VARIANCE**0.5


def gaussian_linear() -> Task:
    """theta ~ N(0, 0.1 I), x ~ N(theta, 0.1 I), in ten dimensions: posterior N(x/2, 0.05 I)."""
    prior = normal_prior([0.0] * _DIMENSION, [_SCALE] * _DIMENSION)
    return Task("gaussian_linear", prior, _simulate, (_DIMENSION,), _log_likelihood, _conjugate)


def gaussian_linear_uniform() -> Task:
    """theta ~ U(-1, 1), x ~ N(theta, 0.1 I), in ten dimensions: independent truncated normals."""
    prior = uniform_prior([-1.0] * _DIMENSION, [1.0] * _DIMENSION)
    return Task(
        "gaussian_linear_uniform", prior, _simulate, (_DIMENSION,), _log_likelihood, _truncated
    )


def _simulate(key: PRNGKeyArray, theta: Float[Array, " d"]) -> Float[Array, " d"]:
    return theta + _SCALE * jax.random.normal(key, theta.shape)


def _log_likelihood(theta: Float[Array, " d"], x: Float[Array, " d"]) -> Float[Array, ""]:
    return jnp.sum(jax.scipy.stats.norm.logpdf(x, theta, _SCALE))


def _conjugate(key: PRNGKeyArray, n: int, x: Float[Array, " d"]) -> Float[Array, "n d"]:
    x = jnp.broadcast_to(x, (n, *x.shape))
    return x / 2 + _SCALE / 2**0.5 * jax.random.normal(key, x.shape)


def _truncated(key: PRNGKeyArray, n: int, x: Float[Array, " d"]) -> Float[Array, "n d"]:
    return truncated_normal(key, jnp.broadcast_to(x, (n, *x.shape)), _SCALE, -1.0, 1.0)
