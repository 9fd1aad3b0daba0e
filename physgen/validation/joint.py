"""All statistics together: the two-sample tests that see the correlations between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from physgen.validation.cells import pqmass
from physgen.validation.classifier import RandomForest, c2st
from physgen.validation.earth_mover import wasserstein_distances
from physgen.validation.frechet import frechet_distance
from physgen.validation.groups import Group
from physgen.validation.kernels import covariance_test, kpd
from physgen.validation.means import hotelling
from physgen.validation.statistic import Statistic
from physgen.validation.two_sample import Strata

MOST = 2000  # boxes of either kind: kernels need all pairs of them
_MINIMUM = 8
_FOREST = RandomForest(trees=50)
_FOLDS = 2
_FRECHET_DRAWS = 199  # each of them takes the roots of two covariances


@runtime_checkable
class TwoSampleResult(Protocol):
    """What every two-sample test gives."""

    @property
    def name(self) -> str: ...
    @property
    def statistic(self) -> float: ...
    @property
    def p_value(self) -> float | None: ...
    @property
    def null(self) -> str: ...
    @property
    def note(self) -> str: ...


@dataclass(frozen=True, eq=False)
class JointTest:
    """One test of all statistics together, its p-value as it is and corrected (Holm)."""

    name: str
    statistic: float
    p_value: float
    null: str
    note: str
    p_adjusted: float = np.nan

    @classmethod
    def of(cls, result: TwoSampleResult) -> "JointTest":
        """The part of a two-sample test that a report shows."""
        p_value = np.nan if result.p_value is None else result.p_value
        return cls(result.name, result.statistic, p_value, result.null, result.note)


def joint_tests(
    real: Sequence[Statistic],
    generated: Sequence[Statistic],
    tested: Sequence[Bool[np.ndarray, "_"]],
    groups: Sequence[Group],
    *,
    draws: int,
    rng: np.random.Generator,
) -> tuple[JointTest, ...]:
    """Hotelling, covariance, C2ST, PQMass, KPD, Frechet and Wasserstein, in this order.

    Of the `tested` bins of all statistics, as differences from the mean of their group, real and
    generated boxes together; a box without a value counts as that mean. Labels are exchanged at
    equal parameters only. Of more than 2000 boxes as many are drawn at random. No test where there
    are fewer than 8 boxes, or nothing varies.
    """
    values = [
        _residuals(r.values[:, bins], g.values[:, bins], groups)
        for r, g, bins in zip(real, generated, tested, strict=True)
    ]
    a, b = (np.concatenate(parts, axis=1) for parts in zip(*values, strict=True))
    both = np.concatenate([a, b])
    varies = both.std(axis=0) > 0
    if min(len(a), len(b)) < _MINIMUM or not varies.any():
        return ()
    strata = box_strata(groups)
    chosen = [rng.permutation(len(rows))[:MOST] for rows in (a, b)]
    a, b = (rows[some][:, varies] for rows, some in zip((a, b), chosen, strict=True))
    strata = (np.asarray(strata[0])[chosen[0]], np.asarray(strata[1])[chosen[1]])
    seed = int(rng.integers(2**31))
    several = len(np.unique(np.concatenate([np.asarray(s) for s in strata]))) > 1
    shared = {"strata": strata, "draws": draws, "seed": seed}
    results: list[TwoSampleResult] = [
        hotelling(a, b, strata=strata if several else None, draws=draws, seed=seed),
        covariance_test(a, b, **shared),
    ]
    steady = (a.std(axis=0) > 0) & (a.std(axis=0, ddof=1) > 0)
    if steady.any():
        results.append(
            c2st(
                a[:, steady], b[:, steady], classifier=_FOREST, folds=_FOLDS, permutations=draws,
                strata=strata, seed=seed,
            )
        )  # fmt: skip
    results += [
        pqmass(a, b, **shared),
        kpd(a, b, **shared),
        frechet_distance(a, b, strata=strata, draws=min(draws, _FRECHET_DRAWS), seed=seed),
        wasserstein_distances(a, b, **shared),
    ]
    return tuple(map(JointTest.of, results))


def box_strata(groups: Sequence[Group]) -> Strata:
    """A number for every real and every generated box of the groups, one group after another."""
    offsets = np.cumsum(
        [0] + [1 + max(g.real_strata.max(), g.generated_strata.max()) for g in groups]
    )
    pairs = list(zip(offsets, groups, strict=False))
    return (
        np.concatenate([offset + group.real_strata for offset, group in pairs]),
        np.concatenate([offset + group.generated_strata for offset, group in pairs]),
    )


def _residuals(
    real: Float[np.ndarray, "n p"], generated: Float[np.ndarray, "m p"], groups: Sequence[Group]
) -> tuple[Float[np.ndarray, "r p"], Float[np.ndarray, "g p"]]:
    """Rows of the groups, one group after another, less the mean of their group."""
    pairs = [(real[group.real], generated[group.generated]) for group in groups]
    means = [_mean(np.concatenate(pair)) for pair in pairs]
    return _less(means, [one for one, _ in pairs]), _less(means, [other for _, other in pairs])


def _less(means, parts) -> Float[np.ndarray, "r p"]:
    less = [part - mean for part, mean in zip(parts, means, strict=True)]
    return np.concatenate([np.where(np.isfinite(rows), rows, 0.0) for rows in less])


def _mean(values: Float[np.ndarray, "N p"]) -> Float[np.ndarray, " p"]:
    finite = np.isfinite(values)
    return np.where(finite, values, 0).sum(axis=0) / np.maximum(finite.sum(axis=0), 1)
