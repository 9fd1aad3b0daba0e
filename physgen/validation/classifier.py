"""The classifier two-sample test: can a classifier tell samples from a reference?

0.5 where it cannot, 1 where it always can (Lopez-Paz & Oquab 2017, arXiv:1610.06545). The settings
are those of the two tables in the literature: the neural network of sbibm (Lueckmann et al. 2021,
arXiv:2101.04653), and the random forest of sbi, whose accuracy of the same samples is a little
higher. Say which one is meant.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from physgen.errors import InputError
from physgen.validation.permutation import labellings
from physgen.validation.two_sample import Strata, upper_tail


@runtime_checkable
class Classifier(Protocol):
    """What makes a scikit-learn classifier for samples in d dimensions."""

    def build(self, d: int, seed: int) -> Any: ...


@dataclass(frozen=True)
class NeuralNetwork:
    """sbibm's classifier: two hidden layers of width * d units, Adam, no early stopping."""

    width: int = 10
    max_iterations: int = 10_000

    def build(self, d: int, seed: int) -> Any:
        """A classifier for samples in d dimensions."""
        from sklearn.neural_network import MLPClassifier

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

    def build(self, d: int, seed: int) -> Any:
        """A classifier, whatever the dimension."""
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(n_estimators=self.trees, random_state=seed)


@dataclass(frozen=True, eq=False)
class C2ST:
    """Accuracies (folds,) on held-out samples, and the classifier that reached them.

    p_value is of the hypothesis that nothing tells n samples from m in `bins` numbers, None without
    permutations.
    """

    accuracies: Float[np.ndarray, " folds"]
    classifier: Classifier
    p_value: float | None
    n: int
    m: int
    bins: int
    null: str = ""
    name: str = "C2ST"
    note: str = ""

    @property
    def mean(self) -> float:
        """The accuracy that tables hold: 0.5 where nothing tells the samples apart."""
        return float(self.accuracies.mean())

    @property
    def statistic(self) -> float:
        """The mean accuracy."""
        return self.mean

    def __repr__(self) -> str:
        p_value = "" if self.p_value is None else f", p = {self.p_value:.3g}"
        return f"<C2ST {self.mean:.4f}{p_value}, {type(self.classifier).__name__}>"


def c2st(
    reference: ArrayLike,
    samples: ArrayLike,
    *,
    classifier: Classifier = NeuralNetwork(),
    folds: int = 5,
    permutations: int = 999,
    strata: Strata | None = None,
    seed: int = 1,
    workers: int = 1,
) -> C2ST:
    """Accuracy of a classifier between reference samples (n, d) and samples (m, d).

    Both are standardised by the reference's mean and standard deviation (ddof 1) and rounded to
    float32, as sbibm does. Accuracies are of held-out samples, in `folds` folds of a shuffle. With
    n different from m the accuracy of guessing is above 0.5: use as many of either.

    The p-value comes from two classifiers of their own, each trained on one half of the samples.
    Under each, the labels of the other half are exchanged `permutations` times, within `strata`,
    and the area under the ROC curve compared; the p-value is Bonferroni's of the two. Labels
    exchanged under the classifiers of a cross-validation give no p-value: each of them has seen
    labels that another one is tested on.

    Args:
        permutations: 0 for no p-value, which saves two trainings.
        strata: integers (n,) and (m,), by default one stratum.
        seed: of the shuffle, the classifier and the permutations.
        workers: processes that share the folds.

    Raises:
        InputError: for shapes that do not fit, fewer than 2 samples a fold, NaN or infinity, and a
            reference of which a column does not vary.
    """
    from sklearn.model_selection import KFold, cross_val_score

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
    accuracies, p_value, null = np.asarray(accuracies, np.float64), None, ""
    if permutations:
        groups = np.zeros(len(both), int) if strata is None else np.concatenate(strata)
        p_value = held_out_p_value(both, labels == 1, classifier, groups, permutations, seed)
        null = f"{permutations} permutations of held-out labels, twice"
    larger = max(len(x), len(y)) / len(both)
    note = f"{len(x)} against {len(y)}: guessing reaches {larger:.3f}." if len(x) != len(y) else ""
    return C2ST(accuracies, classifier, p_value, len(x), len(y), x.shape[1], null, note=note)


def held_out_p_value(
    values: Float[np.ndarray, "N d"],
    is_sample: Bool[np.ndarray, " N"],
    classifier: Classifier,
    strata: ArrayLike,
    permutations: int,
    seed: int,
) -> float:
    """Whether classifiers of one half of the rows rank those of the other half better than chance.

    Given a classifier and the samples that it has not seen, their labels are exchangeable if
    nothing tells samples from the reference, however it was trained.
    """
    rng = np.random.default_rng(seed)
    groups = np.asarray(strata)
    values = (values - values.mean(axis=0)) / values.std(axis=0)  # by no label
    first = np.zeros(len(values), bool)
    for label in (is_sample, ~is_sample):
        rows = rng.permutation(np.flatnonzero(label))
        first[rows[: len(rows) // 2]] = True
    p_values = []
    for train in (first, ~first):
        fitted = classifier.build(values.shape[1], seed).fit(values[train], is_sample[train])
        ranks = rankdata(fitted.predict_proba(values[~train])[:, 1])
        labels = labellings(is_sample[~train], groups[~train], permutations, rng)
        p_values.append(upper_tail(labels @ (ranks / len(ranks))))
    return float(min(1.0, 2 * min(p_values)))
