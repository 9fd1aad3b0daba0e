"""A velocity field for vectors that start from a standard normal, on straight lines."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from physgen.nets.pairs import time_features

_TIME_FEATURES = 16


class ResidualVelocity(nnx.Module):
    """v(time, x, context) = the velocity for normal data + a correction by a residual network.

    For data of zero mean and unit variance the first term is exact where they are normal, and the
    target of the network has unit variance at all times, as in Karras et al. 2022
    (arXiv:2206.00364). Blocks are modulated by time and context, as in Peebles & Xie 2023
    (arXiv:2212.09748). For other bridges and predictions take another network, as `VelocityMLP`.
    """

    def __init__(self, size: int, context_size: int, width: int, depth: int, *, rngs: nnx.Rngs):
        zeros = nnx.initializers.zeros
        self.condition = nnx.Linear(_TIME_FEATURES + context_size, width, rngs=rngs)
        self.first = nnx.Linear(size + context_size, width, rngs=rngs)
        self.modulations = nnx.List([nnx.Linear(width, 2 * width, rngs=rngs) for _ in range(depth)])
        self.norm = nnx.LayerNorm(width, use_bias=False, use_scale=False, rngs=rngs)
        self.inner = nnx.List([nnx.Linear(width, width, rngs=rngs) for _ in range(depth)])
        self.outer = nnx.List(
            [nnx.Linear(width, width, kernel_init=zeros, rngs=rngs) for _ in range(depth)]
        )
        self.last = nnx.Linear(width, size, kernel_init=zeros, rngs=rngs)

    def __call__(
        self,
        time: Float[Array, ""],
        x: Float[Array, " d"],
        context: Float[Array, " c"] | None,
        mask: Array | None = None,
    ) -> Float[Array, " d"]:
        variance = time**2 + (1 - time) ** 2
        scaled = x / jnp.sqrt(variance)
        given = [] if context is None else [context]
        condition = self.condition(jnp.concatenate([time_features(time), *given]))
        condition = jax.nn.silu(condition)
        h = self.first(jnp.concatenate([scaled, *given]))
        for modulation, inner, outer in zip(self.modulations, self.inner, self.outer, strict=True):
            scale, shift = jnp.split(modulation(condition), 2)
            h = h + outer(jax.nn.silu(inner(self.norm(h) * (1 + scale) + shift)))
        correction = self.last(jax.nn.silu(h)) / jnp.sqrt(variance)
        return (2 * time - 1) / variance * x + correction
