"""Pair counts, and the two-point correlation function made of them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from physgen.errors import InputError
from physgen.stats.points import (
    Box,
    Numbers,
    Points,
    as_box,
    as_edges,
    as_points,
    as_weights,
    spatial_blocks,
)

_BLOCKS = 8
_BLOCKS_FROM = 20_000  # points; below this one tree is as fast
_THREADS = min(4, os.cpu_count() or 1)


def pair_counts(
    positions: Numbers,
    edges: Numbers,
    *,
    box_size: Numbers | None = None,
    weights: Numbers | None = None,
    other: Numbers | None = None,
    other_weights: Numbers | None = None,
) -> Int[np.ndarray, " b"] | Float[np.ndarray, " b"]:
    """Ordered pairs with lo < separation <= hi in each bin, exact in float64.

    A first edge of zero lets pairs of coincident points in, too.

    positions (N, 3) and edges (b + 1,) share one unit. box_size is the side of a periodic box (or
    three sides; separations are then minimum-image), None is open space. Without `other` each
    distinct pair counts twice and no point pairs with itself; with `other` (M, 3) each of the N M
    pairs counts once. Returns (b,) int64; with weights, float64 sums of the products w_i w_j.

    Raises InputError for bad shapes, NaN, points outside the box, edges that do not increase or
    that pass half the box, and fewer than two points.
    """
    box = as_box(box_size)
    radii = as_edges(edges, box)
    points = as_points(positions, box, minimum=2 if other is None else 1)
    if weights is not None:
        weights = as_weights(weights, len(points), "weights")
    if other is None:
        if other_weights is not None:
            raise InputError("other_weights needs other, the second set of points, got None")
        itself = len(points) if weights is None else np.sum(weights**2)
        return _binned(_auto_counts(points, radii, box, weights), radii, weights, itself)
    others = as_points(other, box, name="other")
    if other_weights is not None:
        other_weights = as_weights(other_weights, len(others), "other_weights")
    both = None
    if weights is not None or other_weights is not None:
        both = tuple(
            np.ones(len(p)) if w is None else w
            for p, w in ((points, weights), (others, other_weights))
        )
    counts = _counts(KDTree(points, boxsize=box), KDTree(others, boxsize=box), radii, both)
    return _binned(counts, radii, both, 0)


def two_point_correlation(
    positions: Numbers,
    edges: Numbers,
    *,
    box_size: Numbers | None,
) -> Float[np.ndarray, " b"]:
    """xi(r) = DD / RR - 1 of points in a periodic box, (b,), dimensionless.

    The natural estimator (Peebles & Hauser 1974) with the exact expectation
    RR = N (N - 1) V_shell / V of N points that are uniform in the box. Without a periodic box there
    is no such expectation: InputError. Other errors as `pair_counts`.
    """
    box = as_box(box_size)
    if box is None:
        raise InputError(
            "two_point_correlation needs the box_size of a periodic box, got None; "
            "use pair_counts with a random catalogue in open space"
        )
    counts = pair_counts(positions, edges, box_size=box)
    n = len(np.asarray(positions))
    return counts / (n * (n - 1.0) * spherical_shell_volumes(edges) / box.prod()) - 1.0


def pair_separation_histogram(
    positions: Numbers,
    edges: Numbers,
    *,
    box_size: Numbers | None = None,
) -> Float[np.ndarray, " b"]:
    """The fraction of all pairs that fall in each bin of separation, (b,).

    It sums to one where the edges hold every pair. Arguments and errors as `pair_counts`.
    """
    n = len(np.asarray(positions))
    return pair_counts(positions, edges, box_size=box_size) / (n * (n - 1.0))


def spherical_shell_volumes(edges: Numbers) -> Float[np.ndarray, " b"]:
    """Volumes (b,) of the shells between the radii `edges` (b + 1,), in their unit cubed."""
    return 4 / 3 * np.pi * np.diff(as_edges(edges) ** 3)


def _auto_counts(points: Points, radii, box: Box | None, weights):
    if len(points) < _BLOCKS_FROM:
        tree = KDTree(points, boxsize=box)
        return _counts(tree, tree, radii, None if weights is None else (weights, weights))
    parts = spatial_blocks(points, box, _BLOCKS)
    trees = [KDTree(points[part], boxsize=box) for part in parts]

    def block(pair: tuple[int, int]):
        i, j = pair
        both = None if weights is None else (weights[parts[i]], weights[parts[j]])
        return (1 if i == j else 2) * _counts(trees[i], trees[j], radii, both)

    pairs = [(i, j) for i in range(_BLOCKS) for j in range(i, _BLOCKS)]
    with ThreadPoolExecutor(_THREADS) as pool:
        return np.sum(list(pool.map(block, pairs)), axis=0)


def _counts(tree: KDTree, other: KDTree, radii, weights):
    """Counts (b + 1,): up to the first edge, a point with itself among them, and in each bin."""
    return tree.count_neighbors(other, radii, weights=weights, cumulative=False)


def _binned(counts, radii, weights, itself):
    """The counts (b,) of the bins; those at zero less `itself` join a first bin from zero."""
    result = counts[1:].astype(np.int64 if weights is None else np.float64)
    if radii[0] == 0:
        result[0] += counts[0] - itself
    return result
