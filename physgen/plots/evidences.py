"""Figures of evidences: how those of two models differ, for observations that are known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from physgen.plots.style import SETS, SMALL, TRUTH, grid

_LINES = 5  # observations whose lines can be told apart


@dataclass(frozen=True, eq=False)
class EvidenceDifferences:
    """Log-evidence of one model minus that of another, in nats.

    of_first and of_second: of observations that are known to be of either. observed: of those in
    question. The probability of the first is that of log-odds scale * difference + offset.
    """

    first: str
    second: str
    of_first: Float[np.ndarray, " n"]
    of_second: Float[np.ndarray, " m"]
    observed: Float[np.ndarray, " k"]
    scale: float
    offset: float


def evidence_figure(panels: Sequence[EvidenceDifferences]) -> Figure:
    """A panel each: histograms of known observations, the probability, lines of the others."""
    figure, axes = grid(
        1,
        len(panels),
        panel=(3.6, 2.4),
        gaps=(1.1, 0.0),
        left=0.7,
        right=0.75,
        top=0.65,
        share=False,
    )
    for ax, panel in zip(np.ravel(axes), panels, strict=True):
        asked = panel.observed[:_LINES]
        shown = np.concatenate([panel.of_first, panel.of_second, asked])
        margin = 0.05 * np.ptp(shown) or 1.0
        edges = np.linspace(shown.min() - margin, shown.max() + margin, 21)
        known = (panel.first, panel.of_first), (panel.second, panel.of_second)
        for (name, values), style in zip(known, SETS, strict=False):
            ax.hist(values, edges, histtype="step", lw=1.6, label=f"{name}, held out", **style)
        for i, value in enumerate(asked):
            ax.axvline(value, **TRUTH, label="observed" if i == 0 else None)
        ax.set(
            xlim=edges[[0, -1]],
            xlabel=f"log evidence, {panel.first} - {panel.second} [nats]",
            ylabel="held-out observations",
        )
        chance, x = ax.twinx(), np.linspace(edges[0], edges[-1], 200)
        odds = np.exp(-(panel.scale * x + panel.offset))
        chance.plot(x, 1 / (1 + odds), color="0.5", lw=1.2, label="probability")
        chance.set(ylim=(0, 1.02), ylabel=f"probability of {panel.first}")
        handles = ax.get_legend_handles_labels()[0] + chance.get_legend_handles_labels()[0]
        above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "frameon": False}
        ax.legend(handles=handles, fontsize=SMALL, ncols=2, **above)
    return figure
