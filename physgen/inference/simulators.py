"""Simulators: a JAX function, a Python function, or a command."""

import inspect
import json
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from physgen.errors import InputError

Task = tuple[Callable[..., Any], tuple[Any, ...]]

_LONGEST_REASON = 300
_PLACEHOLDERS = "parameters", "json", "seed", "output"  # beside the names of parameters


@dataclass(frozen=True)
class JaxSimulator:
    """function(key, theta (d,)) -> x, compiled and run over many keys and thetas at once."""

    function: Callable[..., Any]

    @property
    def name(self) -> str:
        """What a store knows it by."""
        return _name_of(self.function)


@dataclass(frozen=True)
class PythonSimulator:
    """function(theta) -> x or function(theta, rng) -> x, in NumPy.

    theta is float64 of shape (d,), rng a numpy.random.Generator of each simulation's own: the only
    source of randomness that can be repeated. To run in several processes the function must be
    defined at the top level of a module.
    """

    function: Callable[..., Any]
    takes_rng: bool = field(init=False)

    def __post_init__(self):
        names = _parameters_of(self.function)
        if len(names) not in (1, 2):
            raise InputError(
                f"expected a simulator of (theta) or (theta, rng), got one of "
                f"({', '.join(names)}); wrap it in such a function"
            )
        object.__setattr__(self, "takes_rng", len(names) == 2)

    @property
    def name(self) -> str:
        """What a store knows it by."""
        return _name_of(self.function)

    def task(self, theta: dict[str, float], seed: Sequence[int]) -> Task:
        """A function and arguments that make one x, none of them physgen's."""
        values = np.array(list(theta.values()))
        if self.takes_rng:
            return self.function, (values, np.random.default_rng(seed))
        return self.function, (values,)


@dataclass(frozen=True)
class CommandSimulator:
    """A program, run once for each simulation, and never by a shell.

    In `command` and `stdin` these are replaced, as by `str.format` ({slip_rate:.3f} works, braces
    that stay are doubled): the name of each parameter by its value, {parameters} by all values with
    spaces between, {json} by an object of names and values, {seed} by an integer below 2^32, and
    {output} by the name of a .npy file for the program to write. Without {output} the numbers
    that it prints are the observation.

    Args:
        command: the program and its arguments.
        stdin: what it reads from its standard input.
        timeout: seconds after which a simulation has failed.
    """

    command: Sequence[str]
    stdin: str = ""
    timeout: float | None = None

    def __post_init__(self):
        if isinstance(self.command, str) or not self.command:
            raise InputError(
                f"expected a command as a sequence of arguments, got {self.command!r}; "
                "shlex.split makes one of a line"
            )
        if shutil.which(self.command[0]) is None:
            raise InputError(
                f"expected a program, got {self.command[0]!r}, which is not there or cannot be "
                "executed; check its name and its permissions"
            )
        object.__setattr__(self, "command", tuple(self.command))

    @property
    def name(self) -> str:
        """What a store knows it by."""
        return " ".join(self.command) + (f" < {self.stdin}" if self.stdin else "")

    def task(self, theta: dict[str, float], seed: Sequence[int]) -> Task:
        """A function and arguments that make one x.

        Raises:
            InputError: for a placeholder that is none, or a parameter of another's name.
        """
        taken = [name for name in theta if name in _PLACEHOLDERS]
        if taken:
            raise InputError(
                f"expected parameters with other names than {', '.join(_PLACEHOLDERS)}, got "
                f"{', '.join(taken)}: in a command {{{taken[0]}}} is something else; rename it"
            )
        output = Path(tempfile.gettempdir()) / f"physgen-{uuid.uuid4().hex}.npy"
        known = theta | {
            "parameters": " ".join(map(repr, theta.values())),
            "json": json.dumps(theta),
            "seed": int(np.random.default_rng(seed).integers(2**32)),
            "output": str(output),
        }
        arguments = [_filled(argument, known) for argument in self.command]
        stdin = _filled(self.stdin, known)
        written = any(str(output) in text for text in (*arguments, stdin))
        return self._run, (arguments, stdin, output if written else None)

    def _run(self, arguments: list[str], stdin: str, output: Path | None) -> np.ndarray:
        try:
            printed = self._execute(arguments, stdin)
            return np.array(printed.split(), np.float64) if output is None else _load(output)
        except ValueError as error:
            raise RuntimeError(f"expected numbers from the program: {error}") from None
        finally:
            if output is not None:
                output.unlink(missing_ok=True)

    def _execute(self, arguments: list[str], stdin: str) -> str:
        try:
            done = subprocess.run(
                arguments, input=stdin, capture_output=True, text=True, timeout=self.timeout
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"took longer than {self.timeout:g} s") from None
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise RuntimeError(f"exit status {done.returncode}: {last[:_LONGEST_REASON]}")
        return done.stdout


Simulator = JaxSimulator | PythonSimulator | CommandSimulator


def as_simulator(simulator: Any) -> Simulator:
    """The simulator itself, or what a function is: of (key, theta) in JAX, else in Python.

    Raises:
        InputError: for anything else.
    """
    if isinstance(simulator, Simulator):
        return simulator
    if not callable(simulator):
        raise InputError(
            f"expected a simulator, got {type(simulator).__name__}; give a function, or "
            "CommandSimulator([program, argument, ...])"
        )
    if _parameters_of(simulator)[:2] == ["key", "theta"]:
        return JaxSimulator(simulator)
    return PythonSimulator(simulator)


def _parameters_of(function: Callable[..., Any]) -> list[str]:
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a compiled function may have no signature
        return ["theta"]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    asked = [p for p in found if p.kind in positional]
    return [p.name for p in asked if p.default is p.empty or p.name == "rng"]


def _name_of(function: Callable[..., Any]) -> str:
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def _filled(template: str, known: Mapping[str, Any]) -> str:
    try:
        return template.format_map(known)
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(
            f"expected placeholders among {', '.join(known)} in {template!r}, got {error}; "
            "double a brace that is meant as such"
        ) from None


def _load(path: Path) -> np.ndarray:
    if not path.exists():
        raise RuntimeError("it wrote no {output}")
    return np.load(path, allow_pickle=False)
