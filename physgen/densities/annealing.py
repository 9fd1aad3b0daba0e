"""Annealed importance sampling of partition functions (Neal 2001, arXiv:physics/9803008).

For restricted Boltzmann machines: Salakhutdinov & Murray 2008. Independent bits are moved along
the path of a model, and weighted by how much its density grows under them. The mean weight is
Z / Z_0 without bias.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from physgen.densities.boltzmann import EnergyModel


@dataclass(frozen=True)
class LogPartition:
    """value: log Z. error: standard error, of the mean weight to first order. effective: of the
    chains, how many carry the weight."""

    value: float
    error: float
    effective: float


def log_partition(
    key: PRNGKeyArray,
    model: EnergyModel,
    *,
    chains: int = 256,
    temperatures: int = 1000,
    base: Float[Array, " n"] | None = None,
) -> LogPartition:
    """log Z of a model.

    Args:
        temperatures: steps along the path, at equal distances.
        base: logits of the bits that it starts from, such as those of the data; zero by default.
    """
    base = jnp.zeros(model.n) if base is None else jnp.asarray(base)
    log_weights = np.asarray(_log_weights(key, model, base, chains, temperatures), float)
    largest = log_weights.max()
    weights = np.exp(log_weights - largest)
    mean = weights.mean()
    value = float(model.log_partition_of_base(base)) + largest + np.log(mean)
    error = weights.std(ddof=1) / np.sqrt(chains) / mean
    return LogPartition(float(value), float(error), float(weights.sum() ** 2 / (weights**2).sum()))


def log_likelihood(
    model: EnergyModel, x: Int[np.ndarray, "b n"], partition: LogPartition
) -> Float[np.ndarray, " b"]:
    """log p of each event; all of them share the error of log Z."""
    base = jnp.zeros(model.n)
    weights = jax.vmap(lambda one: model.log_weight(one, 1.0, base))(jnp.asarray(x))
    return np.asarray(weights, float) - partition.value


@partial(jax.jit, static_argnums=(3, 4))
def _log_weights(
    key: PRNGKeyArray, model: EnergyModel, base: Array, chains: int, temperatures: int
) -> Float[Array, " chains"]:
    betas = jnp.linspace(0.0, 1.0, temperatures + 1)

    def chain(key):
        key_start, key_moves = jax.random.split(key)
        x = jax.random.bernoulli(key_start, jax.nn.sigmoid(base)).astype(int)

        def step(state, inputs):
            x, log_weight = state
            key, before, beta = inputs
            log_weight += model.log_weight(x, beta, base) - model.log_weight(x, before, base)
            return (model.move(key, x, beta, base), log_weight), None

        keys = jax.random.split(key_moves, temperatures)
        return jax.lax.scan(step, (x, jnp.zeros(())), (keys, betas[:-1], betas[1:]))[0][1]

    return jax.vmap(chain)(jax.random.split(key, chains))
