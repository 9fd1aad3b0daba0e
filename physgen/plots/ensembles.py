"""Figures of two ensembles of curves or points: real and generated."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, StrMethodFormatter

from physgen.plots.style import BAND, BAND_EDGE, GENERATED, REAL, SMALL, grid

_LINEAR_RANGE = 5.0  # a ratio of largest to median reach above which a scale is not linear
_LETTERS = 38  # of a line of the label of a vertical axis
_DECADES = 30.0  # a ratio of largest to least above which values stand on a logarithmic axis
_LOG_RANGE = 8.0  # a ratio of last to first bin above which bins stand on a logarithmic axis


@dataclass(frozen=True, eq=False)
class Curves:
    """One statistic of real and generated boxes: all arrays (p,), a value for each bin.

    scatter is a single real box's standard deviation, errors are of the means, and z is the
    difference of the means over scatter.
    """

    title: str
    mean_real: Float[np.ndarray, " p"]
    scatter: Float[np.ndarray, " p"]
    error_real: Float[np.ndarray, " p"]
    mean_generated: Float[np.ndarray, " p"]
    error_generated: Float[np.ndarray, " p"]
    z: Float[np.ndarray, " p"]


@dataclass(frozen=True, eq=False)
class Strip:
    """One block of the z figure: z (groups, p), with a name for each of the p bins."""

    title: str
    bin_names: tuple[str, ...]
    z: Float[np.ndarray, "g p"]


def slices(
    real: Sequence[Float[np.ndarray, "_ 3"]],
    generated: Sequence[Float[np.ndarray, "_ 3"]],
    titles: Sequence[str],
    *,
    limits: tuple[float, float],
    depth: tuple[float, float],
    unit: str,
) -> Figure:
    """Real boxes above generated ones, x against y, galaxies with z inside `depth` only."""
    figure, axes = grid(2, len(titles), panel=(2.8, 2.8), gaps=(0.12, 0.12), top=0.55)
    for name, row, boxes, style in (
        ("held-out", axes[0], real, REAL),
        ("generated", axes[1], generated, GENERATED),
    ):
        for ax, points in zip(row, boxes, strict=True):
            inside = points[(points[:, 2] >= depth[0]) & (points[:, 2] <= depth[1])]
            size = np.clip(2000 / max(len(inside), 1), 0.5, 12)
            ax.scatter(*inside[:, :2].T, s=size, c=style["color"], lw=0)
            ax.set(xlim=limits, ylim=limits, aspect="equal")
            ax.xaxis.set_major_locator(MaxNLocator(5))
            ax.yaxis.set_major_locator(MaxNLocator(5))
        row[0].set_ylabel(f"{name}\ny [{unit}]")
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, fontsize=9)
    for ax in axes[1]:
        ax.set_xlabel(f"x [{unit}]")
    if depth == limits:
        seen = f"all {depth[1] - depth[0]:.4g} {unit} of depth, seen along the third axis"
    else:
        seen = f"slices {depth[1] - depth[0]:.3g} {unit} thick, seen along the third axis"
    figure.suptitle(seen, fontsize=9)
    return figure


def curves(
    panels: Sequence[Curves],
    *,
    label: str,
    bin_label: str,
    edges: Float[np.ndarray, " p1"] | None,
    bin_names: Sequence[str] | None,
) -> Figure:
    """Means of real and generated boxes, one column a panel, and below them the difference.

    Bins are ranges (`edges`) or named (`bin_names`). The band is a single real box's scatter, the
    bars are errors of the means; bins with names have a bar each for the scatter. Values over
    decades stand on a logarithmic axis, those below zero as open symbols.
    """
    margin = 0.5 if bin_names is None else 0.95
    left, wide = 1.0, 3.0
    figure, axes = grid(
        2, len(panels), panel=(wide, 1.8), heights=(2.4, 1), gaps=(0.12, 0.08), bottom=margin,
        left=left,
    )  # fmt: skip
    means = np.concatenate([p.mean_real for p in panels])
    bottom = None if edges is None else _bottom_of_decades(means)
    for (top, low), panel in zip(axes.T, panels, strict=True):
        x = _place_bins(low, edges, bin_names)
        one = "held-out: scatter of one"
        _band(top, x, panel.mean_real, panel.scatter, bottom, one, joined=bin_names is None)
        joined = {} if bin_names is None else {"linestyle": "none"}
        for style, mean, error, name in (
            (REAL, panel.mean_real, panel.error_real, "held-out: mean"),
            (GENERATED, panel.mean_generated, panel.error_generated, "generated: mean"),
        ):
            _means(top, x, mean, error, bottom is not None, name, style | joined)
        top.set_title(panel.title, fontsize=9)
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.hypot(panel.error_real, panel.error_generated) / panel.scatter
        shown = np.isfinite(panel.z)
        low.axhspan(-1, 1, color=BAND, lw=0)
        low.axhline(0, color=REAL["color"], lw=0.8)
        low.errorbar(
            x[shown],
            panel.z[shown],
            error[shown],
            ms=3.5,
            lw=1.2,
            capsize=2,
            **(GENERATED | joined),
        )
        low.set_xlabel(bin_label)
    reach = np.concatenate([np.abs(p.mean_real) + np.nan_to_num(p.scatter) for p in panels])
    reach = reach[reach > 0]
    if bottom is not None:
        _log_scale(axes[0, 0], bottom)
    elif edges is not None and reach.max(initial=0) > _LINEAR_RANGE * np.median(reach):
        axes[0, 0].set_yscale("symlog", linthresh=np.median(reach))
    else:
        axes[0, 0].ticklabel_format(axis="y", scilimits=(-3, 4))
    axes[0, 0].set_ylabel(textwrap.fill(label, _LETTERS), fontsize=9)
    axes[1, 0].set_ylabel("difference\n/ scatter", fontsize=9)
    for ax in axes[:, 0]:
        ax.yaxis.set_label_coords((0.4 - left) / wide, 0.5)
        ax.tick_params(axis="y", labelsize=9)
    legends = [top.get_legend_handles_labels() for top in axes[0]]
    named = {name: handle for pair in legends for handle, name in zip(*pair, strict=True)}
    axes[0, 0].legend(named.values(), named.keys(), fontsize=SMALL, frameon=False)
    bound = max([1.5, *(1.3 * np.abs(p.z[np.isfinite(p.z)]).max(initial=0) for p in panels)])
    axes[1, 0].set_ylim(-bound, bound)
    return figure


@dataclass(frozen=True, eq=False)
class Measured:
    """One statistic of a catalogue, (p,) each: mean over boxes and their scatter (or NaN)."""

    label: str
    bin_label: str
    mean: Float[np.ndarray, " p"]
    scatter: Float[np.ndarray, " p"]
    edges: Float[np.ndarray, " p1"] | None
    bin_names: Sequence[str] | None


def measured(panels: Sequence[Measured], band: str = "single-box scatter") -> Figure:
    """The statistics of one catalogue, a panel each; those over decades on a log axis.

    `band` says what the scatter is.
    """
    rows = -(-len(panels) // 2)
    figure = Figure(figsize=(9.0, 3.1 * rows), layout="constrained")
    places = figure.add_gridspec(rows, 2)
    for i, panel in enumerate(panels):
        alone = i == len(panels) - 1 and i % 2 == 0
        ax = figure.add_subplot(places[i // 2, :] if alone else places[i // 2, i % 2])
        x = _place_bins(ax, panel.edges, panel.bin_names)
        several = bool(np.isfinite(panel.scatter).any())
        name = "mean of the boxes" if several else "this catalogue"
        bottom = _bottom_of_decades(panel.mean)
        if several:
            joins = panel.edges is not None
            _band(ax, x, panel.mean, panel.scatter, bottom, band, joined=joins)
        joined = REAL if panel.edges is not None else REAL | {"linestyle": "none"}
        _means(ax, x, panel.mean, None, bottom is not None, name, joined)
        if bottom is not None:
            _log_scale(ax, bottom)
        ax.set_xlabel(panel.bin_label)
        ax.set_ylabel(textwrap.fill(panel.label, _LETTERS), fontsize=9)
        ax.legend(fontsize=SMALL, frameon=False)
    return figure


def z_strips(strips: Sequence[Strip], group_names: Sequence[str]) -> Figure:
    """z of every bin, statistic and group as numbers on colours; red and + where it is too high."""
    row, cell, gap = 0.2, 0.44, 0.85  # inches
    widest = max(len(strip.bin_names) for strip in strips)
    left = 0.3 + 0.062 * max(len(name) for name in group_names)
    width = left + cell * widest + 0.15
    height = len(strips) * (row * len(group_names) + gap) + 0.75
    figure = Figure(figsize=(max(width, left + 4.2), height))
    width = figure.get_figwidth()
    norm, colours = Normalize(-2, 2), "RdBu_r"
    y = height - 0.3
    for strip in strips:
        tall = row * len(group_names)
        wide = cell * len(strip.bin_names)
        ax = figure.add_axes((left / width, (y - tall) / height, wide / width, tall / height))
        ax.imshow(strip.z, cmap=colours, norm=norm, aspect="auto")
        for (g, b), value in np.ndenumerate(strip.z):
            text = "n/a" if np.isnan(value) else f"{value:+z.1f}"
            white = not np.isnan(value) and abs(value) > 1.2
            ax.text(
                b, g, text, ha="center", va="center", fontsize=7, color="white" if white else "k"
            )
        ax.set_xticks(
            range(len(strip.bin_names)), strip.bin_names, fontsize=7, rotation=30, ha="right",
            rotation_mode="anchor",
        )  # fmt: skip
        ax.set_yticks(range(len(group_names)), group_names, fontsize=7)
        ax.set_title(strip.title, fontsize=9, loc="left")
        ax.tick_params(length=0)
        y -= tall + gap
    bar = figure.add_axes((left / width, 0.5 / height, 4.0 / width, 0.12 / height))
    figure.colorbar(ScalarMappable(norm, colours), cax=bar, orientation="horizontal", extend="both")
    bar.set_xlabel("(generated - held-out) / scatter of one held-out", fontsize=9)
    return figure


def nearest_distances(
    generated: Float[np.ndarray, " m"], held_out: Float[np.ndarray, " n"]
) -> Figure:
    """Histograms of the distance to the nearest training sample."""
    figure, axes = grid(1, 1, panel=(5.0, 2.8))
    ax = axes[0, 0]
    top = max(generated.max(), held_out.max())
    bins = np.linspace(0, 1.02 * top if top > 0 else 1, 41).tolist()
    ax.hist(held_out, bins, density=True, color=BAND, label="held-out")
    ax.hist(
        generated, bins, density=True, histtype="step", color=GENERATED["color"],
        linestyle=GENERATED["linestyle"], linewidth=1.6, label="generated",
    )  # fmt: skip
    ax.axvline(held_out.min(), color=REAL["color"], lw=1, ls=":", label="closest held-out")
    ax.set_xlabel("distance to the nearest of the training set [standardised features]")
    ax.set_ylabel("probability density")
    ax.legend(fontsize=SMALL, frameon=False)
    return figure


def _bottom_of_decades(values: np.ndarray) -> float | None:
    """Where a logarithmic axis of the sizes of values ends, a little below the least of them.

    None where they belong on a linear one: unless positive ones span decades, and negative ones, if
    there are any, are small beside them.
    """
    shown = values[np.isfinite(values) & (values != 0)]
    least = np.abs(shown).min(initial=np.inf)
    if shown.max(initial=0) > _DECADES * max(least, -shown.min(initial=0)):
        return float(0.3 * least)
    return None


def _band(ax: Axes, x, mean, scatter, bottom: float | None, label: str, joined: bool) -> None:
    """The scatter about a mean, a bar for each bin that is not `joined` to the next; on a
    logarithmic axis down to its bottom."""
    if bottom is None:
        low, high = mean - scatter, mean + scatter
    else:
        low, high = np.maximum(np.abs(mean) - scatter, bottom), np.abs(mean) + scatter
    style = {"fc": BAND, "ec": BAND_EDGE, "lw": 0.6, "label": label}
    if joined:
        ax.fill_between(x, low, high, **style)
    else:
        ax.use_sticky_edges = False
        ax.bar(x, high - low, width=0.6, bottom=low, **style)


def _means(ax: Axes, x, mean, error, log: bool, label: str, style) -> None:
    """A curve with errors; on a logarithmic axis negative values are open symbols, times -1."""
    shown = np.abs(mean) if log else mean
    ax.errorbar(x, shown, error, ms=3.5, lw=1.2, capsize=2, label=label, **style)
    negative = mean < 0
    if log and negative.any():
        ax.plot(
            x[negative], shown[negative], ms=4.5, mfc="white", zorder=3, label=f"{label}, times -1",
            **(style | {"linestyle": "none"}),
        )  # fmt: skip


def _log_scale(ax: Axes, bottom: float) -> None:
    ax.set_yscale("log")
    ax.set_ylim(bottom=bottom)


def _place_bins(ax: Axes, edges, bin_names) -> np.ndarray:
    """Set up the axis of the bins; returns where they stand on it."""
    if edges is None:
        x = np.arange(len(bin_names), dtype=float)
        ax.set_xticks(x, bin_names, rotation=90, fontsize=SMALL)
        return x
    x = (edges[1:] + edges[:-1]) / 2
    if x[-1] > _LOG_RANGE * x[0]:
        ax.set_xscale("log")
        decades = 10.0 ** np.arange(np.floor(np.log10(x[0])), np.ceil(np.log10(x[-1])) + 1)
        ticks = np.outer(decades, [1, 2, 5]).ravel()
        shown = (ticks >= 0.8 * x[0]) & (ticks <= 1.25 * x[-1])
        ax.xaxis.set_major_locator(FixedLocator(ticks[shown].tolist()))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
    return x
