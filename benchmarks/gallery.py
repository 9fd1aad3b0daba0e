"""Real and generated catalogues side by side, as in docs/gallery.md.

    python benchmarks/gallery.py EMULATOR HELD_OUT OUT.png [--at 0 1 2] [--depth 32]

A column for each held-out cloud, and below it what the emulator makes of the same parameters: the
number of galaxies is drawn as well. Galaxies of a slab are seen along the third axis, as large as
they are heavy, with arrows for velocities: one of the root mean square is 4% of the panel long.
"""

import argparse
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from physgen.galaxies import Catalogue, GalaxyEmulator, generate, read_catalogue

STYLES = {"held out": "black", "generated": "#d55e00"}


def main() -> None:
    """Draw the figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("emulator", type=Path)
    parser.add_argument("held_out", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--at", type=int, nargs="+", default=[0, 1, 2], help="boxes of HELD_OUT")
    parser.add_argument("--depth", type=float, help="of the slab; all of it if not given")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    emulator = GalaxyEmulator.load(options.emulator)
    held_out = read_catalogue(options.held_out).select(np.array(options.at))
    held_out = held_out.with_features(emulator.domain.features.modelled)
    generated = generate(jax.random.key(options.seed), emulator, held_out.parameters)
    rows = {"held out": held_out, "generated": generated}
    n = len(options.at)
    figure, axes = plt.subplots(
        2, n, figsize=(2.9 * n + 0.6, 6.2), squeeze=False, sharex=True, sharey=True,
        layout="constrained",
    )  # fmt: skip
    limits = ends(held_out)
    depth = limits[1] - limits[0] if options.depth is None else options.depth
    for row, (name, catalogue) in zip(axes, rows.items(), strict=True):
        for i, panel in enumerate(row):
            draw(panel, catalogue, i, depth, STYLES[name])
        unit = held_out.position_unit
        row[0].set_ylabel(f"{name}\ny [{unit}]")
    for i, panel in enumerate(axes[0]):
        panel.set_title(title(held_out, i), fontsize=9)
    for panel in axes[1]:
        panel.set_xlabel(f"x [{held_out.position_unit}]")
    axes[0, 0].set(xlim=limits, ylim=limits)
    figure.savefig(options.out, dpi=110)


def ends(catalogue: Catalogue) -> tuple[float, float]:
    """Of the box, or of what holds nearly all galaxies around the origin."""
    if catalogue.box_size is not None:
        return 0.0, catalogue.box_size
    reach = 1.1 * float(np.quantile(np.abs(catalogue.position[catalogue.mask]), 0.99))
    return -reach, reach


def draw(panel: Axes, catalogue: Catalogue, i: int, depth: float, colour: str) -> None:
    """One cloud."""
    here = catalogue.mask[i].copy()
    middle = 0.0 if catalogue.box_size is None else catalogue.box_size / 2
    here &= np.abs(catalogue.position[i, :, 2] - middle) <= depth / 2
    x, y, _ = catalogue.position[i, here].T
    mass = heaviness(catalogue)
    size = 14.0 if mass is None else 2 + 40 * mass[i, here] ** 2
    panel.scatter(x, y, s=size, color=colour, linewidths=0, alpha=0.85)
    if catalogue.velocity is not None:
        u, v, _ = catalogue.velocity[i, here].T
        low, high = ends(catalogue)
        typical = float(np.sqrt(np.mean(catalogue.velocity[catalogue.mask] ** 2)))
        scale = 0.04 * (high - low) / typical
        panel.quiver(
            x, y, u * scale, v * scale, color=colour, angles="xy", scale_units="xy", scale=1,
            width=0.004, headwidth=3, alpha=0.7,
        )  # fmt: skip
    panel.set_aspect("equal")
    panel.text(0.02, 0.97, f"{here.sum()} galaxies", transform=panel.transAxes, va="top", size=8,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1.5},
    )  # fmt: skip


def heaviness(catalogue: Catalogue) -> np.ndarray | None:
    """Masses between 0 and 1, None without any."""
    scalars = [] if catalogue.log_mass is None else [catalogue.log_mass]
    scalars += [column.values for column in catalogue.columns]
    if not scalars:
        return None
    values = scalars[0]
    low, high = np.quantile(values[catalogue.mask], [0.01, 0.99])
    return np.clip((values - low) / (high - low), 0, 1)


def title(catalogue: Catalogue, i: int) -> str:
    """The parameters of one cloud, where they are few."""
    if len(catalogue.parameter_names) > 3:
        return f"halo {i + 1}, of {len(catalogue.parameter_names)} conditions"
    pairs = zip(catalogue.parameter_names, catalogue.parameters[i], strict=True)
    return ", ".join(f"{name} {value:.2f}" for name, value in pairs)


if __name__ == "__main__":
    main()
