"""The mean relative velocity against brute force, and its sign."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physgen import InputError
from physgen.stats import mean_relative_velocity, pair_counts, pairwise_velocities, velocity

EDGES = np.array([0.0, 1.0, 2.0, 3.5])


def brute_force(points, motions, edges, box):
    delta = points[:, None] - points[None]
    if box is not None:
        delta = delta - box * np.round(delta / box)
    square = (delta**2).sum(axis=-1)
    np.fill_diagonal(square, np.inf)
    relative = motions[:, None] - motions[None]
    with np.errstate(invalid="ignore", divide="ignore"):
        radial = (relative * delta).sum(axis=-1) / np.sqrt(square)
    bins = zip(edges[:-1], edges[1:], strict=True)
    masks = [(square > a**2) & (square <= b**2) for a, b in bins]
    return np.array([radial[mask].mean() if mask.any() else np.nan for mask in masks])


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.sampled_from([None, 7.0]), st.booleans())
def test_equals_brute_force(seed, n, box, lattice):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 7, (n, 3)).astype(float) if lattice else rng.uniform(0, 7, (n, 3))
    motions = rng.normal(0, 300, (n, 3))
    found = mean_relative_velocity(points, motions, EDGES, box_size=box)
    np.testing.assert_allclose(
        found, brute_force(points, motions, EDGES, box), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("box", [None, 7.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_tiles_give_the_same_sums_as_all_pairs_at_once(monkeypatch, box, weighted):
    rng = np.random.default_rng(2)
    points, motions = rng.uniform(0, 7, (2, 100, 3)), rng.normal(100, 300, (2, 100, 3))
    points[:, 1] = points[:, 0]  # a pair of coincident points
    weights = rng.uniform(size=(2, 100)) if weighted else None
    mask = rng.uniform(size=(2, 100)) < 0.9
    expected = pairwise_velocities(points, motions, EDGES, box_size=box, weights=weights, mask=mask)
    monkeypatch.setattr(velocity, "_DIRECT_TO", 0)
    found = pairwise_velocities(points, motions, EDGES, box_size=box, weights=weights, mask=mask)
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-10)
    alone = mean_relative_velocity(points[:, :90], motions[:, :90], EDGES, box_size=box)
    both = pairwise_velocities(points[:, :90], motions[:, :90], EDGES, box_size=box)
    np.testing.assert_allclose(alone, both.v12, rtol=1e-10)
    plain = brute_force(points[1][mask[1]], motions[1][mask[1]], EDGES, box)
    if not weighted:
        np.testing.assert_allclose(found.v12[1], plain, rtol=1e-9)


def test_dispersion_of_random_motions():
    """Of independent normal velocities of width s, u is normal of width sqrt(2) s."""
    rng = np.random.default_rng(3)
    points, motions = rng.uniform(0, 7, (400, 3)), rng.normal(0, 300, (400, 3))
    counts, v12, sigma12 = pairwise_velocities(points, motions, [0, 3.5], box_size=7.0)
    assert abs(v12[0]) < 20
    assert sigma12[0] == pytest.approx(np.sqrt(2) * 300, rel=0.1)
    assert counts.tolist() == pair_counts(points, [0, 3.5], box_size=7.0).tolist()


def test_infall_is_negative_and_across_the_box_edge_too():
    points = np.array([[0.25, 1, 1], [6.75, 1, 1]])
    towards = np.array([[-100.0, 5, 0], [50.0, 5, 0]])
    assert mean_relative_velocity(points, towards, [0, 1], box_size=7.0) == pytest.approx(-150)
    assert mean_relative_velocity(points, -towards, [0, 1], box_size=7.0) == pytest.approx(150)


def test_empty_bins_and_coincident_points_are_nan():
    points = np.zeros((2, 3))
    assert np.isnan(mean_relative_velocity(points, np.eye(3)[:2], [0, 1])).all()


@pytest.mark.parametrize(
    ("points", "motions", "words"),
    [
        (np.zeros((1, 3)), np.zeros((1, 3)), "one galaxy"),
        (np.zeros((2, 3)), np.zeros((3, 3)), "velocities must have shape"),
        (np.zeros((2, 3)), np.zeros((2, 2)), "velocities"),
        (np.zeros((2, 3)), np.full((2, 3), np.nan), "velocities must be finite"),
    ],
)
def test_bad_input_is_told_in_one_line(points, motions, words):
    with pytest.raises(InputError, match=words) as error:
        mean_relative_velocity(points, motions, EDGES)
    assert "\n" not in str(error.value)
