"""Boxes of few galaxies are not worked on at the size of the largest.

Pairs of rows are most of the work, and padding is rows. Boxes come in a few sizes: a program is
compiled for each, and each box goes to the smallest that holds it. What comes out is what more
padding would give: networks see no masked galaxy, and the random numbers of a long array begin with
those of a short one.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

_PARTS = 4
_STEP = 40  # rows; less than this is not worth a program of its own

Loss = Callable[[Any, Array, dict[str, Array]], Array]


def sizes(counts: Int[np.ndarray, " n"], usual: int) -> Int[np.ndarray, " n"]:
    """The rows that each box of so many galaxies is given.

    A quarter of the `usual` largest number, two, three, and so on, rounded up to multiples of 8
    (of less than 160: thirds, halves or all of it); never more than the largest of `counts`, so
    that boxes that all hold as many are not padded.
    """
    parts = np.clip(usual // _STEP, 1, _PARTS)
    rows = 8 * np.ceil(np.ceil(np.maximum(counts, 1) * parts / usual) * usual / (8 * parts))
    return np.minimum(rows, counts.max()).astype(int)


def packed(
    galaxies: Float[np.ndarray, "n N d"], mask: Bool[np.ndarray, "n N"]
) -> tuple[Float[np.ndarray, "n M d"], Bool[np.ndarray, "n M"]]:
    """The same with the galaxies of each box first, and as many rows as the largest holds."""
    most = mask.sum(axis=1).max()
    first = np.argsort(~mask, axis=1, kind="stable")[:, :most]
    return (
        np.take_along_axis(galaxies, first[:, :, None], axis=1),
        np.take_along_axis(mask, first, axis=1),
    )


def alike_together(
    batches: Int[np.ndarray, "steps batch"], counts: Int[np.ndarray, " n"], together: int
) -> Int[np.ndarray, "steps batch"]:
    """Each batch of boxes so arranged that `gradient_step` takes large ones together."""
    order = np.argsort(counts[batches], axis=1, kind="stable").reshape(len(batches), -1, together)
    return np.take_along_axis(batches, order.swapaxes(1, 2).reshape(batches.shape), axis=1)


def cut_to_size(loss: Loss, widths: list[int]) -> Loss:
    """loss(parameters, key, batch), a scalar, whose gradient is taken without needless padding.

    `batch` has packed "galaxies" (n, N, d) and "mask" (n, N). For the gradient, in parameters, they
    are cut to the smallest of the ascending `widths` that holds every box; the last of them is N.
    It is taken inside each branch: a switch that is differentiated from outside keeps what every
    branch needs.
    """
    if len(widths) == 1:
        return loss

    def at(width):
        def branch(parameters, key, batch):
            galaxies, mask = batch["galaxies"][:, :width], batch["mask"][:, :width]
            batch = batch | {"galaxies": galaxies, "mask": mask}
            return jax.value_and_grad(loss)(parameters, key, batch)

        return branch

    def forward(parameters, key, batch):
        most = jnp.max(jnp.sum(batch["mask"], axis=1))
        which = jnp.searchsorted(jnp.array(widths[:-1]), most)
        return jax.lax.switch(which, [at(width) for width in widths], parameters, key, batch)

    def backward(gradient, change):
        return jax.tree.map(lambda leaf: change * leaf, gradient), None, None

    cut = jax.custom_vjp(loss)
    cut.defvjp(forward, backward)
    return cut
