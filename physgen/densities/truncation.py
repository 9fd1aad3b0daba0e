"""The map that makes a truncated normal variable a standard normal one, elementwise.

u in (0, 1) is normal with some mean and deviation, truncated to that interval; z is the standard
normal variable of the same rank, z = Phi^-1(P(u' < u)). As the deviation grows this becomes
Phi^-1(u); as it shrinks, (u - mean) / deviation.
"""

import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jax.scipy.stats import norm
from jaxtyping import Array, Float

REACH = 3.0  # how many deviations the mean may lie outside of the interval
TINY = 1e-30

Event = Float[Array, " d"]


def normalise(u: Event, mean: Event, deviation: Event) -> tuple[Event, Event]:
    """z and log dz/du of u in (0, 1); the mean is moved to at most `REACH` deviations outside."""
    mean, below, above, mass = _mass(mean, deviation)
    u = jnp.minimum(u, 1 - jnp.finfo(u.dtype).epsneg)  # 1 itself is a rounded number below it
    t = (u - mean) / deviation
    lower = ndtr(jnp.minimum(t, 0.0)) - below
    upper = ndtr(jnp.minimum(-t, 0.0)) - above
    tail = _inside(jnp.where(t < 0, lower, upper) / mass, TINY, 1 - 1e-7)
    z = jnp.where(t < 0, ndtri(tail), -ndtri(tail))
    return z, norm.logpdf(t) - jnp.log(deviation * mass) - norm.logpdf(z)


def _inside(x: Event, low: float, high: float) -> Event:
    """jnp.clip, by which no gradient passes at the ends: not even an infinite one as NaN."""
    return jnp.where(x < low, low, jnp.where(x > high, high, x))


def denormalise(z: Event, mean: Event, deviation: Event) -> Event:
    """u in [0, 1] of any z; the inverse of `normalise`."""
    mean, below, above, mass = _mass(mean, deviation)
    lower, upper = below + mass * ndtr(z), above + mass * ndtr(-z)
    t = ndtri(jnp.clip(jnp.minimum(lower, upper), TINY, 0.5))
    return jnp.clip(mean + deviation * jnp.where(lower < upper, t, -t), 0.0, 1.0)


def _mass(mean: Event, deviation: Event) -> tuple[Event, Event, Event, Event]:
    """The mean, within reach, and the normal probabilities below, above and inside (0, 1).

    The last one is the difference of two tails that are small: it does not cancel.
    """
    mean = jnp.clip(mean, -REACH * deviation, 1 + REACH * deviation)
    below, above = ndtr(-mean / deviation), ndtr((mean - 1) / deviation)
    inside = jnp.where(
        mean < 0,
        ndtr(mean / deviation) - above,
        jnp.where(mean > 1, ndtr((1 - mean) / deviation) - below, 1 - below - above),
    )
    return mean, below, above, inside
