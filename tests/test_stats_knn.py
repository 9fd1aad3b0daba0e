"""Neighbour distances against brute force, and of a Poisson process against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from physgen import InputError
from physgen.stats import knn_distances, poisson_knn_cdf


def distances(one, two, box):
    delta = one[:, None] - two[None]
    if box is not None:
        delta = delta - box * np.round(delta / box)
    return np.sqrt((delta**2).sum(axis=-1))


@given(st.integers(0, 2**32 - 1), st.integers(4, 30), st.sampled_from([None, (4.0, 7.0, 9.0)]))
def test_data_to_data_equals_brute_force(seed, n, box):
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, (4, 7, 9), (n, 3))
    points[1] = points[0]  # a pair of coincident points
    expected = np.sort(distances(points, points, None if box is None else np.array(box)), axis=1)
    orders = (1, 2, n - 1)
    found = knn_distances(points, orders, box_size=box)
    np.testing.assert_allclose(found, expected[:, orders], rtol=1e-12, atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_queries_equal_brute_force(seed, n):
    rng = np.random.default_rng(seed)
    points, queries = rng.uniform(0, 5, (n, 3)), rng.uniform(0, 5, (7, 3))
    expected = np.sort(distances(queries, points, 5.0), axis=1)
    np.testing.assert_allclose(
        knn_distances(points, range(1, n + 1), box_size=5.0, queries=queries), expected, rtol=1e-12
    )


def test_one_order_gives_one_column():
    assert knn_distances(np.eye(3), 1).shape == (3, 1)
    np.testing.assert_allclose(knn_distances(np.eye(3), 1), np.sqrt(2))


@pytest.mark.parametrize("k", [1, 2, 9])
def test_poisson_cdf_equals_scipy(k):
    r, density = np.linspace(0, 4, 50), 0.3
    mean = density * 4 / 3 * np.pi * r**3
    np.testing.assert_allclose(
        poisson_knn_cdf(k, r, density), scipy_stats.poisson.sf(k - 1, mean), atol=1e-12
    )
    np.testing.assert_allclose(
        poisson_knn_cdf(k, r, density), scipy_stats.gamma.cdf(mean, k), atol=1e-12
    )


def test_poisson_points_follow_the_poisson_cdf():
    rng = np.random.default_rng(5)
    points, queries = rng.uniform(0, 40, (6000, 3)), rng.uniform(0, 40, (150, 3))
    found = knn_distances(points, (1, 3), box_size=40.0, queries=queries)
    for k, column in zip((1, 3), found.T, strict=True):
        p_value = scipy_stats.kstest(column, lambda r, k=k: poisson_knn_cdf(k, r, 6000 / 40**3))[1]
        assert p_value > 1e-3


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: knn_distances(np.eye(3), 3), "at most 2"),
        (lambda: knn_distances(np.eye(3), 0), "whole numbers from 1"),
        (lambda: knn_distances(np.eye(3), ()), "whole numbers"),
        (lambda: knn_distances(np.eye(3)[:1], 1), "one galaxy"),
        (lambda: knn_distances(np.eye(3), 1, box_size=2.0, queries=[[3.0, 0, 0]]), "queries"),
        (lambda: poisson_knn_cdf(0, [1.0], 1.0), "k >= 1"),
        (lambda: poisson_knn_cdf(1, [-1.0], 1.0), "r >= 0"),
        (lambda: poisson_knn_cdf(1, [1.0], 0.0), "positive density"),
    ],
)
def test_bad_input_is_told_in_one_line(call, words):
    with pytest.raises(InputError, match=words) as error:
        call()
    assert "\n" not in str(error.value)
