"""Modules whose parameters are random numbers, so that nothing is zero or the identity."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx


def randomised(make, seed=0, scale=0.3):
    """What `make(rngs)` makes, with normal numbers times `scale` for its parameters."""
    graph, params, rest = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))), nnx.Param, ...)
    if jax.tree.leaves(rest):
        rest = nnx.split(make(nnx.Rngs(0)), nnx.Param, ...)[2]
    rng = np.random.default_rng(seed)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(scale * rng.normal(size=leaf.shape), leaf.dtype), params
    )
    return nnx.merge(graph, params, rest)
