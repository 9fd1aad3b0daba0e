"""A report as one HTML page that needs nothing else."""

import base64
from collections.abc import Sequence
from html import escape
from io import BytesIO

import numpy as np

from physgen.plots import CaptionedFigure
from physgen.validation.groups import describe_parameters
from physgen.validation.report import Report, StatisticResult

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.verdict { border-left: 0.5rem solid; padding: 0.6rem 1rem; background: #f5f5f5; }
.verdict strong { font-size: 1.15rem; } .verdict ul { margin: 0.4rem 0 0; padding-left: 1.2rem; }
.indistinguishable { border-color: #1b7f4b; } .distinguishable { border-color: #c98a00; }
.fake { border-color: #b3261e; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.6rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
th { font-weight: 600; vertical-align: bottom; }
td.bad { font-weight: 700; } .scroll { overflow-x: auto; }
figure { margin: 1rem 0; } figure img { max-width: 100%; } figcaption, .small { color: #555;
font-size: 0.88rem; }
"""
_COLUMNS = (
    ("statistic", ""),
    ("rms z", "difference of means over a single box's scatter, rms over bins and parameter sets"),
    ("max |z|", "the largest of them"),
    ("floor", "rms z of held-out boxes against held-out boxes, at the same numbers of boxes"),
    ("noise", "rms z expected from chance alone, sqrt(1/n + 1/m)"),
    ("p, mean", "permutation test of the means"),
    ("Holm", "the same, corrected for the number of tests"),
    ("p, scatter", "permutation test of the scatter between boxes"),
    ("Holm", "the same, corrected for the number of tests"),
)


def page(report: Report, figures: Sequence[CaptionedFigure], title: str) -> str:
    """The whole page: verdict, table of statistics, notes, figures as inline PNG."""
    return "\n".join(
        [
            "<!DOCTYPE html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<style>{_STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            _verdict(report),
            _table(report),
            _memorisation(report),
            _groups(report),
            _notes(report),
            *(_figure(figure) for figure in figures),
            "</body></html>",
            "",
        ]
    )


def _verdict(report):
    findings = "".join(f"<li>{escape(text)}</li>" for text in report.findings)
    return (
        f'<div class="verdict {report.grade.value}"><strong>{escape(_capital(report.headline))}.'
        f"</strong>{f'<ul>{findings}</ul>' if findings else ''}</div>"
    )


def _table(report):
    head = "".join(f'<th title="{escape(hint)}">{escape(name)}</th>' for name, hint in _COLUMNS)
    rows = "\n".join(_row(result, report.alpha) for result in report.statistics)
    return (
        f'<h2>Statistics</h2><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        '<p class="small">z is the difference of means, generated minus held-out, in units of a '
        "single held-out box's scatter. Floor: held-out boxes against held-out boxes, random "
        "halves scaled to the same numbers of boxes. Noise: what chance alone gives, "
        f"sqrt(1/n + 1/m). p-values: {report.draws} relabellings; Holm: corrected for all tests, "
        f"below {report.alpha:g} (bold) is a finding.</p>"
    )


def _row(result: StatisticResult, alpha):
    cells = [
        _number(value) for value in (result.rms_z, result.max_z, result.floor_z, result.noise_z)
    ]
    cells = [f"<td>{cell}</td>" for cell in cells]
    for test in (result.mean_test, result.spread_test):
        bad = ' class="bad"' if test.p_adjusted < alpha else ""
        p_value = np.nan if np.isnan(test.p_adjusted) else test.p_value
        cells += [f"<td{bad}>{_number(p, 3)}</td>" for p in (p_value, test.p_adjusted)]
    return f"<tr><td>{escape(result.statistic.name)}</td>{''.join(cells)}</tr>"


def _memorisation(report):
    found = report.memorisation
    if found is None:
        return "<h2>Memorisation</h2><p>Not tested: give the training boxes to compare with.</p>"
    return (
        f"<h2>Memorisation</h2><p>{found.copies} of {found.compared} generated "
        f"boxes are nearer to a training box than any held-out box is (p = {found.p_copies:.3f}). "
        f"Mann-Whitney z of the distances: {found.z:.2f} (negative: nearer than held-out boxes; "
        f"p = {found.p_rank:.3f}). Both together: p = {found.p_value:.3f}. {found.identical} are "
        "the same as a training box. Moved, mirrored, rotated and reordered copies count as "
        "copies.</p>"
    )


def _groups(report):
    if report.pooled or not report.parameter_names:
        return ""
    rows = "".join(
        f"<tr><td>{escape(describe_parameters(report.parameter_names, group.parameters))}</td>"
        f"<td>{len(group.real)}</td><td>{len(group.generated)}</td></tr>"
        for group in report.groups
    )
    return (
        "<h2>Parameter sets</h2><table><thead><tr><th>parameters</th><th>held-out boxes</th>"
        f"<th>generated boxes</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _notes(report):
    if not report.notes:
        return ""
    return "<h2>Notes</h2><ul>" + "".join(f"<li>{escape(n)}</li>" for n in report.notes) + "</ul>"


def _figure(captioned):
    buffer = BytesIO()
    captioned.figure.savefig(buffer, format="png", dpi=130)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f"<h2>{escape(captioned.title)}</h2><figure>"
        f'<img alt="{escape(captioned.title)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(captioned.caption)}</figcaption></figure>"
    )


def _number(value, digits=2):
    if np.isnan(value):
        return "n/a"
    return "infinite" if np.isinf(value) else f"{value:.{digits}f}"


def _capital(text):
    return text[:1].upper() + text[1:]
