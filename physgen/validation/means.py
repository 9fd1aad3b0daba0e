"""Do two ensembles have the same mean? Hotelling's two-sample test, with an honest null.

The naive chi^2 of a difference in units of an estimated covariance rejects half of all equal
ensembles at 20 bins and 50 simulations; T^2 knows that the covariance is estimated.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import f as fisher

from physgen.errors import InputError
from physgen.validation.two_sample import (
    Pooled,
    Seed,
    Strata,
    TwoSampleTest,
    contrasts,
    pool,
    shrinkage_note,
    whiten,
)


def hotelling(
    real: ArrayLike,
    generated: ArrayLike,
    *,
    equal_covariances: bool = True,
    strata: Strata | None = None,
    draws: int = 999,
    seed: Seed = 0,
) -> TwoSampleTest:
    """Hotelling's two-sample T^2 of the means of real (n, p) and generated (m, p).

    T^2 = n m / (n + m) d' S^-1 d, with S the pooled covariance, and T^2 (n + m - p - 1) /
    (p (n + m - 2)) follows F(p, n + m - p - 1) for Gaussian ensembles (Anderson 2003, sec. 5.3).
    The null hypothesis is that both are draws of one distribution. For that of equal means alone,
    `equal_covariances=False` (the Behrens-Fisher problem): T^2 = d' (S_r / n + S_g / m)^-1 d, with
    the degrees of freedom of Krishnamoorthy & Yu 2004 (Stat. Prob. Lett. 66, 161).

    Where n + m <= 2 p, and with strata, the p-value is from `draws` exchanges of the labels instead
    and the covariance, where it must be, shrunk; `note` says so.

    Raises:
        InputError: for shapes that do not fit, fewer than 4 simulations, NaN, no scatter; without
            equal covariances for ensembles of p simulations or fewer.
    """
    pooled = pool(real, generated, strata=strata, minimum=4)
    z, shrinkage = whiten(pooled.values)
    enough = pooled.n + pooled.m > 2 * pooled.bins
    if not equal_covariances:
        return _behrens_fisher(pooled, z)
    rng = np.random.default_rng(seed)
    permuted = strata is not None or not enough
    labels = pooled.labels(draws if permuted else 0, rng)
    # In coordinates where the covariance about the common mean is one, T^2 is this and monotone.
    weight = pooled.n * pooled.m / (pooled.n + pooled.m) ** 2
    share = weight * np.sum((contrasts(labels, pooled.n, pooled.m) @ z) ** 2, axis=1)
    if permuted:
        statistic = share[0] * (pooled.n + pooled.m - 2)
        note = shrinkage_note(pooled, shrinkage)
        return pooled.result("Hotelling", share, statistic=statistic, note=note)
    t2 = float((pooled.n + pooled.m - 2) * share[0] / max(1 - share[0], np.finfo(float).tiny))
    return _from_f(pooled, z.shape[1], t2, pooled.n + pooled.m - 2)


def _behrens_fisher(pooled: Pooled, z: np.ndarray) -> TwoSampleTest:
    p = z.shape[1]
    if min(pooled.n, pooled.m) <= p:
        raise InputError(
            f"expected more than {p} simulations in either ensemble for covariances of their own, "
            f"got {pooled.n} and {pooled.m}; give more, or take equal_covariances=True"
        )
    parts = z[: pooled.n], z[pooled.n :]
    own = [np.cov(part.T).reshape(p, p) / len(part) for part in parts]
    inverse = np.linalg.inv(own[0] + own[1])
    difference = parts[0].mean(axis=0) - parts[1].mean(axis=0)
    shares = [covariance @ inverse for covariance in own]
    spread = sum(
        (np.trace(share @ share) + np.trace(share) ** 2) / (len(part) - 1)
        for share, part in zip(shares, parts, strict=True)
    )
    freedom = (p + p**2) / spread
    t2 = float(difference @ inverse @ difference)
    note = "covariances of their own; F is an approximation (Krishnamoorthy & Yu 2004)."
    return _from_f(pooled, p, t2, freedom, note)


def _from_f(pooled: Pooled, p: int, t2: float, freedom: float, note: str = "") -> TwoSampleTest:
    second = freedom - p + 1
    p_value = float(fisher.sf(t2 * second / (p * freedom), p, second))
    if p < pooled.bins:
        note = f"{pooled.bins} bins are {p} numbers: the others follow from them. {note}".strip()
    return TwoSampleTest(
        "Hotelling", t2, p_value, pooled.n, pooled.m, pooled.bins, f"F({p}, {second:.4g})", note
    )
