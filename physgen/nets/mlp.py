"""Multilayer perceptrons."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class MLP(nnx.Module):
    """Dense layers with SiLU between them."""

    def __init__(self, sizes: tuple[int, ...], *, rngs: nnx.Rngs):
        """`sizes` lists the widths from input to output, at least two."""
        self.layers = nnx.List(
            [nnx.Linear(a, b, rngs=rngs) for a, b in zip(sizes[:-1], sizes[1:], strict=True)]
        )

    def __call__(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        *hidden, last = self.layers
        for layer in hidden:
            x = jax.nn.silu(layer(x))
        return last(x)


class VelocityMLP(nnx.Module):
    """A velocity field for events that are vectors: an MLP of time, event and context."""

    def __init__(self, event_size: int, context_size: int, width: int, depth: int, *, rngs):
        self.mlp = MLP((1 + event_size + context_size, *[width] * depth, event_size), rngs=rngs)

    def __call__(
        self,
        time: Float[Array, ""],
        x: Float[Array, " d"],
        context: Float[Array, " c"] | None,
        mask: None = None,
    ) -> Float[Array, " d"]:
        parts = [jnp.reshape(time, (1,)), x] + ([] if context is None else [context])
        return self.mlp(jnp.concatenate(parts))
