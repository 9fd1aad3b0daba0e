"""How fast pairs approach: pair counts, mean relative velocity and its dispersion in one pass."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from physgen.stats.points import Numbers, as_box, as_clouds, as_columns, as_edges
from physgen.stats.tiles import FIXED_POINT, PACKED
from physgen.stats.tiling import cumulative_sums

_DIRECT_TO = 512  # points in a call; from here on the compiled tiles are faster


class PairwiseVelocities(NamedTuple):
    """Of the pairs in each bin: their number, and mean and spread of their radial velocities.

    counts are ordered pairs (weights: sums of w_i w_j); v12 and sigma12, in the unit of the
    velocities, are NaN in a bin without pairs.
    """

    counts: Int[np.ndarray, "*n b"] | Float[np.ndarray, "*n b"]
    v12: Float[np.ndarray, "*n b"]
    sigma12: Float[np.ndarray, "*n b"]


def pairwise_velocities(
    positions: Numbers,
    velocities: Numbers,
    edges: Numbers,
    *,
    box_size: Numbers | None = None,
    weights: Numbers | None = None,
    mask: Numbers | None = None,
) -> PairwiseVelocities:
    """Counts, v12(r) and sigma12(r) of the pairs with lo < separation <= hi, in one pass.

    v12 = < u > and sigma12^2 = < u^2 > - v12^2 with u = (v_i - v_j) . r_hat_ij, r_hat from j to i,
    so infall is negative (Peebles 1980, section 71; halotools' mean_radial_velocity_vs_r, and its
    radial_pvd_vs_r). Peculiar velocities in, no Hubble flow added. With weights, means are over
    w_i w_j. Pairs of coincident points, which have no direction, are left out, of the counts too.

    Args:
        positions: (N, 3), or n clouds (n, N, 3).
        velocities: of the shape of the positions.
        edges: (b + 1,), in the unit of the positions.
        box_size, weights, mask: as for `pair_counts`.

    Raises:
        InputError: as `pair_counts`, and for velocities that are not finite or of another shape.
    """
    sums = _sums(positions, velocities, edges, box_size, weights, mask, dispersion=True)
    counts, first, second = np.moveaxis(sums, -2, 0)
    mean = _mean(first, counts)
    spread = np.sqrt(np.maximum(_mean(second, counts) - mean**2, 0.0))
    counts = counts if weights is not None else np.rint(counts).astype(np.int64)
    return PairwiseVelocities(counts, mean, spread)


def mean_relative_velocity(
    positions: Numbers,
    velocities: Numbers,
    edges: Numbers,
    *,
    box_size: Numbers | None = None,
) -> Float[np.ndarray, "*n b"]:
    """v12(r) alone, (b,) or (n, b), in less time; arguments and errors as `pairwise_velocities`."""
    sums = _sums(positions, velocities, edges, box_size, None, None, dispersion=False)
    return _mean(sums[..., 1, :], sums[..., 0, :])


def _mean(sums, counts):
    empty = counts == 0
    return np.where(empty, np.nan, sums / np.where(empty, 1.0, counts))


def _sums(positions, velocities, edges, box_size, weights, mask, *, dispersion):
    """Sums of w, w u and, with the dispersion, w u^2: ([n,] sums, b)."""
    box = as_box(box_size)
    radii = as_edges(edges, box)
    several = np.ndim(positions) == 3
    points = as_clouds(positions, mask, box, minimum=1 if several else 2)
    kept = ~np.isnan(points[..., 0])
    motions = as_columns(
        velocities, np.shape(positions), "velocities", kept if several else kept[0]
    ).reshape(points.shape)
    mass = None
    if weights is not None:
        shape = np.shape(positions)[:-1]
        mass = as_columns(weights, shape, "weights", kept.reshape(shape)).reshape(kept.shape)
    if kept.size <= _DIRECT_TO:
        ones = np.ones(kept.shape) if mass is None else mass
        clouds = zip(points, motions, ones, kept, strict=True)
        sums = np.stack([_direct(x[k], v[k], w[k], radii, box) for x, v, w, k in clouds])
    else:
        sums = _by_tiles(points, motions, mass, kept, radii, box, dispersion)
    return sums if several else sums[0]


def _by_tiles(points, motions, mass, kept, radii, box, dispersion):
    columns = [points, motions] + ([] if mass is None else [mass[..., None]])
    speed = 2 * np.linalg.norm(motions - motions[kept].mean(axis=0), axis=2)[kept].max(initial=0)
    speed = speed if speed > 0 else 1.0
    if mass is None:
        scales = np.array([1.0, PACKED / speed, FIXED_POINT / speed**2])
        quantity, scales = ("velocity", scales) if dispersion else ("mean velocity", scales[:2])
    else:
        heaviest = np.abs(mass).max() ** 2 or 1.0
        quantity = "weighted velocity"
        scales = FIXED_POINT / (heaviest * speed ** np.arange(3))
    sums = cumulative_sums(np.concatenate(columns, axis=2), radii, box, quantity, scales)
    return np.diff(sums, axis=2).astype(np.float64) / scales[:, None]


def _direct(points, motions, weights, radii, box):
    """The three sums (3, b) from all pairs at once, for few points."""
    delta = points[:, None] - points[None]
    if box is not None:
        delta -= box * np.round(delta / box)
    square = np.sum(delta**2, axis=2)
    where = np.searchsorted(radii**2, square.ravel(), side="left") - 1
    chosen = (where >= 0) & (where < len(radii) - 1)
    safe = np.sqrt(np.where(square > 0, square, 1.0))
    speed = (np.sum(delta * (motions[:, None] - motions[None]), axis=2) / safe).ravel()[chosen]
    products = np.outer(weights, weights).ravel()[chosen]
    values = products, products * speed, products * speed**2
    return np.stack(
        [np.bincount(where[chosen], weights=v, minlength=len(radii) - 1) for v in values]
    )
