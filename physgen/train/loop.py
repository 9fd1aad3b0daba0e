"""`fit`: one loop for any step, with validation, early stopping, checkpoints and exact resume."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from physgen.errors import InputError
from physgen.interrupts import interrupt_flag
from physgen.train.checkpoint import Checkpoint, Record, fingerprint
from physgen.train.dispatch import Arrange, Dispatch, Evaluate, Step, Validation, mesh_for
from physgen.train.progress import ProgressLine, Report, Status
from physgen.train.settings import FitResult, FitSettings, NonFiniteError

TIMED_DISPATCHES = 3


def fit(
    key: jax.Array,
    step: Step,
    state: Any,
    data: Any,
    settings: FitSettings,
    *,
    evaluate: Evaluate | None = None,
    validation_data: Any = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    on_total_steps: Callable[[Any, int], Any] | None = None,
    arrange: Arrange | None = None,
    identity: Any = None,
    report: Report | None = None,
) -> FitResult:
    """Run `step(key, state, batch) -> (state, info)` over shuffled batches of `data`.

    state: any pytree of arrays; the one given is left untouched.
    data: a pytree of host arrays with an equal leading axis, or None for a step without data.
    info: a dictionary or NamedTuple of scalars, `loss` among them, all finite while all is well.
    evaluate: `(key, state, batch) -> scalar`, the mean over the batch, taken over
        `validation_data` with the same key every time.
    checkpoint: an HDF5 file, replaced as training goes on. With `resume` a run continues from it,
        if it is there, and ends with the very numbers of a run that was never stopped.
    on_total_steps: `(state, n) -> state`, told the number of steps as soon as it is known.
    arrange: the items of each batch, as rows of `data`, in the order in which they are handed over.
    With patience the state returned is the best by validation loss, the initial one included.
    identity: what else shapes the step (dataclasses or JSON values); a resume demands the same.
    report: told of the progress; None prints a line to stderr.

    Step i draws from `jax.random.fold_in(key, i)`. A batch is shared out over every device that
    jax sees. Ctrl-C finishes the dispatch, writes the checkpoint and returns; a second one aborts.

    Raises InputError for unusable data, for a checkpoint in the way or of another run; and
    NonFiniteError when a reported number is not finite, the last checkpoint being kept.
    """
    started = time.monotonic()
    report = ProgressLine() if report is None else report
    if (evaluate is None) != (validation_data is None):
        raise InputError("evaluate and validation_data go together: give both or neither")
    if settings.patience is not None and evaluate is None:
        raise InputError("patience needs validation: give evaluate and validation_data")
    file = None
    if checkpoint is not None:
        made_with = fingerprint(key, settings, identity, (data, validation_data))
        file = Checkpoint(Path(checkpoint), resume, settings, made_with)

    mesh = mesh_for(settings.batch_size)
    if mesh.size < jax.device_count():
        report.note(
            f"using {mesh.size} of {jax.device_count()} devices: more do not divide a batch of "
            f"{settings.batch_size}"
        )
    length = settings.dispatch_length()
    dispatch = Dispatch(key, step, data, settings.batch_size, length, mesh, arrange)
    validate = None
    if evaluate is not None:
        validate = Validation(key, evaluate, validation_data, settings.batch_size, mesh)

    def announce(state: Any, total_steps: int) -> Any:
        if on_total_steps is None:
            return state
        return dispatch.place(on_total_steps(state, total_steps))

    state, best, record = dispatch.place(state), None, Record(total_steps=settings.total_steps())
    if file is not None and file.path.exists():
        state, best, record = file.read(like=state)
        state, best = dispatch.place(state), dispatch.place(best)
        report.note(f"resuming {file.path} at step {record.step}")
    elif record.total_steps is not None:
        state = announce(state, record.total_steps)
    if not record.over:
        report.note("compiling the training step")
    if best is None and validate is not None and settings.patience is not None:
        record.validated(validate(state), settings.patience)
        best = jax.tree.map(jnp.copy, state)

    started -= record.seconds
    timings: list[float] = []
    interrupted = False
    with interrupt_flag() as interrupt:
        while not (record.over or interrupted):
            before = time.monotonic()
            state, info = dispatch(state, record.step)
            timings.append(time.monotonic() - before)
            _require_finite(info, record.step, file)
            record.advance(dispatch.length, info)

            if record.total_steps is None and _timed_enough(timings, settings):
                used = time.monotonic() - started
                more = _affordable(timings[1:], used, settings, validate, state)
                record.total_steps = record.step + more
                state = announce(state, record.total_steps)

            passed = record.step % settings.validate_every < dispatch.length
            if validate is not None and (passed or record.over):
                loss = validate(state)
                _require_finite({"validation_loss": np.array([loss])}, record.step, file)
                if record.validated(loss, settings.patience) and settings.patience is not None:
                    best = jax.tree.map(jnp.copy, state)

            record.seconds = time.monotonic() - started
            interrupted = interrupt.is_set() and not record.over
            done = record.over or interrupted
            if file is not None and (done or file.due(record, dispatch.length)):
                file.write(state, best, record)
            report.status(
                Status(
                    record.step,
                    record.total_steps,
                    record.history["loss"][-1],
                    record.last("validation_loss"),
                    done,
                    {name: record.history[name][-1] for name in info},
                )
            )

    # By way of the host, so that the arrays are not bound to the devices of the training.
    final = jax.device_get(state if best is None else best)
    return FitResult(
        state=jax.tree.map(jnp.asarray, final),
        history=record.arrays(),
        steps=record.step,
        seconds=record.seconds,
        compile_seconds=dispatch.compile_seconds + (validate.compile_seconds if validate else 0.0),
        interrupted=interrupted,
        stopped_early=record.stopped_early,
        best_step=record.best_step,
        best_validation_loss=record.best_loss,
    )


def _require_finite(info: dict[str, np.ndarray], first: int, file: Checkpoint | None) -> None:
    for name, values in info.items():
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            kept = ""
            if file is not None and file.path.exists():
                kept = f"; the last checkpoint is kept in {file.path}"
            raise NonFiniteError(
                f"{name} is {values[bad[0]]} at step {first + bad[0]}: lower the learning rate, or "
                f"look for extreme values in the data{kept}"
            )


def _timed_enough(timings: list[float], settings: FitSettings) -> bool:
    assert settings.minutes is not None
    worth = min(0.02 * 60 * settings.minutes, 10.0)
    return len(timings) > TIMED_DISPATCHES and sum(timings[1:]) >= worth


def _affordable(
    timings: list[float],
    used: float,
    settings: FitSettings,
    validate: Validation | None,
    state: Any,
) -> int:
    """Steps, in whole dispatches and at least one, that fit in the rest of the budget."""
    assert settings.minutes is not None
    length = settings.dispatch_length()
    per_step = sum(timings) / len(timings) / length
    if validate is not None:
        compiling = time.monotonic()
        validate(state)
        running = time.monotonic()
        validate(state)
        done = time.monotonic()
        used += done - compiling
        per_step += (done - running) / max(settings.validate_every, length)
    rest = 60 * settings.minutes - used
    return length * max(1, int(rest / (per_step * length)))
