"""Running many simulations one by one: here, in processes, in threads, or on a cluster."""

import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.reduction import ForkingPickler
from typing import Any

from physgen.errors import InputError
from physgen.inference.simulators import CommandSimulator, PythonSimulator, Task

Submit = Callable[..., Any]

_WAIT = 0.005  # seconds between two looks at what is finished
_AHEAD = 64  # simulations given out at once, that no worker waits for the next


@contextmanager
def crew(
    simulator: PythonSimulator | CommandSimulator, workers: int, client: Any
) -> Iterator[tuple[Submit, int]]:
    """A function that gives out a task, as `Executor.submit`, and how many to give out at once.

    client: a dask.distributed.Client, or None for `workers` processes of this machine (threads
    where each simulation is a process anyway).

    Raises:
        InputError: for a function that cannot be sent to another process.
    """
    if client is not None:
        yield lambda function, *args: client.submit(function, *args, pure=False), 16 * _AHEAD
    elif workers == 1:
        yield _run_here, 1
    elif isinstance(simulator, CommandSimulator):
        with ThreadPoolExecutor(workers) as threads:
            yield threads.submit, 2 * workers
    else:
        _require_sendable(simulator.function)
        with _processes(workers) as pool:
            yield pool.submit, _AHEAD + 4 * workers


def run_tasks(
    submit: Submit, task: Callable[[int], Task], todo: Sequence[int], ahead: int, retries: int
) -> Iterator[tuple[int, Any]]:
    """The number and the result of each simulation, or the exception that it raised, as they end.

    One that raised is run again up to `retries` times, with the same random numbers: the passing
    trouble of a machine leaves no trace in the results.

    Raises:
        InputError: if the worker processes die.
    """
    waiting = iter(todo)
    running: dict[Any, tuple[int, int]] = {}
    while True:
        while len(running) < ahead and (number := next(waiting, None)) is not None:
            function, arguments = task(number)
            running[submit(function, *arguments)] = number, 0
        if not running:
            return
        finished = [future for future in running if future.done()]
        if not finished:
            time.sleep(_WAIT)
        for future in finished:
            number, tries = running.pop(future)
            result = _result(future)
            if isinstance(result, Exception) and tries < retries:
                function, arguments = task(number)
                running[submit(function, *arguments)] = number, tries + 1
            else:
                yield number, result


def _result(future: Any) -> Any:
    try:
        return future.result()
    except BrokenExecutor:
        raise InputError(
            "the worker processes died: they may be out of memory, or could not import the "
            "simulator; define it in a module, guard a script by `if __name__ == '__main__':`, or "
            "take workers=1"
        ) from None
    except Exception as error:
        return error


def _run_here(function: Callable[..., Any], *arguments: Any) -> Future:
    future = Future()
    try:
        future.set_result(function(*arguments))
    except Exception as error:
        future.set_exception(error)
    return future


@contextmanager
def _processes(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes started afresh, as jax cannot be forked; an interrupt ends them at once."""
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield pool
    except BaseException:
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _require_sendable(function: Callable[..., Any]) -> None:
    remedy = "define it at the top level of a module, or take workers=1"
    module = getattr(function, "__module__", None)
    if module == "__main__" and not hasattr(sys.modules["__main__"], "__file__"):
        raise InputError(
            f"expected a simulator that other processes can import, got one typed in here; {remedy}"
        )
    try:
        ForkingPickler.dumps(function)
    except Exception as error:
        raise InputError(
            f"expected a simulator that can be sent to other processes, got {function!r} "
            f"({error}); {remedy}"
        ) from None
