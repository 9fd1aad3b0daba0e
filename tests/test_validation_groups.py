"""Which boxes are compared with which."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physgen import InputError
from physgen.validation import match_groups

NAMES = ("Omega_m", "sigma_8")
SETS = np.array([[0.3, 0.8], [0.2, 0.9], [0.3, 0.7]])


def test_equal_rows_are_matched_across_precisions_and_orders():
    rng = np.random.default_rng(0)
    real = rng.permutation(np.repeat(SETS, 10, axis=0))
    generated = rng.permutation(np.repeat(SETS, 9, axis=0)).astype(np.float32)
    grouping = match_groups(real, generated, NAMES)
    assert not grouping.pooled and not grouping.notes and len(grouping.groups) == 3
    for group in grouping.groups:
        assert len(group.real) == 10 and len(group.generated) == 9
        np.testing.assert_array_equal(real[group.real], np.tile(group.parameters, (10, 1)))
        np.testing.assert_allclose(generated[group.generated], real[group.real][:9], rtol=1e-6)


@given(st.integers(0, 999), st.floats(1e-3, 1e3))
def test_parameters_that_differ_by_float32_rounding_alone_are_equal(seed, scale):
    values = scale * np.random.default_rng(seed).uniform(0.1, 1, (8, 1))
    grouping = match_groups(values, values.astype(np.float32), ("a",), minimum=1)
    assert len(grouping.groups) == 8 and not grouping.notes


def test_sets_in_one_ensemble_and_small_ones_are_left_out_and_told():
    real = np.repeat(SETS, [10, 10, 3], axis=0)
    generated = np.repeat(np.vstack([SETS[[0, 2]], [[0.9, 0.9]]]), 10, axis=0)
    grouping = match_groups(real, generated, NAMES)
    assert len(grouping.groups) == 1
    text = " ".join(grouping.notes)
    assert "1 parameter set in the held-out boxes only" in text
    assert "1 parameter set in the generated boxes only" in text
    assert "fewer than 8 boxes" in text and "Omega_m=0.3, sigma_8=0.7" in text


def test_few_boxes_a_set_are_pooled_and_exchanged_between_equal_parameters_only():
    rows = np.random.default_rng(0).uniform(size=(30, 2))
    grouping = match_groups(rows, rows[::-1], NAMES)
    (group,) = grouping.groups
    assert grouping.pooled and group.parameters is None
    np.testing.assert_array_equal(group.real_strata, group.generated_strata[::-1])
    assert len(np.unique(group.real_strata)) == 30
    assert "pooled" in grouping.notes[0]


def test_unmatched_boxes_are_left_out_of_a_pool_of_matched_ones():
    rows = np.random.default_rng(0).uniform(size=(30, 2))
    grouping = match_groups(rows[:20], rows[5:], NAMES)
    (group,) = grouping.groups
    np.testing.assert_array_equal(group.real, np.arange(5, 20))
    np.testing.assert_array_equal(group.generated, np.arange(15))
    assert "5 held-out and 10 generated" in " ".join(grouping.notes)


def test_ensembles_without_common_parameters_are_pooled_with_a_warning():
    rng = np.random.default_rng(0)
    grouping = match_groups(rng.uniform(size=(20, 2)), rng.uniform(size=(12, 2)), NAMES)
    (group,) = grouping.groups
    assert grouping.pooled and len(group.real) == 20 and len(group.generated) == 12
    assert not group.real_strata.any() and not group.generated_strata.any()
    assert "fair only if" in grouping.notes[0]


def test_no_parameters_is_one_group():
    grouping = match_groups(np.zeros((20, 0)), np.zeros((12, 0)), ())
    assert not grouping.pooled and len(grouping.groups) == 1
    few = match_groups(np.zeros((4, 0)), np.zeros((5, 0)), ())
    assert "too few" in few.notes[-1]


@pytest.mark.parametrize(
    ("real", "generated", "words"),
    [
        (np.zeros((9, 1)), np.zeros((9, 2)), "real parameters must have shape"),
        (np.zeros((9, 2)), np.zeros((9, 3)), "generated parameters must have shape"),
        (np.zeros((1, 2)), np.zeros((9, 2)), "at least 2 boxes"),
        (np.full((9, 2), np.nan), np.zeros((9, 2)), "finite"),
    ],
)
def test_bad_input_is_told_in_one_line(real, generated, words):
    with pytest.raises(InputError, match=words) as error:
        match_groups(real, generated, NAMES)
    assert "\n" not in str(error.value)
