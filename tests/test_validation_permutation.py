"""The permutation test: honest under the null, sharp where something is wrong."""

import itertools

import numpy as np
import pytest
from scipy import stats as scipy_stats

from physgen.validation.permutation import (
    holm,
    labellings,
    permutation_test,
    two_sample_scores,
)

CORRELATED = np.linalg.cholesky(0.7 ** np.abs(np.subtract.outer(np.arange(6), np.arange(6))))


def binomial_band(trials, probability):
    return scipy_stats.binom.interval(0.999, trials, probability)


def score(real, generated, rng, draws=199, strata=None):
    labels = np.arange(len(real) + len(generated)) < len(real)
    strata = np.zeros(len(labels), int) if strata is None else strata
    return two_sample_scores(
        np.concatenate([real, generated]), labellings(labels, strata, draws, rng)
    )


@pytest.mark.parametrize("skewed", [False, True])
def test_p_values_reject_at_their_level_under_the_null(skewed):
    trials, alpha = 400, 0.05
    rejected = np.zeros(2)
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(25, 6)) @ CORRELATED.T
        values = np.exp(values) if skewed else values
        values[rng.random(values.shape) < 0.1] = np.nan
        for kind, scores in enumerate(score(values[:15], values[15:], rng)):
            rejected[kind] += permutation_test([scores]).p_value <= alpha
    low, high = binomial_band(trials, alpha)
    assert (rejected >= low).all() and (rejected <= high).all(), rejected / trials


def test_p_values_of_two_groups_together_reject_at_their_level():
    trials, rejected = 300, 0
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(2, 20, 3)) * np.array([1, 5, 0.1])
        scores = [score(v[:8], v[8:], rng, draws=99)[0] for v in values]
        rejected += permutation_test(scores).p_value <= 0.05
    low, high = binomial_band(trials, 0.05)
    assert low <= rejected <= high


def test_exchange_within_strata_is_fair_where_parameters_differ():
    """One box for each of many parameters: the spread over parameters is not evidence."""
    trials, rejected, found = 200, 0, 0
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        centre = rng.normal(0, 10, (20, 1))
        real, generated = (centre + rng.normal(size=(20, 2)) for _ in range(2))
        strata = np.tile(np.arange(20), 2)
        rejected += permutation_test([score(real, generated, rng, 99, strata)[0]]).p_value <= 0.05
        shifted = score(real, generated + 1.5, rng, 99, strata)[0]
        found += permutation_test([shifted]).p_value <= 0.05
    low, high = binomial_band(trials, 0.05)
    assert low <= rejected <= high
    assert found > 0.9 * trials  # a shift a seventh of the spread over parameters


def test_labellings_keep_the_numbers_in_every_stratum():
    is_real = np.array([1, 1, 0, 0, 1, 0, 0], bool)
    strata = np.array([7, 2, 2, 7, 2, 2, 9])
    labels = labellings(is_real, strata, 50, np.random.default_rng(0))
    assert labels.shape == (51, 7)
    np.testing.assert_array_equal(labels[0], is_real)
    for stratum in (2, 7, 9):
        inside = strata == stratum
        assert (labels[:, inside].sum(axis=1) == is_real[inside].sum()).all()
    assert len(np.unique(labels, axis=0)) == 6 * 2  # every exchange occurs


def test_scores_are_welch_t_and_ignore_missing_values():
    rng = np.random.default_rng(0)
    real, generated = rng.normal(3, 2, (12, 2)), rng.normal(2, 1, (9, 2))
    generated[:4, 1] = np.nan
    t, _ = score(real, generated, rng, draws=3)
    expected = [
        scipy_stats.ttest_ind(g[np.isfinite(g)], r, equal_var=False).statistic
        for r, g in zip(real.T, generated.T, strict=True)
    ]
    np.testing.assert_allclose(t[0], expected, rtol=1e-10)


def test_p_value_equals_full_enumeration_in_a_small_sample():
    values = np.array([0.1, 0.5, 0.9, 2.0, 2.2, 3.1])
    splits = [np.isin(np.arange(6), real) for real in itertools.combinations(range(6), 3)]
    t, _ = two_sample_scores(values[:, None], np.array(splits))
    exact = np.mean(np.abs(t[:, 0]) >= np.abs(t[0, 0]) - 1e-9)
    drawn, _ = score(values[:3, None], values[3:, None], np.random.default_rng(0), draws=20_000)
    assert permutation_test([drawn]).p_max == pytest.approx(exact, abs=0.01)
    assert permutation_test([t]).p_max == exact


def test_bins_without_scatter_count_for_nothing_where_equal_and_for_everything_where_not():
    rng = np.random.default_rng(0)
    same, different = np.full((10, 1), 128.0), np.full((10, 1), 127.0)
    t, spread = score(same, same, rng, draws=99)
    assert not t.any() and not spread.any()
    assert permutation_test([t]).p_value == 1
    t, _ = score(same, different, rng, draws=99)
    assert t[0, 0] == -np.inf
    assert permutation_test([t]).p_value == pytest.approx(0.01)


def test_a_shift_in_one_bin_and_a_wrong_scatter_are_found():
    rng = np.random.default_rng(0)
    real, shifted, narrow = rng.normal(size=(3, 60, 5))
    shifted[:, 3] += 1
    narrow *= 0.5
    mean, _ = score(real, shifted, rng, draws=999)
    result = permutation_test([mean])
    assert result.p_value <= 0.005
    assert np.flatnonzero(np.abs(result.scores[0]) > result.critical).tolist() == [3]
    _, spread = score(real, narrow, rng, draws=999)
    assert permutation_test([spread]).p_value <= 0.005
    assert (spread[0] < 0).all()


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1, 1])
