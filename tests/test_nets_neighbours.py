"""The list of neighbours against a k-d tree, whatever the clustering."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import cKDTree

from physgen import InputError
from physgen.nets.blocks import by_blocks
from physgen.nets.neighbours import cells_a_side, minimum_image, nearest_neighbours

K = 12


def uniform(n, rng):
    return rng.uniform(size=(n, 3))


def clumps(n, rng):
    """Half of the points in one clump far denser than any cell of a uniform cloud."""
    dense = (0.99 + 0.01 * rng.normal(size=(n // 2, 3))) % 1
    return np.concatenate([dense, uniform(n - n // 2, rng)])


@pytest.mark.parametrize("cloud", [uniform, clumps])
@pytest.mark.parametrize(("n", "cutoff"), [(90, 0.45), (700, 0.15), (1500, 0.11)])
def test_they_are_the_nearest_within_the_cutoff(cloud, n, cutoff):
    rng = np.random.default_rng(n)
    x = cloud(n, rng).astype(np.float32)
    x[x >= 1] = 0
    present = rng.uniform(size=n) < 0.9
    found = nearest_neighbours(jnp.asarray(x), jnp.asarray(present), cutoff, K)
    tree = cKDTree(x[present].astype(float), boxsize=1)
    distance, index = tree.query(
        x[present].astype(float), K + 1, distance_upper_bound=float(np.float32(cutoff))
    )
    inside = np.isfinite(distance[:, 1:])
    np.testing.assert_array_equal(np.asarray(found.found)[present], inside)
    rows = np.append(np.flatnonzero(present), -1)[index[:, 1:]]
    ours = np.where(found.found, found.index, -1)[present]
    delta = x[present][:, None] - x[ours]
    delta -= np.round(delta)
    ours_at = np.where(inside, np.linalg.norm(delta, axis=-1), 0)
    # Equal distances may come in either order: distances agree everywhere, rows almost everywhere.
    np.testing.assert_allclose(ours_at, np.where(inside, distance[:, 1:], 0), atol=1e-6)
    assert np.mean(ours == rows) > 0.99
    assert (cells_a_side(cutoff) == 1) == (n == 90)


def test_a_missing_neighbour_is_the_point_itself():
    x = jnp.array([[0.1, 0.1, 0.1], [0.1, 0.1, 0.99], [0.5, 0.5, 0.5]])
    index, found = nearest_neighbours(x, jnp.ones(3, bool), 0.2, 2)
    np.testing.assert_array_equal(index, [[1, 0], [0, 1], [2, 2]])
    np.testing.assert_array_equal(found, [[True, False], [True, False], [False, False]])


def test_a_cutoff_of_half_the_box_is_refused():
    with pytest.raises(InputError, match="below half the box"):
        nearest_neighbours(jnp.zeros((4, 3)), jnp.ones(4, bool), 0.5, 2)


def test_minimum_image():
    np.testing.assert_allclose(
        minimum_image(jnp.array([-0.9, -0.2, 0.0, 0.4, 0.8])), [0.1, -0.2, 0, 0.4, -0.2], atol=1e-6
    )


@pytest.mark.parametrize("most", [None, 2])
@pytest.mark.parametrize("n", [1, 640, 1501])
def test_blocks_change_no_row(n, most):
    x = jnp.arange(2.0 * n).reshape(n, 2)
    doubled, sums = by_blocks(lambda a, b: (2 * a, a.sum(1) + b), x, x[:, 0], most=most)
    np.testing.assert_array_equal(doubled, 2 * x)
    np.testing.assert_array_equal(sums, x.sum(1) + x[:, 0])
