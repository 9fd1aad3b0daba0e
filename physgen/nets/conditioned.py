"""Recurrent networks that know a context: a time, a detuning, a temperature."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from physgen.nets.autoregressive import step_by_step
from physgen.nets.recurrent import GRUCell


class ConditionedRecurrent(nnx.Module):
    """Gated units that see features of the context beside each symbol.

    The features are a small network of the context and of its sines and cosines, `frequencies`
    octaves of them, which let neighbouring contexts differ.

    Args:
        context: numbers in it; of order one, with a spread of order one.
    """

    def __init__(
        self,
        context: int,
        symbols: int,
        outputs: int,
        units: int,
        *,
        features: int = 16,
        frequencies: int = 3,
        rngs: nnx.Rngs,
    ):
        self.symbols = symbols
        self.frequencies = frequencies
        self.first = nnx.Linear(context * (1 + 2 * frequencies), features, rngs=rngs)
        self.second = nnx.Linear(features, features, rngs=rngs)
        self.cell = GRUCell(symbols + features, units, rngs=rngs)
        self.last = nnx.Linear(units, outputs, rngs=rngs)

    def given(self, context: Float[Array, " c"]) -> "Given":
        """The network for one context, an autoregressive one."""
        octaves = jnp.pi / 2 * 2.0 ** jnp.arange(self.frequencies)
        angles = jnp.outer(context, octaves).reshape(-1)
        waves = jnp.concatenate([context, jnp.sin(angles), jnp.cos(angles)])
        return Given(self, self.second(jnp.tanh(self.first(waves))))


@dataclass(frozen=True, eq=False)
class Given:
    """A `ConditionedRecurrent` whose context is fixed."""

    network: ConditionedRecurrent
    features: Float[Array, " features"]

    def start(self) -> tuple[Any, Array]:
        return self._step(self.network.cell.initial(), jnp.zeros(self.network.symbols))

    def advance(self, carry: Any, symbol: Int[Array, ""], site: Any) -> tuple[Any, Array]:
        return self._step(carry, jax.nn.one_hot(symbol, self.network.symbols))

    def _step(self, carry: Any, symbol: Array) -> tuple[Any, Array]:
        carry, features = self.network.cell(carry, jnp.concatenate([symbol, self.features]))
        return carry, self.network.last(features)

    def __call__(self, symbols: Int[Array, " n"]) -> Float[Array, "n outputs"]:
        return step_by_step(self, symbols)[0]
