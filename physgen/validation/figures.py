"""The figures of a report: where means differ, the curves, the distances to the training set."""

from collections.abc import Sequence

import numpy as np

from physgen.plots import (
    CaptionedFigure,
    Curves,
    Strip,
    curves,
    nearest_distances,
    with_unit,
    z_strips,
)
from physgen.validation.compare import rms_and_max
from physgen.validation.groups import describe_parameters
from physgen.validation.report import Report, StatisticResult

_PANELS = 3  # parameter sets that a figure of curves shows
_ROWS = 12  # parameter sets that the figure of z shows


def report_figures(report: Report) -> list[CaptionedFigure]:
    """One figure of z over all statistics, one of curves for each, one of memorisation."""
    varied = [r for r in report.statistics if not np.isnan(r.rms_z)]
    figures = []
    if varied:
        figures.append(_strips(report, varied))
        some = evenly_spaced(report, _PANELS)
        figures += [_curves(report, r, some) for r in varied if r.tested.shape[1] > 1]
    if report.memorisation is not None:
        figures.append(
            CaptionedFigure(
                "Memorisation",
                "Distance of each box to its nearest training box, in features that do not change "
                "when a box is reordered, moved, mirrored or turned. Copies stand at zero.",
                nearest_distances(
                    *(
                        distance[~np.isnan(distance)]
                        for distance in (
                            report.memorisation.generated_distance,
                            report.memorisation.held_out_distance,
                        )
                    )
                ),
            )
        )
    return figures


def evenly_spaced(report: Report, most: int) -> list[int]:
    """Indices of at most `most` groups of a report, spread evenly."""
    count = len(report.groups)
    return sorted(set(np.linspace(0, count - 1, min(count, most)).astype(int).tolist()))


def group_title(report: Report, group: int) -> str:
    """The parameters of a group in words, "" where there are none or different ones."""
    parameters = report.groups[group].parameters
    return "" if parameters is None else describe_parameters(report.parameter_names, parameters)


def _strips(report: Report, results: Sequence[StatisticResult]) -> CaptionedFigure:
    z = [np.where(r.tested, np.stack([c.z for c in r.comparisons]), np.nan) for r in results]
    size = np.array([rms_and_max(rows)[0] for rows in zip(*z, strict=True)])
    worst = sorted(np.argsort(-size, kind="stable")[:_ROWS].tolist())
    which = (
        f" Shown are the {len(worst)} parameter sets of {len(size)} that differ most."
        if len(worst) < len(size)
        else ""
    )
    titles = []
    for r in results:
        bins = with_unit(r.statistic.bin_label, r.statistic.bin_unit)
        titles.append(": ".join(filter(None, (r.statistic.name, bins))))
    return CaptionedFigure(
        "Where the means differ",
        "Difference of means, generated minus held-out, in units of a single held-out box's "
        f"scatter; n/a where a bin has no scatter or too few values.{which}",
        z_strips(
            [
                Strip(title, r.statistic.bin_labels, rows[worst])
                for title, r, rows in zip(titles, results, z, strict=True)
            ],
            [group_title(report, g) or "all" for g in worst],
        ),
    )


def _curves(report: Report, result: StatisticResult, shown: Sequence[int]) -> CaptionedFigure:
    statistic, count = result.statistic, len(report.groups)
    panels = [
        Curves(
            group_title(report, g),
            c.mean_real,
            c.scatter,
            c.error_real,
            c.mean_generated,
            c.error_generated,
            np.where(result.tested[g], c.z, np.nan),
        )
        for g, c in ((g, result.comparisons[g]) for g in shown)
    ]
    which = f" Parameter sets shown: {len(shown)} of {count}." if len(shown) < count else ""
    return CaptionedFigure(
        statistic.name[:1].upper() + statistic.name[1:],
        "Above: means with their errors; the band is the scatter of a single held-out box. "
        f"Below: the difference in units of that scatter.{which}",
        curves(
            panels,
            label=with_unit(statistic.label, statistic.unit),
            bin_label=with_unit(statistic.bin_label, statistic.bin_unit),
            edges=statistic.edges,
            bin_names=statistic.bin_names,
        ),
    )
