"""Correlations that know a line of sight: projected, and multipoles; surveys in sky coordinates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.polynomial import Legendre

from physgen.errors import InputError
from physgen.stats.correlation import landy_szalay, total_weights
from physgen.stats.plane import pair_counts_rp_pi, pair_counts_s_mu
from physgen.stats.points import Numbers, as_box, as_edges


def sky_to_cartesian(ra: Numbers, dec: Numbers, distance: Numbers) -> Float[np.ndarray, "N 3"]:
    """Positions (N, 3) around the observer, in the unit of `distance`; ra and dec in degrees.

    Raises InputError for arrays that are not of one length, a declination beyond 90 degrees or a
    distance that is not positive.
    """
    given = [np.asarray(values, dtype=np.float64) for values in (ra, dec, distance)]
    if given[0].ndim != 1 or len({values.shape for values in given}) != 1:
        raise InputError(
            f"ra, dec and distance must be lists of one length, got {[v.shape for v in given]}"
        )
    if not (np.abs(given[1]) <= 90).all() or not (given[2] > 0).all():
        raise InputError(
            "expected declinations between -90 and 90 degrees and positive distances, got others; "
            "give degrees, and distances rather than redshifts"
        )
    alpha, delta = np.radians(given[0]), np.radians(given[1])
    x, y = np.cos(delta) * np.cos(alpha), np.cos(delta) * np.sin(alpha)
    return given[2][:, None] * np.stack([x, y, np.sin(delta)], axis=1)


def projected_correlation(
    positions: Numbers,
    rp_edges: Numbers,
    pi_edges: Numbers,
    *,
    box_size: Numbers | None = None,
    weights: Numbers | None = None,
    randoms: Numbers | None = None,
    random_weights: Numbers | None = None,
) -> Float[np.ndarray, " r"]:
    """wp(rp) = 2 sum xi(rp, pi) d pi over the bins of pi (Davis & Peebles 1983), (r,), a length.

    In a periodic box without randoms by the natural estimator, the z axis the line of sight; with
    randoms (M, 3) by Landy-Szalay. Weights are those of `pair_counts`, and so are the errors;
    InputError, too, without both a box and randoms. A bin without random pairs is NaN.
    """
    rp, pi = as_edges(rp_edges), as_edges(pi_edges)
    volumes = 2 * np.pi * np.outer(np.diff(rp**2), np.diff(pi))
    found = _correlation(
        pair_counts_rp_pi, rp, pi, volumes, positions, box_size, weights, randoms, random_weights
    )
    return 2 * found @ np.diff(pi)


def correlation_multipoles(
    positions: Numbers,
    s_edges: Numbers,
    mu_edges: Numbers,
    *,
    ells: Sequence[int] = (0, 2, 4),
    box_size: Numbers | None = None,
    weights: Numbers | None = None,
    randoms: Numbers | None = None,
    random_weights: Numbers | None = None,
) -> Float[np.ndarray, "l s"]:
    """xi_l(s) = (2 l + 1) int_0^1 xi(s, mu) L_l(mu) d mu, (len(ells), s), dimensionless.

    xi(s, mu) is constant in each bin of mu and the integral over the bin exact; mu_edges go from 0
    to 1. Even l only: pairs have no order. Estimators, weights and errors as for
    `projected_correlation`; InputError, too, for odd l and mu_edges that do not reach from 0 to 1.
    """
    s, mu = as_edges(s_edges), as_edges(mu_edges)
    if mu[0] != 0 or mu[-1] != 1:
        raise InputError(f"mu_edges must go from 0 to 1, got {mu[0]:g} to {mu[-1]:g}")
    if not ells or any(ell < 0 or ell % 2 for ell in ells):
        raise InputError(f"ells must be even and not negative, got {tuple(ells)}")
    volumes = 4 / 3 * np.pi * np.outer(np.diff(s**3), np.diff(mu))
    found = _correlation(
        pair_counts_s_mu, s, mu, volumes, positions, box_size, weights, randoms, random_weights
    )
    integrals = [np.diff(Legendre.basis(ell).integ()(mu)) for ell in ells]
    return np.stack(
        [(2 * ell + 1) * found @ part for ell, part in zip(ells, integrals, strict=True)]
    )


def _correlation(count, one, two, volumes, positions, box_size, weights, randoms, random_weights):
    dd = count(positions, one, two, box_size=box_size, weights=weights)
    data = total_weights(positions, weights)
    if randoms is not None:
        second = {"other": randoms, "other_weights": random_weights}
        dr = count(positions, one, two, box_size=box_size, weights=weights, **second)
        rr = count(randoms, one, two, box_size=box_size, weights=random_weights)
        return landy_szalay(dd, dr, rr, data, total_weights(randoms, random_weights))
    box = as_box(box_size)
    if box is None:
        raise InputError(
            "expected a periodic box or a random catalogue, got neither; give box_size or randoms"
        )
    return dd / ((data[0] ** 2 - data[1]) * volumes / box.prod()) - 1.0
