"""Calibration: exact posteriors pass at the stated rate, wrong ones are found and named."""

import re
from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from physgen import InputError
from physgen.validation.calibration import (
    highest_density_coverage,
    simulation_based_calibration,
    tarp,
)
from physgen.validation.permutation import holm
from physgen.validation.uniformity import rank_tests

DEVIATION = 0.2**0.5  # of the posterior of theta ~ N(0, 1) given x ~ N(theta, 1/4)


def gaussian(rng, n=300, draws=150, d=2, width=1.0, shift=0.0):
    """Truths, draws and log-densities of a posterior too wide by `width`, off by `shift` sigma."""
    truths = rng.normal(size=(n, d))
    x = truths + 0.5 * rng.normal(size=(n, d))
    mean, sigma = (x / 1.25 + shift * DEVIATION)[:, None], width * DEVIATION
    drawn = mean + sigma * rng.normal(size=(n, draws, d))
    densities = [
        -0.5 * np.sum(((t - mean) / sigma) ** 2, axis=-1) for t in (truths[:, None], drawn)
    ]
    return truths, drawn, densities[0][:, 0], densities[1]


def of_parameters(truths, draws, at_truth, at_draws, **settings):
    return simulation_based_calibration(truths, draws, **settings)


def of_distances(truths, draws, at_truth, at_draws, **settings):
    return tarp(truths, draws, **settings)


def of_regions(truths, draws, at_truth, at_draws, **settings):
    return highest_density_coverage(at_truth, at_draws, **settings)


TESTS = (of_parameters, of_distances, of_regions)


@pytest.mark.parametrize("test", TESTS)
def test_an_exact_posterior_is_rejected_as_often_as_stated(test):
    """200 calibrations at 20%: the number rejected is binomial, 4 sigma are 23."""
    rng = np.random.default_rng(0)
    found = [
        test(*gaussian(rng, n=60, draws=19), alpha=0.2, simulations=99, seed=rng)
        for _ in range(200)
    ]
    rejected = sum(not f.inside for f in found)
    assert abs(rejected - 40) < 23
    for f in found:
        assert f.inside == (f.p_value > 0.2)


@pytest.mark.parametrize("n", [1, 40, 2000])
@pytest.mark.parametrize("n_draws", [1, 7, 500])
def test_the_band_holds_uniform_ranks_with_the_stated_probability(n, n_draws):
    rng = np.random.default_rng(1)
    ranks = rng.integers(n_draws, size=(n, 400), endpoint=True)
    outside = np.zeros(400, bool)
    (one,) = rank_tests(ranks[:, :1], n_draws, alpha=0.1, simulations=999, seed=rng)
    for i in range(400):
        share = np.mean(ranks[:, i, None] < np.round(one.level * (n_draws + 1)), axis=0)
        outside[i] = ((share < one.lower - 1e-9) | (share > one.upper + 1e-9)).any()
    assert outside.mean() < 0.1 + 4 * np.sqrt(0.09 / 400)
    if min(n, n_draws) > 5:  # else the band cannot be exact
        assert outside.mean() > 0.1 - 4 * np.sqrt(0.09 / 400) - 0.02


def test_the_p_value_is_that_of_all_possible_ranks():
    """Three ranks among two draws: 27 equally likely outcomes."""
    levels = np.array([1, 2]) / 3

    def statistic(ranks):
        counts = [sum(r < cut for r in ranks) for cut in (1, 2)]
        return min(
            2 * min(binom.cdf(c, 3, z), binom.sf(c - 1, 3, z))
            for c, z in zip(counts, levels, strict=True)
        )

    outcomes = list(product(range(3), repeat=3))
    every = np.array([statistic(o) for o in outcomes])
    chosen = np.array([[0, 0, 0], [0, 1, 2], [2, 2, 1]]).T
    tests = rank_tests(chosen, 2, simulations=9999)
    for column, test in zip(chosen.T, tests, strict=True):
        exact = np.mean(every <= statistic(column) + 1e-12)
        assert test.p_value == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize("alpha", [0.05, 0.5])
def test_inside_the_band_and_above_alpha_are_the_same_thing(alpha):
    rng = np.random.default_rng(2)
    ranks = rng.integers(101, size=(80, 60))
    ranks[:, ::2] = np.maximum(ranks[:, ::2] - rng.integers(20, size=30), 0)
    found = [rank_tests(column[:, None], 100, alpha=alpha, simulations=499) for column in ranks.T]
    assert 0 < sum(test.inside for (test,) in found) < 60
    for (test,) in found:
        within = (test.share >= test.lower - 1e-12) & (test.share <= test.upper + 1e-12)
        assert within.all() == test.inside == (test.p_value > alpha)


WRONG = {
    "narrow": ({"width": 1 / 1.3}, "overconfident"),
    "wide": ({"width": 1.3}, "underconfident"),
    "high": ({"shift": 0.5}, "biased high by 0.[3-7]"),
    "low": ({"shift": -0.5}, "biased low by 0.[3-7]"),
}


@pytest.mark.parametrize("error", WRONG)
def test_a_wrong_posterior_is_found_and_named(error):
    settings, words = WRONG[error]
    truths, draws, *_ = gaussian(np.random.default_rng(3), **settings)
    draws[..., 1] = gaussian(np.random.default_rng(3))[1][..., 1]
    found = simulation_based_calibration(truths, draws, names=["slip_rate", "depth"])
    assert not found.inside and found.p_adjusted[0] < 0.01 < found.p_adjusted[1]
    (finding,) = found.findings
    assert finding.startswith("slip_rate is ")
    assert re.search(words, finding), finding
    assert ("biased" in finding) == ("biased" in words)
    assert ("confident" in finding) == ("confident" in words)


def test_bias_and_width_are_told_apart_where_both_are_wrong():
    truths, draws, *_ = gaussian(np.random.default_rng(4), width=1 / 1.5, shift=-0.6, d=1)
    (finding,) = simulation_based_calibration(truths, draws).findings
    assert finding.startswith("theta_1 is biased low") and "overconfident" in finding


@pytest.mark.parametrize("test", [of_distances, of_regions])
@pytest.mark.parametrize(("width", "word"), [(1 / 1.3, "overconfident"), (1.3, "underconfident")])
def test_a_joint_posterior_of_wrong_width_is_found_and_named(test, width, word):
    found = test(*gaussian(np.random.default_rng(5), width=width))
    assert not found.inside and f"the joint posterior is {word}" in found.finding
    assert (found.held < 0.68) == (word == "overconfident")


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("width", [1 / 1.3, 1.3])
def test_what_a_finding_quotes_is_outside_of_its_band(test, width):
    found = test(*gaussian(np.random.default_rng(13), width=width))
    findings = found.findings if test is of_parameters else [found.finding]
    assert findings
    for finding in findings:
        share, lower, upper = map(float, re.findall(r"([\d.]+)% (?:of simul|to|by ch)", finding))
        assert not lower <= share <= upper, finding


def test_a_parameter_inside_its_band_has_no_finding_whatever_the_others_have():
    """Holm rejects it, at the whole of alpha, once the other one is rejected; its band does not."""
    truths, draws, *_ = gaussian(np.random.default_rng(3), width=1 / 1.3)
    draws[..., 1] = gaussian(np.random.default_rng(3))[1][..., 1]
    alpha = 1.5 * simulation_based_calibration(truths, draws).p_values[1]
    found = simulation_based_calibration(truths, draws, alpha=alpha)
    assert found.p_adjusted[1] <= alpha and [test.inside for test in found.tests] == [False, True]
    (finding,) = found.findings
    assert finding.startswith("theta_1 is overconfident")


@pytest.mark.parametrize("test", [of_distances, of_regions])
def test_a_shifted_joint_posterior_is_found(test):
    assert not test(*gaussian(np.random.default_rng(6), shift=1.0)).inside


def test_an_exact_posterior_has_no_findings_and_the_right_coverage():
    everything = gaussian(np.random.default_rng(7), n=1000)
    found = [test(*everything) for test in TESTS]
    calibration, *coverages = found
    assert calibration.inside and calibration.findings == ()
    np.testing.assert_allclose(calibration.held, 0.68, atol=0.06)
    np.testing.assert_allclose(calibration.above, 0.5, atol=0.07)
    np.testing.assert_allclose(calibration.contraction, 0.8, atol=0.03)
    np.testing.assert_array_equal(calibration.p_adjusted, holm(calibration.p_values.tolist()))
    for coverage in coverages:
        assert coverage.inside and coverage.finding is None
        assert coverage.held == pytest.approx(0.68, abs=0.06)


def test_a_posterior_that_learned_nothing_does_not_contract():
    rng = np.random.default_rng(8)
    found = simulation_based_calibration(rng.normal(size=(400, 1)), rng.normal(size=(400, 60, 1)))
    assert found.inside and found.contraction[0] == pytest.approx(0, abs=0.15)


def test_dependence_that_the_marginals_hide_is_found():
    """Each parameter is calibrated; only together they are wrong."""
    rng = np.random.default_rng(9)
    truths = rng.normal(size=(400, 1)) * [1, 1]
    draws = rng.normal(size=(400, 150, 2))
    assert simulation_based_calibration(truths, draws).inside
    assert not tarp(truths, draws).inside


def test_ranks_are_counts_and_ties_are_shared_out():
    draws = np.array([[[0.0], [1.0], [1.0], [2.0]]])
    (below,) = simulation_based_calibration([[0.5]], draws).tests
    assert below.ranks.tolist() == [1] and below.n_draws == 4
    tied = np.repeat(draws, 300, axis=0)
    (test,) = simulation_based_calibration(np.ones((300, 1)), tied).tests
    counts = np.bincount(test.ranks, minlength=5)
    assert counts[0] == counts[4] == 0 and (counts[1:4] > 60).all()


def test_tarp_counts_draws_nearer_to_the_reference():
    rng = np.random.default_rng(10)
    truths, draws = rng.normal(size=(5, 3)), rng.normal(size=(5, 9, 3))
    points = rng.normal(size=(5, 3))
    found = tarp(truths, draws, references=points)
    scale = truths.std(axis=0)
    expected = [
        sum(np.linalg.norm((s - p) / scale) < np.linalg.norm((t - p) / scale) for s in row)
        for t, row, p in zip(truths, draws, points, strict=True)
    ]
    assert found.test.ranks.tolist() == expected


def test_regions_count_draws_of_higher_density():
    found = highest_density_coverage([0.0, -np.inf], [[1.0, -1.0, 2.0], [0.0, -np.inf, 1.0]])
    assert found.test.ranks[0] == 2 and found.test.ranks[1] in (2, 3)


def test_a_markov_chain_is_thinned():
    truths, draws, *_ = gaussian(np.random.default_rng(11), n=50, draws=40)
    thinned = simulation_based_calibration(truths, np.repeat(draws, 3, axis=1), thin=3)
    plain = simulation_based_calibration(truths, draws)
    assert thinned.tests[0].n_draws == 40
    np.testing.assert_array_equal(thinned.p_values, plain.p_values)


def test_same_seed_same_result():
    everything = gaussian(np.random.default_rng(12), n=50)
    for test in TESTS:
        assert test(*everything, seed=4).p_value == test(*everything, seed=4).p_value


T, S = np.zeros((5, 2)), np.zeros((5, 9, 2))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: simulation_based_calibration(T, S[:4]), r"\(n, L, d\)"),
        (lambda: simulation_based_calibration(T[:, :1], S), r"\(n, L, d\)"),
        (lambda: simulation_based_calibration(T, S[:, :0]), r"\(n, L, d\)"),
        (lambda: simulation_based_calibration(T + np.nan, S), "finite"),
        (lambda: simulation_based_calibration(T, S, names=["a"]), "2 names"),
        (lambda: simulation_based_calibration(T, S, alpha=1e-9), "more simulations"),
        (lambda: tarp(T, S, references=np.zeros((5, 3))), "references"),
        (lambda: highest_density_coverage(T, S[..., 0]), r"\(n,\) and \(n, L\)"),
        (lambda: highest_density_coverage(T[:, 0] + np.nan, S[..., 0]), "NaN"),
        (lambda: rank_tests(np.array([[5]]), 4), "from 0 to 4"),
    ],
)
def test_bad_input_is_told_in_one_line(call, words):
    with pytest.raises(InputError, match=words) as error:
        call()
    assert "\n" not in str(error.value)
