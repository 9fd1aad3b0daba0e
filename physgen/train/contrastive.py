"""Energy models at their largest likelihood, by persistent Markov chains.

The gradient of log p is that of -E over the data less that over the model; chains that go on from
step to step stand for the model (Tieleman 2008).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Int, PRNGKeyArray

from physgen.densities.boltzmann import chains
from physgen.train.gradient import OptimizerSettings, gradient_step
from physgen.train.loop import fit
from physgen.train.progress import Report
from physgen.train.settings import FitResult, FitSettings


def fit_energy(
    key: PRNGKeyArray,
    model: Any,
    x: Int[np.ndarray, "b n"],
    settings: FitSettings,
    optimizer: OptimizerSettings | None = None,
    *,
    persistent: int = 256,
    moves: int = 5,
    report: Report | None = None,
) -> tuple[Any, FitResult]:
    """Train an energy model on bits.

    Args:
        persistent: Markov chains. moves: of each chain in every step.
    """
    graph, parameters, rest = nnx.split(model, nnx.Param, ...)
    base = jnp.zeros(model.n)

    def loss(parameters: Any, key: Any, batch: dict[str, Any]) -> Any:
        there = nnx.merge(graph, parameters, rest)

        def mean(x):
            return jax.vmap(lambda one: there.log_weight(one, 1.0, base))(x).mean()

        return mean(batch["chains"]) - mean(batch["x"])

    inner = gradient_step(parameters, loss, optimizer or OptimizerSettings(learning_rate=5e-3))

    def step(key: Any, state: Any, batch: dict[str, Any]) -> Any:
        trained, x = state
        there = nnx.merge(graph, inner.unravel(trained.params), rest)
        x = chains(key, there, x, moves)
        trained, info = inner.step(key, trained, {**batch, "chains": x})
        return (trained, x), info

    key_start, key_fit = jax.random.split(key)
    start = jax.random.bernoulli(key_start, 0.5, (persistent, model.n)).astype(int)
    run = fit(
        key_fit,
        step,
        (inner.state, start),
        {"x": x},
        settings,
        on_total_steps=lambda state, n: (inner.on_total_steps(state[0], n), state[1]),
        report=report,
    )
    return nnx.merge(graph, inner.unravel(run.state[0].ema), rest), run
