"""Correlations with a line of sight, with randoms and by jackknife, against brute force."""

import numpy as np
import pytest

from physgen import InputError
from physgen.stats import (
    correlation_multipoles,
    jackknife_correlation,
    jackknife_covariance,
    pair_counts,
    pair_counts_rp_pi,
    pair_counts_s_mu,
    projected_correlation,
    sky_to_cartesian,
    two_point_correlation,
)

BOX = np.array([16.0, 20.0, 32.0])
S = np.array([0.0, 1.0, 2.5, 5.0, 8.0])
MU = np.array([0.0, 0.25, 0.5, 1.0])


def planes(one, two, box):
    """s, mu, rp and pi of all pairs (N, M)."""
    delta = one[:, None] - two[None]
    if box is None:
        sight = (one[:, None] + two[None]) / 2
        sight /= np.linalg.norm(sight, axis=-1, keepdims=True)
        pi = np.abs((delta * sight).sum(axis=-1))
    else:
        delta = delta - box * np.round(delta / box)
        pi = np.abs(delta[..., 2])
    s = np.sqrt((delta**2).sum(axis=-1))
    safe = np.where(s > 0, s, 1)
    return s, pi / safe, np.sqrt(np.maximum(s**2 - pi**2, 0)), pi


def histogram(first, second, edges, others, products):
    rows = []
    for a, b in zip(edges[:-1], edges[1:], strict=True):
        for c, d in zip(others[:-1], others[1:], strict=True):
            low = (first > a) | ((a == 0) & (first == 0))
            inside = (
                low & (first <= b) & ((second > c) | ((c == 0) & (second == 0))) & (second <= d)
            )
            rows.append(products[inside].sum())
    return np.reshape(rows, (len(edges) - 1, -1))


@pytest.mark.parametrize("box", [None, BOX])
def test_planes_equal_brute_force(box):
    rng = np.random.default_rng(0)
    one, two = rng.uniform(0.1, BOX, (90, 3)), rng.uniform(0.1, BOX, (40, 3))
    one[1] = one[0]
    w, u = rng.uniform(size=90), rng.uniform(size=40)
    s, mu, rp, pi = planes(one, one, box)
    products = np.outer(w, w) * ~np.eye(90, dtype=bool)
    found = pair_counts_s_mu(one, S, MU, box_size=box, weights=w)
    np.testing.assert_allclose(found, histogram(s, mu, S, MU, products), rtol=1e-9)
    found = pair_counts_rp_pi(one, S, S, box_size=box, weights=w)
    np.testing.assert_allclose(found, histogram(rp, pi, S, S, products), rtol=1e-9)
    s, mu, _, _ = planes(one, two, box)
    found = pair_counts_s_mu(one, S, MU, box_size=box, weights=w, other=two, other_weights=u)
    np.testing.assert_allclose(found, histogram(s, mu, S, MU, np.outer(w, u)), rtol=1e-9)
    assert pair_counts_s_mu(one, S, [0, 1], box_size=box)[:, 0].tolist() == (
        pair_counts(one, S, box_size=box).tolist()
    )


def test_monopole_is_xi_and_poisson_points_have_none():
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 20, (300, 3))
    weights = rng.uniform(0.5, 1, 300)
    edges = np.array([1.0, 2.0, 4.0, 8.0])
    mu = np.linspace(0, 1, 6)
    multipoles = correlation_multipoles(points, edges, mu, box_size=20.0, weights=weights)
    xi = two_point_correlation(points, edges, box_size=20.0, weights=weights)
    np.testing.assert_allclose(multipoles[0], xi, rtol=1e-9)
    wp = projected_correlation(points, edges, [0.0, 5.0, 10.0], box_size=20.0)
    assert np.abs(multipoles[:, 2]).max() < 0.2
    assert np.abs(wp[2]) < 0.1 * 20


def test_a_box_squashed_along_the_sight_has_a_negative_quadrupole():
    """Pancakes: pairs lie across the line of sight."""
    rng = np.random.default_rng(2)
    centres = rng.uniform(0, 50, (80, 1, 3))
    points = (centres + rng.normal(size=(80, 8, 3)) * [1, 1, 0.1]).reshape(-1, 3) % 50
    xi = correlation_multipoles(points, [0.5, 2.0], np.linspace(0, 1, 11), box_size=50.0)
    assert xi[0, 0] > 0
    assert xi[1, 0] < -0.5 * xi[0, 0]


def test_landy_szalay_equals_its_formula_and_finds_the_natural_estimate():
    rng = np.random.default_rng(3)
    points, randoms = rng.uniform(0, 10, (150, 3)), rng.uniform(0, 10, (400, 3))
    w, u = rng.uniform(size=150), rng.uniform(size=400)
    edges = [0.5, 1.5, 3.0]
    dd = pair_counts(points, edges, weights=w) / (w.sum() ** 2 - (w**2).sum())
    rr = pair_counts(randoms, edges, weights=u) / (u.sum() ** 2 - (u**2).sum())
    dr = pair_counts(points, edges, weights=w, other=randoms, other_weights=u)
    expected = (dd - 2 * dr / (w.sum() * u.sum()) + rr) / rr
    found = two_point_correlation(
        points, edges, box_size=None, weights=w, randoms=randoms, random_weights=u
    )
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert np.abs(found).max() < 0.5


def test_jackknife_leaves_out_what_brute_force_leaves_out():
    rng = np.random.default_rng(4)
    points, randoms = rng.uniform(0, 8, (120, 3)), rng.uniform(0, 8, (200, 3))
    w = rng.uniform(0.5, 1, 120)
    regions, random_regions = (x[:, 0] // 2 for x in (points, randoms))
    regions, random_regions = regions.astype(int), random_regions.astype(int)
    edges = np.array([0.0, 1.0, 2.0, 4.0])
    xi, covariance = jackknife_correlation(
        points, edges, regions, randoms, random_regions, weights=w
    )
    parts = [
        two_point_correlation(
            points[regions != k],
            edges,
            box_size=None,
            weights=w[regions != k],
            randoms=randoms[random_regions != k],
        )
        for k in range(4)
    ]
    np.testing.assert_allclose(covariance, 3 * np.cov(np.array(parts).T, ddof=0), rtol=1e-8)
    whole = two_point_correlation(points, edges, box_size=None, weights=w, randoms=randoms)
    np.testing.assert_allclose(xi, whole, rtol=1e-10)


def test_sky_positions_keep_their_distance_and_direction():
    xyz = sky_to_cartesian([0.0, 90.0, 10.0], [0.0, 0.0, 90.0], [1.0, 2.0, 3.0])
    np.testing.assert_allclose(xyz, np.diag([1.0, 2.0, 3.0]), atol=1e-12)


CLOUD = np.random.default_rng(0).uniform(0, 4, (9, 3))
LABELS = np.arange(9) % 2


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: pair_counts_s_mu(CLOUD, S, [0, 1.5]), "between 0 and 1"),
        (lambda: pair_counts_rp_pi(CLOUD, [0, 1], [0, 3], box_size=4.0), "half the box"),
        (lambda: projected_correlation(CLOUD, [0, 1], [0, 1]), "random catalogue"),
        (lambda: correlation_multipoles(CLOUD, S, [0, 0.5]), "from 0 to 1"),
        (lambda: correlation_multipoles(CLOUD, S, MU, ells=(1,)), "even"),
        (lambda: two_point_correlation(CLOUD[None], S, box_size=None, randoms=CLOUD), "one cloud"),
        (lambda: jackknife_covariance(np.ones((1, 3))), "at least 2"),
        (lambda: jackknife_correlation(CLOUD, S, LABELS * 0, CLOUD, LABELS * 0), "two regions"),
        (lambda: jackknife_correlation(CLOUD, S, LABELS[:3], CLOUD, LABELS), "whole number"),
        (lambda: sky_to_cartesian([0.0], [91.0], [1.0]), "declinations"),
        (lambda: sky_to_cartesian([0.0], [1.0], [1.0, 2.0]), "one length"),
    ],
)
def test_bad_input_is_told_in_one_line(call, words):
    with pytest.raises(InputError, match=words) as error:
        call()
    assert "\n" not in str(error.value)
