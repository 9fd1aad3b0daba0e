"""The classifier two-sample test, against sbibm's recipe written out and a known error rate."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPClassifier

from physgen import InputError
from physgen.validation.classifier import NeuralNetwork, RandomForest, c2st

FOREST = RandomForest(trees=20)


def gaussians(n=150, shift=0.7, seed=0):
    x, y = np.random.default_rng(seed).normal(size=(2, n, 2))
    return 5 + 3 * x, 5 + 3 * (y + [shift, 0])


def recipe(x, y, classifier):
    """As sbibm has it, in float32."""
    x, y = x.astype(np.float32), y.astype(np.float32)
    mean, deviation = x.mean(axis=0), x.std(axis=0, ddof=1)
    both = np.concatenate([(x - mean) / deviation, (y - mean) / deviation])
    target = np.concatenate([np.zeros(len(x)), np.ones(len(y))])
    folds = KFold(n_splits=5, shuffle=True, random_state=1)
    return cross_val_score(classifier, both, target, cv=folds, scoring="accuracy")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            NeuralNetwork(),
            MLPClassifier(
                activation="relu",
                hidden_layer_sizes=(20, 20),
                max_iter=10000,
                solver="adam",
                random_state=1,
            ),
        ),
        (RandomForest(), RandomForestClassifier(random_state=1)),
    ],
)
def test_it_is_the_recipe_of_the_tables(ours, theirs):
    x, y = gaussians()
    found = c2st(x, y, classifier=ours)
    expected = recipe(x, y, theirs)
    # rounding of the standardisation may turn a single sample over
    np.testing.assert_allclose(found.accuracies, expected, atol=1.5 / 60)
    assert found.mean == pytest.approx(expected.mean(), abs=2 / 300)
    assert found.classifier is ours


def test_what_guessing_reaches_is_said_of_unequal_numbers():
    x, y = gaussians(n=40, shift=0)
    found = c2st(x, y[:10], classifier=FOREST, permutations=0)
    assert found.note == "40 against 10: guessing reaches 0.800."
    assert c2st(x, y, classifier=FOREST, permutations=0).note == ""


def test_accuracy_of_gaussians_is_that_of_the_best_classifier():
    """Unit Gaussians 2 apart: a sample is on its own side with probability ndtr(1)."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 1))
    found = c2st(x, rng.normal(size=(400, 1)) + 2, classifier=NeuralNetwork(width=5))
    assert found.mean == pytest.approx(norm.cdf(1.0), abs=0.05)


def test_equal_distributions_are_at_one_half_and_disjoint_ones_at_one():
    same, apart = (c2st(*gaussians(400, shift), classifier=FOREST) for shift in (0.0, 30.0))
    assert same.mean == pytest.approx(0.5, abs=0.07)
    assert apart.mean == 1.0
    assert "RandomForest" in repr(apart) and "1.0000" in repr(apart)


def test_units_do_not_matter():
    x, y = gaussians()
    scale = np.array([1e-9, 1e9])
    one, other = (c2st(a, b, classifier=FOREST) for a, b in ((x, y), (x * scale, y * scale)))
    np.testing.assert_allclose(one.accuracies, other.accuracies, atol=1.5 / 60)


def test_workers_change_nothing():
    x, y = gaussians(60)
    one, two = (c2st(x, y, classifier=RandomForest(5), workers=n) for n in (1, 2))
    np.testing.assert_array_equal(one.accuracies, two.accuracies)


def test_validation_does_not_wait_for_scikit_learn():
    text = "import sys, physgen.validation; assert 'sklearn' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.zeros(9), np.zeros((9, 1)), r"\(n, d\)"),
        (np.zeros((20, 2)), np.zeros((20, 3)), "same parameters"),
        (np.zeros((9, 1)), np.zeros((20, 1)), "2 samples a fold"),
        (np.full((20, 1), np.nan), np.zeros((20, 1)), "finite"),
        (np.zeros((20, 1)), np.ones((20, 1)), "column 0"),
    ],
)
def test_bad_samples_are_told_in_one_line(x, y, words):
    with pytest.raises(InputError, match=words) as error:
        c2st(x, y)
    assert "\n" not in str(error.value)
