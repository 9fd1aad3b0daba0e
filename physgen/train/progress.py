"""What a running fit tells the person who waits for it."""

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from physgen.words import duration, rate


@dataclass(frozen=True)
class Status:
    """Where a run is: `total_steps` is None until a budget in minutes has become a step count.

    scalars: the mean over the last dispatch of everything that the step reports besides the loss.
    """

    step: int
    total_steps: int | None
    loss: float
    validation_loss: float | None
    finished: bool
    scalars: Mapping[str, float] = field(default_factory=dict)


@runtime_checkable
class Stream(Protocol):
    """As much of a text file as a progress line needs."""

    def write(self, text: str, /) -> int: ...

    def flush(self) -> None: ...

    def isatty(self) -> bool: ...


@runtime_checkable
class Report(Protocol):
    """Receives a Status after every dispatch, and a note when something is said once."""

    def status(self, status: Status) -> None: ...

    def note(self, text: str) -> None: ...


class Silent:
    """A Report that says nothing."""

    def status(self, status: Status) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class ProgressLine:
    """One status line on a stream (stderr), with running means of the loss and the scalars.

    `describe` says of the means what is worth saying, the loss alone if None; `gradient_step`
    validates averaged parameters, so that the two losses are not to be compared. The line is
    rewritten in place on a terminal; elsewhere a new one appears at most every `interval` seconds,
    and at the end.
    """

    def __init__(
        self,
        stream: Stream | None = None,
        interval: float = 10.0,
        smoothing: float = 0.9,
        describe: Callable[[Mapping[str, float]], list[str]] | None = None,
    ):
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._interval = 0.1 if self._terminal else interval
        self._smoothing = smoothing
        self._describe = _loss if describe is None else describe
        self._means: dict[str, float] = {}
        self._start: tuple[int, float] | None = None
        self._printed_at = -math.inf
        self._width = 0

    def status(self, status: Status) -> None:
        now = time.monotonic()
        if self._start is None:
            self._start = status.step, now
        for name, value in {**status.scalars, "loss": status.loss}.items():
            before = self._means.get(name, value)
            self._means[name] = self._smoothing * before + (1 - self._smoothing) * value
        if status.finished or now - self._printed_at >= self._interval:
            self._printed_at = now
            self._print(self._line(status, now), status.finished)

    def note(self, text: str) -> None:
        self._print(text, finished=True)

    def _line(self, status: Status, now: float) -> str:
        assert self._start is not None
        total = "?" if status.total_steps is None else str(status.total_steps)
        parts = [f"step {status.step}/{total}", *self._describe(self._means)]
        if status.validation_loss is not None:
            parts.append(f"validation {status.validation_loss:.4g}")
        first_step, first_time = self._start
        if status.step > first_step and now > first_time:
            speed = (status.step - first_step) / (now - first_time)
            parts.append(rate(speed, "steps"))
            if status.total_steps is not None and not status.finished:
                parts.append(f"{duration((status.total_steps - status.step) / speed)} left")
        return "  ".join(parts)

    def _print(self, line: str, finished: bool) -> None:
        if self._terminal:
            self._stream.write("\r" + line.ljust(self._width) + ("\n" if finished else ""))
            self._width = 0 if finished else len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()


def _loss(means: Mapping[str, float]) -> list[str]:
    return [f"running loss {means['loss']:.4g}"]
