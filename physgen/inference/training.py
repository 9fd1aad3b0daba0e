"""How networks are trained, whatever they learn of the simulations."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Int, PRNGKeyArray

from physgen.train import FitResult, FitSettings, OptimizerSettings, Report, fit, gradient_step


@dataclass(frozen=True)
class PosteriorTraining:
    """How a posterior is trained.

    schedule: how long, and in what batches; `schedule_for` the number of simulations if None.
    held_out: the fraction of simulations kept for the validation loss, and for `check`.
    """

    schedule: FitSettings | None = None
    optimizer: OptimizerSettings = OptimizerSettings(
        learning_rate=2e-3, clip_norm=5.0, ema_decay=0.99, weight_decay=0.2
    )
    held_out: float = 0.1


def schedule_for(simulations: int) -> FitSettings:
    """4000 steps for 10,000 simulations, more or fewer as the square root of their number.

    Training stops early once the validation loss has not improved for a fifth of the run.
    """
    steps = 50 * math.ceil(80 * math.sqrt(simulations / 10_000))
    return FitSettings(
        batch_size=int(min(256, max(8, 2 ** int(math.log2(simulations / 10))))),
        steps=steps,
        steps_per_dispatch=50,
        validate_every=50,
        patience=max(steps // 250, 4),
    )


def train(
    key: PRNGKeyArray,
    module: Any,
    loss: Callable[[Any, PRNGKeyArray, Any], Array],
    data: Any,
    kept: Int[np.ndarray, " k"],
    held_out: Int[np.ndarray, " h"],
    training: PosteriorTraining,
    *,
    identity: Any,
    trained: Any = nnx.Param,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> tuple[Any, FitResult]:
    """`module` after minimising loss(module, key, batch) over its parameters, and how it went.

    Args:
        data: a pytree of host arrays, whose rows `kept` are trained on and `held_out` validate.
        trained: which variables, as a filter of flax.
        identity, checkpoint, resume, report: see `physgen.train.fit`.
    """
    graph, parameters, rest = nnx.split(module, trained, ...)
    step = gradient_step(
        parameters,
        lambda parameters, key, batch: loss(nnx.merge(graph, parameters, rest), key, batch),
        training.optimizer,
    )
    run = fit(
        key,
        step.step,
        step.state,
        jax.tree.map(lambda a: a[kept], data),
        training.schedule or schedule_for(len(kept) + len(held_out)),
        evaluate=step.evaluate,
        validation_data=jax.tree.map(lambda a: a[held_out], data),
        checkpoint=checkpoint,
        resume=resume,
        on_total_steps=step.on_total_steps,
        identity=(identity, training),
        report=report,
    )
    return nnx.merge(graph, step.unravel(run.state.ema), rest), run
