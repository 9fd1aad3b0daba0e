"""The statistics of one catalogue: what is in it, before anything is compared."""

import os
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from physgen.errors import InputError
from physgen.galaxies.catalogue import Catalogue
from physgen.galaxies.summaries import SummarySettings, choose_settings, summaries, wave_edges
from physgen.io import atomic_path, figure_beside, require_writable, write_header
from physgen.plots import Measured, measured, with_unit
from physgen.stats import knn_distances, over_clouds, pair_counts
from physgen.stats.points import as_edges
from physgen.validation import Statistic
from physgen.words import counted

_OPEN_EDGES = np.geomspace(0.5, 24, 13)  # times the median distance to the nearest neighbour


@dataclass(frozen=True, eq=False)
class Measurement:
    """Statistics of every box of a catalogue: the ordered pairs in bins first, then `summaries`.

    The scatter is that of all boxes, those of different parameters (parameter_sets of them) too.
    """

    boxes: int
    galaxies: int
    box_size: float | None
    statistics: tuple[Statistic, ...]
    parameter_sets: int = 1

    @property
    def scatter(self) -> str:
        """What the scatter is, in words."""
        if self.parameter_sets == 1:
            return "single-box scatter"
        return f"scatter of all boxes, {self.parameter_sets} parameter sets together"

    def to_dict(self) -> dict[str, Any]:
        """Means over boxes and their scatter, ready for JSON (NaN becomes None)."""
        return {
            "boxes": self.boxes,
            "galaxies": self.galaxies,
            "box_size": self.box_size,
            "parameter_sets": self.parameter_sets,
            "statistics": [
                {
                    "name": statistic.name,
                    "unit": statistic.unit,
                    "bins": list(statistic.bin_labels),
                    "edges": None if statistic.edges is None else statistic.edges.tolist(),
                    "mean": _listed(mean),
                    "scatter": _listed(scatter),
                }
                for statistic in self.statistics
                for mean, scatter in [moments(statistic)]
            ],
        }

    def table(self) -> str:
        """The means, in columns, for a terminal."""
        where = "open space" if self.box_size is None else f"a periodic box of {self.box_size:g}"
        galaxies = counted(self.galaxies, "galaxy", "galaxies")
        lines = [f"{galaxies} in {counted(self.boxes, 'box', 'boxes')}, {where}"]
        if self.boxes > 1:
            lines.append(f"+- {self.scatter}")
        for statistic in self.statistics:
            mean, scatter = moments(statistic)
            label = with_unit(statistic.label, statistic.unit)
            if statistic.bin_names == ("",):  # one number, said above if of one box
                if self.boxes > 1:
                    lines += ["", f"{label} a box  {mean[0]:.4g}  +- {scatter[0]:.3g}"]
                continue
            lines += ["", f"{label}, by {statistic.bin_label}"]
            for label, value, spread in zip(statistic.bin_labels, mean, scatter, strict=True):
                if np.isnan(value):
                    continue
                around = "" if np.isnan(spread) else f"  +- {spread:.3g}"
                whole = statistic is self.statistics[0] and value == round(value)
                number = f"{value:.0f}" if whole else f"{value:.4g}"
                lines.append(f"  {label:>16}  {number:>14}{around}")
            if missing := ", ".join(compress(statistic.bin_labels, np.isnan(mean))):
                lines.append(f"  no value of {missing}: too few galaxies or pairs in every box")
        return "\n".join(lines)


def measure(catalogue: Catalogue, *, edges: ArrayLike | None = None) -> Measurement:
    """Pair counts and `summaries` of a catalogue.

    Args:
        edges: of the separation bins, in the unit of the positions; chosen to suit if not given.

    Raises:
        InputError: for unusable edges, or where no box has two galaxies.
    """
    if catalogue.counts.max() < 2:
        raise InputError(
            "expected boxes of at least two galaxies, got one galaxy or none in each: "
            "statistics of pairs need two"
        )
    bins = choose_edges(catalogue) if edges is None else as_edges(edges)
    counts = pair_counts(
        catalogue.position, bins, box_size=catalogue.box_size, mask=catalogue.mask
    ).astype(float)
    unit = catalogue.position_unit
    pairs = Statistic("pair counts", "ordered pairs", "", "separation r", unit, counts, edges=bins)
    settings = SummarySettings(tuple(bins), tuple(bins), None, wave_edges=wave_edges(catalogue))
    return Measurement(
        boxes=len(catalogue),
        galaxies=int(catalogue.counts.sum()),
        box_size=catalogue.box_size,
        statistics=(pairs, *summaries(catalogue, settings)),
        parameter_sets=_different(catalogue.parameters),
    )


def moments(statistic: Statistic) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Mean and standard deviation over the boxes that have a value; NaN where too few have."""
    values = np.ma.masked_invalid(statistic.values)
    mean = values.mean(axis=0).filled(np.nan)
    if len(values) < 2:
        return mean, np.full(len(mean), np.nan)
    return mean, values.std(axis=0, ddof=1).filled(np.nan)


def figure(measurement: Measurement) -> Figure:
    """Every statistic with its scatter between boxes."""
    return measured(
        [
            Measured(
                with_unit(statistic.label, statistic.unit),
                with_unit(statistic.bin_label, statistic.bin_unit),
                *moments(statistic),
                statistic.edges,
                statistic.bin_names,
            )
            for statistic in measurement.statistics
            if statistic.values.shape[1] > 1 and np.isfinite(statistic.values).any()
        ],
        measurement.scatter,
    )


def write_measurement(
    path: str | os.PathLike[str], measurement: Measurement, *, overwrite: bool = False
) -> Path:
    """Write the curves to HDF5 and their figure to a PNG beside it, whose path is returned.

    Datasets of each group: `values` (boxes, bins), `mean`, `scatter` and `edges` or `bin_names`.
    """
    picture = figure_beside(path)
    require_writable(picture, overwrite)
    with atomic_path(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
        write_header(file, "statistics")
        for statistic in measurement.statistics:
            group = file.create_group(statistic.name.replace(" ", "_"))
            group.attrs["unit"] = statistic.unit
            group["values"] = statistic.values
            group["mean"], group["scatter"] = moments(statistic)
            if statistic.edges is None:
                group["bin_names"] = np.array(statistic.bin_labels, dtype=h5py.string_dtype())
            else:
                group["edges"] = statistic.edges
                group["edges"].attrs["unit"] = statistic.bin_unit
    with atomic_path(picture, overwrite) as temporary:
        figure(measurement).savefig(temporary, format="png", dpi=150)
    return picture


def choose_edges(catalogue: Catalogue) -> Float[np.ndarray, " b1"]:
    """Separation bins that suit a catalogue: of its box, or of its nearest neighbours."""
    if catalogue.box_size is not None:
        return np.array(choose_settings(catalogue).correlation_edges)
    nearest = over_clouds(
        lambda x: np.median(knn_distances(x, 1)), catalogue.mask, catalogue.position
    )
    typical = float(np.nanmedian(nearest))
    if typical == 0:
        raise InputError(
            "expected galaxies at different places, got more than half on top of another: "
            "give the edges of the separation bins"
        )
    return np.array([float(f"{typical * factor:.2g}") for factor in _OPEN_EDGES])


def _different(parameters: Float[np.ndarray, "n q"]) -> int:
    return len(np.unique(parameters, axis=0)) if parameters.shape[1] else 1


def _listed(values: Float[np.ndarray, " p"]) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
