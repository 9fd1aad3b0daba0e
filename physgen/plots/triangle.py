"""Triangle plots: samples of several parameters, one by one and two by two.

The contours are those of a histogram smoothed with a Gaussian, at the levels above which lie 68%
and 95% of the samples, so that smoothing makes them rounder and not larger in content. At a bound
the histogram is reflected, so that a posterior that piles up there is not pulled down, and the
bound is drawn. A pair that is flat but for the noise of the samples has no such region: its panel
is filled. Of one parameter the shades are central intervals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter

from physgen.errors import InputError
from physgen.plots.style import BAND_EDGE, SETS, SMALL, TRUTH, with_unit

MASSES = (0.95, 0.68)
_GRID = 100  # cells of a histogram along an axis
_TAIL = 0.002  # of the samples on either side that need not be seen
_MARGIN = 0.12  # of the range of the samples
_SHADES = (0.25, 0.5)  # opacity of the 95% and 68% regions
_EDGE: dict[str, Any] = {"color": BAND_EDGE, "linestyle": (0, (6, 2)), "linewidth": 1.2}
_CLEAR = 9.0  # sigma by which a peak stands above the 95% contour; 6 of noise alone


@dataclass(frozen=True, eq=False)
class SampleSet:
    """Samples (n, d) of one distribution, with the name that a legend gives it."""

    label: str
    samples: Float[np.ndarray, "n d"]


def triangle(
    sets: Sequence[SampleSet],
    names: Sequence[str],
    units: Sequence[str],
    *,
    truth: ArrayLike | None = None,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
    titles: Sequence[str] | None = None,
) -> Figure:
    """Marginal densities on the diagonal, contours of pairs below it.

    The first set is filled, further ones are lines. truth (d,) is marked in every panel, low and
    high (d,) are the edges of the prior, drawn where they are in sight, titles (d,) stand above the
    diagonal.

    Raises:
        InputError: if a set or an argument has not one column for each name, and for no set, more
            than four, or a set of fewer than 2 samples.
    """
    d = len(names)
    if not 1 <= len(sets) <= len(SETS):
        raise InputError(f"expected 1 to {len(SETS)} sets of samples, got {len(sets)}")
    for entry in sets:
        if entry.samples.shape[1] != d or len(entry.samples) < 2:
            raise InputError(
                f"expected samples of shape (n >= 2, {d}) for {d} names, got "
                f"{entry.samples.shape} for {entry.label!r}"
            )
    marked = None if truth is None else np.asarray(truth, np.float64)
    bounds = np.stack(
        [
            np.full(d, fallback) if given is None else np.asarray(given, np.float64)
            for given, fallback in ((low, -np.inf), (high, np.inf))
        ],
        axis=1,
    )
    if marked is not None and marked.shape != (d,):
        raise InputError(f"expected a truth of shape ({d},), got {marked.shape}")
    ranges = [[_range(s.samples[:, i], bounds[i]) for i in range(d)] for s in sets]
    figure, axes = _panels(d)
    bounded = False
    for (style, entry), seen in zip(zip(SETS, sets, strict=False), ranges, strict=True):
        filled = entry is sets[0]
        for i in range(d):
            _marginal(axes[i, i], entry.samples[:, i], seen[i], style, filled)
            for j in range(i):
                _pair(axes[i, j], entry.samples[:, [j, i]], (seen[j], seen[i]), style, filled)
    for i in range(d):
        shown = [seen[i] for seen in ranges]
        limits = min(r[0] for r in shown), max(r[1] for r in shown)
        if marked is not None:
            span = 0.05 * (limits[1] - limits[0])
            limits = min(limits[0], marked[i] - span), max(limits[1], marked[i] + span)
        edges = [edge for edge in bounds[i] if limits[0] <= edge <= limits[1]]
        bounded |= _bound(axes, i, edges)
        limits = _with_room(limits, edges)
        _label(axes, i, limits, with_unit(names[i], units[i]))
        if titles is not None:
            axes[i, i].set_title(titles[i], fontsize=SMALL)
    if marked is not None:
        _mark(axes, marked)
    _legend(figure, axes, sets, marked is not None, bounded)
    return figure


def _panels(d: int):
    size = float(np.clip(9.0 / d, 1.05, 2.2))  # inches, as all below
    left, bottom, right, top = 0.85, 0.75, 0.2 if d > 1 else 1.8, 0.35
    width, height = left + d * size + right, bottom + d * size + top
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(
        left=left / width, right=(left + d * size) / width, bottom=bottom / height,
        top=1 - top / height, wspace=0.06, hspace=0.06,
    )  # fmt: skip
    axes = figure.subplots(d, d, squeeze=False)
    for i in range(d):
        axes[-1, i].xaxis.set_label_coords(0.5, -0.5 / size)
        axes[i, 0].yaxis.set_label_coords(-0.52 / size, 0.5)
    for i, j in zip(*np.triu_indices(d, 1), strict=True):
        axes[i, j].remove()
    return figure, axes


def _range(values: np.ndarray, bounds: np.ndarray) -> tuple[float, float]:
    """All but the tails of the samples and a margin, cut at the bounds."""
    first, last = np.quantile(values, [_TAIL, 1 - _TAIL])
    margin = _MARGIN * (last - first) or max(abs(first), 1.0) * 1e-3
    return float(max(first - margin, bounds[0])), float(min(last + margin, bounds[1]))


def _marginal(ax: Axes, values, seen, style, filled: bool):
    counts, edges = np.histogram(values, _GRID, range=seen)
    smooth = gaussian_filter(counts.astype(float), _GRID / (3 * len(values) ** (1 / 3)))
    smooth /= smooth.max()
    x = _centres(edges)
    if filled:
        outer, inner = ([(1 - mass) / 2, (1 + mass) / 2] for mass in MASSES)
        ends = np.quantile(values, [outer[0], *inner, outer[1]])
        for (first, last), shade in zip(pairwise(ends), (*_SHADES, _SHADES[0]), strict=True):
            inside = np.concatenate([[first], x[(x > first) & (x < last)], [last]])
            colour = to_rgba(style["color"], shade)
            ax.fill_between(inside, np.interp(inside, x, smooth), color=colour, lw=0)
    ax.plot(x, smooth, lw=1.3, **style)


def _pair(ax: Axes, values, seen, style, filled: bool):
    counts, x, y = np.histogram2d(*values.T, bins=_GRID, range=seen)
    width = 0.33 * _GRID / len(values) ** 0.25
    smooth = gaussian_filter(counts, width)
    cells = [
        np.clip(np.searchsorted(edges, v) - 1, 0, _GRID - 1)
        for edges, v in zip((x, y), values.T, strict=True)
    ]
    levels = _levels(smooth[cells[0], cells[1]])
    peak, noise = smooth.max(), np.sqrt(levels[0] / (4 * np.pi)) / width
    if peak - levels[0] < _CLEAR * noise:
        if filled:
            ax.fill_between(seen[0], *seen[1], color=style["color"], alpha=_SHADES[0], lw=0)
        return
    arguments = _centres(x), _centres(y), smooth.T
    if filled:
        shades = [to_rgba(style["color"], shade) for shade in _SHADES]
        ax.contourf(*arguments, levels=[*levels, 2 * peak], colors=shades)
    ax.contour(
        *arguments, levels=levels, colors=style["color"], linestyles=style["linestyle"],
        linewidths=(0.8, 1.3),
    )  # fmt: skip


def _levels(densities: np.ndarray) -> list[float]:
    """Densities above which lie 95% and 68% of the samples that have these, increasing."""
    outer, inner = np.quantile(densities, [1 - mass for mass in MASSES])
    return [float(outer), float(max(inner, np.nextafter(outer, np.inf)))]


def _label(axes, i: int, limits: tuple[float, float], label: str):
    d = len(axes)
    for row in range(i, d):
        ax = axes[row, i]
        ax.set_xlim(*limits)
        ax.xaxis.set_major_locator(MaxNLocator(3, prune="both"))
        ax.tick_params(axis="x", labelsize=7, rotation=35, labelbottom=row == d - 1)
    for column in range(i):
        ax = axes[i, column]
        ax.set_ylim(*limits)
        ax.yaxis.set_major_locator(MaxNLocator(3, prune="both"))
        ax.tick_params(axis="y", labelsize=7, labelleft=column == 0)
    axes[i, i].set_ylim(0, 1.12)
    axes[i, i].yaxis.set_major_locator(NullLocator())
    axes[-1, i].set_xlabel(label, fontsize=9)
    if i:
        axes[i, 0].set_ylabel(label, fontsize=9)


def _bound(axes, i: int, edges: Sequence[float]) -> bool:
    """Draw the edges of the prior of one parameter; whether there are any."""
    for edge in edges:
        for ax in axes[i:, i]:
            ax.axvline(edge, **_EDGE)
        for ax in axes[i, :i]:
            ax.axhline(edge, **_EDGE)
    return bool(edges)


def _with_room(limits: tuple[float, float], edges: Sequence[float]) -> tuple[float, float]:
    """Limits a little beyond the edges, so that these are seen."""
    room = 0.03 * (limits[1] - limits[0])
    return min([limits[0], *(e - room for e in edges)]), max(
        [limits[1], *(e + room for e in edges)]
    )


def _mark(axes, truth):
    for i in range(len(truth)):
        axes[i, i].axvline(truth[i], **TRUTH, marker="none")
        for j in range(i):
            axes[i, j].axvline(truth[j], **TRUTH)
            axes[i, j].axhline(truth[i], **TRUTH)
            axes[i, j].plot(truth[j], truth[i], marker="s", ms=4, color=TRUTH["color"])


def _legend(figure, axes, sets, marked: bool, bounded: bool):
    handles: list[Artist] = [
        Line2D([], [], lw=1.3, label=entry.label, **style)
        for entry, style in zip(sets, SETS, strict=False)
    ]
    if marked:
        handles.append(Line2D([], [], marker="s", ms=4, label="truth", **TRUTH))
    if bounded:
        handles.append(Line2D([], [], label="edge of the prior", **_EDGE))
    handles += [
        Patch(color=to_rgba(SETS[0]["color"], shade), lw=0, label=f"{mass:.0%} of the samples")
        for mass, shade in zip(MASSES[::-1], _SHADES[::-1], strict=True)
    ]
    place = axes[0, 0].get_position()
    figure.legend(
        handles=handles, loc="upper left", fontsize=SMALL, frameon=False,
        bbox_to_anchor=(place.x1, place.y1),
    )  # fmt: skip


def _centres(edges: np.ndarray) -> np.ndarray:
    return (edges[1:] + edges[:-1]) / 2
