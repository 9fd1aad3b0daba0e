"""Two-sample tests against closed forms, brute force and scipy; their p-values under the null."""

import itertools

import numpy as np
import pytest
from scipy import linalg
from scipy import stats as scipy_stats

from physgen import InputError
from physgen.validation import (
    covariance_test,
    frechet_distance,
    hotelling,
    kpd,
    pqmass,
    wasserstein_distances,
)
from physgen.validation.two_sample import pool, whiten

MIX = np.linalg.cholesky(0.7 ** np.abs(np.subtract.outer(np.arange(5), np.arange(5))))
PERMUTED = [covariance_test, kpd, pqmass, frechet_distance, wasserstein_distances]


def ensembles(n=30, m=20, seed=0, shift=0.0, scale=1.0):
    rng = np.random.default_rng(seed)
    generated = shift + scale * rng.normal(size=(m, 5))
    return 7 + 3 * rng.normal(size=(n, 5)) @ MIX.T, 7 + 3 * generated @ MIX.T


def standardised(x, y):
    both = np.concatenate([x, y])
    return tuple((part - both.mean(axis=0)) / both.std(axis=0) for part in (x, y))


def unequal(x, y, **settings):
    return hotelling(x, y, equal_covariances=False)


def test_hotelling_is_its_formula_and_in_one_bin_students_t():
    x, y = ensembles()
    d, n, m = x.mean(axis=0) - y.mean(axis=0), len(x), len(y)
    s = ((n - 1) * np.cov(x.T) + (m - 1) * np.cov(y.T)) / (n + m - 2)
    found = hotelling(x, y)
    assert found.statistic == pytest.approx(n * m / (n + m) * d @ np.linalg.solve(s, d))
    f = found.statistic * (n + m - 6) / (5 * (n + m - 2))
    assert found.p_value == pytest.approx(scipy_stats.f.sf(f, 5, n + m - 6))
    assert (found.n, found.m, found.bins, found.null) == (30, 20, 5, "F(5, 44)")
    one, t = hotelling(x[:, :1], y[:, :1]), scipy_stats.ttest_ind(x[:, 0], y[:, 0])
    assert one.statistic == pytest.approx(t.statistic**2)
    assert one.p_value == pytest.approx(t.pvalue)


def test_unequal_covariances_are_welch_in_one_bin():
    x, y = ensembles(scale=3.0)
    found = hotelling(x[:, :1], y[:, :1], equal_covariances=False)
    welch = scipy_stats.ttest_ind(x[:, 0], y[:, 0], equal_var=False)
    assert found.statistic == pytest.approx(welch.statistic**2)
    assert found.p_value == pytest.approx(welch.pvalue)
    with pytest.raises(InputError, match="more than 5"):
        hotelling(x[:5], y, equal_covariances=False)


def test_unequal_covariances_and_sizes_need_the_test_made_for_them():
    """Few of the wide and many of the narrow: the pooled test cries wolf, the other does not."""
    trials, rejected = 300, np.zeros(2)
    for seed in range(trials):
        x, y = ensembles(60, 12, seed, scale=3.0)
        rejected += [hotelling(x, y).p_value <= 0.05, unequal(x, y).p_value <= 0.05]
    low, high = scipy_stats.binom.interval(0.999, trials, 0.05)
    assert low <= rejected[1] <= high and rejected[0] > 2 * high


def test_fewer_simulations_than_bins_are_told_and_permuted():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(10, 40)), rng.normal(size=(12, 40))
    found = hotelling(x, y)
    assert "more than 80 are needed" in found.note and found.null == "999 permutations"
    assert hotelling(x, y + 2).p_value <= 0.01 and found.p_value > 0.01
    _, shrinkage = whiten(x)
    assert 0 < shrinkage <= 1


def test_bins_that_follow_from_others_change_nothing():
    x, y = ensembles()
    more = [np.concatenate([a, a[:, :1] + a[:, 1:2], np.full((len(a), 1), 3.0)], 1) for a in (x, y)]
    found, expected = hotelling(*more), hotelling(x, y)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.p_value)
    assert "6 bins are 5 numbers" in found.note


def test_covariance_distance_is_that_of_the_covariances():
    x, y = ensembles()
    z, _ = whiten(pool(x, y).values)
    difference = np.cov(z[:30].T, bias=True) - np.cov(z[30:].T, bias=True)
    assert covariance_test(x, y).statistic == pytest.approx(np.sum(difference**2))


def test_kernel_distance_is_a_sum_over_pairs():
    x, y = ensembles(6, 5)
    found = kpd(x, y)
    a, b = standardised(x, y)

    def k(u, v):
        return (u @ v / 5 + 1) ** 4

    within = [np.mean([k(u, v) for u, v in itertools.permutations(part, 2)]) for part in (a, b)]
    across = np.mean([k(u, v) for u in a for v in b])
    assert found.statistic == pytest.approx(sum(within) - 2 * across)


def test_a_permuted_p_value_is_that_of_all_exchanges():
    x, y = ensembles(4, 4, shift=0.7)
    both = np.concatenate([x, y])
    scores = []
    for rows in itertools.combinations(range(8), 4):
        rest = np.setdiff1d(np.arange(8), rows)
        scores.append(kpd(both[list(rows)], both[rest], draws=1).statistic)
    exact = np.mean(np.array(scores) >= scores[0] - 1e-9)
    assert kpd(x, y, draws=9999).p_value == pytest.approx(exact, abs=0.02)


def test_cells_of_one_tessellation_have_pearsons_chi2():
    x, y = ensembles()
    rng = np.random.default_rng(3)
    both = np.concatenate(standardised(x, y))
    centres = both[rng.choice(50, 4, replace=False)]
    cell = np.linalg.norm(both[:, None] - centres, axis=2).argmin(axis=1)
    table = [np.bincount(part, minlength=4) for part in (cell[:30], cell[30:])]
    expected = scipy_stats.chi2_contingency(table, correction=False).statistic
    found = pqmass(x, y, cells=4, tessellations=1, seed=3)
    assert found.statistic == pytest.approx(expected)
    for cells in (1, 51):
        with pytest.raises(InputError, match="from 2 to 50 cells"):
            pqmass(x, y, cells=cells)


def test_frechet_distance_at_the_given_sizes_is_the_closed_form():
    x, y = ensembles(scale=2.0)
    a, b = standardised(x, y)
    c, d = (np.cov(part.T, bias=True) for part in (a, b))
    shift = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    expected = shift + np.trace(c + d - 2 * linalg.sqrtm(c @ d).real)
    assert frechet_distance(x, y).finite == pytest.approx(expected, rel=1e-5)


def test_frechet_distance_is_extrapolated_to_the_truth():
    """Means 1 deviation apart in each of two bins, all else equal: 2, in the pooled units 1.6."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 2)), 1 + rng.normal(size=(400, 2))
    found = frechet_distance(x, y, draws=19)
    assert found.statistic == pytest.approx(1.6, abs=0.25)
    equal = [
        frechet_distance(rng.normal(size=(60, 3)), rng.normal(size=(60, 3)), draws=1)
        for _ in range(40)
    ]
    bias = np.mean([f.finite for f in equal])
    assert abs(np.mean([f.statistic for f in equal])) < bias / 2
    assert "few for 20 bins" in frechet_distance(*rng.normal(size=(2, 40, 20)), draws=1).note


def test_wasserstein_distances_are_scipys():
    x, y = ensembles()
    found = wasserstein_distances(x, np.concatenate([y, y[:1]]))
    a, b = standardised(x, np.concatenate([y, y[:1]]))
    expected = [
        scipy_stats.wasserstein_distance(*columns) for columns in zip(a.T, b.T, strict=True)
    ]
    np.testing.assert_allclose(found.distances, expected)
    assert found.statistic == found.distances.max() and found.p_value == found.p_values.min()
    y[:, 2] += 9
    x = np.concatenate([x, np.ones((30, 1))], axis=1)
    shifted = wasserstein_distances(x, np.concatenate([y, np.ones((20, 1))], axis=1))
    assert np.flatnonzero(shifted.p_values <= 0.01).tolist() == [2]
    assert shifted.distances[5] == 0 and shifted.p_values[5] == 1


@pytest.mark.parametrize("skewed", [False, True])
def test_every_p_value_rejects_at_its_level(skewed):
    trials = 200
    tests = [*PERMUTED, lambda x, y, draws: hotelling(x, y)] + ([] if skewed else [unequal])
    rejected = np.zeros(len(tests))
    for seed in range(trials):
        x, y = ensembles(20, 16, seed)
        if skewed:
            x, y = np.exp((x - 7) / 6), np.exp((y - 7) / 6)
        rejected += [test(x, y, draws=19).p_value <= 0.05 for test in tests]
    low, high = scipy_stats.binom.interval(0.9999, trials, 0.05)
    assert ((rejected >= low) & (rejected <= high)).all(), rejected / trials


def test_what_is_wrong_is_found_by_the_test_made_for_it():
    x, shifted = ensembles(100, 100, shift=1.0)
    _, wide = ensembles(100, 100, scale=1.8)
    for test in [hotelling, *PERMUTED]:
        assert (test(x, shifted).p_value <= 0.01) == (test is not covariance_test), test
    assert covariance_test(x, wide).p_value <= 0.01
    assert hotelling(x, wide).p_value > 0.01


def test_strata_exchange_labels_at_equal_parameters_only():
    """One real and one generated simulation for each of 20 parameters, far apart."""
    trials, rejected = 150, np.zeros(3)
    strata = np.arange(20), np.arange(20)
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        centre = rng.normal(0, 10, (20, 1))
        x, y = (centre + rng.normal(size=(20, 2)) for _ in range(2))
        rejected += [
            t(x, y, strata=strata, draws=19).p_value <= 0.05 for t in (hotelling, kpd, pqmass)
        ]
    low, high = scipy_stats.binom.interval(0.9999, trials, 0.05)
    assert ((rejected >= low) & (rejected <= high)).all(), rejected / trials


@pytest.mark.parametrize("test", [hotelling, *PERMUTED])
def test_bad_ensembles_are_told_in_one_line(test):
    x, y = ensembles()
    hole = np.where(np.arange(5) == 3, np.nan, y)
    for a, b, words in (
        (x, y[:, :4], "same statistics"),
        (x[0], y[0], "same statistics"),
        (x[:3], y, "at least"),
        (x, hole, "bin 3"),
        (np.ones((20, 2)), np.ones((20, 2)), "nothing to test"),
    ):
        with pytest.raises(InputError, match=words) as error:
            test(a, b)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="strata"):
        test(x, y, strata=(np.zeros(3), np.zeros(20)))
