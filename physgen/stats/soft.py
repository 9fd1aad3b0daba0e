"""Pair counts with soft bins: differentiable in positions and weights, inside any jax program."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

_ROWS = 64


def soft_pair_counts(
    positions: Float[Array, "N 3"],
    edges: ArrayLike,
    width: ArrayLike,
    *,
    box_size: ArrayLike | None = None,
    weights: Float[Array, " N"] | None = None,
) -> Float[Array, " b"]:
    """Ordered pairs in bins whose edges are logistic steps of a given width, (b,).

    sum_{i != j} w_i w_j (s((r - lo) / width) - s((r - hi) / width)), s the logistic function. As
    width goes to zero these are `pair_counts` of pairs that lie on no edge. A function of JAX
    arrays, in their precision, that jit, grad and vmap take; its work is all N^2 pairs and its
    memory N, rows of points being computed anew for the gradient. Coincident points have a
    separation of zero and no gradient. Nothing is checked: values may be traced.
    """
    limits = jnp.asarray(edges, positions.dtype)
    mass = jnp.ones_like(positions[:, 0]) if weights is None else weights
    count = len(positions)
    rows = min(_ROWS, count)
    missing = -count % rows
    index = jnp.pad(jnp.arange(count), (0, missing)).reshape(-1, rows)
    real = (jnp.arange(count + missing) < count).reshape(-1, rows)

    @jax.checkpoint
    def block(arguments):
        which, kept = arguments
        delta = positions[which][:, None, :] - positions[None, :, :]
        if box_size is not None:
            sides = jnp.broadcast_to(jnp.asarray(box_size, positions.dtype), (1, 1, 3))
            delta = delta - sides * lax.stop_gradient(jnp.round(delta / sides))
        square = jnp.sum(delta * delta, axis=-1)
        separation = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
        other = (which[:, None] != jnp.arange(count)[None, :]) & kept[:, None]
        product = jnp.where(other, mass[which][:, None] * mass[None, :], 0.0)
        above = [jnp.sum(product * jax.nn.sigmoid((separation - e) / width)) for e in limits]
        return jnp.stack([a - b for a, b in zip(above[:-1], above[1:], strict=True)])

    return jnp.sum(lax.map(block, (index, real)), axis=0)
