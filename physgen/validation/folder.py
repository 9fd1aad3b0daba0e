"""A report as a folder: report.html for people, summary.json for machines."""

import os
import shutil
import uuid
from collections.abc import Iterable, Sequence, Set
from pathlib import Path

from physgen.errors import InputError
from physgen.validation.page import Shown, page
from physgen.validation.report import Report

_FILES = frozenset({"report.html", "summary.json"})


def write_report(
    folder: str | os.PathLike[str],
    report: Report,
    figures: Sequence[Shown] = (),
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

    def files():
        yield "report.html", page(report, figures, title).encode()
        yield "summary.json", f"{report.to_json()}\n".encode()

    write_folder(folder, files(), known=_FILES, overwrite=overwrite)


def write_folder(
    folder: str | os.PathLike[str],
    files: Iterable[tuple[str, bytes]],
    *,
    known: Set[str],
    overwrite: bool = False,
) -> None:
    """Write (name, content) pairs as the files of `folder`, which appears when it is complete.

    `known` are the names of all files that an earlier folder of this sort may hold. Raises
    InputError as `write_report`.
    """
    folder = Path(folder)
    require_free(folder, overwrite, known)
    new = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:12]}"
    new.mkdir()
    try:
        for name, content in files:
            (new / name).write_bytes(content)
        if folder.exists():
            old = new.with_name(new.name + ".old")
            os.replace(folder, old)
            os.replace(new, folder)
            shutil.rmtree(old)
        else:
            os.replace(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def require_free(folder: Path, overwrite: bool, known: Set[str] = _FILES) -> None:
    """InputError unless a report, of files of `known` names, can be written to `folder`."""
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
    if inside - known:
        raise InputError(
            f"{folder} holds more than a report ({sorted(inside - known)[0]}): it is not "
            "overwritten; choose another folder"
        )
