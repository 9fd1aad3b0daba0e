"""What jax's devices hold, and work on many rows shared out over all of them."""

import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec


def over_devices(function: Callable[..., Any], *rows: Any) -> Any:
    """function(*rows), rows independent of each other, a part of them on each device.

    Rows are pytrees of arrays with one leading axis, and so is what the function makes of any
    number of them. As many devices take part as divide the number of rows. Works under `jit`.
    """
    n = jax.tree.leaves(rows)[0].shape[0]
    devices = jax.devices()
    count = max(d for d in range(1, len(devices) + 1) if n % d == 0)
    if count == 1:
        return function(*rows)
    mesh = Mesh(np.array(devices[:count]), ("rows",))
    split = PartitionSpec("rows")
    shared = jax.shard_map(function, mesh=mesh, in_specs=split, out_specs=split, check_vma=False)
    return shared(*rows)


def map_over_devices(function: Callable[..., Any], *items: Any) -> Any:
    """`function` of each item, the items shared out over the devices.

    Items are pytrees of arrays with one leading axis. On a CPU a device takes them one by one,
    which keeps the intermediate arrays in its cache; elsewhere 64 at a time. Works under `jit`.
    """
    at_once = None if jax.devices()[0].platform == "cpu" else 64

    def local(*items):
        return jax.lax.map(lambda item: function(*item), items, batch_size=at_once)

    return over_devices(local, *items)


def memory_of(device: Any) -> int | None:
    """Bytes that a device has in all, the main memory for a CPU; None if it does not say."""
    if device.platform == "cpu":
        known = hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if known else None
    return (device.memory_stats() or {}).get("bytes_limit")
