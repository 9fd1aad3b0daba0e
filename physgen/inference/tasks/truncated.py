"""The normal distribution restricted to an interval, exact in both tails."""

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float, PRNGKeyArray


def interval_mass(
    mean: Float[Array, "*s"], scale: float, low: float, high: float
) -> Float[Array, "*s"]:
    """Probability that a normal variable falls between `low` and `high`."""
    _, (lower, upper) = _left_of_zero(mean, scale, low, high)
    return upper - lower


def truncated_normal(
    key: PRNGKeyArray, mean: Float[Array, "*s"], scale: float, low: float, high: float
) -> Float[Array, "*s"]:
    """Independent normal variables conditional on falling between `low` and `high`."""
    sign, (lower, upper) = _left_of_zero(mean, scale, low, high)
    level = lower + (upper - lower) * jax.random.uniform(key, mean.shape)
    return jnp.clip(mean + scale * sign * ndtri(level), low, high)


def _left_of_zero(mean, scale, low, high):
    """The distribution function at both ends, of the mirror image where that is the lesser tail."""
    below, above = (low - mean) / scale, (high - mean) / scale
    mirrored = below + above > 0
    ends = jnp.where(mirrored, -above, below), jnp.where(mirrored, -below, above)
    return jnp.where(mirrored, -1.0, 1.0), tuple(map(ndtr, ends))
