"""A report as one HTML page that needs nothing else."""

from collections.abc import Sequence
from html import escape

import numpy as np

from physgen.plots import CaptionedFigure
from physgen.validation import html
from physgen.validation.clouds_view import CloudView
from physgen.validation.groups import describe_parameters
from physgen.validation.report import Report, StatisticResult
from physgen.validation.verdict import Grade

_COLUMNS = (
    ("statistic", ""),
    ("rms z", "difference of means over a single box's scatter, rms over bins and parameter sets"),
    ("max |z|", "the largest of them, established by a test or not"),
    ("floor", "rms z of held-out boxes against held-out boxes, at the same numbers of boxes"),
    ("noise", "rms z expected from chance alone, sqrt(1/n + 1/m)"),
    ("p, mean", "permutation test of the means"),
    ("Holm", "the same, corrected for the number of tests"),
    ("p, scatter", "permutation test of the scatter between boxes"),
    ("Holm", "the same, corrected for the number of tests"),
)

_JOINT = (
    ("test", ""),
    ("statistic", "large values speak against the generated boxes"),
    ("p", "of equal ensembles"),
    ("Holm", "the same, corrected for the number of tests"),
    ("null distribution", ""),
)
Shown = CaptionedFigure | CloudView

_COLOURS = {Grade.INDISTINGUISHABLE: "good", Grade.DISTINGUISHABLE: "fair", Grade.FAKE: "bad"}


def page(report: Report, figures: Sequence[Shown], title: str) -> str:
    """The whole page: verdict, table of statistics, notes, figures inline, clouds that turn."""
    return html.document(
        title,
        [
            html.verdict(_COLOURS[report.grade], report.headline, report.findings),
            _table(report),
            _joint(report),
            _memorisation(report),
            _groups(report),
            html.notes(report.notes),
            *map(_shown, figures),
        ],
    )


def _table(report):
    cells = [_row(result, report.alpha) for result in report.statistics]
    return "\n".join(
        [
            "<h2>Statistics</h2>",
            html.table(_COLUMNS, [row for row, _ in cells], [bold for _, bold in cells]),
            html.small(
                "z is the difference of means, generated minus held-out, in units of a single "
                "held-out box's scatter. Floor: held-out boxes against held-out boxes, random "
                "halves scaled to the same numbers of boxes. Noise: what chance alone gives, "
                f"sqrt(1/n + 1/m). p-values: {report.draws} relabellings; Holm: corrected for all "
                f"tests, below {report.alpha:g} (bold) is a finding."
            ),
        ]
    )


def _row(result: StatisticResult, alpha):
    sizes = (result.rms_z, result.max_z, result.floor_z, result.noise_z)
    row, bold = [result.statistic.name, *map(_number, sizes)], [False] * (1 + len(sizes))
    for test in (result.mean_test, result.spread_test):
        p_value = np.nan if np.isnan(test.p_adjusted) else test.p_value
        row += [html.p_value(p) for p in (p_value, test.p_adjusted)]
        bold += [bool(test.p_adjusted < alpha)] * 2
    return row, bold


def _shown(what):
    return what.to_html() if isinstance(what, CloudView) else html.figure(what)


def _joint(report):
    if not report.joint:
        return ""
    rows = [
        (
            t.name,
            f"{t.statistic:.4g}",
            html.p_value(t.p_value, 4),
            html.p_value(t.p_adjusted, 4),
            t.null,
        )
        for t in report.joint
    ]
    wrong = [bool(t.p_adjusted < report.alpha) for t in report.joint]
    return "\n".join(
        [
            "<h2>All statistics together</h2>",
            html.table(_JOINT, rows, [[False, False, w, w, False] for w in wrong]),
            html.small(
                "Hotelling: T^2 of the means. Covariance: squared difference of covariances. C2ST: "
                "accuracy of a classifier on boxes it has not seen, by chance 0.5 or, of unequal "
                "numbers, the share of the larger. PQMass: chi^2 of counts in random cells. KPD: "
                "unbiased kernel distance. Frechet: squared distance, extrapolated to ensembles of "
                "infinite size. Wasserstein: the largest distance of a bin, in units of its "
                "scatter."
            ),
        ]
    )


def _memorisation(report):
    found = report.memorisation
    if found is None:
        return "<h2>Memorisation</h2><p>Not tested: that needs training boxes to compare with.</p>"
    copies, rank = (html.p_value(p, equals="= ") for p in (found.p_copies, found.p_rank))
    together, adjusted = (html.p_value(p, 4, "= ") for p in (found.p_value, found.p_adjusted))
    return (
        f"<h2>Memorisation</h2><p>{found.copies} of {found.compared} generated "
        f"boxes are nearer to a training box than any held-out box is (p {escape(copies)}). "
        f"Mann-Whitney z of the distances: {found.z:.2f} (negative: nearer than held-out boxes; "
        f"p {escape(rank)}). Both together: p {escape(together)}, corrected for the "
        f"number of tests p {escape(adjusted)}. {found.identical} are "
        "the same as a training box. Moved, mirrored, rotated and reordered copies count as "
        "copies.</p>"
    )


def _groups(report):
    if report.pooled or not report.parameter_names:
        return ""
    rows = [
        (
            describe_parameters(report.parameter_names, group.parameters),
            str(len(group.real)),
            str(len(group.generated)),
        )
        for group in report.groups
    ]
    columns = (("parameters", ""), ("held-out boxes", ""), ("generated boxes", ""))
    return f"<h2>Parameter sets</h2>{html.table(columns, rows)}"


def _number(value):
    if np.isnan(value):
        return "n/a"
    return "infinite" if np.isinf(value) else f"{value:.2f}"
