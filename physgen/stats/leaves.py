"""Points packed into compact leaves of equal size, and the pairs of leaves that lie close.

Slabs in x, columns in y, leaves in z (sort-tile-recursive packing, Leutenegger et al. 1997). A leaf
is full whatever the clustering, so nothing can overflow: the capacity of a cell is its definition.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from physgen.stats.points import Box

_CANDIDATES = 2**16  # pairs of leaves that are looked at at once
_SLACK = 1e-9  # relative: bounds of distances hold whatever the rounding


@dataclass(frozen=True, eq=False)
class Leaves:
    """Leaves of n clouds: `columns` (n, P, C, T), padded with NaN; the first three are x, y, z.

    `centre` and `half` (n, P, 3) are those of the bounding boxes, `used` (n,) the leaves that hold
    points; they come first.
    """

    columns: Float[np.ndarray, "n P C T"]
    centre: Float[np.ndarray, "n P 3"]
    half: Float[np.ndarray, "n P 3"]
    used: Int[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Tiles:
    """Pairs of leaves: indices, the image of the second, and bounds of their points' distance."""

    first: Int[np.ndarray, " t"]
    second: Int[np.ndarray, " t"]
    shift: Float[np.ndarray, "t 3"]
    nearest: Float[np.ndarray, " t"]
    farthest: Float[np.ndarray, " t"]


def pack(columns: Float[np.ndarray, "n N C"], size: int) -> Leaves:
    """Leaves of `size` points; a row of `columns` that is NaN is no point."""
    clouds, count, width = columns.shape
    slab, column = _runs(columns, size)
    flat = np.concatenate(
        [columns.reshape(-1, width), np.full((1, width), np.nan)]
    )  # the last row pads
    order = np.arange(clouds * count).reshape(clouds, count)
    for axis, run in enumerate((slab * size, column * size, size)):
        missing = -order.shape[1] % run
        order = np.pad(order, ((0, 0), (0, missing)), constant_values=len(flat) - 1)
        ranks = np.argsort(flat[order, axis], axis=1)
        order = np.take_along_axis(order, ranks, axis=1).reshape(-1, run)
    leaves = flat[order].reshape(clouds, -1, size, width)
    filled = ~np.isnan(leaves[:, :, 0, 0])
    first = np.argsort(~filled, axis=1, kind="stable")
    leaves = np.take_along_axis(leaves, first[:, :, None, None], axis=1)
    low = np.fmin.reduce(leaves[..., :3], axis=2)
    high = np.fmax.reduce(leaves[..., :3], axis=2)
    return Leaves(
        np.ascontiguousarray(np.swapaxes(leaves, 2, 3)),
        (low + high) / 2,
        (high - low) / 2,
        filled.sum(axis=1),
    )


def near_tiles(
    one: Leaves, two: Leaves | None, cloud: int, reach: float, box: Box | None
) -> Iterator[Tiles]:
    """Tiles of a cloud with points that may be within `reach`, a few rows of leaves at a time.

    Without `two` those of the upper triangle: first <= second.
    """
    other = one if two is None else two
    rows, columns = int(one.used[cloud]), int(other.used[cloud])
    centre, half = one.centre[cloud], one.half[cloud]
    others, halves = other.centre[cloud, :columns], other.half[cloud, :columns]
    step = max(64, _CANDIDATES // max(columns, 1))
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        low = (centre[start:stop] - half[start:stop]).min(axis=0)
        high = (centre[start:stop] + half[start:stop]).max(axis=0)
        gap, _, _ = _separations(
            (low + high)[None] / 2, (high - low)[None] / 2, others, halves, box
        )
        near = np.flatnonzero(gap[0] <= ((1 + _SLACK) * reach) ** 2)
        if two is None:
            near = near[near >= start]
        gap, far, images = _separations(
            centre[start:stop], half[start:stop], others[near], halves[near], box
        )
        chosen = gap <= ((1 + _SLACK) * reach) ** 2
        if two is None:
            chosen &= near[None, :] >= np.arange(start, stop)[:, None]
        i, j = np.nonzero(chosen)
        yield Tiles(
            i + start,
            near[j],
            np.stack([image[i, j] for image in images], axis=1),
            np.sqrt(gap[i, j]) * (1 - _SLACK),
            np.sqrt(far[i, j]) * (1 + _SLACK),
        )


def _runs(columns, size):
    """Leaves in a slab and in a column, so that leaves are about as long as wide as deep."""
    count = columns.shape[1]
    points = columns[..., :3].reshape(-1, 3)
    extent = np.fmax.reduce(points, axis=0) - np.fmin.reduce(points, axis=0)
    extent = np.maximum(extent, 1e-6 * max(extent.max(), 1e-300))
    leaves = -(-count // size)
    side = (extent / extent.max()).prod() ** (1 / 3) * extent.max() / leaves ** (1 / 3)
    slabs = min(max(1, round(extent[0] / side)), leaves)
    slab = -(-leaves // slabs)
    columns_in_slab = min(max(1, round((slab * extent[1] / extent[2]) ** 0.5)), slab)
    column = -(-slab // columns_in_slab)
    return column * columns_in_slab, column


def _separations(centre, half, others, halves, box):
    """Squares (r, c) of the least and the largest distance of bounding boxes; images by axis."""
    least, largest = (np.zeros((len(centre), len(others))) for _ in range(2))
    images = []
    for axis in range(3):
        delta = centre[:, None, axis] - others[None, :, axis]
        reach = half[:, None, axis] + halves[None, :, axis]
        image = np.zeros_like(delta)
        if box is not None:
            image = box[axis] * np.round(delta / box[axis])
            delta = delta - image
        delta = np.abs(delta)
        least = least + np.maximum(delta - reach, 0.0) ** 2
        largest = largest + (delta + reach) ** 2
        images.append(image)
    return least, largest, images
