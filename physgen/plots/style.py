"""What all figures share: colours that survive greyscale, captions, panels in inches.

Colours come with line styles, markers, numbers or fills that tell them apart in greyscale.
Margins are set in inches: several times faster than matplotlib's layout engines.
"""

from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

REAL = {"color": "black", "linestyle": "-", "marker": "s"}
GENERATED = {"color": "#d55e00", "linestyle": "--", "marker": "o"}
BAND = "#c8c8c8"
BAND_EDGE = "#808080"  # so that a legend's patch is seen where it lies on a band
SIGNED = "cividis"  # blue, grey and yellow, lighter throughout: the sign survives greyscale
SMALL = 8  # points, of text
SETS: tuple[dict[str, Any], ...] = (  # of samples, laid over each other
    {"color": "#0072b2", "linestyle": "-"},
    {"color": "#d55e00", "linestyle": "--"},
    {"color": "#009e73", "linestyle": ":"},
    {"color": "#cc79a7", "linestyle": "-."},
)
TRUTH: dict[str, Any] = {"color": "black", "linestyle": ":", "linewidth": 1.0}


@dataclass(frozen=True, eq=False)
class CaptionedFigure:
    """A figure with what a report says above and below it."""

    title: str
    caption: str
    figure: Figure


def grid(
    rows,
    columns,
    *,
    panel,
    heights=None,
    gaps=(0.0, 0.0),
    left=0.75,
    right=0.15,
    bottom=0.5,
    top=0.3,
    share=True,
):
    """A figure of panels of (width, mean height) inches that `share` their axes; gaps in inches."""
    width = left + columns * panel[0] + (columns - 1) * gaps[0] + right
    height = bottom + rows * panel[1] + (rows - 1) * gaps[1] + top
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(
        left=left / width,
        right=1 - right / width,
        bottom=bottom / height,
        top=1 - top / height,
        wspace=gaps[0] / panel[0],
        hspace=gaps[1] / panel[1],
    )
    axes = figure.subplots(
        rows,
        columns,
        sharex=share,
        sharey="row" if share else False,
        squeeze=False,
        height_ratios=heights,
    )
    return figure, axes


def with_unit(label: str, unit: str) -> str:
    """The label of an axis."""
    return f"{label} [{unit}]" if unit else label
