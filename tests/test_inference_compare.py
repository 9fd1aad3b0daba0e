import conjugate
import jax
import numpy as np
import pytest
import scipy.stats

import physgen
from physgen.errors import InputError
from physgen.inference.compare import compare_models
from physgen.nets.residual import MLPEmbedding
from physgen.train import Silent

NARROW = scipy.stats.norm([0.0, 0.0], 1.0)
SHIFTED = scipy.stats.norm([1.0, 0.0], [1.0, 1.5])


@pytest.fixture(scope="module")
def comparison():
    rng = np.random.default_rng(0)
    data = {
        "narrow": NARROW.rvs((4000, 2), random_state=rng),
        "shifted": SHIFTED.rvs((2000, 2), random_state=rng),
    }
    return compare_models(
        jax.random.key(0),
        data,
        embedding=MLPEmbedding(width=32, depth=1, features=16),
        training=conjugate.short(400, batch_size=256),
        report=Silent(),
    )


def exact_log_bayes_factor(x):
    return NARROW.logpdf(x).sum(axis=1) - SHIFTED.logpdf(x).sum(axis=1)


def observations(n=2000):
    rng = np.random.default_rng(1)
    both = NARROW.rvs((n // 2, 2), random_state=rng), SHIFTED.rvs((n // 2, 2), random_state=rng)
    return np.concatenate(both)


def test_probabilities_are_those_of_the_exact_bayes_factor(comparison):
    x = observations()
    exact = 1 / (1 + np.exp(-exact_log_bayes_factor(x)))
    found = np.asarray(comparison.probabilities(x))
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert np.abs(found[:, 0] - exact).mean() < 0.03
    known = np.abs(exact_log_bayes_factor(x)) < 2
    factors = np.asarray(comparison.log_bayes_factor(x, "narrow", "shifted"))
    assert np.abs(factors - exact_log_bayes_factor(x))[known].mean() < 0.15


def test_probabilities_are_calibrated(comparison):
    x = observations()
    found = np.asarray(comparison.probabilities(x))[:, 0]
    truth = np.arange(len(x)) < len(x) // 2
    for low in np.arange(0.1, 0.9, 0.2):
        inside = (found >= low) & (found < low + 0.2)
        error = 4 * 0.5 / np.sqrt(inside.sum())
        assert abs(truth[inside].mean() - found[inside].mean()) < error


def test_prior_probabilities_enter_as_bayes_says(comparison):
    x = observations(10)
    even = np.asarray(comparison.probabilities(x))
    weighted = even * np.array([0.9, 0.1])
    np.testing.assert_allclose(
        comparison.probabilities(x, [0.9, 0.1]),
        weighted / weighted.sum(axis=1, keepdims=True),
        rtol=1e-4,
    )


def test_one_observation_and_many(comparison):
    x = observations(6)
    whole = comparison.probabilities(x.reshape(2, 3, 2))
    np.testing.assert_allclose(whole[1, 2], comparison.probabilities(x[5]), rtol=1e-5)


def test_saved_and_loaded_it_says_the_same(comparison, tmp_path):
    comparison.save(tmp_path / "models.h5")
    loaded = physgen.load(tmp_path / "models.h5")
    x = observations(10)
    np.testing.assert_array_equal(loaded.log_evidences(x), comparison.log_evidences(x))
    assert loaded.names == ("narrow", "shifted") and loaded.training == comparison.training


def test_bad_input_is_refused(comparison):
    good = np.zeros((60, 2)) + np.arange(60)[:, None]
    with pytest.raises(InputError, match="at least two models"):
        compare_models(jax.random.key(0), {"one": good})
    with pytest.raises(InputError, match="one shape"):
        compare_models(jax.random.key(0), {"one": good, "other": good[:, :1]})
    with pytest.raises(InputError, match="single precision holds"):
        compare_models(jax.random.key(0), {"one": good, "other": good * 1e-42})
    with pytest.raises(InputError, match="at least 50"):
        compare_models(jax.random.key(0), {"one": good, "other": good[:20]})
    with pytest.raises(InputError, match="finite observations of model other"):
        compare_models(jax.random.key(0), {"one": good, "other": good * np.nan})
    with pytest.raises(InputError, match="among narrow, shifted"):
        comparison.log_bayes_factor(good, "narrow", "wide")
    with pytest.raises(InputError, match="2 positive prior probabilities"):
        comparison.probabilities(good, [1.0, 0.0])
    with pytest.raises(InputError, match="expected x of shape"):
        comparison.probabilities(good[:, :1])


def test_a_line_says_what_it_is(comparison):
    assert repr(comparison).startswith(
        "<Comparison of narrow, shifted by observations of shape (2,); "
    )
    assert "6000 simulations" in repr(comparison) and "\n" not in repr(comparison)
