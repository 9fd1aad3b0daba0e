"""From a loss to a training step: AdamW, clipping, a schedule, and averaged parameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from physgen.errors import InputError

# The schedule's length until `on_total_steps` says better; it only shapes the first warm-up steps.
PROVISIONAL_STEPS = 10_000


@dataclass(frozen=True)
class OptimizerSettings:
    """Settings of AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) and of its schedule.

    learning_rate: the peak, reached after warmup_fraction of the steps and decayed to zero.
    weight_decay: applied to matrices only, not to biases and scales.
    clip_norm: the largest global norm of a gradient.
    second_moment_decay: of Adam's running mean of squared gradients (beta_2).
    ema_decay: of the running average of the parameters; 0 averages nothing.
    """

    learning_rate: float = 1e-3
    warmup_fraction: float = 0.05
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    second_moment_decay: float = 0.999

    def __post_init__(self) -> None:
        if self.learning_rate <= 0 or self.clip_norm <= 0:
            raise InputError(
                "learning_rate and clip_norm must be positive, got "
                f"{self.learning_rate} and {self.clip_norm}"
            )
        for name in ("warmup_fraction", "ema_decay", "second_moment_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if self.weight_decay < 0:
            raise InputError(f"weight_decay must not be negative, got {self.weight_decay}")


class TrainState(NamedTuple):
    """What recurs from step to step; `ema` is the average of `params`, to be evaluated and kept.

    All parameters are one vector: a step is then a few large operations instead of several for
    each array, which compiles in half the time.
    """

    params: Float[Array, " p"]
    optimizer: Any
    ema: Float[Array, " p"]
    step: Int[Array, ""]
    total_steps: Int[Array, ""]


class GradientStep(NamedTuple):
    """What `fit` needs, and `unravel`: a vector of parameters as the pytree that they came as."""

    state: TrainState
    step: Callable[[Array, TrainState, Any], tuple[TrainState, dict[str, Array]]]
    evaluate: Callable[[Array, TrainState, Any], Array]
    on_total_steps: Callable[[TrainState, int], TrainState]
    unravel: Callable[[Float[Array, " p"]], Any]


def gradient_step(
    params: Any,
    loss: Callable[[Any, Array, Any], Any],
    settings: OptimizerSettings,
    *,
    microbatch: int | None = None,
) -> GradientStep:
    """The GradientStep that minimises `loss(params, key, batch)`, from `params` on.

    With `microbatch`, gradients are accumulated over parts of the batch of that size, one after
    the other: it bounds memory, and on a CPU a part that fits the cache takes half the time.
    It must divide the batch, and be a multiple of the devices for all of them to work. Of p parts
    the first has items 0, p, 2p, ... of the batch.

    loss returns a scalar, or a scalar and a dictionary (or NamedTuple) of scalars to report.
    params is any pytree of floating-point arrays. `step` reports `loss`, `gradient_norm` (before
    clipping) and `learning_rate` besides; `evaluate` takes the loss at the averaged parameters.
    """
    vector, unravel = ravel_pytree(params)
    leaves = jax.tree.leaves(params)
    shrink = settings.weight_decay * np.repeat(
        np.array([leaf.ndim > 1 for leaf in leaves], vector.dtype), [leaf.size for leaf in leaves]
    )
    optimizer = optax.chain(
        optax.clip_by_global_norm(settings.clip_norm),
        optax.scale_by_adam(b2=settings.second_moment_decay),
    )

    def loss_and_info(vector, key, batch):
        value = loss(unravel(vector), key, batch)
        value, info = value if isinstance(value, tuple) else (value, {})
        info = info if isinstance(info, Mapping) else info._asdict()
        return value, {name: jnp.asarray(scalar) for name, scalar in info.items()}

    def value_and_gradient(params: Any, key: Array, batch: Any):
        function = jax.value_and_grad(loss_and_info, has_aux=True)
        size = jax.tree.leaves(batch)[0].shape[0] if microbatch else 0
        if not microbatch or size <= microbatch:
            return function(params, key, batch)
        if size % microbatch:
            raise InputError(
                f"expected a microbatch that divides the batch of {size}, got {microbatch}"
            )
        parts = size // microbatch

        def part(item: Array) -> Array:
            split = item.reshape(microbatch, parts, *item.shape[1:])  # keeps a sharded batch whole
            return jnp.swapaxes(split, 0, 1)

        def accumulate(total: Any, inputs: tuple[Array, Any]):
            return jax.tree.map(jnp.add, total, function(params, *inputs)), None

        inputs = jax.random.split(key, parts), jax.tree.map(part, batch)
        first = jax.tree.map(lambda item: item[0], inputs)
        like = jax.eval_shape(function, params, *first)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)
        total, _ = jax.lax.scan(accumulate, zeros, inputs)
        return jax.tree.map(lambda leaf: leaf / parts, total)

    def step(key: Array, state: TrainState, batch: Any) -> tuple[TrainState, dict[str, Array]]:
        (value, info), gradient = value_and_gradient(state.params, key, batch)
        rate = learning_rate(settings, state.step, state.total_steps)
        direction, moments = optimizer.update(gradient, state.optimizer)
        params = state.params - rate * (jnp.asarray(direction) + shrink * state.params)
        decay = jnp.minimum(settings.ema_decay, (1 + state.step) / (10 + state.step))
        ema = params + decay * (state.ema - params)
        info |= {
            "loss": value,
            "gradient_norm": optax.tree.norm(gradient),
            "learning_rate": rate,
        }
        return TrainState(params, moments, ema, state.step + 1, state.total_steps), info

    def evaluate(key: Array, state: TrainState, batch: Any) -> Array:
        return loss_and_info(state.ema, key, batch)[0]

    def on_total_steps(state: TrainState, total_steps: int) -> TrainState:
        return state._replace(total_steps=jnp.full((), total_steps, jnp.int32))

    zero, total = jnp.zeros((), jnp.int32), jnp.full((), PROVISIONAL_STEPS, jnp.int32)
    state = TrainState(vector, optimizer.init(vector), vector, zero, total)
    return GradientStep(state, step, evaluate, on_total_steps, unravel)


def learning_rate(
    settings: OptimizerSettings, step: Int[Array, ""], total_steps: Int[Array, ""]
) -> Float[Array, ""]:
    """Linear warm-up to the peak, then half a cosine down to zero at `total_steps`."""
    warmup = settings.warmup_fraction * total_steps
    rise = (step + 1) / jnp.maximum(warmup, 1)
    fall = jnp.clip((step - warmup) / (total_steps - warmup), 0, 1)
    return settings.learning_rate * jnp.minimum(rise, 1) * (1 + jnp.cos(jnp.pi * fall)) / 2
