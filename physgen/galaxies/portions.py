"""How many boxes are worked on at once: large clouds in small portions, so that they fit."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.galaxies.padding import sizes

_GALAXIES = 20_000  # in boxes that are worked on together
_MOST = 64  # boxes at once

Make = Callable[[Key[Array, " b"], Float[Array, "b p"], Bool[Array, "b N"]], ArrayLike]


def boxes_at_once(points: int, most: int) -> int:
    """Boxes of so many galaxies to take together: up to `most`, and the same on each device."""
    devices = jax.device_count()
    return devices * max(1, min(most, _GALAXIES // points) // devices)


def microbatch(points: int, batch_size: int, most: int | None) -> int | None:
    """Boxes of so many galaxies whose gradients are computed together; None for the whole batch.

    The largest divisor of the batch that is at most `most`, fewer where boxes are large; but one on
    each device.
    """
    if most is None:
        return None
    small = boxes_at_once(points, most)
    return max(size for size in range(1, small + 1) if batch_size % size == 0)


def made_in_portions(
    make: Make,
    key: PRNGKeyArray,
    parameters: Float[np.ndarray, "n p"],
    counts: Int[np.ndarray, " n"],
    usual: int,
    width: int,
    progress: Callable[[int, int], None] | None = None,
) -> Float[np.ndarray, "n N d"]:
    """make(keys, parameters, mask) of all boxes, N being the largest of `counts`.

    Large boxes are made with large ones, each portion in one of a few shapes (`padding.sizes` for
    the `usual` largest number) that are compiled once. Box i has the i-th key folded out of `key`.

    Args:
        width: d, the numbers of a galaxy.
        progress: called as progress(done, total).
    """
    n, most = len(counts), int(counts.max())
    mask = np.arange(most) < counts[:, None]
    rows_of = sizes(counts, usual)
    order = np.argsort(-counts, kind="stable")
    devices = jax.device_count()
    at_once = min(boxes_at_once(most, _MOST), -(-n // devices) * devices)
    made = np.zeros((n, most, width), np.float32)
    for start in range(0, n, at_once):
        boxes = order[np.minimum(np.arange(start, start + at_once), n - 1)]
        rows = int(rows_of[boxes[0]])
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, boxes)
        made[boxes, :rows] = make(
            keys, jnp.asarray(parameters[boxes]), jnp.asarray(mask[boxes, :rows])
        )
        if progress is not None:
            progress(min(start + at_once, n), n)
    return made
