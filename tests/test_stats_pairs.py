"""Pair counts against brute force, and the symmetries that they must have."""

from contextlib import contextmanager

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import KDTree

from physgen import InputError
from physgen.stats import (
    over_clouds,
    pair_counts,
    pair_separation_histogram,
    pairs,
    radial_profile,
    spherical_shell_volumes,
    tiling,
    two_point_correlation,
)

BOX = np.array([16.0, 20.0, 32.0])
EDGES = np.array([0.0, 1.0, 2.5, 5.0, 8.0])


def squared_separations(one, two, box):
    delta = one[:, None] - two[None]
    if box is not None:
        delta = delta - box * np.round(delta / box)
    return (delta**2).sum(axis=-1)


@contextmanager
def by_tiles():
    """Counts by compiled tiles, whatever the number of points."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "suits_tiles", lambda *_: True)
        yield


def brute_force(one, two, edges, box, products=None):
    """Counts of (or sums of products over) pairs with lo < r <= hi, i different from j if alike.

    A first edge of zero is closed: coincident points belong to the first bin.
    """
    square = squared_separations(one, two, box)
    products = np.ones(square.shape, int) if products is None else products
    allowed = ~np.eye(len(one), dtype=bool) if one is two else np.ones(square.shape, bool)
    lowest = np.where(edges[:-1] == 0, -1.0, edges[:-1] ** 2)
    bins = zip(lowest, edges[1:] ** 2, strict=True)
    return np.array([products[(square > a) & (square <= b) & allowed].sum() for a, b in bins])


@st.composite
def clouds(draw, minimum=2, lattice=None):
    """Points in the box: on a lattice, where pairs fall on bin edges exactly, or anywhere."""
    n = draw(st.integers(minimum, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    points = rng.uniform(0, BOX, (n, 3))
    lattice = draw(st.booleans()) if lattice is None else lattice
    return np.floor(points * 2) / 2 if lattice else points


@given(clouds(), st.sampled_from([None, BOX]))
def test_counts_equal_brute_force(points, box):
    counts = pair_counts(points, EDGES, box_size=box)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, brute_force(points, points, EDGES, box))


def test_coincident_points_are_counted_from_zero_only():
    points = np.ones((5, 3))
    assert pair_counts(points, [0.0, 1.0]).tolist() == [20]
    assert pair_counts(points, [0.5, 1.0]).tolist() == [0]


@given(clouds(minimum=1), clouds(minimum=1), st.sampled_from([None, BOX]))
def test_cross_counts_equal_brute_force(one, two, box):
    counts = pair_counts(one, EDGES, box_size=box, other=two)
    np.testing.assert_array_equal(counts, brute_force(one, two.copy(), EDGES, box))


@given(clouds(), st.sampled_from([None, BOX]), st.integers(0, 99))
def test_weighted_counts_equal_brute_force(points, box, seed):
    weights = np.random.default_rng(seed).normal(size=len(points))
    counts = pair_counts(points, EDGES, box_size=box, weights=weights)
    expected = brute_force(points, points, EDGES, box, np.outer(weights, weights))
    np.testing.assert_allclose(counts, expected, rtol=1e-12, atol=1e-12)


@given(clouds(), clouds(), st.integers(0, 99))
def test_weights_of_one_side_alone(one, two, seed):
    weights = np.random.default_rng(seed).uniform(size=len(two))
    counts = pair_counts(one, EDGES, other=two, other_weights=weights)
    products = np.outer(np.ones(len(one)), weights)
    expected = brute_force(one, two.copy(), EDGES, None, products)
    np.testing.assert_allclose(counts, expected, rtol=1e-12, atol=1e-12)


@given(clouds(lattice=True), st.integers(0, 99))
def test_counts_do_not_change_under_permutation_and_translation(points, seed):
    rng = np.random.default_rng(seed)
    counts = pair_counts(points, EDGES, box_size=BOX)
    np.testing.assert_array_equal(pair_counts(rng.permutation(points), EDGES, box_size=BOX), counts)
    moved = (points + rng.integers(0, 64, 3) / 2) % BOX
    np.testing.assert_array_equal(pair_counts(moved, EDGES, box_size=BOX), counts)


@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.sampled_from(["box", "open", "lattice"]))
@settings(max_examples=25)
def test_tiles_equal_brute_force(seed, missing, kind):
    """Compiled tiles on points, clumps and lattices; some rows are masked."""
    rng = np.random.default_rng(seed)
    points = np.concatenate([rng.uniform(0, BOX, (150, 3)), BOX / 3 + rng.normal(0, 0.5, (60, 3))])
    if kind == "lattice":
        points = np.floor(points * 2) / 2
    mask = np.arange(210) >= missing
    box = None if kind == "open" else BOX
    kept = points[mask]
    with by_tiles():
        counts = pair_counts(points, EDGES, box_size=box, mask=mask)
    np.testing.assert_array_equal(counts, brute_force(kept, kept, EDGES, box))


@given(st.integers(0, 2**32 - 1), st.sampled_from([None, BOX]))
@settings(max_examples=8)
def test_tiles_of_clouds_weights_and_others_equal_brute_force(seed, box):
    rng = np.random.default_rng(seed)
    edges = np.linspace(0.5, 8, 15)
    one, two = rng.uniform(0, BOX, (2, 70, 3)), rng.uniform(0, BOX, (2, 40, 3))
    w, u = rng.normal(size=(2, 70)), rng.uniform(size=(2, 40))
    with by_tiles():
        auto = pair_counts(one, edges, box_size=box, weights=w)
        cross = pair_counts(one, edges, box_size=box, weights=w, other=two, other_weights=u)
        plain = pair_counts(one, edges, box_size=box, other=two)
    for i in range(2):
        products = np.outer(w[i], w[i])
        expected = brute_force(one[i], one[i], edges, box, products)
        np.testing.assert_allclose(auto[i], expected, rtol=1e-12, atol=1e-11)
        expected = brute_force(one[i], two[i], edges, box, np.outer(w[i], u[i]))
        np.testing.assert_allclose(cross[i], expected, rtol=1e-12, atol=1e-11)
        np.testing.assert_array_equal(plain[i], brute_force(one[i], two[i], edges, box))


def test_tiles_of_a_small_box_take_the_nearest_image_of_each_pair():
    """Leaves are wider than half the box there, and one image a leaf would lose pairs."""
    rng = np.random.default_rng(4)
    points = rng.uniform(0, 16, (20, 3))
    with by_tiles():
        counts = pair_counts(points, EDGES, box_size=16.0)
    np.testing.assert_array_equal(counts, brute_force(points, points, EDGES, np.full(3, 16.0)))


def test_clouds_that_are_counted_in_parts_have_the_same_counts(monkeypatch):
    clouds = np.random.default_rng(6).uniform(0, BOX, (3, 40, 3))
    with by_tiles():
        whole = pair_counts(clouds, EDGES, box_size=BOX)
        monkeypatch.setattr(tiling, "_POINTS", 80)
        np.testing.assert_array_equal(pair_counts(clouds, EDGES, box_size=BOX), whole)
    for counts, cloud in zip(whole, clouds, strict=True):
        np.testing.assert_array_equal(counts, brute_force(cloud, cloud, EDGES, BOX))


def test_weighted_tiles_do_not_depend_on_the_order_of_the_points():
    rng = np.random.default_rng(7)
    points, weights = rng.uniform(0, BOX, (210, 3)), rng.lognormal(size=210)
    order = rng.permutation(210)
    with by_tiles():
        one = pair_counts(points, EDGES, box_size=BOX, weights=weights)
        two = pair_counts(points[order], EDGES, box_size=BOX, weights=weights[order])
    np.testing.assert_array_equal(one, two)


def test_trees_and_tiles_agree_on_many_points():
    """Above the size where tiles take over, with scipy's trees as reference."""
    points = np.random.default_rng(1).uniform(0, 100, (20_000, 3))
    edges = np.array([0.0, 1.0, 2.0, 4.0, 6.0])
    assert pairs.suits_tiles(points[None], None, edges)
    tree = KDTree(points, boxsize=100.0)
    expected = tree.count_neighbors(tree, edges, cumulative=False)[1:]
    np.testing.assert_array_equal(pair_counts(points, edges, box_size=100.0), expected)


def test_clouds_are_counted_one_by_one_and_masked_rows_may_hold_anything():
    rng = np.random.default_rng(2)
    clouds, mask = rng.uniform(0, 16, (3, 30, 3)), rng.uniform(size=(3, 30)) < 0.7
    clouds[~mask] = np.nan
    counts = pair_counts(clouds, EDGES, box_size=16.0, mask=mask)
    for i in range(3):
        alone = pair_counts(clouds[i][mask[i]], EDGES, box_size=16.0)
        np.testing.assert_array_equal(counts[i], alone)
    xi = two_point_correlation(clouds, EDGES, box_size=16.0, mask=mask)
    alone = two_point_correlation(clouds[2][mask[2]], EDGES, box_size=16.0)
    np.testing.assert_allclose(xi[2], alone, rtol=1e-12)


@pytest.mark.parametrize("weighted", [True, False])
def test_a_cloud_without_points_has_no_pairs(weighted):
    rng = np.random.default_rng(2)
    clouds, mask = rng.uniform(0, 16, (3, 30, 3)), np.ones((3, 30), bool)
    mask[1] = False
    weights = rng.uniform(1, 2, (3, 30)) if weighted else None
    counts = pair_counts(clouds, EDGES, box_size=16.0, mask=mask, weights=weights)
    assert not counts[1].any() and counts[0].any()
    alone = pair_counts(clouds, EDGES, box_size=16.0, weights=weights)
    np.testing.assert_array_equal(counts[[0, 2]], alone[[0, 2]])


def test_counts_above_two_to_the_31():
    n = 60_000
    points = np.random.default_rng(0).uniform(0, 1, (n, 3))
    assert pair_counts(points, [0, 2]).tolist() == [n * (n - 1)]


def test_jax_arrays_count_as_their_float64_values():
    points = jnp.asarray(np.random.default_rng(0).uniform(0, 16, (50, 3)), dtype=jnp.float32)
    exact = np.asarray(points, dtype=np.float64)
    np.testing.assert_array_equal(
        pair_counts(points, EDGES, box_size=16.0),
        brute_force(exact, exact, EDGES, np.full(3, 16.0)),
    )


@pytest.mark.parametrize("side", [16.0, 67.77, 0.1])
def test_a_point_that_rounding_puts_on_the_far_face_is_wrapped(side):
    rounded = np.array([[np.float32(side), 0, 0], [0, 0, 0.01 * side]], dtype=np.float32)
    assert pair_counts(rounded, [0, 0.02 * side], box_size=side).tolist() == [2]


def test_xi_of_poisson_points_vanishes():
    rng = np.random.default_rng(3)
    edges = np.array([2.0, 5.0, 10.0, 20.0, 50.0])
    clouds = rng.uniform(0, 100, (400, 80, 3))
    xi = over_clouds(
        lambda x: two_point_correlation(x, edges, box_size=100.0), np.ones((400, 80), bool), clouds
    )
    error = xi.std(axis=0, ddof=1) / np.sqrt(len(xi))
    assert np.all(np.abs(xi.mean(axis=0)) < 4 * error)


def test_separation_histogram_holds_every_pair():
    points = np.random.default_rng(0).uniform(0, 1, (30, 3))
    fractions = pair_separation_histogram(points, [0, 0.3, 0.8, 2])
    assert fractions.sum() == pytest.approx(1)
    np.testing.assert_allclose(spherical_shell_volumes([0, 1, 2]), np.pi * 4 / 3 * np.array([1, 7]))


def test_radial_profile_counts_a_galaxy_at_the_centre():
    profile = radial_profile([[1, 1, 1], [1, 1, 3]], [0, 1, 2], centre=(1, 1, 1))
    np.testing.assert_allclose(profile * spherical_shell_volumes([0, 1, 2]), [1, 1])


INSIDE = np.full((3, 3), 0.5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: pair_counts(np.zeros((1, 3)), EDGES), "one galaxy"),
        (lambda: pair_counts(np.zeros((0, 3)), EDGES), "0 galaxies"),
        (lambda: pair_counts(np.zeros((4, 2)), EDGES), r"\(N, 3\)"),
        (lambda: pair_counts(np.zeros((2, 4, 2)), EDGES), r"\(n, N, 3\)"),
        (lambda: pair_counts(INSIDE, EDGES, mask=[1, 1, 1]), "mask must be boolean"),
        (lambda: pair_counts(INSIDE, EDGES, other=INSIDE[None]), "clouds as positions"),
        (lambda: pair_counts([INSIDE], EDGES, other=[INSIDE, INSIDE]), "must hold 1 clouds"),
        (lambda: pair_counts([["a"] * 3] * 2, EDGES), "dtype"),
        (lambda: pair_counts([[np.nan] * 3, [0] * 3], EDGES), "1 of 2 galaxies hold NaN"),
        (lambda: pair_counts([[-0.1, 0, 0], [0] * 3], [0, 1], box_size=2.0), "1 of 2 galaxies"),
        (lambda: pair_counts([[2.1, 0, 0], [0] * 3], [0, 1], box_size=2.0), "wrap"),
        (lambda: pair_counts(INSIDE, [0, 1.5], box_size=2.0), "half the box"),
        (lambda: pair_counts(INSIDE, [0, 1.5], box_size=(9.0, 2.0, 9.0)), "half the box"),
        (lambda: pair_counts(INSIDE, [0, 2, 1]), "increasing"),
        (lambda: pair_counts(INSIDE, [-1, 1]), "not negative"),
        (lambda: pair_counts(INSIDE, [1]), "at least 2"),
        (lambda: pair_counts(INSIDE, [0, np.inf]), "finite"),
        (lambda: pair_counts(INSIDE, [0, 1], box_size=-1.0), "positive"),
        (lambda: pair_counts(INSIDE, [0, 1], box_size=[1.0, 2.0]), "one number or three"),
        (lambda: pair_counts(INSIDE, [0, 1], weights=[1.0]), "weights"),
        (lambda: pair_counts(INSIDE, [0, 1], weights=[1.0, np.nan, 1]), "weights"),
        (lambda: pair_counts(INSIDE, [0, 1], other_weights=[1.0]), "other"),
        (lambda: two_point_correlation(INSIDE, [0, 1], box_size=None), "periodic"),
        (lambda: radial_profile(INSIDE, [0, 1], centre=(0, 0)), "centre"),
        (lambda: over_clouds(len, np.ones((2, 1), bool), np.zeros((2, 1, 3))), "fewer than 2"),
        (lambda: over_clouds(len, np.ones((2, 3), bool), np.zeros((2, 4, 3))), "mask"),
    ],
)
def test_bad_input_is_told_in_one_line(call, words):
    with pytest.raises(InputError, match=words) as error:
        call()
    assert "\n" not in str(error.value)


def test_real_survey_is_counted(shared_data):
    """The volume-limited SDSS DR7 sample; a sixtieth of it against brute force."""
    fits = pytest.importorskip("astropy.io.fits")
    with fits.open(shared_data / "galaxies" / "sdss_dr7_volume_limited.fits") as file:
        z, ra, dec = (np.asarray(file[1].data[name], float) for name in ("z", "ra", "dec"))
    ra, dec, distance = np.radians(ra), np.radians(dec), 2997.92458 * z
    x, y = np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra)
    points = distance[:, None] * np.stack([x, y, np.sin(dec)], axis=1)
    edges = np.array([1.0, 2.0, 5.0, 10.0, 20.0, 30.0])
    some = points[::60]
    np.testing.assert_array_equal(pair_counts(some, edges), brute_force(some, some, edges, None))
    counts = pair_counts(points, edges)
    assert len(points) == 120_606
    assert (counts[1:] > counts[:-1]).all()
