"""Shots and amplitudes from files, and to them.

Shots are text, NPY, NPZ, HDF5 or JSON. In JSON they are counts: {"00": 510, "11": 490}, or such a
dictionary for each basis, {"XX": {...}, "ZZ": {...}}, or what Qiskit writes of a result. A bit
string is read as it is written: its first character is the first site and the most significant bit
of a basis index, which is Qiskit's last qubit. NPZ and HDF5 may hold a control beside the shots,
such as a time: an array with a number for each.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Complex, Float

from physgen.errors import InputError
from physgen.io import atomic_path, open_hdf5, write_header
from physgen.io.npz import read_npz
from physgen.spins.tomography.shots import Shots

KIND = "shots"
NAMES = ("outcomes", "shots", "samples", "configurations")


def read_shots(path: str | os.PathLike[str], bases: str | os.PathLike[str] | None = None) -> Shots:
    """The shots in a file.

    Args:
        path: text (.txt or any other name; 0 and 1, apart or not, one row a shot), .npy, .npz or
            .h5 (`outcomes`, and `bases` where there are some), .json (counts).
        bases: a string of letters X, Y and Z for all shots, or a file of such: one row for all
            shots or one for each. It replaces those in the file of shots.

    Raises:
        InputError: for a file that is missing or something else, and as `Shots.of`.
    """
    return read_shots_and_controls(path, bases)[0]


def read_shots_and_controls(
    path: str | os.PathLike[str], bases: str | os.PathLike[str] | None = None
) -> tuple[Shots, dict[str, np.ndarray]]:
    """The shots in a file, and the arrays beside them that hold a number for each, by name.

    Arguments and errors are those of `read_shots`; only .npz and .h5 files have such arrays.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"expected a file of shots, found none at {path}; check the name")
    suffix, arrays, inside = path.suffix.lower(), _arrays(path), None
    if arrays is not None:
        outcomes, inside = _outcomes(arrays, path), _bases_of(arrays)
    elif suffix == ".json":
        outcomes, inside = _read_counts(path)
    else:
        outcomes = _read_npy(path) if suffix == ".npy" else _read_text(path)
    shots = Shots.of(outcomes, inside if bases is None else _bases(bases))
    controls = {
        name: array
        for name, array in sorted((arrays or {}).items())
        if np.shape(array) == (len(shots),) and array.dtype.kind in "biuf"
    }
    return shots, controls


def control_columns(
    controls: Mapping[str, np.ndarray], names: Sequence[str]
) -> Float[np.ndarray, "b columns"]:
    """Some of the arrays beside the shots of a file, as columns.

    Raises:
        InputError: for a name that is given twice or is none of theirs.
    """
    if len(set(names)) < len(names):
        raise InputError(f"expected every name of the control once, got {', '.join(names)}")
    for name in names:
        if name not in controls:
            raise InputError(
                f"expected an array {name!r} with a number for each shot beside them, found "
                f"{', '.join(controls) or 'none'}; .npz and .h5 files can hold it"
            )
    return np.stack([controls[name].astype(float) for name in names], axis=1)


def varying(controls: Mapping[str, np.ndarray]) -> list[str]:
    """The names of those arrays that vary, that of fewest values first."""
    values = {name: len(np.unique(array)) for name, array in controls.items()}
    return sorted((name for name in values if values[name] > 1), key=values.__getitem__)


def counts_as_shots(counts: dict[str, Any]) -> Shots:
    """The shots of a dictionary of counts, one for all or one for each basis."""
    outcomes, bases = _expanded(counts, "the dictionary")
    return Shots.of(outcomes, bases)


def save_shots(path: str | os.PathLike[str], shots: Shots, *, overwrite: bool = False) -> None:
    """Write shots as .h5 or .npz (`outcomes`, `bases`) or as .json (counts by basis).

    Raises:
        InputError: for another suffix, or if the file is there.
    """
    path = Path(path)
    arrays = {"outcomes": shots.outcomes.astype(np.uint8), "bases": np.array(shots.strings, "S")}
    with atomic_path(path, overwrite) as temporary:
        if path.suffix in (".h5", ".hdf5"):
            with h5py.File(temporary, "w") as file:
                write_header(file, KIND)
                for name, array in arrays.items():
                    file[name] = array
        elif path.suffix == ".npz":
            np.savez_compressed(temporary, **arrays)
        elif path.suffix == ".json":
            counts: dict[str, dict[str, int]] = {}
            rows, index = shots.distinct_rows()
            numbers = np.bincount(index)
            for basis, row, number in zip(rows.strings, rows.outcomes, numbers, strict=True):
                counts.setdefault(basis, {})["".join(map(str, row))] = int(number)
            temporary.write_text(json.dumps(counts))
        else:
            raise InputError(f"expected a name that ends in .h5, .npz or .json, got {path.name}")


def read_amplitudes(path: str | os.PathLike[str], sites: int) -> Complex[np.ndarray, " d"]:
    """The 2^n amplitudes in a text or .npy file, normalised.

    Two columns, real and imaginary part (one column for real ones; .npy may be complex). The first
    site is the most significant bit of the row's number.

    Raises:
        InputError: for another number of rows, or what is no state.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"expected a file of amplitudes, found none at {path}; check the name")
    table = _read_npy(path) if path.suffix.lower() == ".npy" else _read_numbers(path)
    if table.dtype.kind not in "biufc":
        raise InputError(f"expected numbers in {path}, got {table.dtype}")
    if table.ndim == 2 and table.shape[1] == 2 and table.dtype.kind != "c":
        table = table[:, 0] + 1j * table[:, 1]
    amplitudes = np.asarray(table, complex).reshape(-1) if table.size == 2**sites else table
    if amplitudes.shape != (2**sites,):
        raise InputError(
            f"expected {2**sites} amplitudes for {sites} sites in {path}, one row (re, im) for "
            f"each basis state, got an array of shape {table.shape}"
        )
    norm = np.linalg.norm(amplitudes)
    if not (np.isfinite(norm) and norm > 0):
        raise InputError(f"expected finite amplitudes, not all zero, in {path}")
    return amplitudes / norm


def save_amplitudes(
    path: str | os.PathLike[str], amplitudes: Complex[np.ndarray, " d"], *, overwrite: bool = False
) -> None:
    """Write amplitudes as text, real and imaginary part, as `read_amplitudes` reads them."""
    with atomic_path(path, overwrite) as temporary:
        np.savetxt(temporary, np.stack([np.real(amplitudes), np.imag(amplitudes)], axis=1), "%.17g")


def _read_text(path: Path) -> np.ndarray:
    rows = [line.split() for line in _text(path).splitlines()]
    rows = [list("".join(row)) if set("".join(row)) <= {"0", "1"} else row for row in rows if row]
    if not rows:
        raise InputError(f"expected rows of 0 and 1 in {path}, found it empty")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise InputError(
                f"expected {len(rows[0])} sites in every row of {path}, got {len(row)} in row "
                f"{number}"
            )
        if any(word not in ("0", "1", "0.0", "1.0") for word in row):
            try:
                [float(word) for word in row]
            except ValueError:
                bad = " ".join(row)
                raise InputError(
                    f"expected shots of 0 and 1 in {path}, got {bad!r} in row {number}"
                ) from None
    return np.array(rows, float)


def _read_numbers(path: Path) -> np.ndarray:
    try:
        return np.array([[float(w) for w in line.split()] for line in _text(path).splitlines()
                         if line.split()])  # fmt: skip
    except ValueError:
        raise InputError(f"expected rows of numbers of equal length in {path}") from None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except UnicodeDecodeError:
        raise InputError(
            f"expected text in {path}, found binary data; name it .npy, .npz or .h5"
        ) from None


def _read_npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"expected an array of numbers in {path}: {error}") from None


def _arrays(path: Path) -> dict[str, Any] | None:
    """All arrays of a .npz or .h5 file; None for another one."""
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return read_npz(path)
    if suffix in (".h5", ".hdf5"):
        with open_hdf5(path) as file:
            return {k: v[()] for k, v in file.items() if isinstance(v, h5py.Dataset)}
    return None


def _outcomes(arrays: dict[str, Any], path: Path) -> Any:
    """By what it is called, or because it is the one table of numbers."""
    tables = [k for k, v in arrays.items() if np.ndim(v) == 2 and v.dtype.kind in "biuf"]
    name = next((name for name in NAMES if name in arrays), None)
    if name is None and len(tables) == 1:
        name = tables[0]
    if name is None:
        raise InputError(
            f"expected an array {NAMES[0]!r} of shape (shots, sites) in {path}, found "
            f"{', '.join(sorted(arrays)) or 'none'}; name it so"
        )
    return arrays[name]


def _bases_of(arrays: dict[str, Any]) -> Any:
    bases = arrays.get("bases")
    if bases is not None and bases.dtype.kind in "SO":
        return [text.decode() if isinstance(text, bytes) else text for text in bases.tolist()]
    return bases


def _read_counts(path: Path) -> tuple[np.ndarray, Any]:
    try:
        counts = json.loads(_text(path))
    except ValueError:
        raise InputError(f"expected JSON in {path}; write counts as a dictionary") from None
    return _expanded(counts, str(path))


def _expanded(counts: Any, where: str) -> tuple[np.ndarray, list[str] | None]:
    if isinstance(counts, dict) and isinstance(counts.get("results"), list):
        parts = [_of_result(result, where) for result in counts["results"]]
    elif isinstance(counts, dict) and any(isinstance(v, dict) for v in counts.values()):
        parts = [(basis, given, None) for basis, given in counts.items()]
    else:
        parts = [(None, counts, None)]
    rows: list[list[int]] = []
    bases: list[str | None] = []
    for basis, given, width in parts:
        if not isinstance(given, dict) or not given:
            raise InputError(f"expected counts such as {{'01': 12}} in {where}, got {given!r}")
        for string, number in given.items():
            row = _bits(string, width, where)
            if not isinstance(number, int) or isinstance(number, bool) or number < 0:
                raise InputError(
                    f"expected a whole number of shots of {string!r} in {where}, got {number!r}"
                )
            if rows and len(row) != len(rows[0]):
                raise InputError(
                    f"expected bit strings of {len(rows[0])} sites in {where}, got {string!r}"
                )
            rows += [row] * number
            bases += [basis] * number
    if not rows:
        raise InputError(f"expected at least one shot in {where}, got counts of zero")
    if all(basis is None for basis in bases):
        return np.array(rows), None
    return np.array(rows), [basis or "Z" * len(rows[0]) for basis in bases]


def _of_result(result: Any, where: str) -> tuple[str | None, Any, int | None]:
    """Counts of one circuit of Qiskit's result; its basis is in the metadata or not at all."""
    try:
        header = result.get("header") or {}
        given = header.get("metadata") or {}
        basis = given.get("basis") if isinstance(given, dict) else None
        return basis, result["data"]["counts"], header.get("memory_slots")
    except (AttributeError, KeyError, TypeError):
        raise InputError(
            f"expected data and counts in each of the results in {where}, found none"
        ) from None


def _bits(string: str, width: int | None, where: str) -> list[int]:
    text = "".join(string.split())
    if text.startswith("0x"):
        if width is None:
            raise InputError(
                f"expected memory_slots beside {string!r} in {where}, to know how many sites "
                "there are; give bit strings"
            )
        try:
            text = f"{int(text, 16):0{width}b}"
        except ValueError:
            text = ""
    if not text or set(text) - set("01"):
        raise InputError(f"expected bit strings of 0 and 1 in {where}, got {string!r}")
    return [int(bit) for bit in text]


def _bases(given: str | os.PathLike[str]) -> Any:
    """Letters as they are; of a file, one string for each row."""
    path = Path(given)
    if path.suffix.lower() == ".npy" and path.is_file():
        return _read_npy(path)
    if path.is_file():
        rows = [line for line in _text(path).splitlines() if line.strip()]
        return rows or [""]
    if set("".join(str(given).split()).upper()) <= set("XYZ"):
        return str(given)
    raise InputError(
        f"expected a string of the letters X, Y and Z, or a file of such, for the bases, got "
        f"{str(given)!r}, which is neither"
    )
