"""Tables of numbers in text: galaxies in columns, and the parameters of simulations."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from physgen.errors import InputError
from physgen.words import of_other_case

_LABELS = ("name", "simulation", "sim", "folder")
_NO_PARAMETERS = ("seed",)


class ParameterTable(NamedTuple):
    """The parameters of simulations: values (n, p) with their names, and a label for each row.

    labels are the names of the simulations, or None where the table has none.
    """

    names: tuple[str, ...]
    values: Float[np.ndarray, "n p"]
    labels: tuple[str, ...] | None


def read_parameters(path: Path, columns: Sequence[str] | None = None) -> ParameterTable:
    """A table of parameters in text, one row a simulation.

    Commas or white space between; the first line names the columns, with or without a #. A first
    column of words, or one called name, simulation, sim or folder, labels the rows, as in the
    CosmoAstroSeed files of CAMELS (`#Name Omega_m sigma_8 ... seed`). A column called seed is no
    parameter and is left out unless it is asked for.

    columns: the parameters that are wanted; all if not given. Where the first line is numbers
    already, as in latin_hypercube_params.txt of Quijote, they name the columns of parameters.

    Raises InputError for a file that is no such table, and for columns that it has not.
    """
    rows = _rows(path)
    if rows[0][0] == "" and all(_is_number(row[0]) for row in rows[1:]):
        rows = [row[1:] for row in rows]  # the index that pandas writes
    headed = not any(_is_number(entry) for entry in rows[0])
    names = [entry.strip('"') for entry in rows[0]] if headed else None
    body = rows[1:] if headed else rows
    if not body:
        raise InputError(f"{path} is empty: it has columns {names} and no rows")
    width = len(body[0] if names is None else names)
    for number, row in enumerate(body, start=1):
        if len(row) != width:
            raise InputError(
                f"{path}: row {number} has {len(row)} values, expected {width} as in the first line"
            )
    labels = None
    called = names is not None and names[0].lower() in _LABELS
    if called or not any(_is_number(row[0]) for row in body):
        labels = tuple(row[0] for row in body)
        body = [row[1:] for row in body]
        names = names and names[1:]
    try:
        values = np.array(body, dtype=np.float64)
    except ValueError as error:
        raise _unreadable(path, "a table of numbers", error) from error
    if names is None:
        return _named(path, columns, values, labels)
    if len(set(names)) != len(names):
        raise InputError(f"{path}: each column needs a name of its own, got {names}")
    wanted = [n for n in names if n.lower() not in _NO_PARAMETERS] if columns is None else columns
    missing = [name for name in wanted if name not in names]
    if missing or not wanted:
        raise InputError(
            f"{path} has no columns {missing}: expected some of {names}"
            f"{of_other_case(missing, names)}"
        )
    chosen = values[:, [names.index(name) for name in wanted]]
    return ParameterTable(tuple(wanted), chosen, labels)


def _named(path, columns, values, labels):
    if columns is None or len(columns) != values.shape[1]:
        raise InputError(
            f"{path} has no first line of names: expected names for its {values.shape[1]} columns "
            f"of parameters, got {'none' if columns is None else list(columns)}; give them "
            "(--columns, columns=), or write a first line"
        )
    return ParameterTable(tuple(columns), values, labels)


def _rows(path):
    try:
        lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, "a text table", error) from error
    if not lines:
        raise InputError(f"{path} is empty: expected a line of column names, then a row each")
    rows = [line for line in lines if not line.startswith("#")]
    above = list(itertools.takewhile(lambda line: line.startswith("#"), lines))
    headers = [_split(line.lstrip("# ")) for line in above]
    split = [_split(line) for line in rows]
    if not rows:
        return headers[:1]
    if len(above) > 1:
        headers = [header for header in headers if len(header) == len(split[0])]
        if len(headers) != 1:
            raise InputError(
                f"{path}: expected one line above the numbers that names their {len(split[0])} "
                f"columns, got {len(above)} lines with #, {len(headers) or 'none'} of as many "
                "words; leave the names alone there"
            )
    return headers + split


def _split(line):
    return re.split(r"\s*,\s*" if "," in line else r"\s+", line.rstrip(", "))


def read_table(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """The column names and the float64 values (rows, columns) of a text table with a header."""
    try:
        lines = [line for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, "a text table", error) from error
    if not lines:
        raise InputError(f"{path} is empty: expected a line of column names, then one row a galaxy")
    delimiter = "," if "," in lines[0] else None
    names = [name.strip().strip('"') for name in lines[0].lstrip("# ").split(delimiter)]
    if any(_is_number(name) for name in names):
        raise InputError(f"{path}: the first line must name the columns, got {lines[0]!r:.80}")
    unnamed = names[0] == ""  # the index that pandas writes
    if len(set(names)) != len(names):
        raise InputError(f"{path}: each column needs a name of its own, got {names}")
    rows = [line.strip().rstrip(",") if delimiter else line for line in lines[1:]]
    if not rows:
        raise InputError(f"{path} is empty: it has columns {names} and no rows")
    for number, row in enumerate(rows, start=1):
        width = len(row.split(delimiter))
        if width != len(names):
            raise InputError(
                f"{path}: row {number} has {width} values, expected one for each "
                f"of the {len(names)} columns {', '.join(names)}"
            )
    try:
        table = np.loadtxt(rows, delimiter=delimiter, ndmin=2)
    except ValueError as error:
        raise _unreadable(path, "a table of numbers", error) from error
    return (tuple(names[1:]), table[:, 1:]) if unnamed else (tuple(names), table)


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def _unreadable(path, expected, error):
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(f"{path} cannot be read as {expected} ({reason}): write or copy it again")
