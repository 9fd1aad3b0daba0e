"""Rows that a long command computes one after the other, kept in a file as they come."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from physgen.cli.options import as_json
from physgen.errors import InputError


class KeptRows:
    """Rows of JSON values, in a file that is replaced with each that is added.

    Args:
        path: of the file; its rows are there from the start if it exists.
        made_with: what the rows depend on, see `made_of`.

    Raises:
        InputError: if the file is of another kind, or was made with something else.
    """

    def __init__(self, path: Path, made_with: str):
        self.path = path
        self.made_with = made_with
        self.rows: list[Any] = self._read() if path.exists() else []

    def append(self, row: Any) -> None:
        """Add a row, and write all."""
        from physgen.io import atomic_path

        self.rows.append(row)
        with atomic_path(self.path, overwrite=True) as temporary:
            temporary.write_text(as_json({"made_with": self.made_with, "rows": self.rows}))

    def _read(self) -> list[Any]:
        try:
            kept = json.loads(self.path.read_text())
            rows, made_with = list(kept["rows"]), kept["made_with"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"expected a checkpoint of this command in {self.path}, found something else; "
                "delete it"
            ) from error
        if made_with != self.made_with:
            raise InputError(
                f"expected the files and options that {self.path} was made with, got others; give "
                "them, or --force without --resume to start anew"
            )
        return rows


def made_of(files: Sequence[Path], asked: Any) -> str:
    """A fingerprint of the contents of files or folders, and of JSON values or arrays."""
    each = [sorted(path.rglob("*")) if path.is_dir() else [path] for path in files]
    contents = [
        hashlib.sha256(path.read_bytes()).hexdigest()
        for paths in each
        for path in paths
        if path.is_file()
    ]
    return hashlib.sha256(as_json({"files": contents, "asked": asked}).encode()).hexdigest()
