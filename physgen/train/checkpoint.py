"""A run on disk: all that an exact resume needs, and what the run was made with."""

import dataclasses
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np

from physgen.errors import InputError
from physgen.io import (
    atomic_path,
    open_hdf5,
    read_header,
    read_json,
    read_tree,
    require_writable,
    subgroup,
    to_json,
    write_header,
    write_json,
    write_tree,
)
from physgen.train.settings import FitSettings

KIND = "checkpoint"


@dataclasses.dataclass
class Record:
    """A run besides its state. total_steps is None until a budget in minutes became steps."""

    step: int = 0
    total_steps: int | None = None
    seconds: float = 0.0
    best_loss: float | None = None
    best_step: int | None = None
    validations_since_best: int = 0
    stopped_early: bool = False
    history: dict[str, list[Any]] = dataclasses.field(default_factory=dict)

    def advance(self, steps: int, info: dict[str, np.ndarray]) -> None:
        self.step += steps
        self._append(step=self.step, **{name: float(np.mean(v)) for name, v in info.items()})

    def validated(self, loss: float, patience: int | None) -> bool:
        """Take note of a validation loss; whether it is the best so far."""
        self._append(validation_step=self.step, validation_loss=loss)
        if self.best_loss is None or loss < self.best_loss:
            self.best_loss, self.best_step, self.validations_since_best = loss, self.step, 0
            return True
        self.validations_since_best += 1
        self.stopped_early = patience is not None and self.validations_since_best >= patience
        return False

    @property
    def over(self) -> bool:
        return self.stopped_early or self.step == self.total_steps

    def last(self, name: str) -> float | None:
        return self.history[name][-1] if name in self.history else None

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: np.asarray(values) for name, values in self.history.items()}

    def _append(self, **values: float) -> None:
        for name, value in values.items():
            self.history.setdefault(name, []).append(value)


def fingerprint(key: jax.Array, settings: Any, identity: Any, data: Any) -> dict[str, Any]:
    """What must be equal for a resume to continue the same run; the data by a digest."""
    values = {
        "settings": settings,
        "identity": identity,
        "key": np.asarray(jax.random.key_data(key)),
        "data": _digest(data),
    }
    return json.loads(to_json(values))


def _digest(tree: Any) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype.str} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


class Checkpoint:
    """The checkpoint file of one run.

    Raises InputError if a file is in the way of a run that does not resume it.
    """

    def __init__(self, path: Path, resume: bool, settings: FitSettings, made_with: dict[str, Any]):
        if path.exists() and not resume:
            raise InputError(f"checkpoint {path} exists: resume from it, or delete it first")
        require_writable(path, overwrite=True)
        self.path = path
        self._made_with = made_with
        self._every_steps = settings.checkpoint_every
        self._every_seconds = settings.checkpoint_seconds
        self._saved_at = time.monotonic()

    def due(self, record: Record, length: int) -> bool:
        """Whether the dispatch of `length` steps that just ended calls for a checkpoint."""
        if self._every_steps is not None:
            return record.step % self._every_steps < length
        return time.monotonic() - self._saved_at >= self._every_seconds

    def write(self, state: Any, best: Any, record: Record) -> None:
        """Replace the file; `best` is None where no best state is kept."""
        counters = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
        del counters["history"]
        with atomic_path(self.path, overwrite=True) as name, h5py.File(name, "w") as file:
            write_header(file, KIND)
            write_json(file, "made_with", self._made_with)
            write_json(file, "record", counters)
            write_tree(file.create_group("history"), record.arrays())
            write_tree(file.create_group("state"), state)
            if best is not None:
                write_tree(file.create_group("best"), best)
        self._saved_at = time.monotonic()

    def read(self, like: Any) -> tuple[Any, Any, Record]:
        """State, best state (or None) and record; InputError if the file is of another run."""
        with open_hdf5(self.path) as file:
            header = read_header(file)
            if header.kind != KIND:
                raise InputError(f"{self.path} holds a {header.kind}: expected a checkpoint")
            _require_equal(self.path, read_json(file, "made_with"), self._made_with)
            counters = read_json(file, "record")
            history = {k: np.asarray(v).tolist() for k, v in subgroup(file, "history").items()}
            state = read_tree(subgroup(file, "state"), like)
            best = read_tree(subgroup(file, "best"), like) if "best" in file else None
        if counters.keys() | {"history"} != {f.name for f in dataclasses.fields(Record)}:
            raise InputError(f"{self.path}: its record has unexpected fields {sorted(counters)}")
        return state, best, Record(**counters, history=history)


def _require_equal(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name, value in sorted(wanted.items(), key=lambda item: item[0] != "key"):
        there = found.get(name)
        if there == value:
            continue
        if isinstance(value, dict) and isinstance(there, dict):
            changed = [f"{k} {there.get(k)} before, {v} now" for k, v in value.items()
                       if there.get(k) != v]  # fmt: skip
            name = f"{name} ({'; '.join(changed)})"
        if name == "key":  # it changes the data too, where some are held out
            name = "random numbers (key, --seed)"
        raise InputError(
            f"checkpoint {path} was made with other {name}: resume it with the same, or start anew"
        )
