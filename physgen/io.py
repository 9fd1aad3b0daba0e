"""HDF5 in and out: atomic writes, pytrees as datasets, models as files. No pickle anywhere."""

import dataclasses
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints
from urllib.parse import quote

import h5py
import jax
import jax.numpy as jnp
import numpy as np

from physgen import __version__
from physgen.errors import InputError

SCHEMA_VERSION = 1

Settings = TypeVar("Settings")


def require_writable(path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Raise InputError if a file cannot be written at `path`.

    That is if `path` exists (unless `overwrite`) or is a folder, and if its folder is missing or
    not writable: folders are not made.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the name of a file")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already: choose another name, or ask to overwrite it")
    if not path.parent.is_dir():
        raise InputError(f"folder {path.parent} does not exist: create it first")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"folder {path.parent} is not writable: choose another one")


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
    except (OSError, RuntimeError, KeyError) as error:
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
    file.attrs["kind"] = kind
    file.attrs["physgen_version"] = __version__
    file.attrs["schema_version"] = SCHEMA_VERSION


def read_header(file: h5py.File) -> Header:
    """The header of a file by `write_header`; InputError if absent or newer than this physgen."""
    kind = file.attrs.get("kind")
    version = file.attrs.get("physgen_version")
    schema = file.attrs.get("schema_version")
    if not (isinstance(kind, str) and isinstance(version, str) and isinstance(schema, np.integer)):
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


def write_tree(group: h5py.Group, tree: Any) -> None:
    """Store every leaf of a pytree of arrays as a dataset named by its path, bit for bit.

    Typed jax keys are stored as their data, and types unknown to HDF5 (bfloat16) as integers.
    """
    for name, leaf in _named_leaves(tree).items():
        dataset = group.create_dataset(name, data=_storable(leaf))
        dataset.attrs["dtype"] = _dtype_name(leaf)
        if _is_key(leaf):
            dataset.attrs["key_impl"] = str(jax.random.key_impl(leaf))


def read_tree(group: h5py.Group, like: Any) -> Any:
    """A pytree of the structure of `like`, whose leaves are NumPy arrays (or typed jax keys).

    `like` holds arrays or jax.ShapeDtypeStruct. Raises InputError if a name, a shape or a dtype
    differs between the file and `like`.
    """
    wanted = _named_leaves(like)
    where = f"{group.file.filename}, {group.name}"
    present: set[str] = set()
    group.visititems(
        lambda name, item: present.add(name) if isinstance(item, h5py.Dataset) else None
    )
    for name in sorted(wanted.keys() - present):
        raise InputError(f"{where}: expected an array {name!r}, found none: wrong settings?")
    for name in sorted(present - wanted.keys()):
        raise InputError(f"{where}: found an array {name!r} that has no place: wrong settings?")
    leaves = [_restored(group[name], leaf, f"{where}: {name}") for name, leaf in wanted.items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def subgroup(group: h5py.Group, name: str) -> h5py.Group:
    """The group `name` of a file or group; InputError if it is something else."""
    found = group[name]
    if not isinstance(found, h5py.Group):
        raise InputError(f"{group.file.filename}: expected a group {name!r}, found an array")
    return found


def _named_leaves(tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    named = {"/".join(_safe(entry) for entry in path) or "value": leaf for path, leaf in leaves}
    if len(named) != len(leaves):
        raise ValueError("two leaves of the pytree have the same path: rename its keys")
    return named


def _safe(entry: Any) -> str:
    text = jax.tree_util.keystr((entry,), simple=True)
    return quote(text, safe="").replace(".", "%2E") or "%"


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | jax.ShapeDtypeStruct) and jnp.issubdtype(
        leaf.dtype, jax.dtypes.prng_key
    )


def _dtype_name(leaf: Any) -> str:
    return str(leaf.dtype) if _is_key(leaf) else np.dtype(leaf.dtype).name


def _storable(leaf: Any) -> np.ndarray:
    array = np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
    return array.view(_stored_dtype(array.dtype))


def _stored_dtype(dtype: Any) -> np.dtype:
    dtype = np.dtype(dtype)
    return np.dtype(f"u{dtype.itemsize}") if dtype.kind == "V" else dtype


def _restored(dataset: Any, like: Any, where: str) -> Any:
    found, expected = dataset.attrs.get("dtype"), _dtype_name(like)
    if found != expected:
        raise InputError(f"{where}: expected {expected}, found {found}: wrong settings?")
    layout = like
    if _is_key(like):
        layout = jax.eval_shape(jax.random.key_data, jax.ShapeDtypeStruct(like.shape, like.dtype))
    shape, dtype = tuple(layout.shape), _stored_dtype(layout.dtype)
    if dataset.shape != shape or dataset.dtype != dtype:
        raise InputError(
            f"{where}: expected {dtype} {shape}, found {dataset.dtype} {dataset.shape}: "
            "wrong settings?"
        )
    array = np.asarray(dataset[()])
    if _is_key(like):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=dataset.attrs["key_impl"])
    return array.view(like.dtype)


def save_model(
    path: str | os.PathLike[str],
    *,
    kind: str,
    settings: Any,
    parameters: Any,
    metadata: Mapping[str, Any],
    overwrite: bool = False,
) -> None:
    """Write a trained model: one HDF5 file, by renaming a complete one.

    settings is a dataclass, metadata a dictionary of JSON values (and NumPy arrays, stored as
    lists), parameters a pytree of arrays. Raises InputError as `atomic_path`.
    """
    with atomic_path(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
        write_header(file, kind)
        file.attrs["settings"] = to_json(settings)
        file.attrs["metadata"] = to_json(metadata)
        write_tree(file.create_group("parameters"), parameters)


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """What a model file says, its arrays still unread."""

    path: Path
    kind: str
    settings: dict[str, Any]
    metadata: dict[str, Any]
    physgen_version: str
    schema_version: int

    def settings_as(self, cls: type[Settings]) -> Settings:
        """The settings as a dataclass `cls` (nested ones too); InputError if a field is amiss."""
        return _from_json(cls, self.settings, str(self.path))

    def parameters(self, like: Any) -> Any:
        """The parameters as a pytree of the structure of `like`; InputError if they differ."""
        with open_hdf5(self.path) as file:
            return read_tree(subgroup(file, "parameters"), like)


def read_model(path: str | os.PathLike[str]) -> ModelFile:
    """Everything but the arrays of a file by `save_model`; InputError if it is no such file."""
    with open_hdf5(path) as file:
        header = read_header(file)
        if "settings" not in file.attrs or "metadata" not in file.attrs:
            raise InputError(f"{path} holds a {header.kind}, not a model: give a model file")
        settings = json_attribute(file, "settings")
        metadata = json_attribute(file, "metadata")
    return ModelFile(
        Path(path), header.kind, settings, metadata, header.physgen_version, header.schema_version
    )


def to_json(value: Any) -> str:
    """JSON of a dataclass or of plain values, NumPy scalars and arrays included."""
    return json.dumps(value, default=_jsonable, sort_keys=True)


def _jsonable(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, np.generic | np.ndarray | jax.Array):
        return np.asarray(value).tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def json_attribute(group: h5py.Group, name: str) -> dict[str, Any]:
    """The dictionary that the attribute `name` holds as JSON; InputError if it does not."""
    try:
        value = json.loads(str(group.attrs[name]))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{group.file.filename}: attribute {name!r} is not JSON") from error
    if not isinstance(value, dict):
        raise InputError(f"{group.file.filename}: attribute {name!r} is not a JSON object")
    return value


def _from_json(cls: type[Settings], values: dict[str, Any], where: str) -> Settings:
    names = {f.name for f in dataclasses.fields(cls)}  # pyright: ignore[reportArgumentType]
    if names != values.keys():
        raise InputError(
            f"{where}: expected settings {sorted(names)} for {cls.__name__}, "
            f"found {sorted(values)}: another version of physgen wrote it?"
        )
    hints = get_type_hints(cls)
    restored = {}
    for name, value in values.items():
        nested = next(
            (t for t in (hints[name], *get_args(hints[name])) if dataclasses.is_dataclass(t)), None
        )
        if isinstance(value, dict) and isinstance(nested, type):
            restored[name] = _from_json(nested, value, where)
        else:
            restored[name] = _tuples(value)
    return cls(**restored)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
