"""The velocity field of what points carry, at given positions."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from physgen.nets.p3m import P3MNetwork
from physgen.nets.pairs import PairNetwork


class CarriedField(nnx.Module):
    """v(time, carried, (context, positions), mask): of vectors and scalars alone.

    Positions stay where they are, so time is that of the carried numbers only.
    """

    def __init__(self, network: PairNetwork | P3MNetwork):
        """`network` moves rows of positions, vectors and scalars."""
        self.network = network

    def __call__(
        self,
        time: Float[Array, ""],
        x: Float[Array, "n c"],
        context: tuple[Float[Array, " p"], Float[Array, "n 3"]],
        mask: Bool[Array, " n"] | None,
    ) -> Float[Array, "n c"]:
        given, positions = context
        rows = jnp.concatenate([positions, x], axis=1)
        return self.network(time, rows, given, mask)[:, 3:]
