"""`simulate`: parameters from a prior, observations from a simulator, every failure counted."""

import os
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from physgen.data import seed_of
from physgen.errors import InputError
from physgen.inference.growing import GrowingStore, simulations_of
from physgen.inference.pieces import join
from physgen.inference.priors import Prior, as_prior
from physgen.inference.progress import SimulationLine, SimulationStatus
from physgen.inference.simulators import (
    CommandSimulator,
    JaxSimulator,
    PythonSimulator,
    Simulator,
    Task,
    as_simulator,
)
from physgen.inference.store import Simulations, floating
from physgen.inference.tally import Tally
from physgen.inference.workers import crew, run_tasks
from physgen.interrupts import interrupt_flag

Outcome = np.ndarray | Exception
Outcomes = Generator[tuple[np.ndarray, Outcome], None, None]

_BLOCK = 1000  # parameter vectors drawn at once


def simulate(
    key: PRNGKeyArray,
    prior: Any,
    simulator: Simulator | Callable[..., Any],
    n: int,
    *,
    store: str | os.PathLike[str] | None = None,
    resume: bool = False,
    workers: int = 1,
    client: Any = None,
    chunk: int = 1000,
    retries: int = 1,
    max_failed_share: float = 0.5,
    missing: bool = False,
    save_seconds: float = 5.0,
    report: Callable[[SimulationStatus], None] | None = None,
) -> Simulations:
    """Run a simulator at n parameter vectors drawn from a prior.

    Simulation i depends on the key, the prior and i alone: not on n, nor on how the work is
    shared out, nor on interruptions.

    Args:
        prior: what `as_prior` accepts.
        simulator: a JaxSimulator, PythonSimulator or CommandSimulator; a function of (key, theta)
            is taken to be JAX, any other function to be Python.
        store: an HDF5 file, which `Simulations.load` reads. While the run lasts, what is done is
            in a folder beside it, whole whatever kills the run.
        resume: go on with the store, if it is there, and up to n if it was finished with less.
            Failures are tried again where there were too many of them.
        workers: processes that simulate side by side, unless the simulator is JAX.
        client: a dask.distributed.Client to give the simulations to instead.
        chunk: how many JAX simulations are one call.
        retries: how often a simulation that raised is run again, with the same random numbers.
        max_failed_share: a larger share of simulations with NaN, infinity or an exception is
            refused; a smaller one is left out and counted.
        missing: NaN in an observation stands for what was not observed, and is no failure.
        save_seconds: at least so much time passes between two pieces of the store.
        report: told of the progress; None prints a line to stderr.

    Ctrl-C raises KeyboardInterrupt; with a store, all that was done is kept.

    Raises:
        InputError: for what cannot be used, a store in the way or of another run, observations of
            different shapes, and too many failures.
    """
    prior, simulator = as_prior(prior), as_simulator(simulator)
    _require_settings(simulator, n, workers, client, chunk)
    parameter_key, noise_key = jax.random.split(key)
    theta = _draw(parameter_key, prior, n)

    tally = Tally(theta, prior.names, max_failed_share, missing)
    file, done = None, np.zeros(0, int)
    if store is not None:
        made_with = {
            "key": jax.random.key_data(key).tolist(),
            "simulator": simulator.name,
            "missing": missing,
        }
        file = GrowingStore(Path(store), prior, made_with, resume)
        if there := file.read():
            earlier = join(there).below(n)
            if tally.too_many(len(earlier.failed), len(earlier)):
                earlier = earlier.without_failures()
            tally.add(earlier)
            done = earlier.done
    todo = np.setdiff1d(np.arange(n), done)
    if isinstance(simulator, JaxSimulator):
        outcomes = _vectorised(noise_key, simulator, theta, todo, min(chunk, n))
    else:
        outcomes = _one_by_one(noise_key, simulator, prior, theta, todo, workers, client, retries)
    report = SimulationLine() if report is None else report
    try:
        with closing(outcomes), interrupt_flag(at_once=True) as interrupt:
            _collect(outcomes, tally, n, file, save_seconds, report, interrupt)
    except KeyboardInterrupt:
        kept = "" if file is None else f"; {file.path} keeps them, resume=True goes on"
        raise KeyboardInterrupt(f"stopped after {tally.done} of {n} simulations{kept}") from None
    tally.require_enough()
    if file is not None:
        file.finish()
    return simulations_of(tally.joined(), prior, missing)


def _collect(
    outcomes: Outcomes,
    tally: Tally,
    n: int,
    file: GrowingStore | None,
    save_seconds: float,
    report: Callable[[SimulationStatus], None],
    interrupt: Event,
) -> None:
    saved_at = time.monotonic()

    def save() -> None:
        piece = tally.fresh()
        if piece is not None and file is not None:
            file.append(piece)
        if piece is not None:
            tally.keep(piece)

    report(SimulationStatus(tally.done, n, tally.failed))
    try:
        for numbers, result in outcomes:
            tally.take(numbers, result)
            if interrupt.is_set():
                raise KeyboardInterrupt
            report(SimulationStatus(tally.done, n, tally.failed))
            if time.monotonic() - saved_at >= save_seconds:
                save()
                saved_at = time.monotonic()
    finally:
        save()


def _draw(key: PRNGKeyArray, prior: Prior, n: int) -> Float[np.ndarray, "n d"]:
    """The first n of an endless sequence of draws."""
    blocks = [
        np.asarray(prior.sample(jax.random.fold_in(key, block), _BLOCK))
        for block in range(-(-n // _BLOCK))
    ]
    theta = np.concatenate(blocks)[:n]
    if not np.isfinite(theta).all():
        bad = theta[~np.isfinite(theta).all(axis=1)][0]
        raise InputError(
            f"expected finite draws from the prior, got {bad.tolist()}; mend its sample"
        )
    return theta


def _vectorised(
    key: PRNGKeyArray,
    simulator: JaxSimulator,
    theta: Float[np.ndarray, "n d"],
    todo: Int[np.ndarray, " m"],
    size: int,
) -> Outcomes:
    """Blocks of one size, counted from the first simulation, so that a resume repeats them."""

    def one(number: Array, parameters: Array) -> Array:
        x = simulator.function(jax.random.fold_in(key, number), parameters)
        leaf = jax.tree_util.treedef_is_leaf(jax.tree.structure(x))
        if not leaf or x is None or isinstance(x, str):
            raise InputError(
                f"expected an array from {simulator.name}, got {type(x).__name__}; concatenate "
                "what it returns"
            )
        return jnp.atleast_1d(x)

    run = jax.jit(jax.vmap(one))
    for start in size * np.unique(todo // size):
        numbers = np.arange(start, start + size)
        inputs = np.minimum(numbers, len(theta) - 1)
        new = np.isin(numbers, todo)
        try:
            x = np.asarray(run(inputs, theta[inputs]))
        except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as error:
            raise InputError(
                f"expected a simulator that jax can compile, got {simulator.name} "
                f"({str(error).splitlines()[0]}); wrap it as PythonSimulator"
            ) from None
        yield numbers[new], floating(x[new])


def _one_by_one(
    key: PRNGKeyArray,
    simulator: PythonSimulator | CommandSimulator,
    prior: Prior,
    theta: Float[np.ndarray, "n d"],
    todo: Int[np.ndarray, " m"],
    workers: int,
    client: Any,
    retries: int,
) -> Outcomes:
    seed = seed_of(key)

    def task(number: int) -> Task:
        values = dict(zip(prior.names, theta[number].tolist(), strict=True))
        return simulator.task(values, [seed, number])

    with crew(simulator, workers, client) as (submit, ahead):
        for number, result in run_tasks(submit, task, todo.tolist(), ahead, retries):
            yield np.array([number]), _as_row(result)


def _as_row(result: Any) -> Outcome:
    """An observation as (1, *x), or why it is none."""
    if isinstance(result, Exception):
        return result
    try:
        x = np.atleast_1d(floating(result))
    except ValueError as error:
        return error
    return x[None] if x.size else ValueError("an observation without numbers")


def _require_settings(simulator: Simulator, n: int, workers: int, client: Any, chunk: int) -> None:
    for name, value in (("n", n), ("workers", workers), ("chunk", chunk)):
        if value < 1:
            raise InputError(f"expected {name} of at least 1, got {value}; give a positive number")
    if isinstance(simulator, JaxSimulator) and (workers > 1 or client is not None):
        raise InputError(
            f"expected a simulator in Python for workers, got {simulator.name} in JAX, which uses "
            "all cores by itself; leave workers and client out, or wrap it as PythonSimulator"
        )
