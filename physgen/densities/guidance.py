"""Classifier-free guidance: one network with and without its context, and more of the difference.

Ho & Salimans 2022 (arXiv:2207.12598), eq. 6. What the weighted network stands for at one time is
p(x | c) p(c | x)^weight; samples are sharper than those of any density, and `log_prob` of a guided
transport is that of its samples, not of the data.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from physgen.densities.fields import VelocityField
from physgen.errors import InputError


def drop_context(
    key: PRNGKeyArray, context: Float[Array, " c"], rate: float = 0.1
) -> Float[Array, " c"]:
    """The context of one event, or NaN at this rate: none, for a `Guided` network in training.

    Raises:
        InputError: for a rate outside [0, 1].
    """
    if not 0 <= rate <= 1:
        raise InputError(f"expected a rate between 0 and 1, got {rate}")
    return jnp.where(jax.random.bernoulli(key, rate), jnp.nan, context)


class Guided(nnx.Module):
    """(1 + weight) times the network given its context, less weight times that without.

    Predictions of velocity, noise, score and data are guided alike: with weights that sum to one,
    each is the same affine map of any other.

    Args:
        network: of contexts that are one entry longer; the last is 1 where there is a context, and
            all are 0 where there is none.
        weight: 0 in training and for p(x | c) itself, -1 for p(x) whatever the context.
    """

    def __init__(self, network: VelocityField, weight: float = 0.0):
        self.network = network
        self.weight = weight

    def __call__(
        self,
        time: Float[Array, ""],
        x: Array,
        context: Float[Array, " c"],
        mask: Bool[Array, " n"] | None = None,
    ) -> Array:
        known = jnp.isfinite(context).all()
        here = jnp.append(jnp.where(known, context, 0.0), known)
        given = self.network(time, x, here, mask)
        if self.weight == 0:
            return given
        without = self.network(time, x, jnp.zeros_like(here), mask)
        return (1 + self.weight) * given - self.weight * without
