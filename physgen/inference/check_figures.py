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

_TOGETHER = " The bands of this page are meant for all its curves of ranks and coverage together."


def ranks_figure(calibration: Calibration, band: str) -> CaptionedFigure:
    """Ranks of the truth among posterior draws, a panel for each parameter."""
    panels = [
        _shares(f"{name}, p = {test.p_value:.2g}", test)
        for name, test in zip(calibration.names, calibration.tests, strict=True)
    ]
    return CaptionedFigure(
        "Ranks of the truth",
        "Simulation-based calibration: for each rank the share of simulations in which the truth "
        "has a lower rank among posterior draws, minus the expected share. Above zero on the "
        "left and below on the right: overconfident. The other way round: underconfident. Above "
        f"zero throughout: biased high. Below: biased low.{_TOGETHER}",
        rank_differences(panels, band),
    )


def coverage_figure(regions: Coverage | None, tarp: Coverage, band: str) -> CaptionedFigure:
    """Coverage of highest-density regions, where it is known, and TARP."""
    found = {"highest-density regions": regions, "TARP": tarp}
    panels = [
        _shares(f"{title}, p = {coverage.p_value:.2g}", coverage.test)
        for title, coverage in found.items()
        if coverage is not None
    ]
    about_regions = (
        "Highest-density regions: how often the region of highest posterior density holds the "
        "truth; below the diagonal the posterior is overconfident, above it underconfident. "
    )
    return CaptionedFigure(
        "Coverage of the joint posterior",
        (about_regions if regions is not None else "")
        + "TARP: how often the ball around a random point that reaches to the truth holds less "
        "than that share of the posterior; overconfident where the curve is above the diagonal at "
        f"first and below it at last.{_TOGETHER}",
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
