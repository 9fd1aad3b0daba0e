"""Tests whose statistic is a sum over pairs of simulations: kernel distances and covariances.

With weights w = 1/n for real and -1/m for generated simulations both are quadratic forms w' K w,
which exchanged labels evaluate as one matrix product.
"""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

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


def kpd(
    real: ArrayLike,
    generated: ArrayLike,
    *,
    strata: Strata | None = None,
    draws: int = 999,
    seed: Seed = 0,
) -> TwoSampleTest:
    """Kernel distance of real (n, p) and generated (m, p): unbiased MMD^2 with (x.y / p + 1)^4.

    The kernel physics distance of Kansal et al. 2023 (arXiv:2211.10295), which sees moments up to
    the fourth, of all simulations at once and of statistics standardised by both ensembles
    together. It is zero on average for equal ensembles, and may be negative (Gretton et al. 2012,
    eq. 3). The p-value is from `draws` exchanges of the labels.

    Raises:
        InputError: for shapes that do not fit, fewer than 4 simulations, NaN, no scatter.
    """
    pooled = pool(real, generated, strata=strata)
    gram = np.square(np.square(pooled.values @ pooled.values.T / pooled.bins + 1))
    labels = pooled.labels(draws, np.random.default_rng(seed))
    return pooled.result("KPD", _unbiased_mmd(gram, labels, pooled))


def covariance_test(
    real: ArrayLike,
    generated: ArrayLike,
    *,
    strata: Strata | None = None,
    draws: int = 999,
    seed: Seed = 0,
) -> TwoSampleTest:
    """Do real (n, p) and generated (m, p) scatter alike? The squared difference of covariances.

    |C_r - C_g|^2 (Frobenius; Schott 2007, without its correction of the bias) in coordinates in
    which the covariance of both ensembles together is one, so that no bin and no correlation weighs
    more than another. The p-value is from `draws` exchanges of the labels: it is exact for draws of
    one distribution, whatever it is, unlike that of Box's M, and small rather for covariances than
    for means, as each ensemble's own mean is taken off. Where n + m <= 2 p the covariance of the
    coordinates is shrunk; `note` says so.

    Raises:
        InputError: for shapes that do not fit, fewer than 4 simulations, NaN, no scatter.
    """
    pooled = pool(real, generated, strata=strata)
    z, shrinkage = whiten(pooled.values)
    labels = pooled.labels(draws, np.random.default_rng(seed))
    scores = _covariance_distances(z, labels, pooled.n, pooled.m)
    return pooled.result("covariance", scores, note=shrinkage_note(pooled, shrinkage))


def _covariance_distances(
    z: Float[np.ndarray, "N p"], labels: Float[np.ndarray, "B N"], n: int, m: int
) -> Float[np.ndarray, " B"]:
    """|sum_i w_i z_i z_i' - (a a' - b b')|^2 with the means a and b, for each labelling."""
    weights = contrasts(labels, n, m)
    a, b = labels @ z / n, (1 - labels) @ z / m
    cross = (a @ z.T) ** 2 - (b @ z.T) ** 2
    lengths = [np.sum(x * y, axis=1) ** 2 for x, y in ((a, a), (b, b), (a, b))]
    return (
        _quadratic(weights, (z @ z.T) ** 2)
        - 2 * np.sum(weights * cross, axis=1)
        + lengths[0]
        + lengths[1]
        - 2 * lengths[2]
    )


def _unbiased_mmd(
    gram: Float[np.ndarray, "N N"], labels: Float[np.ndarray, "B N"], pooled: Pooled
) -> Float[np.ndarray, " B"]:
    """Mean of K over pairs of real ones, plus that of generated, minus twice that across."""
    n, m = pooled.n, pooled.m
    off = gram - np.diag(np.diag(gram))
    row_sums = off.sum(axis=1)
    of_real = _quadratic(labels, off)
    across = labels @ row_sums - of_real
    of_generated = row_sums.sum() - of_real - 2 * across
    return of_real / (n * (n - 1)) + of_generated / (m * (m - 1)) - 2 * across / (n * m)


def _quadratic(
    weights: Float[np.ndarray, "B N"], matrix: Float[np.ndarray, "N N"]
) -> Float[np.ndarray, " B"]:
    return np.einsum("bi,bi->b", weights @ matrix, weights)
