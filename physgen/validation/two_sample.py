"""What all two-sample tests share: two ensembles as one array, their labels, and a result.

Labels are exchangeable if both ensembles are draws of one distribution, whatever it is: a p-value
from exchanged labels is exact in samples of any size.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from physgen.errors import InputError
from physgen.validation.permutation import labellings

Seed = int | np.random.Generator
Strata = tuple[ArrayLike, ArrayLike]

_CONSTANT = 1e-12  # scatter relative to the largest value below which it is rounding
_RANK = 1e-10  # share of the largest variance below which a direction is rounding
_DIGITS = 9  # of a statistic; the rest is rounding, which would make an order of ties


@dataclass(frozen=True)
class TwoSampleTest:
    """One test of two ensembles, n real and m generated simulations in `bins` numbers each.

    null says where the p-value comes from. note is empty, or says what was done otherwise than
    usual and why.
    """

    name: str
    statistic: float
    p_value: float
    n: int
    m: int
    bins: int
    null: str
    note: str = ""


@dataclass(frozen=True, eq=False)
class Pooled:
    """Two ensembles in one array, the n real simulations first; bins of no scatter are left out.

    values (n + m, p) are standardised by the mean and the deviation of both ensembles together,
    which do not depend on the labels. kept (q,) are the bins of the input that vary. Labels may be
    exchanged within a stratum (n + m,) only.
    """

    values: Float[np.ndarray, "N p"]
    kept: Bool[np.ndarray, " q"]
    strata: Int[np.ndarray, " N"]
    n: int
    m: int

    @property
    def bins(self) -> int:
        """How many bins vary."""
        return self.values.shape[1]

    @property
    def is_real(self) -> Bool[np.ndarray, " N"]:
        """The labels."""
        return np.arange(self.n + self.m) < self.n

    def labels(self, draws: int, rng: np.random.Generator) -> Float[np.ndarray, "draws1 N"]:
        """The labels as numbers, 1 for real, then `draws` exchanges of them."""
        return labellings(self.is_real, self.strata, draws, rng).astype(np.float64)

    def result(
        self,
        name: str,
        scores: Float[np.ndarray, " draws1"],
        *,
        statistic: float | None = None,
        note: str = "",
    ) -> TwoSampleTest:
        """A permutation test: the observed score comes first, and large ones speak against."""
        return TwoSampleTest(
            name,
            float(scores[0] if statistic is None else statistic),
            upper_tail(scores),
            self.n,
            self.m,
            self.bins,
            f"{len(scores) - 1} permutations",
            note,
        )


def pool(
    real: ArrayLike, generated: ArrayLike, *, strata: Strata | None = None, minimum: int = 4
) -> Pooled:
    """Two ensembles (n, p) and (m, p) as one, standardised.

    strata are integers (n,) and (m,), by default one stratum.

    Raises:
        InputError: for shapes that do not fit, fewer than `minimum` simulations in either, NaN or
            infinity, and ensembles that do not vary at all.
    """
    x, y = np.asarray(real, np.float64), np.asarray(generated, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or not x.shape[1]:
        raise InputError(
            f"expected two ensembles (n, p) and (m, p) of the same statistics, got {x.shape} and "
            f"{y.shape}; compute both in the same bins"
        )
    if min(len(x), len(y)) < minimum:
        raise InputError(
            f"expected at least {minimum} simulations in either ensemble, got {len(x)} and "
            f"{len(y)}; give more"
        )
    both = np.concatenate([x, y])
    if not np.isfinite(both).all():
        column = int(np.flatnonzero(~np.isfinite(both).all(axis=0))[0])
        raise InputError(
            f"expected finite statistics, got NaN or infinity in bin {column}; leave that bin, or "
            "the simulations without a value, out of both"
        )
    groups = np.zeros(len(both), int)
    if strata is not None:
        groups = np.concatenate([np.asarray(numbers, int) for numbers in strata])
        if groups.shape != (len(both),):
            raise InputError(
                f"expected strata of shapes ({len(x)},) and ({len(y)},), got "
                f"{[np.shape(numbers) for numbers in strata]}; give one number a simulation"
            )
    deviation = both.std(axis=0)
    kept = deviation > _CONSTANT * np.abs(both).max(axis=0)
    if not kept.any():
        raise InputError(
            "expected ensembles that vary, got the same numbers in all simulations of both; there "
            "is nothing to test"
        )
    both = (both[:, kept] - both[:, kept].mean(axis=0)) / deviation[kept]
    return Pooled(both, kept, groups, len(x), len(y))


def upper_tail(scores: Float[np.ndarray, " draws1"]) -> float:
    """The share of scores at least as large as the first, itself among them."""
    scale = np.abs(scores).max()
    rounded = np.round(scores / scale, _DIGITS) if scale > 0 else scores
    return float(np.mean(rounded >= rounded[0]))


def contrasts(labels: Float[np.ndarray, "B N"], n: int, m: int) -> Float[np.ndarray, "B N"]:
    """Weights whose product with values is the mean of the real minus that of the generated."""
    return labels / n - (1 - labels) / m


def whiten(values: Float[np.ndarray, "N p"]) -> tuple[Float[np.ndarray, "N q"], float]:
    """Centred values in coordinates of unit covariance, q <= p of them, and the shrinkage used.

    The covariance is taken as it is where it can be inverted with confidence, which is here where
    N > 2 p; otherwise it is shrunk towards a multiple of one (Ledoit & Wolf 2004, eq. 14).
    Directions in which nothing varies are left out.
    """
    count, p = values.shape
    centred = values - values.mean(axis=0)
    covariance = centred.T @ centred / count
    shrinkage = 0.0
    if count <= 2 * p:
        mean = np.trace(covariance) / p
        off = np.sum(covariance**2) - p * mean**2
        noise = (np.sum(np.sum(centred**2, axis=1) ** 2) / count - np.sum(covariance**2)) / count
        shrinkage = float(np.clip(noise / off, 0, 1)) if off > 0 else 1.0
        covariance = (1 - shrinkage) * covariance + shrinkage * mean * np.eye(p)
    variance, axes = np.linalg.eigh(covariance)
    seen = variance > _RANK * variance[-1]
    return centred @ axes[:, seen] / np.sqrt(variance[seen]), shrinkage


def shrinkage_note(pooled: Pooled, shrinkage: float) -> str:
    """What `whiten` did where there are few simulations, "" where there are enough."""
    if not shrinkage:
        return ""
    return (
        f"{pooled.n} + {pooled.m} simulations are few for {pooled.bins} bins: more than "
        f"{2 * pooled.bins} are needed. Instead the covariance is shrunk towards its diagonal by "
        f"{shrinkage:.2g} (Ledoit & Wolf 2004) and the p-value is from permutations."
    )
