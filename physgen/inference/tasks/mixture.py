"""Two Gaussians with one mean, a wide and a narrow one.

Lueckmann et al. 2021 (AISTATS, arXiv:2101.04653), appendix T: "Gaussian mixture". Each simulation
draws a component of its own, common to both coordinates.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from physgen.inference.priors import uniform_prior
from physgen.inference.tasks.task import Task
from physgen.inference.tasks.truncated import interval_mass, truncated_normal

_SCALES = 1.0, 0.1
_EDGE = 10.0


def gaussian_mixture() -> Task:
    """theta ~ U(-10, 10)^2, x ~ N(theta, I) / 2 + N(theta, 0.01 I) / 2.

    The posterior is the same mixture about x, restricted to the box of the prior.
    """
    prior = uniform_prior([-_EDGE, -_EDGE], [_EDGE, _EDGE])
    return Task("gaussian_mixture", prior, _simulate, (2,), _log_likelihood, _reference)


def _simulate(key: PRNGKeyArray, theta: Float[Array, "2"]) -> Float[Array, "2"]:
    component_key, noise_key = jax.random.split(key)
    wide = jax.random.bernoulli(component_key)
    return theta + jnp.where(wide, *_SCALES) * jax.random.normal(noise_key, theta.shape)


def _log_likelihood(theta: Float[Array, "2"], x: Float[Array, "2"]) -> Float[Array, ""]:
    components = [jnp.sum(jax.scipy.stats.norm.logpdf(x, theta, scale)) for scale in _SCALES]
    return jnp.logaddexp(*components) - jnp.log(2.0)


def _reference(key: PRNGKeyArray, n: int, x: Float[Array, "2"]) -> Float[Array, "n 2"]:
    component_key, *keys = jax.random.split(key, 3)
    masses = [jnp.prod(interval_mass(x, scale, -_EDGE, _EDGE)) for scale in _SCALES]
    centres = jnp.broadcast_to(x, (n, 2))
    wide, narrow = (
        truncated_normal(key, centres, scale, -_EDGE, _EDGE)
        for key, scale in zip(keys, _SCALES, strict=True)
    )
    share = masses[0] / (masses[0] + masses[1])
    return jnp.where(jax.random.bernoulli(component_key, share, (n, 1)), wide, narrow)
