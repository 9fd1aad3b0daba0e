"""Rows in blocks, one after the other: intermediate arrays stay small, and in the cache."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

_ROWS = 640  # in a block, whose arrays over pairs then about fit a core's cache


def by_blocks(function: Callable[..., Any], *rows: Any, most: int | None = None) -> Any:
    """`function` of blocks of rows, its results put together; arrays share their first axis.

    For functions that treat each row alone. Gradients evaluate each block again, so nothing inside
    `function` is kept. A gradient with respect to what all blocks read is summed over the blocks:
    `most` of them keep its cost linear in the number of rows.
    """
    n = jax.tree.leaves(rows)[0].shape[0]
    blocks = -(-n // _ROWS) if most is None else min(most, -(-n // _ROWS))
    size = -(-n // blocks)

    def split(array):
        padding = [(0, blocks * size - n)] + [(0, 0)] * (array.ndim - 1)
        return jnp.pad(array, padding, mode="edge").reshape(blocks, size, *array.shape[1:])

    remade = jax.checkpoint(lambda block: function(*block))
    results = jax.lax.map(remade, jax.tree.map(split, rows))
    return jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:])[:n], results)
