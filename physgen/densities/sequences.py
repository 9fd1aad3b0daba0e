"""Densities of sequences of symbols, from any autoregressive network.

p(x) = prod_i p(x_i | x_1 ... x_(i-1), context): exact, and sampled exactly, symbol by symbol.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from physgen.density import Density
from physgen.nets.autoregressive import Autoregressive
from physgen.nets.conditioned import ConditionedRecurrent


class SequenceDensity(Density):
    """p(x_1 ... x_n), of integers 0 ... settings x outcomes - 1.

    Args:
        network: as many outputs a site as there are symbols. A `ConditionedRecurrent` makes the
            density conditional on a context.
        settings: a symbol is setting x outcomes + outcome, where one of so many settings was chosen
            by a fair die: each has probability 1 / settings, and the network says the rest.
    """

    def __init__(
        self,
        network: Autoregressive | ConditionedRecurrent,
        n: int,
        *,
        settings: int = 1,
        context_shape: tuple[int, ...] | None = None,
    ):
        self.event_shape = (n,)
        self.context_shape = context_shape
        self.network = network
        self.settings = settings

    def _given(self, context: Any) -> Any:
        if isinstance(self.network, ConditionedRecurrent):
            return self.network.given(context)
        return self.network

    def _conditionals(self, outputs: Float[Array, "*n s"]) -> Float[Array, "*n s"]:
        """log p of each symbol."""
        by_setting = outputs.reshape(*outputs.shape[:-1], self.settings, -1)
        return (jax.nn.log_softmax(by_setting) - jnp.log(self.settings)).reshape(outputs.shape)

    def _log_prob(self, x: Int[Array, " n"], context: Any) -> Float[Array, ""]:
        log_p = self._conditionals(self._given(context)(x))
        return jnp.take_along_axis(log_p, x[:, None], axis=1).sum()

    def _sample(self, key: PRNGKeyArray, context: Any) -> Int[Array, " n"]:
        network = self._given(context)
        n = self.event_shape[0]

        def step(state, inputs):
            carry, outputs = state
            key, site = inputs
            symbol = jax.random.categorical(key, self._conditionals(outputs))
            return network.advance(carry, symbol, site), symbol

        start = jax.tree.map(jnp.asarray, network.start())
        inputs = jax.random.split(key, n), jnp.arange(n)
        return jax.lax.scan(step, start, inputs)[1]
