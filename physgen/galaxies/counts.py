"""How many galaxies a box holds: p(N | parameters)."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Float, Int, PRNGKeyArray

from physgen.density import Density
from physgen.nets.mlp import MLP
from physgen.train import FitSettings, OptimizerSettings, Silent, fit, gradient_step

_ROUNDS = FitSettings(batch_size=64, steps=3000, validate_every=100, patience=5)
_OPTIMIZER = OptimizerSettings(learning_rate=3e-3, weight_decay=1e-2, ema_decay=0.99)


@dataclass(frozen=True)
class CountSettings:
    """Size of `Counts`. log_mean, log_scale: of the logarithms of the counts; most: never more."""

    log_mean: float
    log_scale: float
    most: int
    components: int = 3
    width: int = 32


class Counts(Density):
    """N = floor(exp(y)), at most `most`, y a mixture of normals that depends on parameters.

    It may scatter more than a Poisson count or less. The normals have their places relative to one
    centre and one scale, which depend on parameters too: as the scale shrinks in training none is
    left behind, far off and with a weight too small for the likelihood to mind. Contexts are
    standardised parameters.
    """

    def __init__(self, settings: CountSettings, context_size: int, *, rngs: nnx.Rngs):
        s = self.settings = settings
        self.event_shape = ()
        self.context_shape = (context_size,)
        self.network = MLP((context_size, s.width, s.width, 2 + 3 * s.components), rngs=rngs)

    def _mixture(self, context):
        """Log-weights, means and log-deviations of y, each (components,)."""
        s = self.settings
        (centre, log_scale), of_each = jnp.split(self.network(context), [2])
        logits, offsets, log_scales = jnp.split(of_each, 3)
        spread = jnp.linspace(-1.0, 1.0, s.components)  # so that components start apart
        scale = s.log_scale * jnp.exp(log_scale)
        means = s.log_mean + s.log_scale * centre + scale * (offsets + spread)
        return jax.nn.log_softmax(logits), means, jnp.log(scale) + log_scales

    def _log_prob(self, x, context):
        logits, means, log_scales = self._mixture(context)
        ends = jnp.log(jnp.stack([jnp.maximum(x, 1e-9), x + 1.0]))
        low, high = (ends[:, None] - means[None]) * jnp.exp(-log_scales)[None]
        high = jnp.where(x >= self.settings.most, jnp.inf, high)
        return jax.nn.logsumexp(logits + _log_normal_mass(low, high))

    def _sample(self, key, context):
        key_component, key_value = jax.random.split(key)
        logits, means, log_scales = self._mixture(context)
        chosen = jax.random.categorical(key_component, logits)
        y = means[chosen] + jnp.exp(log_scales[chosen]) * jax.random.normal(key_value)
        return jnp.minimum(jnp.floor(jnp.exp(y)), self.settings.most)


def _log_normal_mass(low: Float[Array, " k"], high: Float[Array, " k"]) -> Float[Array, " k"]:
    """log of the standard normal's mass between low and high, exact in both tails."""
    flipped = low > 0  # the mass is in the upper tail, where the distribution function is all one
    low, high = jnp.where(flipped, -high, low), jnp.where(flipped, -low, high)
    upper, lower = log_ndtr(high), log_ndtr(low)
    return upper + jnp.log(-jnp.expm1(jnp.minimum(lower - upper, -1e-6)))


def count_settings(counts: Int[np.ndarray, " n"]) -> CountSettings | None:
    """For the counts of a training set; None where they are all one number."""
    if counts.min() == counts.max():
        return None
    logs = np.log(np.maximum(counts, 0.5))
    return CountSettings(float(logs.mean()), float(logs.std()), 2 * int(counts.max()))


def fit_counts(
    key: PRNGKeyArray,
    density: Counts,
    counts: Int[np.ndarray, " n"],
    contexts: Float[np.ndarray, "n p"],
    train: Int[np.ndarray, " t"],
    held_out: Int[np.ndarray, " v"],
) -> Counts:
    """The density of the boxes `train` by maximum likelihood, stopped early by those `held_out`.

    Raises:
        KeyboardInterrupt: after Ctrl-C; it takes seconds, and nothing is kept.
    """
    graph, parameters, rest = nnx.split(density, nnx.Param, ...)

    def loss(parameters, key, batch):
        model = nnx.merge(graph, parameters, rest)
        return -jnp.mean(model.log_prob(batch["count"], batch["context"]))

    rounds = _ROUNDS if len(held_out) else replace(_ROUNDS, steps=500, patience=None)
    data = {"count": counts.astype(np.float32), "context": contexts.astype(np.float32)}
    step = gradient_step(parameters, loss, _OPTIMIZER)
    run = fit(
        key,
        step.step,
        step.state,
        jax.tree.map(lambda array: array[train], data),
        rounds,
        evaluate=step.evaluate if len(held_out) else None,
        validation_data=jax.tree.map(lambda a: a[held_out], data) if len(held_out) else None,
        on_total_steps=step.on_total_steps,
        report=Silent(),
    )
    if run.interrupted:
        raise KeyboardInterrupt
    return nnx.merge(graph, step.unravel(run.state.ema), rest)
