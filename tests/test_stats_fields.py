"""Fields, functions and trees against shapes that are known, and soft counts against hard ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse.csgraph import minimum_spanning_tree

from physgen import InputError
from physgen.stats import (
    field_pdf,
    knn_cdf,
    knn_distances,
    mass_function,
    minkowski_functionals,
    pair_counts,
    peak_counts,
    poisson_knn_cdf,
    soft_pair_counts,
    spanning_tree_lengths,
    void_probability,
)


def radius(shape, centre):
    axes = np.meshgrid(
        *(np.arange(n) - c for n, c in zip(shape, centre, strict=True)), indexing="ij"
    )
    return np.sqrt(sum(a.astype(float) ** 2 for a in axes))


def test_minkowski_functionals_of_a_ball_a_shell_and_a_disc():
    size, r = 64, 20.0
    distance = radius((size,) * 3, (32, 32, 32))
    ball = minkowski_functionals(-distance[None], -r, spacing=0.5)[0, 0] * (size * 0.5) ** 3
    R = r * 0.5
    expected = [4 / 3 * np.pi * R**3, 4 * np.pi * R**2 / 6, 4 * R / 3]
    np.testing.assert_allclose(ball[:3], expected, rtol=0.06)
    assert ball[3] == pytest.approx(1)
    hollow = minkowski_functionals(-np.abs(distance - 20)[None], -3.0)[0, 0]
    assert hollow[3] * size**3 == pytest.approx(2)  # two surfaces, a void within
    disc = minkowski_functionals(-radius((size, size), (32, 32))[None], -r)[0, 0] * size**2
    np.testing.assert_allclose(disc[:2], [np.pi * r**2, 2 * np.pi * r / 4], rtol=0.05)
    assert disc[2] == pytest.approx(1)


def test_euler_characteristic_of_a_ring_and_of_all_space():
    field = np.zeros((2, 8, 8, 8))
    field[0, 2:5, 2:5, 3] = 1
    field[0, 3, 3, 3] = 0
    field[1] = 1
    found = minkowski_functionals(field, [0.5])[:, 0]
    np.testing.assert_allclose(found[:, 3], 0, atol=1e-15)  # a ring, and a torus without edges
    np.testing.assert_allclose(found[1], [1, 0, 0, 0], atol=1e-15)


def test_peaks_and_pdf():
    field = np.zeros((1, 6, 6))
    field[0, 0, 0], field[0, 3, 3], field[0, 3, 4] = 1.0, 2.0, 1.5
    assert peak_counts(field, [0.5, 1.2, 3.0]).tolist() == [[1, 1]]
    pdf = field_pdf(field, [-0.5, 0.5, 2.5])
    np.testing.assert_allclose(pdf, [[33 / 36, 3 / 36 / 2]])


def test_cdf_of_neighbours_and_voids():
    rng = np.random.default_rng(0)
    points, queries = rng.uniform(0, 20, (800, 3)), rng.uniform(0, 20, (3000, 3))
    r = np.linspace(0, 3, 13)
    cdf = knn_cdf(points, (1, 2), r, box_size=20.0, queries=queries)
    near = knn_distances(points, (1, 2), box_size=20.0, queries=queries)
    np.testing.assert_allclose(cdf, (near[:, :, None] <= r).mean(axis=0))
    void = void_probability(points, r, queries, box_size=20.0)
    np.testing.assert_array_equal(void, 1 - cdf[0])
    assert np.abs(void - (1 - poisson_knn_cdf(1, r, 0.1))).max() < 0.06


@pytest.mark.parametrize("box", [None, 10.0])
def test_spanning_tree_equals_that_of_all_pairs(box):
    rng = np.random.default_rng(1)
    points = np.concatenate([rng.uniform(0, 10, (60, 3)), rng.normal(8, 0.05, (30, 3))])
    delta = points[:, None] - points[None]
    if box is not None:
        delta -= box * np.round(delta / box)
    expected = np.sort(minimum_spanning_tree(np.sqrt((delta**2).sum(axis=-1))).data)
    np.testing.assert_allclose(spanning_tree_lengths(points, box_size=box), expected, rtol=1e-12)
    double = spanning_tree_lengths(np.concatenate([points, points]), box_size=box)
    np.testing.assert_allclose(double, np.concatenate([np.zeros(90), expected]), rtol=1e-12)


def test_mass_function_counts_objects_per_decade():
    log_mass = np.array([[-1.0, 0.5, 1.0, 1.5], [0.2, np.nan, 2.0, 9.0]])
    mask = np.isfinite(log_mass)
    found = mass_function(log_mass, [-2.0, 0.0, 1.0, 3.0], 4.0, mask=mask)
    np.testing.assert_allclose(found * 4, [[0.5, 2, 0.5], [0, 1, 0.5]])


@pytest.mark.parametrize("box", [None, 8.0])
def test_soft_counts_become_hard_ones_and_have_gradients(box):
    rng = np.random.default_rng(2)
    points, weights = rng.uniform(0, 8, (70, 3)), rng.uniform(size=70)
    edges = np.array([0.5, 1.5, 3.0])
    with jax.enable_x64(True):
        x, w = jnp.asarray(points), jnp.asarray(weights)
        count = jax.jit(
            lambda x, w, width: soft_pair_counts(x, edges, width, box_size=box, weights=w)
        )
        hard = pair_counts(points, edges, box_size=box, weights=weights)
        np.testing.assert_allclose(count(x, w, 1e-7), hard, rtol=1e-9)
        slopes = jax.jit(jax.grad(lambda x, w: count(x, w, 0.3)[0], (0, 1)))(x, w)
        assert np.isfinite(slopes[0]).all()
        for steps in [(rng.normal(size=(70, 3)), np.zeros(70)), (np.zeros((70, 3)), weights)]:
            dx, dw = (1e-5 * step for step in steps)
            change = count(x + dx, w + dw, 0.3)[0] - count(x - dx, w - dw, 0.3)[0]
            expected = np.sum(slopes[0] * dx) + np.sum(slopes[1] * dw)
            np.testing.assert_allclose(change / 2, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: field_pdf(np.ones((1, 3, 3)), [1, 0]), "increasing"),
        (lambda: peak_counts(np.ones((3, 3)), [0, 1]), "fields must"),
        (lambda: minkowski_functionals(np.ones((1, 3, 3)), np.nan), "finite thresholds"),
        (lambda: knn_cdf(np.eye(3), 1, [np.inf]), "finite radii"),
        (lambda: mass_function([1.0], [0, 1], 0.0), "volume"),
        (lambda: mass_function([np.nan], [0, 1], 1.0), "finite"),
        (lambda: mass_function([1.0], [0, 1], 1.0, mask=[1]), "mask"),
        (lambda: spanning_tree_lengths(np.ones((1, 3))), "one galaxy"),
    ],
)
def test_bad_input_is_told_in_one_line(call, words):
    with pytest.raises(InputError, match=words) as error:
        call()
    assert "\n" not in str(error.value)
