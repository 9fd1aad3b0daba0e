"""Differences of means in units of a single box's scatter, and the floor that noise sets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from physgen.validation.groups import Group

_CONSTANT = 1e-12  # scatter relative to the mean below which it is rounding
_SPLITS = 20


@dataclass(frozen=True, eq=False)
class Comparison:
    """One statistic in one group; every array is (p,), a value for each bin.

    scatter is the standard deviation of single real boxes (ddof=1), errors are those of the means.
    z = (mean_generated - mean_real) / scatter: infinite where real boxes do not scatter and the
    means differ, NaN where neither scatters nor differs, or where fewer than two boxes have a
    value. noise is what |z| is by chance, sqrt(1/n + 1/m).
    """

    mean_real: Float[np.ndarray, " p"]
    mean_generated: Float[np.ndarray, " p"]
    scatter: Float[np.ndarray, " p"]
    scatter_generated: Float[np.ndarray, " p"]
    error_real: Float[np.ndarray, " p"]
    error_generated: Float[np.ndarray, " p"]
    z: Float[np.ndarray, " p"]
    noise: Float[np.ndarray, " p"]


def compare(real: Float[np.ndarray, "n p"], generated: Float[np.ndarray, "m p"]) -> Comparison:
    """Compare two ensembles bin by bin; NaN entries are boxes without a value there."""
    n, mean_real, scatter = moments(real)
    m, mean_generated, scatter_generated = moments(generated)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Comparison(
            mean_real,
            mean_generated,
            scatter,
            scatter_generated,
            scatter / np.sqrt(n),
            scatter_generated / np.sqrt(m),
            _difference(mean_generated, mean_real) / scatter,
            np.sqrt(1 / n + 1 / m),
        )


def moments(
    values: Float[np.ndarray, "n p"],
) -> tuple[Int[np.ndarray, " p"], Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Number of values, mean and standard deviation (ddof=1) of each column, NaN left out."""
    finite = np.isfinite(values)
    n = finite.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(finite, values, 0).sum(axis=0) / n
        scatter = np.sqrt((np.where(finite, values - mean, 0) ** 2).sum(axis=0) / (n - 1))
    scatter[scatter <= _CONSTANT * np.abs(mean)] = 0
    return n, mean, scatter


def rms_and_max(z: Sequence[Float[np.ndarray, "..."]]) -> tuple[float, float]:
    """Root mean square and maximum of |z| over the bins of all groups, NaN left out."""
    size = np.abs(np.concatenate(list(z)))
    size = size[~np.isnan(size)]
    if not len(size):
        return np.nan, np.nan
    return float(np.sqrt(np.mean(size**2))), float(size.max())


def floor(
    real: Float[np.ndarray, "n p"],
    groups: Sequence[Group],
    tested: Bool[np.ndarray, "k p"],
    rng: np.random.Generator,
) -> tuple[float, float]:
    """What rms z and max |z| are where nothing is wrong: held-out boxes against held-out boxes.

    The boxes of each group are split at random into halves, 20 times; z is scaled from the sizes of
    the halves to those of the group, so that it can be laid beside the generated boxes' own. Means
    over the splits.
    """
    results = []
    for _ in range(_SPLITS):
        z = []
        for group, bins in zip(groups, tested, strict=True):
            n, m = len(group.real), len(group.generated)
            shuffled = rng.permutation(group.real)
            one, two = np.array_split(shuffled, 2)
            scatter = moments(real[group.real])[2]
            difference = _difference(moments(real[one])[1], moments(real[two])[1])
            shrink = np.sqrt((1 / n + 1 / m) / (1 / len(one) + 1 / len(two)))
            with np.errstate(divide="ignore", invalid="ignore"):
                z.append((shrink * difference / scatter)[bins])
        results.append(rms_and_max(z))
    rms, largest = np.mean(results, axis=0)
    return float(rms), float(largest)


def _difference(a, b):
    """a - b, exactly zero where they differ by rounding only."""
    difference = a - b
    small = np.abs(difference) <= _CONSTANT * np.maximum(np.abs(a), np.abs(b))
    return np.where(small, 0.0, difference)
