"""Options and output that commands share."""

import argparse
import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from physgen.errors import InputError
from physgen.words import counted, duration, of_other_case, rate

if TYPE_CHECKING:
    from physgen.galaxies.catalogue import Catalogue
    from physgen.galaxies.emulator import GalaxyEmulator
    from physgen.io import ModelFile

INTERRUPTED = 130  # exit status after Ctrl-C


def add_output(parser: argparse.ArgumentParser, what: str, *, required: bool = True) -> None:
    """--out and --force."""
    parser.add_argument("--out", type=Path, required=required, metavar="PATH", help=what)
    parser.add_argument("--force", action="store_true", help="overwrite what is there")


def require_own_output(options: argparse.Namespace) -> None:
    """InputError if --out is one of the files that the command reads."""
    given = vars(options)
    out = given.get("out")
    if out is None or not out.exists():
        return
    for name, value in given.items():
        paths = value if isinstance(value, list) else [value]
        read = [path for path in paths if isinstance(path, Path) and path.exists()]
        if name != "out" and any(path.samefile(out) for path in read):
            raise InputError(f"expected --out to be no file that is read, got {out}; name another")


def feature_names(text: str) -> tuple[str, ...]:
    """The names in --features=NAMES."""
    return tuple(name.strip() for name in text.split(","))


def add_seed(parser: argparse.ArgumentParser) -> None:
    """--seed."""
    parser.add_argument(
        "--seed", type=_seed, default=0, help="the same seed gives the same numbers"
    )


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got {text!r}")
    return int(text)


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="print figures as one JSON object")


def tell(options: argparse.Namespace, figures: Mapping[str, Any], text: str) -> None:
    """Print one JSON object with --json, a few words without."""
    print(as_json(figures) if options.json else text)


def add_resume(parser: argparse.ArgumentParser) -> None:
    """--resume, of commands that keep a checkpoint beside --out."""
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")


def checkpoint_of(options: argparse.Namespace) -> Path:
    """PATH.checkpoint, beside --out=PATH."""
    return options.out.with_name(options.out.name + ".checkpoint")


def require_checkpoint(options: argparse.Namespace, *others: Path) -> None:
    """InputError if --resume has no checkpoint, PATH.checkpoint or one of the others."""
    path = checkpoint_of(options)
    if options.resume and not any(each.exists() for each in (path, *others)):
        raise InputError(f"expected {path} to resume from, found none: leave out --resume")


def free_checkpoint(options: argparse.Namespace) -> Path:
    """PATH.checkpoint, after an old one was deleted where --force is given without --resume."""
    path = checkpoint_of(options)
    if options.force and not options.resume:
        path.unlink(missing_ok=True)
    return path


def goes_on(options: argparse.Namespace, checkpoint: Path | None = None) -> str:
    """Said where Ctrl-C ended the work; the checkpoint is PATH.checkpoint if not given."""
    path = checkpoint_of(options) if checkpoint is None else checkpoint
    return f"interrupted: the same command with --resume goes on from {path}"


def stopped(options: argparse.Namespace, checkpoint: Path | None = None) -> int:
    """Say that Ctrl-C ended the work before there was a result; the exit status."""
    path = checkpoint_of(options) if checkpoint is None else checkpoint
    tell(options, {"interrupted": True, "checkpoint": path}, goes_on(options, path))
    return INTERRUPTED


def steps_in_words(steps: int, best: int | None) -> str:
    """ "300 steps", and which was the best where training stopped early, None where it did not."""
    early = "" if best is None else f" (stopped early: best at step {best})"
    return f"{counted(steps, 'step')}{early}"


def note_if_interrupted(model: "ModelFile") -> None:
    """A note where the model in a file is of training that was interrupted."""
    facts = (model.metadata.get(name, {}) for name in ("training", "result"))
    if any(each.get("interrupted") for each in facts):
        print(f"physgen: note: the training of {model.path} was interrupted", file=sys.stderr)


def require_parameters_of(emulator: "GalaxyEmulator", found: "Catalogue", path: Path) -> None:
    """InputError unless the catalogue in a file has the emulator's parameters, in its order."""
    names = emulator.domain.parameter_names
    if found.parameter_names != names:
        raise InputError(
            f"expected parameters {', '.join(names) or 'none'} in {path}, got "
            f"{', '.join(found.parameter_names) or 'none'}"
            f"{of_other_case(found.parameter_names, names)}; rename or reorder them"
        )


def as_json(figures: Mapping[str, Any]) -> str:
    """One JSON object of numbers, arrays, paths and words."""
    return json.dumps(figures, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)


class _Line:
    """A line on stderr that is renewed: often on a terminal, every ten seconds elsewhere."""

    def __init__(self, shown: float):
        self._shown = shown
        self._live = sys.stderr.isatty()

    def due(self, now: float) -> bool:
        return now - self._shown >= (0.2 if self._live else 10.0)

    def show(self, now: float, text: str, *, last: bool = False) -> None:
        self._shown = now
        end = "\n" if last or not self._live else ""
        print(f"\r{text:<60}" if self._live else text, end=end, file=sys.stderr, flush=True)


def progress(what: str) -> Callable[[int, int], None]:
    """A line on stderr, renewed as work goes on: done, rate, time left.

    What is done at the first call has been compiled for and says nothing of the rate; the last line
    has the rate of the whole.
    """
    started, line = time.monotonic(), _Line(-math.inf)
    first: tuple[int, float] | None = None

    def show(done: int, total: int) -> None:
        nonlocal first
        now = time.monotonic()
        first = first or (done, now)
        if done < total and not line.due(now):
            return
        text = f"{what} {done}/{total}"
        if done >= total:
            text += f"  {rate(total / max(now - started, 1e-9))}"
        elif done > first[0]:
            speed = (done - first[0]) / max(now - first[1], 1e-9)
            text += f"  {rate(speed)}  {duration((total - done) / speed)} left"
        line.show(now, text, last=done >= total)

    return show


def count_up(what: str) -> Callable[[int], None]:
    """A line on stderr for work of unknown length, renewed as it goes on."""
    line = _Line(time.monotonic())

    def show(done: int) -> None:
        now = time.monotonic()
        if line.due(now):
            line.show(now, f"{what} {done}")

    return show


def use_cores(at_most: int | None = None) -> None:
    """Show jax each processor core as a device of its own, up to `at_most`.

    It has no effect where jax has already started, as in a program that calls `main`.
    """
    import jax

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", min(cores or 1, at_most or 64))
