"""Figures: arrays in, matplotlib figures out. No logic and no global state."""

from physgen.plots.calibration import (
    CumulativeShares,
    Scores,
    coverage_curves,
    observed_scores,
    predictions,
    rank_differences,
)
from physgen.plots.ensembles import (
    Curves,
    Measured,
    Strip,
    curves,
    measured,
    nearest_distances,
    slices,
    z_strips,
)
from physgen.plots.style import GENERATED, REAL, CaptionedFigure, with_unit
from physgen.plots.triangle import SampleSet, triangle

__all__ = [
    "GENERATED",
    "REAL",
    "CaptionedFigure",
    "CumulativeShares",
    "Curves",
    "Measured",
    "SampleSet",
    "Scores",
    "Strip",
    "coverage_curves",
    "curves",
    "measured",
    "nearest_distances",
    "observed_scores",
    "predictions",
    "rank_differences",
    "slices",
    "triangle",
    "with_unit",
    "z_strips",
]
