"""Networks of one kind side by side: stacked parameters, trained and applied together."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from physgen.inference.fit import PosteriorTraining, schedule_for
from physgen.train import FitResult, Report, fit, gradient_step


def stacked(make: Callable[[nnx.Rngs], nnx.Module], members: int, rngs: nnx.Rngs) -> Any:
    """One module whose arrays hold those of `members` modules on a new first axis."""
    graph, *states = zip(*(nnx.split(make(rngs)) for _ in range(members)), strict=True)
    return nnx.merge(graph[0], jax.tree.map(lambda *leaves: jnp.stack(leaves), *states[0]))


def each(members: Any, function: Callable[..., Any], *mapped: Any) -> Any:
    """function(member, ...) of each of `stacked` modules, on a first axis; so are `mapped`."""
    graph, states = nnx.split(members)
    return jax.vmap(lambda state, *args: function(nnx.merge(graph, state), *args))(states, *mapped)


def mean_loss(function: Callable[..., Array], members: Any, key: PRNGKeyArray, batch: Any) -> Array:
    """The mean of function(member, key, batch) over stacked modules, each with its own key."""
    size = len(jax.tree.leaves(nnx.state(members))[0])
    keys = jax.random.split(key, size)
    return jnp.mean(each(members, lambda member, key: function(member, key, batch), keys))


def pair_loss(members: Any, key: PRNGKeyArray, batch: Mapping[str, Array]) -> Array:
    """The mean loss of stacked densities over the pairs of `in_frame`."""

    def one(member: Any, key: PRNGKeyArray, batch: Any) -> Array:
        keys = jax.random.split(key, len(batch["latent"]))
        return jnp.mean(jax.vmap(member.loss)(keys, batch["latent"], batch["seen"]))

    return mean_loss(one, members, key, batch)


def in_frame(
    frame: Any, events: np.ndarray, contexts: np.ndarray
) -> dict[str, Float[np.ndarray, "n ..."]]:
    """Pairs as networks see them, by a `frame`: latent events, and what is seen of contexts."""
    latent, seen = _in_frame(frame, jnp.asarray(events), jnp.asarray(contexts))
    return {"latent": np.asarray(latent), "seen": np.asarray(seen)}


@jax.jit
def _in_frame(frame, events, contexts):
    def one(event, context):
        prediction = frame.predict(context)
        return frame.to_latent(event, prediction)[0], prediction.seen

    return jax.vmap(one)(events, contexts)


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
        lambda parameters, key, batch: loss(nnx.merge(graph, parameters, rest), key, batch),
        training.optimizer,
    )
    run = fit(
        key,
        step.step,
        step.init(parameters),
        jax.tree.map(lambda a: a[kept], data),
        training.schedule or schedule_for(len(kept)),
        evaluate=step.evaluate,
        validation_data=jax.tree.map(lambda a: a[held_out], data),
        checkpoint=checkpoint,
        resume=resume,
        on_total_steps=step.on_total_steps,
        identity=(identity, training),
        report=report,
    )
    best = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), run.state.ema)
    return nnx.merge(graph, best, rest), run
