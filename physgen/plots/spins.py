"""Figures of wavefunctions and sweeps: how the energy fell, and what was observed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from physgen.plots.style import GENERATED, REAL, SIGNED, SMALL, TRUTH, grid


def training_curves(history: Mapping[str, np.ndarray], exact: float | None) -> Figure:
    """Energy a site (its error where the exact one is known) and V-score against steps."""
    figure, axes = grid(1, 2, panel=(3.2, 2.2), gaps=(1.1, 0.0), left=1.1, share=False)
    left, right = axes.ravel()
    steps, energy = history["step"], history["energy"]
    style = {**GENERATED, "marker": "none"}
    if exact is None:
        left.plot(steps, energy, label="energy, mean of a few steps", **style)
        left.set_ylabel("energy / n  [coupling]", fontsize=9)
    else:
        left.plot(steps, np.abs(energy - exact) / abs(exact), label="relative error", **style)
        left.plot(steps, history["sigma"] / abs(exact), label="sigma of one step", **TRUTH)
        left.set_ylabel("|energy / exact - 1|", fontsize=9)
        left.set_yscale("log")
    right.plot(steps, history["v_score"], label="n variance / energy$^2$", **style)
    right.set_ylabel("V-score", fontsize=9)
    right.set_yscale("log")
    for ax in (left, right):
        ax.set_xlabel("step")
        ax.legend(fontsize=SMALL, frameon=False)
    return figure


def observed_curves(
    diagonal: Any, entropy: Any, exact: Mapping[str, np.ndarray] | None = None
) -> Figure:
    """<ZZ> against distance, the structure factor, and the entanglement entropy of each cut.

    exact: what is known of "correlation_zz", "structure_factor" and "renyi_2_entropy".
    """
    figure, axes = grid(1, 3, panel=(2.8, 2.2), gaps=(0.95, 0.0), left=0.95, share=False)
    n = len(diagonal.magnetisation.value)
    marks = {**REAL, "ms": 3, "lw": 1.0, "capsize": 2}
    distances, cuts = np.arange(1, n), np.arange(1, n)
    correlation, factor = diagonal.correlation, diagonal.structure_factor
    zz, s_k, s_2 = axes.ravel()
    zz.errorbar(
        distances, correlation.value[1:], correlation.error[1:], label="mean over i", **marks
    )
    s_k.errorbar(diagonal.wave_numbers, factor.value, factor.error, label="per site", **marks)
    s_2.errorbar(cuts, entropy.value, entropy.error, label="of the first l sites", **marks)
    style = {**GENERATED, "marker": "none", "zorder": 3}
    for ax, x, name, first in (
        (zz, distances, "correlation_zz", 1),
        (s_k, diagonal.wave_numbers, "structure_factor", 0),
        (s_2, cuts, "renyi_2_entropy", 0),
    ):
        if exact is not None and name in exact:
            ax.plot(x, exact[name][first:], label="exact", **style)
    zz.set_ylabel(r"$\langle Z_i Z_{i+r}\rangle$", fontsize=9)
    s_k.set_ylabel("S(k)", fontsize=9)
    s_2.set_ylabel(r"$S_2(l)$  [nats]", fontsize=9)
    zz.set_xlabel("distance r  [sites]")
    s_k.set_xlabel("wave number k  [1 / spacing]")
    s_2.set_xlabel("cut l  [sites]")
    for ax in (zz, s_2):
        ax.set_xlim(0.5, n - 0.5)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for ax in (zz, s_k, s_2):
        ax.legend(fontsize=SMALL, frameon=False)
    return figure


def sweep_images(names: Sequence[str], values: np.ndarray, observables: Any, letter: str) -> Figure:
    """<Z> of each site and <Z Z> of neighbours as colours, against the control (v, c).

    Both panels have one scale, with zero in its middle. Several columns have no common axis: the
    values are then numbered, as they come.
    """
    figure, axes = grid(1, 2, panel=(3.0, 2.4), gaps=(1.6, 0.0), left=0.6, right=1.0, share=False)
    numbered = len(names) > 1
    along = np.arange(len(values)) if numbered else values[:, 0]
    label = f"number of the value of {', '.join(names)}" if numbered else names[0]
    panels = {
        rf"$\langle {letter}_i\rangle$": observables.magnetisation.value,
        rf"$\langle {letter}_i {letter}_{{i+1}}\rangle$": observables.neighbours.value,
    }
    largest = max(np.abs(means).max() for means in panels.values())
    scale = Normalize(-largest, largest)
    for ax, (what, means) in zip(axes.ravel(), panels.items(), strict=True):
        sites = np.arange(means.shape[1] + 1) - 0.5
        mesh = ax.pcolormesh(_edges(along), sites, means.T, cmap=SIGNED, norm=scale)
        figure.colorbar(mesh, cax=ax.inset_axes((1.04, 0.0, 0.05, 1.0)), label=what)
        ax.set_xlabel(label)
        ax.set_ylabel("site i", fontsize=9)
        ax.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure


def _edges(centres: np.ndarray) -> np.ndarray:
    """Half-way between neighbours, and as far beyond the first and the last."""
    middles = (centres[1:] + centres[:-1]) / 2
    ends = 2 * centres[0] - middles[0], 2 * centres[-1] - middles[-1]
    return np.concatenate([ends[:1], middles, ends[1:]])
