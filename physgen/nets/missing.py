"""Observations with missing data: NaN entries, and rows that are absent."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from physgen.nets.embedding import Embedding


class WithMissing(nnx.Module):
    """An embedding of observations in which any entry may be NaN.

    The network gets the values, with zeros for the missing ones, and a mask of what is there, on a
    new last axis of two. The value that stands for a missing one is thus learned: it is the weight
    of the mask.
    """

    def __init__(self, network: Embedding):
        """`network` takes observations with a last axis of two."""
        self.network = nnx.data(network)
        self.size = network.size

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, " c"]:
        present = ~jnp.isnan(x)
        filled = jnp.where(present, x, 0.0)
        return self.network(jnp.stack([filled, present.astype(x.dtype)], axis=-1))


def present_rows(x: Float[Array, "n f"]) -> tuple[Float[Array, "n f"], Bool[Array, " n"]]:
    """The rows, those with any NaN replaced by zeros, and which of them had none.

    Nothing is computed from a NaN before it is replaced, so gradients are finite: a NaN in the
    branch not taken of a `where` would spoil them.
    """
    present = ~jnp.any(jnp.isnan(x), axis=-1)
    return jnp.where(present[:, None], x, 0.0), present
