"""Two models of disjoint training sets and the same noise: do they generate the same thing?

Models that have learned the distribution agree with each other; models that have memorised agree
with their training sets (Kadkhodaie et al. 2024, arXiv:2310.02557).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from physgen.errors import InputError
from physgen.validation.two_sample import Seed, upper_tail


@dataclass(frozen=True, eq=False)
class Agreement:
    """Distances between the samples of two models made of the same noise, k of them.

    between (k,) is the distance of the two samples; to_train (k,) that to the nearest of all
    training samples of either one's own set, the smaller of the two. statistic is the mean of
    between over its mean for samples of different noise: 0 where the models are one map, 1 where
    the noise means nothing. p_value is of the latter, from permutations of the pairs. memorised is
    the share of pairs that are nearer to a training sample than to each other: near 0 for models
    that generalise, near 1 for models that copy.
    """

    between: Float[np.ndarray, " k"]
    to_train: Float[np.ndarray, " k"]
    statistic: float
    p_value: float
    memorised: float
    null: str


def agreement_test(
    one: ArrayLike,
    two: ArrayLike,
    train_one: ArrayLike,
    train_two: ArrayLike,
    *,
    draws: int = 999,
    seed: Seed = 0,
) -> Agreement:
    """Compare samples one (k, ...) and two (k, ...), row i of both from the same noise.

    train_one (n, ...) and train_two (m, ...) are the training sets, which must be disjoint.
    Distances are Euclidean over all entries, standardised by both training sets: give maps, or
    features that do not change when a sample is reordered or moved.

    Raises:
        InputError: for shapes that do not fit, fewer than 4 samples, NaN, and training sets that
            share a sample.
    """
    given = [np.asarray(array, np.float64) for array in (one, two, train_one, train_two)]
    if given[0].shape != given[1].shape or len({array.shape[1:] for array in given}) > 1:
        raise InputError(
            "expected samples (k, ...) of either model and training sets of the same entries, got "
            f"{[array.shape for array in given]}; row i of both models must be of one noise"
        )
    if len(given[0]) < 4 or min(len(given[2]), len(given[3])) < 2:
        raise InputError(
            "expected at least 4 samples and 2 training samples of either model, got "
            f"{[len(array) for array in given]}; generate more"
        )
    if not all(np.isfinite(array).all() for array in given):
        raise InputError("expected finite samples, got NaN or infinity; leave them out")
    flat = [array.reshape(len(array), -1) for array in given]
    known = np.concatenate(flat[2:])
    deviation = known.std(axis=0)
    a, b, c, d = (
        (array - known.mean(axis=0)) / np.where(deviation > 0, deviation, 1) for array in flat
    )
    if len(np.unique(np.concatenate([np.unique(c, axis=0), np.unique(d, axis=0)]), axis=0)) < len(
        np.unique(c, axis=0)
    ) + len(np.unique(d, axis=0)):
        raise InputError(
            "expected disjoint training sets, got a sample that is in both; train the two models "
            "on different simulations"
        )
    distances = cdist(a, b)
    rng = np.random.default_rng(seed)
    pairs = np.arange(len(a))
    means = [distances[pairs, pairs].mean()]
    means += [distances[pairs, rng.permutation(pairs)].mean() for _ in range(draws)]
    between = np.diagonal(distances).copy()
    to_train = np.minimum(cdist(a, c).min(axis=1), cdist(b, d).min(axis=1))
    others = (distances.sum() - between.sum()) / (len(a) * (len(a) - 1))
    return Agreement(
        between,
        to_train,
        float(between.mean() / others),
        upper_tail(-np.array(means)),
        float(np.mean(to_train < between)),
        f"{draws} permutations of the pairs",
    )
