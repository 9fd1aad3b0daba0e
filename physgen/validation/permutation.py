"""A permutation test of two ensembles: exact in small samples, whatever the distribution."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

_CHUNK = 128  # labellings at a time
_ROUNDING = 1e-12  # scatter relative to the mean, and variance of scaled values, that is rounding
_TIE_BREAK = 1e-9
_SOFTENING = 1e-2  # added to variances, of values scaled to one, before their ratio is taken


@dataclass(frozen=True, eq=False)
class PermutationResult:
    """What a permutation test says of one statistic.

    p_value combines p_max, of the largest |score| over bins and groups, and p_mean_square, of the
    mean squared score. scores are the observed ones, (p,) for each group; |score| above `critical`
    is beyond chance for the bin by itself, all bins considered. p_adjusted is Holm's, NaN where
    there was nothing to test.
    """

    p_value: float
    p_max: float
    p_mean_square: float
    scores: tuple[Float[np.ndarray, " p"], ...]
    critical: float
    p_adjusted: float = np.nan


def labellings(
    is_real: Bool[np.ndarray, " N"],
    strata: Int[np.ndarray, " N"],
    draws: int,
    rng: np.random.Generator,
) -> Bool[np.ndarray, "draws1 N"]:
    """The observed labels, then `draws` random exchanges of them within strata, (draws + 1, N)."""
    sorted_labels = is_real[np.argsort(strata, kind="stable")]
    rank = np.unique(strata, return_inverse=True)[1]
    labels = np.empty((draws + 1, len(is_real)), dtype=bool)
    labels[0] = is_real
    for row in labels[1:]:
        row[np.argsort(rank + rng.random(len(rank)))] = sorted_labels
    return labels


def two_sample_scores(
    values: Float[np.ndarray, "N p"], labels: Bool[np.ndarray, "B N"]
) -> tuple[Float[np.ndarray, "B p"], Float[np.ndarray, "B p"]]:
    """Scores of a difference in mean and in spread, for every labelling and bin; NaN left out.

    Mean: Welch's t = (mean_g - mean_r) / sqrt(s_r^2 / n + s_g^2 / m), positive where the generated
    mean is higher. Spread: log(s_g^2 / s_r^2), in units of its standard deviation over the
    labellings. Zero where a label has fewer than two values.
    """
    finite = np.isfinite(values)
    count = np.maximum(finite.sum(axis=0), 1)
    mean = np.where(finite, values, 0).sum(axis=0) / count
    centred = np.where(finite, values - mean, 0)
    rms = np.sqrt((centred**2).sum(axis=0) / count)
    varies = rms > _ROUNDING * np.abs(mean)
    centred = np.where(varies, centred, 0) / np.where(varies, rms, 1)
    powers = np.hstack([finite, centred, centred**2])
    real = np.concatenate(
        [labels[i : i + _CHUNK].astype(float) @ powers for i in range(0, len(labels), _CHUNK)]
    )
    n_r, mean_r, var_r = _moments(real)
    n_g, mean_g, var_g = _moments(powers.sum(axis=0) - real)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (mean_g - mean_r) / np.sqrt(var_r / n_r + var_g / n_g)
        spread = np.log((var_g + _SOFTENING) / (var_r + _SOFTENING))
    enough = (n_r >= 2) & (n_g >= 2)
    t = np.where(enough & ~np.isnan(t), t, 0)
    spread = np.where(enough, spread, 0)
    deviation = spread.std(axis=0)
    return t, spread / np.where(deviation > 0, deviation, 1)


def permutation_test(
    scores: Sequence[Float[np.ndarray, "B p"]], alpha: float = 0.05
) -> PermutationResult:
    """Test the scores of all groups together; row 0 is the observed labelling.

    Each p-value is (number of labellings at least as extreme, the observed one among them) / B.
    p_value is that of the smaller of the two (`smaller_of_two`).
    """
    size = np.abs(np.concatenate(list(scores), axis=1))
    largest = size.max(axis=1, initial=0)
    p_max = _upper_ranks(largest)
    p_mean_square = _upper_ranks(np.mean(size**2, axis=1) if size.shape[1] else largest)
    return PermutationResult(
        smaller_of_two(p_max, p_mean_square),
        float(p_max[0]),
        float(p_mean_square[0]),
        tuple(score[0] for score in scores),
        float(np.quantile(largest, 1 - alpha, method="inverted_cdf")),
    )


def smaller_of_two(one: Float[np.ndarray, " B"], other: Float[np.ndarray, " B"]) -> float:
    """The p-value of the smaller of two p-values, given for every labelling, the observed first.

    It is the rank of the smaller, ties broken by the larger, in its own permutation distribution
    (Westfall & Young 1993), so that no correction for having looked twice is needed.
    """
    extreme = np.minimum(one, other) + _TIE_BREAK * np.maximum(one, other)
    return float(np.mean(extreme <= extreme[0]))


def holm(p_values: Sequence[float]) -> Float[np.ndarray, " t"]:
    """Holm's (1979) adjusted p-values: reject those below alpha, and the chance of one false alarm
    or more is at most alpha."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    return np.minimum(adjusted, 1.0)


def _moments(sums):
    n, first, second = np.split(sums, 3, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = first / n
        variance = (second - first * mean) / (n - 1)
    return n, mean, np.where(variance > _ROUNDING, variance, 0)


def _upper_ranks(statistic):
    """For each entry, the fraction of entries at least as large; rounding makes no order."""
    rounded = np.round(statistic, 9)
    below = np.searchsorted(np.sort(rounded), rounded, side="left")
    return (len(rounded) - below) / len(rounded)
