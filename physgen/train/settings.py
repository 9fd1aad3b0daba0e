"""How long to train and in what portions, and what a run leaves."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from physgen.errors import InputError
from physgen.words import counted, duration


@dataclass(frozen=True)
class FitSettings:
    """How long to train, and in what portions.

    Exactly one of steps and minutes says how long: minutes (of wall-clock time, compilation
    included) become a step count after a few timed dispatches. One dispatch runs up to
    steps_per_dispatch steps, and the total is rounded up to whole dispatches. Validation is due
    every validate_every steps; patience is the number of validations without improvement after
    which to stop, None for never. A checkpoint is written every checkpoint_every steps or, where
    that is None, every checkpoint_seconds.
    """

    batch_size: int = 64
    steps: int | None = None
    minutes: float | None = None
    steps_per_dispatch: int = 20
    validate_every: int = 200
    patience: int | None = None
    checkpoint_every: int | None = None
    checkpoint_seconds: float = 60.0

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise InputError(
                f"expected exactly one of steps and minutes, got steps={self.steps} and "
                f"minutes={self.minutes}"
            )
        for name, value in vars(self).items():
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name} must be positive and finite, got {value}")

    def dispatch_length(self) -> int:
        """Steps in one dispatch: at most steps_per_dispatch, as even as the total allows."""
        if self.steps is None:
            return self.steps_per_dispatch
        return math.ceil(self.steps / math.ceil(self.steps / self.steps_per_dispatch))

    def total_steps(self) -> int | None:
        """Steps in whole dispatches; None while a budget in minutes is all that is known."""
        length = self.dispatch_length()
        return None if self.steps is None else length * math.ceil(self.steps / length)


@dataclass(frozen=True)
class FitResult:
    """What a run left.

    state is the last one, or the best by validation loss where patience is set. history holds
    `step` (steps done) and the mean of every reported scalar, one entry a dispatch; and
    `validation_step` and `validation_loss`, one entry a validation. seconds counts the time of
    all sessions of a resumed run, compile_seconds what the last one spent on compiling.
    """

    state: Any
    history: dict[str, np.ndarray]
    steps: int
    seconds: float
    compile_seconds: float
    interrupted: bool
    stopped_early: bool
    best_step: int | None
    best_validation_loss: float | None

    def __repr__(self) -> str:
        best = self.best_validation_loss
        loss = "" if best is None else f", validation loss {best:.4g} after {self.best_step}"
        return f"<FitResult: {counted(self.steps, 'step')} in {duration(self.seconds)}{loss}>"


class NonFiniteError(InputError):
    """Training met a NaN or an infinity, and stopped."""
