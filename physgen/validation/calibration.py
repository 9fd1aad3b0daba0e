"""Is a posterior calibrated? Ranks of the truth among posterior draws must be uniform.

If theta and x come from the prior and the simulator, and draws from the exact p(theta | x), then
theta and the draws are exchangeable given x, and the rank of any function of theta among the same
function of the draws is uniform. Three functions make three tests:

    each parameter                     simulation-based calibration, Talts et al. 2018
                                       (arXiv:1804.06788)
    the distance to a random point     TARP, Lemos et al. 2023 (arXiv:2302.03026)
    minus the posterior density        coverage of highest-density regions, Hermans et al. 2022
                                       (arXiv:2110.06581)

Only arrays enter: truths (n, d), and posterior draws (n, L, d) of the observation of each truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from physgen.errors import InputError
from physgen.validation.permutation import holm
from physgen.validation.reading import (
    REGION,
    describe_parameter,
    describe_regions,
    describe_tarp,
    share_above,
    share_central,
)
from physgen.validation.uniformity import RankTest, rank_tests

Seed = int | np.random.Generator


@dataclass(frozen=True, eq=False)
class Calibration:
    """Simulation-based calibration of d parameters.

    p_values (d,) are of each parameter, p_adjusted (d,) Holm's over them. held (d,) is the share of
    truths in the central 68% interval, above (d,) that above the posterior median (expected 0.5),
    contraction (d,) one minus the mean posterior variance over the variance of the truths: 0 where
    nothing was learned. `inside` is True where every curve is inside its band, which happens with
    probability 1 - alpha for an exact posterior; `findings` say what is wrong with parameters whose
    curve is not.
    """

    names: tuple[str, ...]
    tests: tuple[RankTest, ...]
    p_adjusted: Float[np.ndarray, " d"]
    held: Float[np.ndarray, " d"]
    above: Float[np.ndarray, " d"]
    contraction: Float[np.ndarray, " d"]
    alpha: float
    findings: tuple[str, ...]

    @property
    def p_values(self) -> Float[np.ndarray, " d"]:
        """Of each parameter, not corrected for their number."""
        return np.array([test.p_value for test in self.tests])

    @property
    def p_value(self) -> float:
        """The smallest adjusted p-value: below alpha, something is wrong."""
        return float(self.p_adjusted.min())

    @property
    def inside(self) -> bool:
        """Whether all curves are inside their bands."""
        return all(test.inside for test in self.tests)


@dataclass(frozen=True, eq=False)
class Coverage:
    """Expected coverage: the share of truths in regions of the posterior, against their content.

    `test.level` is the posterior probability of the regions, `test.share` how many truths they
    hold. `finding` says what is wrong, None where the curve is inside its band. held is the share
    of truths in regions of 68%.
    """

    test: RankTest
    held: float
    alpha: float
    finding: str | None

    @property
    def p_value(self) -> float:
        """Of the hypothesis that the coverage is exact."""
        return self.test.p_value

    @property
    def inside(self) -> bool:
        """Whether the curve is inside its band."""
        return self.test.inside


def simulation_based_calibration(
    truths: ArrayLike,
    draws: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    thin: int = 1,
    alpha: float = 0.05,
    simulations: int = 4999,
    seed: Seed = 0,
) -> Calibration:
    """Ranks of the true parameters (n, d) among posterior draws (n, L, d), tested for uniformity.

    Draws must be independent: `thin` keeps every thin-th of a Markov chain's. Ties are broken at
    random. `alpha` holds for all parameters together, `seed` fixes ties and the null distribution.

    Raises:
        InputError: for arrays that do not fit each other or are not finite.
    """
    truths, draws = _checked(truths, draws)
    draws = draws[:, ::thin]
    d = truths.shape[1]
    names = tuple(f"theta_{i}" for i in range(1, d + 1)) if names is None else tuple(names)
    if len(names) != d:
        raise InputError(f"expected {d} names, got {names}; give one for each parameter")
    rng = np.random.default_rng(seed)
    tests = rank_tests(
        _ranks(truths[:, None], draws, rng),
        draws.shape[1],
        alpha=alpha,
        simulations=simulations,
        seed=rng,
    )
    p_adjusted = holm([test.p_value for test in tests])
    spread = truths.var(axis=0)
    return Calibration(
        names,
        tests,
        p_adjusted,
        np.array([share_central(test) for test in tests]),
        np.array([share_above(test) for test in tests]),
        1 - draws.var(axis=1).mean(axis=0) / np.where(spread > 0, spread, np.nan),
        alpha,
        tuple(
            describe_parameter(name, test)
            for name, test in zip(names, tests, strict=True)
            if not test.inside
        ),
    )


def tarp(
    truths: ArrayLike,
    draws: ArrayLike,
    *,
    references: ArrayLike | None = None,
    thin: int = 1,
    alpha: float = 0.05,
    simulations: int = 4999,
    seed: Seed = 0,
) -> Coverage:
    """Tests of accuracy with random points: is the truth as far from a point as draws are?

    truths (n, d) and draws (n, L, d) as in `simulation_based_calibration`. A region holds the draws
    that are nearer to the reference than the truth is; distances are Euclidean, in units of the
    truths' standard deviations. references (n, d) must not depend on the truth of their own
    simulation; by default each is the truth of another one, in a random order, which are draws of
    the prior.

    Raises:
        InputError: as `simulation_based_calibration`.
    """
    truths, draws = _checked(truths, draws)
    draws = draws[:, ::thin]
    rng = np.random.default_rng(seed)
    if references is None:
        order = rng.permutation(len(truths))
        points = np.empty_like(truths)
        points[order] = truths[np.roll(order, 1)]
    else:
        points = np.asarray(references, np.float64)
        if points.shape != truths.shape:
            raise InputError(f"expected references of shape {truths.shape}, got {points.shape}")
    deviation = truths.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    to_truth = np.sum(((truths - points) / scale) ** 2, axis=-1)
    to_draws = np.sum(((draws - points[:, None]) / scale) ** 2, axis=-1)
    ranks = _ranks(to_truth[:, None, None], to_draws[..., None], rng)
    (test,) = rank_tests(ranks, draws.shape[1], alpha=alpha, simulations=simulations, seed=rng)
    return Coverage(test, share_central(test), alpha, None if test.inside else describe_tarp(test))


def highest_density_coverage(
    log_prob_truths: ArrayLike,
    log_prob_draws: ArrayLike,
    *,
    alpha: float = 0.05,
    simulations: int = 4999,
    seed: Seed = 0,
) -> Coverage:
    """Share of truths in the highest-density regions of their posteriors.

    log_prob_truths (n,) and log_prob_draws (n, L) are log p(theta | x) of each truth and of the
    draws of its posterior; a constant for each x does not matter.

    Raises:
        InputError: for shapes that do not fit, and NaN.
    """
    truths = np.asarray(log_prob_truths, np.float64)
    draws = np.asarray(log_prob_draws, np.float64)
    if truths.ndim != 1 or draws.ndim != 2 or len(truths) != len(draws) or 0 in draws.shape:
        raise InputError(
            f"expected log-densities of shapes (n,) and (n, L), got {truths.shape} and "
            f"{draws.shape}; give one row of draws for each truth"
        )
    if np.isnan(truths).any() or np.isnan(draws).any():
        raise InputError("expected log-densities, got NaN; check the posterior's log_prob")
    rng = np.random.default_rng(seed)
    ranks = _ranks(-truths[:, None, None], -draws[..., None], rng)
    (test,) = rank_tests(ranks, draws.shape[1], alpha=alpha, simulations=simulations, seed=rng)
    held = float(np.mean(test.fractions < REGION))
    return Coverage(test, held, alpha, None if test.inside else describe_regions(test))


def _checked(truths: ArrayLike, draws: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    truths, draws = np.asarray(truths), np.asarray(draws)
    if (
        truths.ndim != 2
        or draws.ndim != 3
        or 0 in draws.shape
        or ((len(truths), truths.shape[1]) != (len(draws), draws.shape[2]))
    ):
        raise InputError(
            f"expected truths (n, d) and draws (n, L, d), got {truths.shape} and {draws.shape}; "
            "give L posterior draws for the observation of each truth"
        )
    if not (np.isfinite(truths).all() and np.isfinite(draws).all()):
        raise InputError("expected finite truths and draws, got NaN or infinity; leave them out")
    return truths.astype(np.float64), draws.astype(np.float64)


def _ranks(truths, draws, rng) -> Int[np.ndarray, "n t"]:
    """How many draws (n, L, t) are below the truths (n, 1, t), ties broken at random."""
    below = np.sum(draws < truths, axis=1)
    return below + rng.integers(np.sum(draws == truths, axis=1), endpoint=True)
