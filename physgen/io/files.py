"""Files as a whole: writing by renaming, opening with one-line errors, headers and JSON."""

import dataclasses
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np

from physgen import __version__
from physgen.errors import InputError

SCHEMA_VERSION = 1
CLASS = "class"


def require_writable(path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Raise InputError if a file cannot be written at `path`.

    That is if `path` exists (unless `overwrite`) or is a folder, and if its folder is missing or
    not writable: folders are not made.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the name of a file")
    if path.exists() and not overwrite:
        raise InputError(
            f"{path} exists already: choose another name, or overwrite it (--force, overwrite=True)"
        )
    if not path.parent.is_dir():
        raise InputError(f"folder {path.parent} does not exist: create it first")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"folder {path.parent} is not writable: choose another one")


def figure_beside(path: str | os.PathLike[str]) -> Path:
    """Where the figure of the numbers in `path` goes: STEM.png; InputError if it is that itself."""
    figure = Path(path).with_suffix(".png")
    if figure == Path(path):
        raise InputError(
            f"expected a name for numbers, got {path}, where their figure goes: give another suffix"
        )
    return figure


@contextmanager
def atomic_path(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` on success, delete it on failure.

    The temporary name keeps the suffix. Raises InputError as `require_writable`.
    """
    path = Path(path)
    require_writable(path, overwrite)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:12]}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def open_hdf5(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading.

    Whatever h5py raises here or in the body (a missing file, another format, a truncated or damaged
    file, a missing dataset) becomes an InputError of one line.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder: expected an HDF5 file")
    if not path.exists():
        raise InputError(f"{path} does not exist: check the name")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} is not readable: check its permissions")
    if not h5py.is_hdf5(path):
        raise InputError(f"{path} is not an HDF5 file: expected one written by physgen or h5py")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except InputError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()).strip("'\"")
        raise InputError(
            f"{path} is damaged or incomplete ({reason}): write or copy it again"
        ) from error


@dataclasses.dataclass(frozen=True)
class Header:
    """Who wrote a file, in which layout, and what it holds."""

    kind: str
    physgen_version: str
    schema_version: int


def write_header(file: h5py.File, kind: str) -> None:
    """Mark a file with what it holds and with the versions that wrote it."""
    file.attrs["kind"] = np.bytes_(kind.encode())
    file.attrs["physgen_version"] = np.bytes_(__version__.encode())
    file.attrs["schema_version"] = SCHEMA_VERSION


def read_header(file: h5py.File) -> Header:
    """The header of a file by `write_header`; InputError if absent or newer than this physgen."""
    kind = text_of(file.attrs.get("kind"))
    version = text_of(file.attrs.get("physgen_version"))
    schema = file.attrs.get("schema_version")
    if kind is None or version is None or not isinstance(schema, np.integer):
        raise InputError(
            f"{file.filename} was not written by physgen: expected root attributes kind, "
            "physgen_version and schema_version"
        )
    if schema > SCHEMA_VERSION:
        raise InputError(
            f"{file.filename} has schema version {schema}, written by physgen {version}; this "
            f"physgen {__version__} reads up to {SCHEMA_VERSION}: upgrade physgen"
        )
    return Header(kind, version, int(schema))


def to_json(value: Any) -> str:
    """JSON of a dataclass or of plain values, NumPy scalars and arrays included."""
    return json.dumps(value, default=_jsonable, sort_keys=True)


def _jsonable(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {CLASS: type(value).__name__, **fields}
    if isinstance(value, np.generic | np.ndarray | jax.Array):
        return np.asarray(value).tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def write_json(group: h5py.Group, name: str, value: Any) -> None:
    """Store a value as JSON in a scalar dataset, of fixed length: damage to it is found at once."""
    group.create_dataset(name, data=np.bytes_(to_json(value).encode()))


def read_json(group: h5py.Group, name: str) -> dict[str, Any]:
    """The dictionary stored by `write_json`; InputError if it is anything else."""
    dataset = group[name]
    text = dataset[()] if isinstance(dataset, h5py.Dataset) and dataset.shape == () else None
    try:
        value = json.loads(text_of(text) or "")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{group.file.filename}: {name!r} is not JSON") from error
    if not isinstance(value, dict):
        raise InputError(f"{group.file.filename}: {name!r} is not a JSON object")
    return value


def subgroup(group: h5py.Group, name: str) -> h5py.Group:
    """The group `name` of a file or group; InputError if it is something else."""
    found = group[name]
    if not isinstance(found, h5py.Group):
        raise InputError(f"{group.file.filename}: expected a group {name!r}, found an array")
    return found


def text_of(value: Any) -> str | None:
    """A string attribute of either kind, as h5py returns it; None for anything else."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return value if isinstance(value, str) else None
