"""Does a model repeat its training set? Distances to the nearest training sample tell."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy.special import ndtr
from scipy.stats import rankdata

from physgen.errors import InputError
from physgen.validation.groups import Group
from physgen.validation.permutation import labellings, smaller_of_two

_CHUNK = 512  # samples whose distances to all training samples are held at a time
_IDENTICAL = 0.05  # of the median held-out distance: closer is the same sample up to rounding
_BY_CHANCE = 1e-6  # of samples at most come as close by themselves; in few dimensions they might


@dataclass(frozen=True, eq=False)
class Memorisation:
    """Distances to the nearest training sample, generated (m,) against held-out (n,).

    z is the Mann-Whitney score of Meehan, Chaudhuri & Dasgupta (2020): negative where generated
    samples are nearer to the training set than held-out ones (copying), positive where they are
    further (underfitting); p_rank is its one-sided p-value. `copies` counts the generated samples
    nearer than the nearest held-out one, of those that were `compared`; p_copies is the chance of
    so many were both alike. p_value is of the smaller of the two, from permutations,
    p_adjusted Holm's, NaN where it is alone. nearest (m,)
    is the index of the nearest training sample. `identical` counts the generated, `leaked` the
    held-out samples that are training samples themselves, up to rounding. Samples without features
    are not compared: their distance is NaN, their nearest -1.
    """

    generated_distance: Float[np.ndarray, " m"]
    held_out_distance: Float[np.ndarray, " n"]
    nearest: Int[np.ndarray, " m"]
    z: float
    p_rank: float
    copies: int
    compared: int
    p_copies: float
    p_value: float
    identical: int
    leaked: int
    p_adjusted: float = np.nan

    @property
    def certain(self) -> bool:
        """Whether some generated samples are training samples and no held-out one is, by chance or
        because it leaked: then there is no need of a test."""
        return self.identical > 0 and self.leaked == 0


def memorisation_test(
    generated: ArrayLike,
    held_out: ArrayLike,
    train: ArrayLike,
    groups: tuple[Group, ...] | None = None,
    *,
    draws: int = 9999,
    seed: int | np.random.Generator = 0,
) -> Memorisation:
    """Test whether generated samples are nearer to the training samples than held-out ones are.

    Each row describes one sample by d features that the symmetries of the data do not change, so
    that a moved or rotated copy is a copy. Features are standardised by the training set; NaN
    counts as the training mean, and a row of nothing else is not compared. Samples are ranked
    within `groups` (van Elteren's stratified test; default: one group of all), so that ensembles
    may mix parameters in different proportions. `draws` exchanges of the labels within groups tell
    how often either test looks as bad.

    Raises InputError for features that do not fit, and fewer than two training samples that have
    some.
    """
    sets = [np.asarray(features, dtype=np.float64) for features in (generated, held_out, train)]
    if any(f.ndim != 2 or f.shape[1] != sets[2].shape[1] or not len(f) for f in sets):
        raise InputError(
            "generated, held_out and train must be (samples, features) with equal features, got "
            f"{sets[0].shape}, {sets[1].shape} and {sets[2].shape}"
        )
    described = [np.isfinite(features).any(axis=1) for features in sets]
    if described[2].sum() < 2:
        raise InputError(
            "train must hold at least 2 samples to compare with, got "
            f"{described[2].sum() or 'none'} of {len(sets[2])} that have a feature"
        )
    finite = np.isfinite(sets[2])
    count = np.maximum(finite.sum(axis=0), 1)
    mean = np.where(finite, sets[2], 0).sum(axis=0) / count
    scale = np.sqrt((np.where(finite, sets[2] - mean, 0) ** 2).sum(axis=0) / count)
    dimensions = max(int(np.sum(scale > 0)), 1)
    scale = np.where(scale > 0, scale, 1)
    scaled = [np.where(np.isfinite(f), (f - mean) / scale, 0) for f in sets]
    near_generated, nearest = _nearest(scaled[0], scaled[2], *described[::2])
    near_held_out, _ = _nearest(scaled[1], scaled[2], *described[1:])
    if groups is None:
        pairs = [(near_generated, near_held_out)]
    else:
        pairs = [(near_generated[g.generated], near_held_out[g.real]) for g in groups]
    pairs = [(_numbers(generated), _numbers(held_out)) for generated, held_out in pairs]
    pairs = [pair for pair in pairs if len(pair[0]) and len(pair[1])]
    z, copies = _scores(pairs, draws, np.random.default_rng(seed))
    p_rank, p_copies = ndtr(z), _chance_of_copies(pairs)[copies]
    usual = float(np.median(_numbers(near_held_out))) if described[1].any() else 0.0
    same = min(_IDENTICAL, _BY_CHANCE ** (1 / dimensions)) * usual
    return Memorisation(
        near_generated,
        near_held_out,
        nearest,
        float(z[0]),
        float(p_rank[0]),
        int(copies[0]),
        sum(len(generated) for generated, _ in pairs),
        float(p_copies[0]),
        smaller_of_two(p_rank, p_copies),
        int(np.sum(near_generated <= same)),
        int(np.sum(near_held_out <= same)),
    )


def _numbers(values):
    return values[~np.isnan(values)]


def _nearest(samples, train, described, in_train):
    """Distance to, and index of, the nearest row of `train` for each row of `samples`."""
    length = np.where(in_train, (train**2).sum(axis=1), np.inf)
    index = np.concatenate(
        [
            np.argmin(length - 2 * samples[i : i + _CHUNK] @ train.T, axis=1)
            for i in range(0, len(samples), _CHUNK)
        ]
    )
    distance = np.linalg.norm(samples - train[index], axis=1)
    return np.where(described, distance, np.nan), np.where(described, index, -1)


def _scores(pairs, draws, rng):
    """For the labels and `draws` exchanges of them: (U - <U>) / sigma of U = #(generated >
    held-out), and the generated samples nearer than every held-out one, summed over groups."""
    excess, copies, variance = np.zeros(draws + 1), np.zeros(draws + 1, int), 0.0
    for generated, held_out in pairs:
        m, n = len(generated), len(held_out)
        both = np.concatenate([generated, held_out])
        labels = labellings(np.arange(m + n) < m, np.zeros(m + n, int), draws, rng)
        excess += labels @ rankdata(both) - m * (m + 1) / 2 - m * n / 2
        variance += m * n * (m + n + 1) / 12
        nearest_held_out = np.where(labels, np.inf, both).min(axis=1)
        copies += np.sum(labels & (both < nearest_held_out[:, None]), axis=1)
    return excess / np.sqrt(variance or 1.0), copies


def _chance_of_copies(pairs) -> Float[np.ndarray, " k"]:
    """The chance of k or more generated samples nearer than every held-out one of their group.

    If labels are exchangeable, the k nearest of m + n are all generated with probability
    m (m - 1) ... (m - k + 1) / ((m + n) ... (m + n - k + 1)); groups add up.
    """
    distribution = np.ones(1)
    for generated, held_out in pairs:
        m, n = len(generated), len(held_out)
        k = np.arange(m)
        at_least = np.concatenate([[1.0], np.cumprod((m - k) / (m + n - k)), [0.0]])
        distribution = np.convolve(distribution, at_least[:-1] - at_least[1:])
    return np.minimum(1.0, np.cumsum(distribution[::-1])[::-1])
