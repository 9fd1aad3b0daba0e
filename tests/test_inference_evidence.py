"""Probabilities of models against evidences that are known, and distorted on purpose."""

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import norm

from physgen import InputError
from physgen.inference.evidence import CalibratedEvidence

MEANS = np.array([0.0, 1.5, 3.0])
NAMES = ("low", "middle", "high")


def observations(n, seed=0):
    """Each of a normal of its model, with the exact log-evidences."""
    rng = np.random.default_rng(seed)
    model = np.repeat(np.arange(3), n)
    x = rng.normal(MEANS[model])
    return norm.logpdf(x[:, None], MEANS), model


def test_exact_evidences_are_left_as_they_are():
    evidences, model = observations(2000)
    found = CalibratedEvidence.fit(NAMES, evidences, model)
    assert found.scale == pytest.approx(1.0, abs=0.08)
    np.testing.assert_allclose(found.offsets, 0.0, atol=0.1)
    fresh, _ = observations(50, seed=1)
    exact = np.exp(log_softmax(fresh, axis=1))
    np.testing.assert_allclose(found.probabilities(fresh), exact, atol=0.04)


def test_distorted_evidences_are_set_right():
    """Five times too sure, and one model 20 nats ahead for no reason."""
    distort = lambda evidences: 5 * evidences + np.array([[0.0, 20.0, 0.0]])  # noqa: E731
    evidences, model = observations(2000)
    found = CalibratedEvidence.fit(NAMES, distort(evidences), model)
    fresh, of = observations(500, seed=1)
    exact = log_softmax(fresh, axis=1)
    np.testing.assert_allclose(found.probabilities(distort(fresh)), np.exp(exact), atol=0.05)
    own = np.mean(exact[np.arange(len(of)), of])
    few = CalibratedEvidence.fit(NAMES, distort(evidences[::50]), model[::50])
    assert few.score() == pytest.approx(own, abs=0.15)
    assert few.plain_score() < few.score() - 5
    assert 0.5 < few.accuracy() < 0.95
    assert "120 known observations" in few.finding()


def test_prior_odds_multiply():
    found = CalibratedEvidence.fit(NAMES, *observations(100))
    prior = np.array([0.2, 0.5, 0.3])
    equal = found.probabilities([-1.0, -2.0, -3.0])
    weighted = found.probabilities([-1.0, -2.0, -3.0], prior)
    np.testing.assert_allclose(weighted, prior * equal / (prior @ equal))


def test_numbers_of_known_observations_are_no_prior():
    """Nine of ten observations of one model do not make it more probable."""
    evidences, model = observations(1000)
    kept = (model == 0) | (np.arange(len(model)) % 9 == 0)
    found = CalibratedEvidence.fit(NAMES, evidences[kept], model[kept])
    np.testing.assert_allclose(found.offsets, 0.0, atol=0.3)


def test_models_that_do_not_overlap_have_finite_odds():
    model = np.repeat([0, 1], 10)
    evidences = np.where(model[:, None] == np.arange(2), 0.0, -100.0)
    found = CalibratedEvidence.fit(("a", "b"), evidences, model)
    p = found.probabilities(evidences)[np.arange(20), model]
    np.testing.assert_allclose(p, 11 / 12, atol=0.01)  # Platt's targets
    assert found.accuracy() == 1


@pytest.mark.parametrize(
    ("names", "evidences", "model", "words"),
    [
        (("a",), np.zeros((20, 1)), np.zeros(20, int), "at least two models"),
        (("a", "b"), np.zeros((20, 3)), np.repeat([0, 1], 10), r"shape \(20, 2\)"),
        (("a", "b"), np.full((20, 2), np.nan), np.repeat([0, 1], 10), "finite"),
        (("a", "b"), np.zeros((15, 2)), np.repeat([0, 1], [10, 5]), "at least 10 observations"),
        (("a", "b"), np.zeros((30, 2)), np.repeat([0, 1, 2], 10), "at least 10 observations"),
    ],
)
def test_what_does_not_calibrate_is_refused(names, evidences, model, words):
    with pytest.raises(InputError, match=words):
        CalibratedEvidence.fit(names, evidences, model)


def test_other_evidences_and_priors_are_refused():
    found = CalibratedEvidence.fit(NAMES, *observations(20))
    with pytest.raises(InputError, match="log-evidences of 3 models"):
        found.probabilities([0.0, 1.0])
    for prior in ([1.0, 1.0], [1.0, 0.0, 1.0]):
        with pytest.raises(InputError, match="positive prior"):
            found.probabilities([0.0, 1.0, 2.0], prior)
