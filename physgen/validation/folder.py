"""A report as a folder: report.html for people, summary.json for machines."""

import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from physgen.errors import InputError
from physgen.plots import CaptionedFigure
from physgen.validation.page import page
from physgen.validation.report import Report

_FILES = {"report.html", "summary.json"}


def write_report(
    folder: str | os.PathLike[str],
    report: Report,
    figures: Sequence[CaptionedFigure] = (),
    *,
    title: str = "Validation",
    overwrite: bool = False,
) -> None:
    """Write `report` and its figures to `folder`: report.html, in which everything is inline, and
    summary.json.

    The folder appears when it is complete. Raises InputError if it exists and is not empty, unless
    `overwrite` is True and it holds an earlier report and nothing else; and if its parent folder is
    missing or not writable.
    """
    folder = Path(folder)
    require_free(folder, overwrite)
    new = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:12]}"
    new.mkdir()
    try:
        (new / "report.html").write_text(page(report, figures, title), encoding="utf-8")
        (new / "summary.json").write_text(report.to_json() + "\n", encoding="utf-8")
        if folder.exists():
            old = new.with_name(new.name + ".old")
            os.replace(folder, old)
            os.replace(new, folder)
            shutil.rmtree(old)
        else:
            os.replace(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def require_free(folder: Path, overwrite: bool) -> None:
    """InputError unless a report can be written to `folder`."""
    if not folder.name:
        raise InputError(f"expected the name of a folder for the report, got {str(folder)!r}")
    if not folder.parent.is_dir():
        raise InputError(f"folder {folder.parent} does not exist: create it first")
    if not os.access(folder.parent, os.W_OK):
        raise InputError(f"folder {folder.parent} is not writable: choose another one")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file: give the name of a folder")
    inside = {path.name for path in folder.iterdir()}
    if inside and not overwrite:
        raise InputError(
            f"{folder} exists and is not empty: choose another folder, or overwrite it (--force, "
            "overwrite=True)"
        )
    if inside - _FILES:
        raise InputError(
            f"{folder} holds more than a report ({sorted(inside - _FILES)[0]}): it is not "
            "overwritten; choose another folder"
        )
