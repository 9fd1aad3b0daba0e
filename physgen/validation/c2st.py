"""The classifier two-sample test: can a classifier tell samples from a reference?

0.5 where it cannot, 1 where it always can (Lopez-Paz & Oquab 2017, arXiv:1610.06545). The settings
are those of the two tables in the literature: the neural network of sbibm (Lueckmann et al. 2021,
arXiv:2101.04653), and the random forest of sbi, whose accuracy of the same samples is a little
higher. Say which one is meant.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPClassifier

from physgen.errors import InputError


@runtime_checkable
class Classifier(Protocol):
    """What makes a scikit-learn classifier for samples in d dimensions."""

    def build(self, d: int, seed: int) -> BaseEstimator: ...


@dataclass(frozen=True)
class NeuralNetwork:
    """sbibm's classifier: two hidden layers of width * d units, Adam, no early stopping."""

    width: int = 10
    max_iterations: int = 10_000

    def build(self, d: int, seed: int) -> BaseEstimator:
        """A classifier for samples in d dimensions."""
        return MLPClassifier(
            activation="relu",
            hidden_layer_sizes=(self.width * d, self.width * d),
            max_iter=self.max_iterations,
            solver="adam",
            random_state=seed,
        )


@dataclass(frozen=True)
class RandomForest:
    """sbi's classifier: scikit-learn's random forest as it comes."""

    trees: int = 100

    def build(self, d: int, seed: int) -> BaseEstimator:
        """A classifier, whatever the dimension."""
        return RandomForestClassifier(n_estimators=self.trees, random_state=seed)


@dataclass(frozen=True, eq=False)
class C2ST:
    """Accuracies (folds,) on held-out samples, and the classifier that reached them."""

    accuracies: Float[np.ndarray, " folds"]
    classifier: Classifier

    @property
    def mean(self) -> float:
        """The accuracy that tables hold: 0.5 where nothing tells the samples apart."""
        return float(self.accuracies.mean())

    def __repr__(self) -> str:
        return f"<C2ST {self.mean:.4f}, {type(self.classifier).__name__}>"


def c2st(
    reference: ArrayLike,
    samples: ArrayLike,
    *,
    classifier: Classifier = NeuralNetwork(),
    folds: int = 5,
    seed: int = 1,
    workers: int = 1,
) -> C2ST:
    """Accuracy of a classifier between reference samples (n, d) and samples (m, d).

    Both are standardised by the reference's mean and standard deviation (ddof 1) and rounded to
    float32, as sbibm does. Accuracies are of held-out samples, in `folds` folds of a shuffle. With
    n different from m the accuracy of guessing is above 0.5: use as many of either.

    Args:
        seed: of the shuffle and the classifier.
        workers: processes that share the folds.

    Raises:
        InputError: for shapes that do not fit, fewer than 2 samples a fold, NaN or infinity, and a
            reference of which a column does not vary.
    """
    x, y = np.asarray(reference, np.float64), np.asarray(samples, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or not x.shape[1]:
        raise InputError(
            f"expected reference (n, d) and samples (m, d), got {x.shape} and {y.shape}; "
            "give samples of the same parameters"
        )
    if folds < 2 or min(len(x), len(y)) < 2 * folds:
        raise InputError(
            f"expected at least 2 samples a fold of either kind, got {len(x)} and {len(y)} for "
            f"{folds} folds; draw more samples"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("expected finite samples, got NaN or infinity; leave them out")
    deviation = x.std(axis=0, ddof=1)
    if not (deviation > 0).all():
        column = int(np.flatnonzero(~(deviation > 0))[0])
        raise InputError(
            f"expected a reference that varies, got {x[0, column]:g} throughout column {column}; "
            "leave it out of both"
        )
    both = ((np.concatenate([x, y]) - x.mean(axis=0)) / deviation).astype(np.float32)
    labels = np.repeat([0, 1], [len(x), len(y)])
    accuracies = cross_val_score(
        classifier.build(x.shape[1], seed),
        both,
        labels,
        cv=KFold(n_splits=folds, shuffle=True, random_state=seed),
        scoring="accuracy",
        n_jobs=workers,
    )
    return C2ST(np.asarray(accuracies, np.float64), classifier)
