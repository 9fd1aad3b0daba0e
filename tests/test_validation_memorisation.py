"""Distances to the training set: what the tests find, and how often they cry wolf."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from physgen import InputError
from physgen.validation import Group, memorisation_test


def whole(n, m):
    zeros = np.zeros
    return Group(None, np.arange(n), np.arange(m), zeros(n, int), zeros(m, int))


def test_honest_samples_are_accused_at_most_at_the_level():
    trials, accused = 400, 0
    for seed in range(trials):
        generated, held_out, train = (
            np.random.default_rng(seed).normal(size=(80, 4))[part]
            for part in (slice(0, 15), slice(15, 35), slice(35, 80))
        )
        found = memorisation_test(generated, held_out, train, draws=99)
        accused += found.p_value <= 0.05 or found.identical > 0
    assert accused <= scipy_stats.binom.ppf(0.999, trials, 0.05)


def test_a_twentieth_of_copies_is_found():
    rng = np.random.default_rng(0)
    train, held_out, generated = (rng.normal(size=(n, 30)) for n in (400, 200, 200))
    generated[:10] = train[:10] + 0.01 * rng.normal(size=(10, 30))
    found = memorisation_test(generated, held_out, train)
    assert found.copies >= 10 and found.p_value < 0.01
    np.testing.assert_array_equal(found.nearest[:10], np.arange(10))
    assert found.leaked == 0


def test_all_copied_has_a_very_negative_z_and_noise_a_positive_one():
    rng = np.random.default_rng(0)
    train, held_out = rng.normal(size=(100, 8)), rng.normal(size=(50, 8))
    copied = memorisation_test(train[:50], held_out, train)
    assert copied.copies == 50 and copied.z < -8
    np.testing.assert_allclose(copied.generated_distance, 0, atol=1e-9)
    assert memorisation_test(4 * rng.normal(size=(50, 8)), held_out, train).z > 5


def test_z_equals_scipy_and_copies_follow_their_closed_form():
    rng = np.random.default_rng(0)
    train, held_out, generated = (rng.normal(size=(n, 3)) for n in (40, 12, 9))
    found = memorisation_test(generated, held_out, train)
    expected = scipy_stats.mannwhitneyu(
        found.generated_distance,
        found.held_out_distance,
        alternative="less",
        method="asymptotic",
        use_continuity=False,
    )
    assert found.p_rank == pytest.approx(expected.pvalue)
    k = found.copies
    assert found.p_copies == pytest.approx(math.comb(9, k) / math.comb(21, k))


def test_groups_are_ranked_separately():
    """More generated boxes where boxes lie nearer to the training set is not copying."""
    rng = np.random.default_rng(0)
    train = rng.normal(size=(300, 6))
    near, far = (lambda n: rng.normal(size=(n, 6))), (lambda n: 5 * rng.normal(size=(n, 6)))
    generated = np.concatenate([near(90), far(10)])
    held_out = np.concatenate([near(10), far(90)])
    split = (
        Group(None, np.arange(10), np.arange(90), np.zeros(10, int), np.zeros(90, int)),
        Group(None, np.arange(10, 100), np.arange(90, 100), np.zeros(90, int), np.zeros(10, int)),
    )
    assert memorisation_test(generated, held_out, train, groups=(whole(100, 100),)).z < -5
    assert abs(memorisation_test(generated, held_out, train, groups=split).z) < 3


def test_held_out_samples_from_the_training_set_are_noticed():
    rng = np.random.default_rng(0)
    train = rng.normal(size=(100, 5))
    held_out = np.concatenate([rng.normal(size=(40, 5)), train[:3]])
    assert memorisation_test(rng.normal(size=(40, 5)), held_out, train).leaked == 3


def test_missing_and_constant_features_do_no_harm():
    rng = np.random.default_rng(0)
    sets = [rng.normal(size=(30, 5)) for _ in range(3)]
    for features in sets:
        features[:, 1] = 7.0
        features[::4, 2] = np.nan
    found = memorisation_test(*sets)
    assert np.isfinite(found.generated_distance).all() and 0 < found.p_value <= 1


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (((5, 3), (5, 3), (5, 2)), "equal features"),
        (((5, 3), (0, 3), (5, 3)), "equal features"),
        (((5, 3), (5, 3), (1, 3)), "at least 2 samples"),
    ],
)
def test_bad_input_is_told_in_one_line(shapes, words):
    with pytest.raises(InputError, match=words) as error:
        memorisation_test(*(np.zeros(shape) for shape in shapes))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_samples_that_are_close_by_chance_are_no_copies(dimensions):
    """Among 3000 of few dimensions some are always much closer to another than most are."""
    rng = np.random.default_rng(0)
    generated, held_out, train = rng.normal(size=(3, 3000, dimensions))
    found = memorisation_test(generated, held_out, train, draws=99)
    assert found.generated_distance.min() < 0.05 * np.median(found.held_out_distance)
    assert not found.certain and found.identical == 0
    generated[:3] = train[:3]
    assert memorisation_test(generated, held_out, train, draws=99).identical == 3


def test_values_that_repeat_by_nature_are_no_copies():
    """Numbers of few levels are in every set; only more copies than in the held-out ones tell."""
    rng = np.random.default_rng(0)
    generated, held_out, train = rng.integers(0, 5, size=(3, 500, 2)).astype(float)
    found = memorisation_test(generated, held_out, train, draws=99)
    assert found.identical == found.leaked == 500 and not found.certain and found.p_value > 0.05


def test_samples_without_features_are_not_compared():
    rng = np.random.default_rng(0)
    generated, held_out, train = rng.normal(size=(3, 40, 6))
    expected = memorisation_test(generated, held_out, train)
    nothing = np.full((5, 6), np.nan)
    with_nothing = (
        np.concatenate([features, nothing]) for features in (generated, held_out, train)
    )
    found = memorisation_test(*with_nothing)
    assert np.isnan(found.generated_distance[40:]).all() and (found.nearest[40:] == -1).all()
    np.testing.assert_array_equal(found.generated_distance[:40], expected.generated_distance)
    np.testing.assert_array_equal(found.nearest[:40], expected.nearest)
    assert (found.identical, found.leaked, found.compared) == (0, 0, 40)
    assert (found.z, found.p_value) == (expected.z, expected.p_value)
    with pytest.raises(InputError, match="at least 2 samples to compare with, got none of 5"):
        memorisation_test(generated, held_out, nothing)
