"""The two-point correlation function."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from physgen.errors import InputError
from physgen.stats.pairs import pair_counts
from physgen.stats.points import Numbers, as_box, as_edges


def two_point_correlation(
    positions: Numbers,
    edges: Numbers,
    *,
    box_size: Numbers | None,
    weights: Numbers | None = None,
    mask: Numbers | None = None,
    randoms: Numbers | None = None,
    random_weights: Numbers | None = None,
) -> Float[np.ndarray, "*n b"]:
    """xi(r), (b,) or (n, b), dimensionless.

    In a periodic box without randoms the natural estimator DD / RR - 1 (Peebles & Hauser 1974) with
    the exact expectation RR = (W^2 - sum w^2) V_shell / V of points that are uniform in the box, W
    the sum of the weights: N (N - 1) V_shell / V without weights. With randoms (M, 3), in a box or
    in open space, (DD - 2 DR + RR) / RR of normalised counts (Landy & Szalay 1993, eq. 8): DD by
    W^2 - sum w^2 and so on. A bin without random pairs is NaN.

    Args:
        positions: (N, 3), or n clouds (n, N, 3), the latter without randoms.
        box_size, weights, mask: as for `pair_counts`.
        randoms, random_weights: a random catalogue (M, 3) of the same survey, and its weights.

    Raises:
        InputError: without a periodic box and without randoms, and as `pair_counts`.
    """
    if randoms is None:
        return _natural(positions, edges, box_size, weights, mask)
    if np.ndim(positions) != 2:
        raise InputError(
            f"expected one cloud (N, 3) beside randoms, got shape {np.shape(positions)}; "
            "give one survey at a time"
        )
    two = {"other": randoms, "other_weights": random_weights}
    dd = pair_counts(positions, edges, box_size=box_size, weights=weights, mask=mask)
    dr = pair_counts(positions, edges, box_size=box_size, weights=weights, mask=mask, **two)
    rr = pair_counts(randoms, edges, box_size=box_size, weights=random_weights)
    return landy_szalay(
        dd, dr, rr, total_weights(positions, weights, mask), total_weights(randoms, random_weights)
    )


def landy_szalay(
    dd: Numbers, dr: Numbers, rr: Numbers, data: tuple[float, float], random: tuple[float, float]
) -> Float[np.ndarray, "*b"]:
    """(DD - 2 DR + RR) / RR of weighted counts; `data` and `random` are sum w and sum w^2."""
    pairs_dd, pairs_rr = data[0] ** 2 - data[1], random[0] ** 2 - random[1]
    dd, dr, rr = (np.asarray(counts, np.float64) for counts in (dd, dr, rr))
    dd, dr, rr = dd / pairs_dd, dr / (data[0] * random[0]), rr / pairs_rr
    return np.divide(dd - 2 * dr + rr, rr, out=np.full(rr.shape, np.nan), where=rr > 0)


def total_weights(
    positions: Numbers, weights: Numbers | None, mask: Numbers | None = None
) -> tuple[float, float]:
    """Sum of the weights and of their squares."""
    ones = np.ones(np.shape(positions)[:-1]) if weights is None else np.asarray(weights, np.float64)
    kept = ones if mask is None else ones[np.asarray(mask)]
    return float(kept.sum()), float((kept**2).sum())


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


def _natural(positions, edges, box_size, weights, mask):
    box = as_box(box_size)
    if box is None:
        raise InputError(
            "two_point_correlation needs the box_size of a periodic box, got None; "
            "in open space give it a random catalogue, randoms="
        )
    counts = pair_counts(positions, edges, box_size=box, weights=weights, mask=mask)
    mass = np.ones(np.shape(positions)[:-1]) if weights is None else np.asarray(weights, np.float64)
    mass = mass if mask is None else np.where(np.asarray(mask), mass, 0.0)
    pairs = mass.sum(axis=-1) ** 2 - (mass**2).sum(axis=-1)
    expected = pairs[..., None] * spherical_shell_volumes(edges) / box.prod()
    return np.divide(counts, expected, out=np.full(counts.shape, np.nan), where=expected != 0) - 1.0
