"""One output of a simulation that is kept in several files, NAME.0, NAME.1, ..."""

import re
from pathlib import Path

from physgen.errors import InputError


def chunks(path: Path, pattern: str) -> list[Path]:
    """All files of the output that `path` is a part of, or the folder of, by their numbers.

    pattern matches the name of a file, with the groups `output` and `chunk` (a number, or nothing
    where the output is one file).

    Raises InputError for a folder that holds several outputs.
    """
    folder = path if path.is_dir() else path.parent
    found = [m for m in (re.fullmatch(pattern, p.name) for p in folder.iterdir()) if m]
    if not path.is_dir():
        own = re.fullmatch(pattern, path.name)
        if own is None or own["chunk"] is None:
            return [path]
        found = [m for m in found if m["output"] == own["output"] and m["chunk"] is not None]
    outputs = sorted({m["output"] for m in found})
    if len(outputs) != 1:
        raise InputError(
            f"{path} holds {len(outputs)} outputs ({', '.join(outputs[:4])}, ...): expected one; "
            "give one of the files"
        )
    found.sort(key=lambda m: int(m["chunk"] or 0))
    return [folder / m.string for m in found]


def chunks_from_zero(path: Path, pattern: str) -> list[Path]:
    """The same of an output whose files do not say how many there are.

    Raises InputError where their numbers do not begin at 0, or leave one out.
    """
    files = chunks(path, pattern)
    numbers = [int(m["chunk"]) for m in (re.fullmatch(pattern, file.name) for file in files) if m]
    if numbers and numbers != list(range(len(numbers))):
        raise InputError(
            f"{path}: expected files from 0 to {numbers[-1]} without a gap, got {numbers}; copy "
            "the missing ones"
        )
    return files
