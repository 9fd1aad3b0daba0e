"""What a run of simulations tells the person who waits for it."""

import math
import sys
import time
from dataclasses import dataclass

from physgen.train.progress import Stream
from physgen.words import duration, rate


@dataclass(frozen=True)
class SimulationStatus:
    """How many of `total` simulations are done, and how many of these failed."""

    done: int
    total: int
    failed: int


class SimulationLine:
    """One line on a stream (stderr): how many are done, how fast, the time left, the failures.

    It is rewritten in place on a terminal; elsewhere a new line appears at most every `interval`
    seconds, and at the end.
    """

    def __init__(self, stream: Stream | None = None, interval: float = 10.0):
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._interval = 0.1 if self._terminal else interval
        self._start: tuple[int, float] | None = None
        self._printed_at = -math.inf
        self._width = 0

    def __call__(self, status: SimulationStatus) -> None:
        now = time.monotonic()
        if self._start is None:
            self._start = status.done, now
        over = status.done == status.total
        if not over and now - self._printed_at < self._interval:
            return
        self._printed_at = now
        line = self._line(status, now)
        start, end = ("\r", "\n" if over else "") if self._terminal else ("", "\n")
        self._stream.write(start + line.ljust(self._width) + end)
        self._stream.flush()
        self._width = len(line) if self._terminal else 0

    def _line(self, status: SimulationStatus, now: float) -> str:
        assert self._start is not None
        parts = [f"simulation {status.done}/{status.total}"]
        first, started = self._start
        if status.done > first and now > started:
            speed = (status.done - first) / (now - started)
            parts.append(rate(speed))
            if status.done < status.total:
                parts.append(f"{duration((status.total - status.done) / speed)} left")
        if status.failed:
            parts.append(f"{status.failed} failed")
        return "  ".join(parts)
