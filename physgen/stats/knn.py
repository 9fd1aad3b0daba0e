"""Distances to the k-th nearest neighbour: all orders of clustering in one cheap statistic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree
from scipy.special import gammainc

from physgen.errors import InputError
from physgen.stats.points import Numbers, as_box, as_points


def knn_distances(
    positions: Numbers,
    k: int | Sequence[int],
    *,
    box_size: Numbers | None = None,
    queries: Numbers | None = None,
) -> Float[np.ndarray, "M K"]:
    """Distance to the k-th nearest point of `positions`, (M, len(k)), in the unit of positions.

    From every point to the others (k = 1 is the nearest other point; M = N), or from `queries`
    (M, 3) to the points (k = 1 is the nearest point). `k` is one order or several; an integer is
    a list of one. In a periodic box distances are minimum-image.

    Raises InputError if k is below 1 or above the number of neighbours that exist, and for bad
    points as `pair_counts`.
    """
    box = as_box(box_size)
    orders = np.atleast_1d(np.asarray(k))
    if orders.ndim != 1 or orders.dtype.kind not in "iu" or not len(orders) or orders.min() < 1:
        raise InputError(f"k must be whole numbers from 1, got {k!r}")
    points = as_points(positions, box, minimum=2 if queries is None else 1)
    own = int(queries is None)
    if orders.max() > len(points) - own:
        raise InputError(
            f"k must be at most {len(points) - own}, the number of neighbours among {len(points)} "
            f"points, got {orders.max()}"
        )
    where = points if queries is None else as_points(queries, box, name="queries")
    distances, _ = KDTree(points, boxsize=box).query(where, k=int(orders.max()) + own)
    return distances.reshape(len(where), -1)[:, orders + own - 1]


def poisson_knn_cdf(k: int, r: Numbers, density: float) -> Float[np.ndarray, " R"]:
    """P(distance to the k-th nearest point <= r) for a Poisson process.

    1 - sum_{i<k} l^i exp(-l) / i! with l = density 4 pi r^3 / 3 (Banerjee & Abel 2021, eq. 2). The
    void probability is 1 - poisson_knn_cdf(1, r, density). Raises InputError for k < 1, r < 0 or a
    density that is not positive.
    """
    radii = np.asarray(r, dtype=np.float64)
    if k < 1 or not (np.isfinite(density) and density > 0) or not (radii >= 0).all():
        raise InputError(
            f"expected k >= 1, r >= 0 and a positive density, got k={k}, density={density}, "
            f"r from {radii.min() if radii.size else radii}"
        )
    return gammainc(k, density * 4 / 3 * np.pi * radii**3)


def knn_cdf(
    positions: Numbers,
    k: int | Sequence[int],
    r: Numbers,
    *,
    box_size: Numbers | None = None,
    queries: Numbers | None = None,
) -> Float[np.ndarray, "K R"]:
    """Fraction of queries whose k-th nearest point is within r, (len(k), len(r)).

    From random `queries` these are the kNN-CDFs of Banerjee & Abel (2021), beside which
    `poisson_knn_cdf` stands; without queries, from data to data. Arguments and errors as
    `knn_distances`; InputError, too, for r that are not finite.
    """
    radii = np.asarray(r, dtype=np.float64)
    if radii.ndim != 1 or not np.isfinite(radii).all():
        raise InputError(f"r must be a list of finite radii, got shape {radii.shape}")
    distances = np.sort(knn_distances(positions, k, box_size=box_size, queries=queries), axis=0)
    below = [np.searchsorted(column, radii, side="right") for column in distances.T]
    return np.stack(below) / len(distances)


def void_probability(
    positions: Numbers, r: Numbers, queries: Numbers, *, box_size: Numbers | None = None
) -> Float[np.ndarray, " R"]:
    """P_0(r), the fraction of spheres around `queries` that hold no point, (R,) (White 1979).

    exp(-density 4 pi r^3 / 3) for a Poisson process. Arguments and errors as `knn_cdf`.
    """
    return 1.0 - knn_cdf(positions, 1, r, box_size=box_size, queries=queries)[0]
