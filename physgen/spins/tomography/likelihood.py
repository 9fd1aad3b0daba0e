"""Any density of outcomes, at its largest likelihood."""

import os
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from physgen.density import Density
from physgen.train import FitResult, FitSettings, OptimizerSettings, Report, fit, gradient_step


@dataclass(frozen=True, eq=False)
class Fitted:
    """log_p: of each held-out event, in nats."""

    density: Any
    log_p: Float[np.ndarray, " h"]
    run: FitResult

    @property
    def held_out(self) -> float:
        """The mean log p of held-out events."""
        return float(self.log_p.mean())

    @property
    def error(self) -> float:
        """Its standard error."""
        return float(self.log_p.std() / np.sqrt(max(len(self.log_p) - 1, 1)))


def fit_density(
    key: PRNGKeyArray,
    density: Density,
    training: dict[str, np.ndarray],
    held_out: dict[str, np.ndarray],
    settings: FitSettings,
    optimizer: OptimizerSettings,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    identity: Any = None,
    report: Report | None = None,
) -> Fitted:
    """Train a density on events `x` (and contexts `context`, where it has any).

    The held-out events choose the step, where the settings have patience. For checkpoint, resume
    and identity see `physgen.train.fit`.
    """
    graph, parameters, rest = nnx.split(density, nnx.Param, ...)

    def log_prob(density: Density, batch: dict[str, Array]) -> Array:
        if density.context_shape is None:
            return jax.vmap(lambda x: density._log_prob(x, None))(batch["x"])
        return jax.vmap(density._log_prob)(batch["x"], batch["context"])

    def loss(parameters: Any, key: Array, batch: dict[str, Array]) -> Array:
        return -log_prob(nnx.merge(graph, parameters, rest), batch).mean()

    step = gradient_step(parameters, loss, optimizer)
    run = fit(
        key,
        step.step,
        step.state,
        training,
        settings,
        evaluate=step.evaluate,
        validation_data=held_out,
        checkpoint=checkpoint,
        resume=resume,
        on_total_steps=step.on_total_steps,
        identity=identity,
        report=report,
    )
    trained = nnx.merge(graph, step.unravel(run.state.ema), rest)
    log_p = jax.jit(log_prob)(trained, jax.tree.map(jnp.asarray, held_out))
    return Fitted(trained, np.asarray(log_p, float), run)
