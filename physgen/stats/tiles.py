"""Sums over all pairs of points of two leaves, for many pairs of leaves: the compiled kernel.

Sums up to each edge come out of one variadic reduction of compares. What is summed is a whole
number: counts, or products in fixed point, so that sums are exact and in any order the same.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

Quantity = Literal["count", "weight", "mean velocity", "velocity", "weighted velocity"]

LEAF = 16  # points
BATCH = 32  # tiles that share their edges
CHUNK = 128  # batches in a call
FIXED_POINT = 2.0**48  # the largest value: 2 x 32 tiles of 256 pairs sum to less than 2^63
PACKED = 2.0**45  # the largest value that shares its word with a count
COUNT_BITS = 9  # 256 pairs in a tile
_MAGIC = 1.5 * 2.0**52  # adding it leaves the nearest whole number in the lowest bits
_MAGIC_BITS = np.float64(_MAGIC).view(np.int64)
_TOGETHER = 24  # edges in a reduction; with more the registers spill


@partial(jax.jit, static_argnames=("quantity", "wrap"))
def tile_sums(
    leaves: Float[Array, "P C T"],
    first: Int[Array, "c B"],
    second: Int[Array, "c B"],
    shift: Float[Array, "c B 3"],
    squares: Float[Array, "c w"],
    scales: Float[Array, " s"],
    box: Float[Array, "3"],
    *,
    quantity: Quantity,
    wrap: bool,
) -> Int[Array, "c q w"]:
    """Sums (batches, sums, edges) over pairs whose squared distance is at most that of an edge.

    The columns of a leaf are x, y, z, then velocities, then the weight, as `quantity` needs them.
    Sums: "count" 1; "weight" w_i w_j; "mean velocity" 1, u; "velocity" 1, u, u^2; "weighted
    velocity" the same times w_i w_j, with u the relative velocity along the separation. Each but
    a count is in units of 1 / scale. `wrap` takes the nearest image of each pair instead of that
    of the leaves.
    """

    def batch(arguments):
        i, j, images, edges = arguments
        a, b = leaves[i], leaves[j]
        delta = [_difference(a, b, c) - images[:, c, None, None] for c in range(3)]
        if wrap:
            delta = [d - box[c] * jnp.round(d / box[c]) for c, d in enumerate(delta)]
        square = delta[0] * delta[0] + delta[1] * delta[1] + delta[2] * delta[2]
        if quantity == "count":
            return jnp.stack([_up_to(square, edges, None)])
        product = a[:, -1, :, None] * b[:, -1, None, :]
        if quantity == "weight":
            return jnp.stack([_up_to(square, edges, _fixed(product * scales[0]))])
        square = jnp.where(square > 0, square, jnp.inf)
        approach = sum(delta[c] * _difference(a, b, 3 + c) for c in range(3)) / jnp.sqrt(square)
        if quantity in ("mean velocity", "velocity"):
            together = (_fixed(approach * scales[1]) << COUNT_BITS) + 1
            both = _sums(square, edges, together)
            counts = both & (2**COUNT_BITS - 1)
            sums = [counts.sum(axis=0), ((both - counts) >> COUNT_BITS).sum(axis=0)]
            if quantity == "velocity":
                sums.append(_up_to(square, edges, _fixed(approach * approach * scales[2])))
            return jnp.stack(sums)
        powers = product, product * approach, product * approach * approach
        return jnp.stack(
            [_up_to(square, edges, _fixed(p * s)) for p, s in zip(powers, scales, strict=True)]
        )

    return lax.map(batch, (first, second, shift, squares))


def fixed_point(values: Float[np.ndarray, "*n"], scale: float) -> Int[np.ndarray, "*n"]:
    """The whole numbers that the kernel makes of `values`."""
    return np.rint(values * scale).astype(np.int64)


def _difference(a, b, column):
    return a[:, column, :, None] - b[:, column, None, :]


def _fixed(values):
    return lax.bitcast_convert_type(values + _MAGIC, jnp.int64) - _MAGIC_BITS


def _up_to(square, edges, values):
    return _sums(square, edges, values).sum(axis=0)


def _sums(square, edges, values):
    """(B, w) from squares (B, T, T), edges (w,) and what is summed (None for ones)."""
    masks = [square <= edges[k] for k in range(len(edges))]
    terms = [m.astype(jnp.int64) if values is None else jnp.where(m, values, 0) for m in masks]
    parts = []
    for start in range(0, len(terms), _TOGETHER):
        some = terms[start : start + _TOGETHER]
        zeros = [np.int64(0)] * len(some)
        parts += lax.reduce(some, zeros, _add, (1, 2))
    return jnp.stack(parts, axis=1)


def _add(x, y):
    return [p + q for p, q in zip(x, y, strict=True)]
