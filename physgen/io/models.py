"""A trained model as a file: its kind, settings, metadata and parameters."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import h5py
import jax
import jax.numpy as jnp
from flax import nnx

from physgen.errors import InputError
from physgen.io.files import (
    CLASS,
    atomic_path,
    open_hdf5,
    read_header,
    read_json,
    subgroup,
    write_header,
    write_json,
)
from physgen.io.trees import read_tree, write_tree

Settings = TypeVar("Settings")
Module = TypeVar("Module")


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
        write_json(file, "settings", settings)
        write_json(file, "metadata", metadata)
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
        return from_json(cls, self.settings, str(self.path))

    def parameters(self, like: Any) -> Any:
        """The parameters as jax arrays in the structure of `like`; InputError if they differ."""
        with open_hdf5(self.path) as file:
            return jax.tree.map(jnp.asarray, read_tree(subgroup(file, "parameters"), like))

    def restored(self, make: Callable[[], Module], variables: Any = nnx.Variable) -> Module:
        """A module with the variables of the file, those that the filter of flax names.

        `make` builds one of any numbers; those that the file replaces are not computed.
        """
        graph, state, _ = nnx.split(nnx.eval_shape(make), variables, ...)
        rest = jax.jit(lambda: nnx.split(make(), variables, ...)[2])()
        nnx.replace_by_pure_dict(state, self.parameters(nnx.to_pure_dict(state)))
        return nnx.merge(graph, state, rest)


def read_model(path: str | os.PathLike[str]) -> ModelFile:
    """Everything but the arrays of a file by `save_model`; InputError if it is no such file."""
    with open_hdf5(path) as file:
        header = read_header(file)
        if "settings" not in file or "metadata" not in file:
            raise InputError(f"{path} holds a {header.kind}, not a model: give a model file")
        settings = read_json(file, "settings")
        metadata = read_json(file, "metadata")
    return ModelFile(
        Path(path), header.kind, settings, metadata, header.physgen_version, header.schema_version
    )


def from_json(cls: type[Settings], values: dict[str, Any], where: str) -> Settings:
    """The dataclass that `to_json` wrote, nested ones too; of a union, the one it was.

    A field that an older version did not know takes its default. Raises InputError, naming `where`,
    if fields are unknown, or missing and without a default.
    """
    values = {name: value for name, value in values.items() if name != CLASS}
    fields = dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]
    names = {f.name for f in fields}
    needed = {f.name for f in fields if f.default is f.default_factory is dataclasses.MISSING}
    if not needed <= values.keys() <= names:
        raise InputError(
            f"{where}: expected settings {sorted(names)} for {cls.__name__}, "
            f"found {sorted(values)}: another version of physgen wrote it?"
        )
    hints = get_type_hints(cls)
    restored = {}
    for name, value in values.items():
        nested: list[Any] = [
            t for t in (hints[name], *get_args(hints[name])) if dataclasses.is_dataclass(t)
        ]
        if isinstance(value, dict) and nested:
            written = value.get(CLASS, nested[0].__name__)
            match = next((t for t in nested if t.__name__ == written), None)
            if match is None:
                raise InputError(f"{where}: expected {name} of another kind, found {written!r}")
            restored[name] = from_json(match, value, where)
        else:
            restored[name] = _tuples(value)
    return cls(**restored)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
