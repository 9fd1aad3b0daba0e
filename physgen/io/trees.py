"""Pytrees of arrays as HDF5 datasets, bit for bit."""

from typing import Any
from urllib.parse import quote

import h5py
import jax
import jax.numpy as jnp
import numpy as np

from physgen.errors import InputError
from physgen.io.files import text_of


def write_tree(group: h5py.Group, tree: Any) -> None:
    """Store every leaf of a pytree of arrays as a dataset named by its path, bit for bit.

    Typed jax keys are stored as their data, and types unknown to HDF5 (bfloat16) as integers.
    """
    for name, leaf in _named_leaves(tree).items():
        dataset = group.create_dataset(name, data=_storable(leaf))
        dataset.attrs["dtype"] = np.bytes_(_dtype_name(leaf))
        if _is_key(leaf):
            dataset.attrs["key_impl"] = np.bytes_(str(jax.random.key_impl(leaf)))


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
    found, expected = text_of(dataset.attrs.get("dtype")), _dtype_name(like)
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
        impl = text_of(dataset.attrs.get("key_impl"))
        try:
            return jax.random.wrap_key_data(jnp.asarray(array), impl=impl)
        except (ValueError, TypeError) as error:
            raise InputError(f"{where}: unknown kind of random key {impl!r}") from error
    return array.view(like.dtype)
