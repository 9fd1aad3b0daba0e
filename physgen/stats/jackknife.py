"""Covariances from the data themselves: leave one region out."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from physgen.errors import InputError
from physgen.stats.correlation import landy_szalay, total_weights
from physgen.stats.pairs import pair_counts
from physgen.stats.points import Numbers, as_edges


def jackknife_covariance(estimates: Numbers) -> Float[np.ndarray, "p p"]:
    """(n - 1) / n sum_k (x_k - mean)(x_k - mean)^T of n leave-one-out estimates (n, p), (p, p).

    Norberg et al. 2009, eq. 3. Raises InputError for fewer than two estimates or NaN.
    """
    values = np.asarray(estimates, dtype=np.float64)
    if values.ndim != 2 or len(values) < 2 or not np.isfinite(values).all():
        raise InputError(
            f"estimates must be finite and (n, p) with n at least 2, got shape {values.shape}; "
            "choose fewer regions, or bins with pairs in every region"
        )
    off = values - values.mean(axis=0)
    return (len(values) - 1) / len(values) * off.T @ off


def jackknife_correlation(
    positions: Numbers,
    edges: Numbers,
    regions: Numbers,
    randoms: Numbers,
    random_regions: Numbers,
    *,
    box_size: Numbers | None = None,
    weights: Numbers | None = None,
    random_weights: Numbers | None = None,
) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, "b b"]]:
    """xi(r) by Landy-Szalay, (b,), and its jackknife covariance (b, b).

    Each region is left out once, with all pairs that have a point in it; pairs are counted once for
    all regions. regions (N,) and random_regions (M,) are whole numbers that label the points.

    Raises InputError as `two_point_correlation`, for fewer than two regions, labels that data and
    randoms do not share, and a bin that some region leaves without random pairs.
    """
    radii = as_edges(edges)
    labels, random_labels = np.asarray(regions), np.asarray(random_regions)
    for name, marks, points in (
        ("regions", labels, positions),
        ("random_regions", random_labels, randoms),
    ):
        if marks.shape != (len(np.asarray(points)),) or marks.dtype.kind not in "iu":
            raise InputError(
                f"{name} must be one whole number for each of the {len(np.asarray(points))} "
                f"points, got {marks.dtype} {marks.shape}"
            )
    names = np.unique(random_labels)
    if len(names) < 2 or not np.isin(labels, names).all():
        raise InputError(
            "expected at least two regions, and randoms in each that holds data, got regions "
            f"{names.tolist()} of the randoms and {np.unique(labels).tolist()} of the data"
        )
    data = _Sample(positions, weights, labels)
    random = _Sample(randoms, random_weights, random_labels)
    dd, dd_without = _without(data, data, names, radii, box_size)
    dr, dr_without = _without(data, random, names, radii, box_size)
    rr, rr_without = _without(random, random, names, radii, box_size)
    whole = landy_szalay(dd, dr, rr, data.totals(None), random.totals(None))
    parts = [
        landy_szalay(a, b, c, data.totals(name), random.totals(name))
        for name, a, b, c in zip(names, dd_without, dr_without, rr_without, strict=True)
    ]
    return whole, jackknife_covariance(np.stack(parts))


class _Sample:
    def __init__(self, positions, weights, labels):
        self.positions = np.asarray(positions)
        self.weights = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
        self.labels = labels

    def totals(self, without):
        kept = np.ones(len(self.labels), bool) if without is None else self.labels != without
        return total_weights(self.positions[kept], self.weights[kept])


def _without(one, two, names, radii, box_size):
    """Counts of all pairs, and those left when each region is taken away."""

    def cross(mine, yours):
        if not mine.any() or not yours.any():
            return np.zeros(len(radii) - 1)
        return pair_counts(
            one.positions[mine],
            radii,
            box_size=box_size,
            weights=one.weights[mine],
            other=two.positions[yours],
            other_weights=two.weights[yours],
        )

    every, each = np.ones(len(one.labels), bool), np.ones(len(two.labels), bool)
    rows = []
    for name in names:
        mine, yours = one.labels == name, two.labels == name
        touching = cross(mine, each) - cross(mine, yours)
        touching = touching + (touching if one is two else cross(every, yours) - cross(mine, yours))
        rows.append(touching + cross(mine, yours))
    whole = cross(every, each)
    if one is two and radii[0] == 0:
        itself = [np.sum(one.weights[one.labels == name] ** 2) for name in names]
        whole[0] -= sum(itself)
        for row, own in zip(rows, itself, strict=True):
            row[0] -= own
    return whole, [whole - row for row in rows]
