"""The pieces of an HTML page that needs nothing else: everything is inline."""

import base64
import math
from collections.abc import Sequence
from html import escape
from io import BytesIO

from physgen.plots import CaptionedFigure

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.verdict { border-left: 0.5rem solid; padding: 0.6rem 1rem; background: #f5f5f5; }
.verdict strong { font-size: 1.15rem; } .verdict ul { margin: 0.4rem 0 0; padding-left: 1.2rem; }
.good { border-color: #1b7f4b; } .fair { border-color: #c98a00; } .bad { border-color: #b3261e; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.6rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
th { font-weight: 600; vertical-align: bottom; }
td b { font-weight: 700; } .scroll { overflow-x: auto; }
figure { margin: 1rem 0; } figure img { max-width: 100%; } figcaption, .small { color: #555;
font-size: 0.88rem; }
.clouds { display: flex; flex-wrap: wrap; gap: 1rem; } .clouds > div { flex: 1 1 18rem;
max-width: 30rem; } .clouds canvas { width: 100%; aspect-ratio: 1; border: 1px solid #ddd;
cursor: grab; touch-action: none; }
"""
_DPI = 130


def document(title: str, blocks: Sequence[str]) -> str:
    """A whole page of blocks of HTML, its title above them."""
    return "\n".join(
        [
            "<!DOCTYPE html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<style>{_STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            *blocks,
            "</body></html>",
            "",
        ]
    )


def verdict(colour: str, headline: str, findings: Sequence[str]) -> str:
    """A sentence, with what was found below it; `colour` is good, fair or bad."""
    items = "".join(f"<li>{escape(text)}</li>" for text in findings)
    return (
        f'<div class="verdict {colour}"><strong>{escape(headline[:1].upper() + headline[1:])}.'
        f"</strong>{f'<ul>{items}</ul>' if items else ''}</div>"
    )


def table(
    columns: Sequence[tuple[str, str]],
    rows: Sequence[Sequence[str]],
    bold: Sequence[Sequence[bool]] | None = None,
) -> str:
    """A table of texts; columns are (name, hint), `bold` says which cells stand out."""
    head = "".join(f'<th title="{escape(hint)}">{escape(name)}</th>' for name, hint in columns)
    marks = bold or [[False] * len(row) for row in rows]
    body = "\n".join(
        f"<tr>{''.join(map(_cell, row, mark))}</tr>" for row, mark in zip(rows, marks, strict=True)
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        "</div>"
    )


def p_value(p: float, digits: int = 3, equals: str = "") -> str:
    """A p-value to so many digits, "< 0.001" where none of them would show; NaN is "n/a".

    `equals` stands before a number that is shown, for sentences.
    """
    least = 10.0**-digits
    if p < least:
        return f"< {least:.{digits}f}"
    return "n/a" if math.isnan(p) else f"{equals}{p:.{digits}f}"


def _cell(text: str, bold: bool) -> str:
    return f"<td><b>{escape(text)}</b></td>" if bold else f"<td>{escape(text)}</td>"


def notes(texts: Sequence[str]) -> str:
    """A list of remarks, nothing where there is none."""
    if not texts:
        return ""
    return "<h2>Notes</h2><ul>" + "".join(f"<li>{escape(n)}</li>" for n in texts) + "</ul>"


def small(text: str) -> str:
    """A paragraph in small print."""
    return f'<p class="small">{escape(text)}</p>'


def png(captioned: CaptionedFigure) -> bytes:
    """The figure as a PNG file."""
    buffer = BytesIO()
    captioned.figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def figure(captioned: CaptionedFigure, image: bytes | None = None) -> str:
    """The figure with its title and caption; `image` is its PNG file, drawn if None."""
    data = base64.b64encode(png(captioned) if image is None else image).decode("ascii")
    return (
        f"<h2>{escape(captioned.title)}</h2><figure>"
        f'<img alt="{escape(captioned.title)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(captioned.caption)}</figcaption></figure>"
    )
