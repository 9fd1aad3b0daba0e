"""Figures of calibration: ranks, coverage, scores, and what a posterior predicts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from physgen.plots.style import BAND, BAND_EDGE, GENERATED, REAL, SMALL, grid

_COLUMNS = 4
_CURVE = {"color": GENERATED["color"], "lw": 1.6}
_PALE = "#e4e4e4"
_FRACTIONS = [0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"]
_NAMED = 24  # entries of an observation that an axis can name


@dataclass(frozen=True, eq=False)
class CumulativeShares:
    """Shares (k,) found below levels (k,) in (0, 1), and the band that they should stay in."""

    title: str
    level: Float[np.ndarray, " k"]
    share: Float[np.ndarray, " k"]
    lower: Float[np.ndarray, " k"]
    upper: Float[np.ndarray, " k"]


@dataclass(frozen=True, eq=False)
class Scores:
    """A score of the observation among those (m,) of simulations; it is odd where it is high."""

    title: str
    simulated: Float[np.ndarray, " m"]
    observed: float


def rank_differences(panels: Sequence[CumulativeShares], band: str) -> Figure:
    """Cumulative shares of ranks minus those of equal ranks, a panel each; `band` names the band.

    Säilynoja, Bürkner & Vehtari 2022 (arXiv:2103.10522), figure 1.
    """
    columns = min(len(panels), _COLUMNS)
    rows = -(-len(panels) // columns)
    figure, axes = grid(rows, columns, panel=(2.5, 1.9), gaps=(0.2, 0.35), left=0.95, top=0.6)
    for ax in axes.ravel()[len(panels) :]:
        ax.remove()
    for ax, panel in zip(axes.ravel(), panels, strict=False):
        x = _closed(panel.level, 0, 1)
        lower, upper, share = (
            _closed(values - panel.level, 0, 0)
            for values in (panel.lower, panel.upper, panel.share)
        )
        ax.fill_between(x, lower, upper, color=BAND, lw=0, label=band)
        ax.axhline(0, color=REAL["color"], lw=0.8)
        ax.plot(x, share, **_CURVE, label="found")
        ax.set_title(panel.title, fontsize=9)
        ax.set_xlim(0, 1)
        ax.set_xticks(*_FRACTIONS)
    for ax in axes[:, 0]:
        ax.set_ylabel("cumulative share\n- expected share", fontsize=9)
    for k in range(columns):
        lowest = axes[(len(panels) - 1 - k) // columns, k]
        lowest.set_xlabel("rank of the truth / draws", fontsize=9)
        lowest.tick_params(labelbottom=True)
    bound = 1.1 * max(
        float(np.abs(values - p.level).max())
        for p in panels
        for values in (p.lower, p.upper, p.share)
    )
    for ax in axes[:, 0]:
        ax.set_ylim(-bound, bound)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="upper right", ncols=2, fontsize=SMALL,
        frameon=False,
    )  # fmt: skip
    return figure


def coverage_curves(panels: Sequence[CumulativeShares], band: str) -> Figure:
    """Share of simulations whose truth a region holds, against the probability it should have."""
    figure, axes = grid(1, len(panels), panel=(3.0, 3.0), gaps=(0.2, 0.0))
    for ax, panel in zip(axes[0], panels, strict=True):
        x = _closed(panel.level, 0, 1)
        lower, upper, share = (
            _closed(values, 0, 1) for values in (panel.lower, panel.upper, panel.share)
        )
        ax.fill_between(x, lower, upper, fc=BAND, ec=BAND_EDGE, lw=0.6, label=band)
        ax.plot([0, 1], [0, 1], color=REAL["color"], lw=0.8, label="expected")
        ax.plot(x, share, **_CURVE, ls=GENERATED["linestyle"], label="found")
        ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability of the region")
        ax.set_xticks(*_FRACTIONS)
        ax.set_yticks(*_FRACTIONS)
        ax.set_title(panel.title, fontsize=9)
    axes[0, 0].set_ylabel("share of truths inside")
    axes[0, 0].legend(fontsize=SMALL, frameon=False, loc="upper left")
    return figure


def observed_scores(panels: Sequence[Scores]) -> Figure:
    """Histograms of the scores of simulations with that of the observation."""
    figure, axes = grid(1, len(panels), panel=(2.6, 2.1), gaps=(0.5, 0.0), top=0.4, share=False)
    for ax, panel in zip(axes[0], panels, strict=True):
        reach = max(float(np.quantile(panel.simulated, 0.99)), panel.observed)
        first = min(float(panel.simulated.min()), panel.observed)
        ax.hist(
            panel.simulated, 40, range=(first, reach + 0.05 * (reach - first) or 1.0), color=BAND,
            label="simulations",
        )  # fmt: skip
        ax.axvline(panel.observed, lw=1.6, color=_CURVE["color"], ls="--", label="observation")
        ax.set_xlabel(panel.title, fontsize=9)
        ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        ax.xaxis.set_major_locator(MaxNLocator(5))
    axes[0, 0].set_ylabel("simulations")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="upper right", ncols=2, fontsize=SMALL,
        frameon=False,
    )  # fmt: skip
    return figure


def predictions(
    observation: Float[np.ndarray, " k"],
    draws: Float[np.ndarray, "m k"],
    names: Sequence[str] | None = None,
) -> Figure:
    """The observation against the 68% and 95% intervals of posterior predictive draws.

    Above in the units of the data, below from the median in units of half the 68% interval.
    """
    k = len(observation)
    q = np.quantile(draws, [0.025, 0.16, 0.5, 0.84, 0.975], axis=0)
    named = names is not None and k <= _NAMED
    bottom = 0.45 + (0.065 * max(len(name) for name in names) if named and names else 0.1)
    width = float(np.clip(0.35 * k, 4.0, 8.0))
    figure, axes = grid(2, 1, panel=(width, 1.8), heights=(1.6, 1), gaps=(0.0, 0.08), bottom=bottom)
    top, low = axes[:, 0]
    half = (q[3] - q[1]) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled, pull = (q - q[2]) / half, (observation - q[2]) / half
    x = np.arange(k)
    few = k <= 3 * _NAMED
    for ax, rows, points in ((top, q, observation), (low, scaled, pull)):
        for (first, last), colour, label in (
            ((0, 4), _PALE, "95% of predictions"),
            ((1, 3), BAND, "68% of predictions"),
        ):
            if few:
                ax.bar(x, rows[last] - rows[first], 0.8, rows[first], color=colour, label=label)
            else:
                ax.fill_between(x, rows[first], rows[last], color=colour, lw=0, label=label)
        style = {"marker": "o", "ls": "none", "ms": 3.5 if few else 1.5}
        ax.plot(x, points, color=_CURVE["color"], label="observation", **style)
        ax.use_sticky_edges = False
    low.axhline(0, color=REAL["color"], lw=0.8)
    top.set_ylabel("observation", fontsize=9)
    low.set_ylabel("(observation - median)\n/ half 68% interval", fontsize=9)
    bound = float(np.max(np.abs(pull[np.isfinite(pull)]), initial=2.5))
    low.set_ylim(-1.15 * bound, 1.15 * bound)
    low.set_xlim(-0.7, k - 0.3)
    if named and names:
        low.set_xticks(x, names, rotation=90, fontsize=SMALL)
    else:
        low.set_xlabel("entry of the observation")
        low.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    figure.legend(
        *top.get_legend_handles_labels(), loc="upper right", ncols=3, fontsize=SMALL, frameon=False
    )
    return figure


def _closed(values: np.ndarray, first: float, last: float) -> np.ndarray:
    return np.concatenate([[first], values, [last]])
