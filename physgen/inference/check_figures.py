"""The figures of a check of a posterior, with their captions."""

import numpy as np
from jaxtyping import Float

from physgen.inference.misspecification import Misspecification
from physgen.inference.results import PosteriorSamples
from physgen.plots import (
    CaptionedFigure,
    CumulativeShares,
    Scores,
    coverage_curves,
    observed_scores,
    predictions,
    rank_differences,
)
from physgen.validation.calibration import Calibration, Coverage
from physgen.validation.uniformity import RankTest


def ranks_figure(calibration: Calibration, band: str) -> CaptionedFigure:
    """Ranks of the truth among posterior draws, a panel for each parameter."""
    panels = [
        _shares(f"{name}, p = {test.p_value:.2g}", test)
        for name, test in zip(calibration.names, calibration.tests, strict=True)
    ]
    return CaptionedFigure(
        "Ranks of the truth",
        "Simulation-based calibration: for each rank the share of simulations in which the truth "
        "has at most that rank among posterior draws, minus the expected share. Above zero on the "
        "left and below on the right: overconfident. The other way round: underconfident. Above "
        "zero throughout: biased high. Below: biased low.",
        rank_differences(panels, band),
    )


def coverage_figure(regions: Coverage, tarp: Coverage, band: str) -> CaptionedFigure:
    """Coverage of highest-density regions, and TARP."""
    panels = [
        _shares(f"{title}, p = {found.p_value:.2g}", found.test)
        for title, found in (("highest-density regions", regions), ("TARP", tarp))
    ]
    return CaptionedFigure(
        "Coverage of the joint posterior",
        "Left: how often the region of highest posterior density holds the truth; below the "
        "diagonal the posterior is overconfident, above it underconfident. Right: how often the "
        "truth is nearer to a random point than that share of the posterior draws; overconfident "
        "where the curve is above the diagonal at first and below it at last.",
        coverage_curves(panels, band),
    )


def posterior_figure(
    samples: PosteriorSamples, truth: Float[np.ndarray, " d"] | None
) -> CaptionedFigure:
    """The posterior of the observation."""
    return CaptionedFigure(
        "Posterior of the observation",
        "Above the diagonal panels: median and the distances to the ends of the central 68%.",
        samples.plot(truth=truth),
    )


def scores_figure(found: Misspecification) -> CaptionedFigure:
    """How odd the observation is among simulations."""
    return CaptionedFigure(
        "The observation among simulations",
        f"Three measures of how odd the observation is; together p = {found.p_value:.2g}. A "
        "posterior means little for an observation that the simulator does not make.",
        observed_scores(
            [Scores(score.name, score.simulated, score.observed) for score in found.scores]
        ),
    )


def prediction_figure(
    observation: Float[np.ndarray, " k"], draws: Float[np.ndarray, "m k"], names: tuple[str, ...]
) -> CaptionedFigure:
    """What the posterior predicts, and what was observed."""
    outside = np.mean(
        (observation < np.quantile(draws, 0.025, axis=0))
        | (observation > np.quantile(draws, 0.975, axis=0))
    )
    return CaptionedFigure(
        "Posterior predictions",
        f"Simulations at {len(draws)} posterior samples beside the observation; {outside:.0%} of "
        "its entries are outside of their 95% interval.",
        predictions(observation, draws, names),
    )


def _shares(title: str, test: RankTest) -> CumulativeShares:
    return CumulativeShares(title, test.level, test.share, test.lower, test.upper)
