"""The 1-D Wasserstein distance of each bin: which number is off, and by how much."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from physgen.validation.two_sample import Seed, Strata, contrasts, pool, upper_tail


@dataclass(frozen=True, eq=False)
class WassersteinDistances:
    """Distances of n real and m generated simulations, bin by bin.

    distances (p,) are in units of the deviation of both ensembles together, zero where nothing
    varies; p_values (p,) are corrected for the number of bins (Westfall & Young 1993): the share of
    permutations in which any bin is as far apart. statistic is the largest distance, and p_value
    the smallest of the p-values.
    """

    distances: Float[np.ndarray, " p"]
    p_values: Float[np.ndarray, " p"]
    n: int
    m: int
    bins: int
    null: str
    name: str = "Wasserstein"
    note: str = ""

    @property
    def statistic(self) -> float:
        """The largest distance."""
        return float(self.distances.max())

    @property
    def p_value(self) -> float:
        """Of the hypothesis that all bins are alike."""
        return float(self.p_values.min())


def wasserstein_distances(
    real: ArrayLike,
    generated: ArrayLike,
    *,
    strata: Strata | None = None,
    draws: int = 999,
    seed: Seed = 0,
) -> WassersteinDistances:
    """The area between the cumulative distributions of real (n, p) and generated (m, p), by bin.

    Raises:
        InputError: for shapes that do not fit, fewer than 4 simulations, NaN, no scatter.
    """
    pooled = pool(real, generated, strata=strata)
    weights = contrasts(pooled.labels(draws, np.random.default_rng(seed)), pooled.n, pooled.m)
    distances = np.empty((draws + 1, pooled.bins))
    for bin_, column in enumerate(pooled.values.T):
        order = np.argsort(column)
        gaps = np.diff(column[order])
        distances[:, bin_] = np.abs(np.cumsum(weights[:, order], axis=1)[:, :-1]) @ gaps
    largest = distances[1:].max(axis=1)
    found, p_values = np.zeros(len(pooled.kept)), np.ones(len(pooled.kept))
    found[pooled.kept] = distances[0]
    p_values[pooled.kept] = [upper_tail(np.append(d, largest)) for d in distances[0]]
    return WassersteinDistances(
        found, p_values, pooled.n, pooled.m, pooled.bins, f"{draws} permutations"
    )
