"""Many steps in one call, on every device: batches gathered on the host, one compiled scan."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int

from physgen.data import batch_indices, seed_of
from physgen.devices import memory_of
from physgen.errors import InputError

Step = Callable[[jax.Array, Any, Any], tuple[Any, Any]]
Evaluate = Callable[[jax.Array, Any, Any], jax.Array]
Arrange = Callable[[Int[np.ndarray, "steps batch"]], Int[np.ndarray, "steps batch"]]

VALIDATION_STREAM = 2**32 - 1  # folded into the key; no step count reaches it


def host_arrays(tree: Any, name: str) -> tuple[Any, int]:
    """The tree with NumPy leaves, and their common leading length (0 for a tree without leaves).

    Raises InputError if the leaves disagree or are empty.
    """
    tree = jax.tree.map(np.asarray, tree)
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(tree)]
    lengths = {shape[0] if shape else 0 for shape in shapes}
    if len(lengths) > 1 or 0 in lengths:
        raise InputError(
            f"{name}: expected arrays with an equal, non-empty leading axis, got shapes "
            f"{', '.join(map(str, shapes))}"
        )
    return tree, lengths.pop() if lengths else 0


def mesh_for(batch_size: int) -> Mesh:
    """As many of jax's devices as divide the batch, along one axis named `batch`."""
    devices = jax.devices()
    count = max(d for d in range(1, len(devices) + 1) if batch_size % d == 0)
    return Mesh(np.array(devices[:count]), ("batch",))


class Dispatch:
    """Runs `length` steps a call; compiled at the first call and never again."""

    def __init__(
        self,
        key: jax.Array,
        step: Step,
        data: Any,
        batch_size: int,
        length: int,
        mesh: Mesh,
        arrange: Arrange | None = None,
    ):
        self._everywhere = NamedSharding(mesh, PartitionSpec())
        self._by_batch = NamedSharding(mesh, PartitionSpec(None, "batch"))
        self._device = mesh.devices.flat[0]
        self._key = jax.device_put(key, self._everywhere)
        self._seed = seed_of(key)
        self._step = step
        self._data, self._items = host_arrays(data, "data")
        self._batch_size = batch_size
        self._arrange = arrange
        self.length = length
        self._compiled: Any = None
        self.compile_seconds = 0.0
        self._gathered: tuple[int, Any] | None = None

    def place(self, state: Any) -> Any:
        """A copy of the state on every device, free to be donated."""
        return jax.device_put(jax.tree.map(_strong_copy, state), self._everywhere)

    def __call__(self, state: Any, first: int) -> tuple[Any, dict[str, np.ndarray]]:
        """The state after steps first ... first + length - 1, and their scalars, (length,) each.

        The state passed in is consumed. The next batches are gathered while the device works.
        """
        if self._gathered is None or self._gathered[0] != first:
            self._gathered = first, self._gather(first)
        steps = jax.device_put(np.arange(first, first + self.length, dtype=np.int32))
        arguments = self._key, state, jax.device_put(steps, self._everywhere), self._gathered[1]
        if self._compiled is None:
            started = time.monotonic()
            function = jax.jit(self._scan, donate_argnums=1, out_shardings=self._everywhere)
            compiled = function.lower(*arguments).compile()
            _require_fitting(compiled, self._device)
            self._compiled = compiled
            self.compile_seconds = time.monotonic() - started
        state, info = self._compiled(*arguments)
        following = first + self.length
        self._gathered = following, self._gather(following)
        return state, jax.device_get(info)

    def _gather(self, first: int) -> Any:
        if not self._items:
            return self._data
        indices = batch_indices(self._seed, first, self.length, self._batch_size, self._items)
        if self._arrange is not None:
            indices = self._arrange(indices)
        return jax.device_put(jax.tree.map(lambda a: a[indices], self._data), self._by_batch)

    def _scan(self, key: jax.Array, state: Any, steps: jax.Array, batches: Any):
        def body(state, inputs):
            i, batch = inputs
            state, info = self._step(jax.random.fold_in(key, i), state, batch)
            return state, info._asdict() if hasattr(info, "_asdict") else dict(info)

        return jax.lax.scan(body, state, (steps, batches))


def _strong_copy(leaf: Any) -> jax.Array:
    copy = jnp.array(leaf)
    return copy if jnp.issubdtype(copy.dtype, jax.dtypes.prng_key) else copy.astype(copy.dtype)


def _require_fitting(compiled: Any, device: Any) -> None:
    """Raises InputError if the step needs more memory than its device has."""
    there, needed = memory_of(device), compiled.memory_analysis()
    if there is None or needed is None:
        return
    total = needed.argument_size_in_bytes + needed.temp_size_in_bytes
    if total > there:
        raise InputError(
            f"expected a training step that fits the {there / 2**30:.3g} GiB of memory of the "
            f"{device.platform}, got one that needs {total / 2**30:.3g} GiB; take smaller batches, "
            "fewer samples or a smaller model"
        )


class Validation:
    """The mean of `evaluate` over held-out data, with the same key at every call."""

    def __init__(self, key: jax.Array, evaluate: Evaluate, data: Any, batch_size: int, mesh: Mesh):
        self._by_batch = NamedSharding(mesh, PartitionSpec("batch"))
        self._everywhere = NamedSharding(mesh, PartitionSpec())
        key = jax.random.fold_in(key, VALIDATION_STREAM)
        self._key = jax.device_put(key, self._everywhere)
        self._data, self._items = host_arrays(data, "validation_data")
        if not self._items:
            raise InputError("validation_data: expected at least one array, got none")
        self._batch_size = batch_size
        self._evaluate = jax.jit(
            lambda key, state, i, batch: evaluate(jax.random.fold_in(key, i), state, batch)
        )
        self._compiled: dict[int, Any] = {}
        self.compile_seconds = 0.0

    def __call__(self, state: Any) -> float:
        total = 0.0
        for i, start in enumerate(range(0, self._items, self._batch_size)):
            count = min(self._batch_size, self._items - start)
            rows = jax.tree.map(lambda a: a[start : start + count], self._data)  # noqa: B023
            whole = count == self._batch_size
            batch = jax.device_put(rows, self._by_batch if whole else self._everywhere)
            index = jax.device_put(np.int32(i), self._everywhere)
            arguments = self._key, state, index, batch
            if count not in self._compiled:
                started = time.monotonic()
                self._compiled[count] = self._evaluate.lower(*arguments).compile()
                self.compile_seconds += time.monotonic() - started
            total += count * float(self._compiled[count](*arguments))
        return total / self._items
