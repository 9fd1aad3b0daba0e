"""Invertible maps between a simple base and the data, and their composition."""

import abc
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from physgen.nets.stacked import stacked


class Layer(nnx.Module):
    """An invertible map of events of shape (d,), conditional on features of shape (c,) or None.

    Unbatched. `forward` goes from base to data, `inverse` from data to base; each returns the
    image and the log-determinant of its own Jacobian.
    """

    @abc.abstractmethod
    def forward(
        self, z: Float[Array, " d"], context: Float[Array, " c"] | None = None
    ) -> tuple[Float[Array, " d"], Float[Array, ""]]:
        """x and log |det dx/dz|."""

    @abc.abstractmethod
    def inverse(
        self, x: Float[Array, " d"], context: Float[Array, " c"] | None = None
    ) -> tuple[Float[Array, " d"], Float[Array, ""]]:
        """z and log |det dz/dx|."""


class Chain(Layer):
    """Layers one after the other, the first one next to the base."""

    def __init__(self, layers: Sequence[Layer]):
        self.layers = nnx.List(layers)

    def forward(self, z, context=None):
        total = jnp.zeros((), z.dtype)
        for layer in self.layers:
            z, log_det = layer.forward(z, context)
            total = total + log_det
        return z, total

    def inverse(self, x, context=None):
        total = jnp.zeros((), x.dtype)
        for layer in reversed(self.layers):
            x, log_det = layer.inverse(x, context)
            total = total + log_det
        return x, total


class Repeated(Layer):
    """The same kind of layer several times, each with its own parameters.

    Equal to a `Chain`, and compiled once for all of them: a scan over stacked parameters.
    """

    def __init__(self, make: Callable[[nnx.Rngs], Layer], times: int, *, rngs: nnx.Rngs):
        self.layers = stacked(make, times, rngs)

    def forward(self, z, context=None):
        return self._scan(lambda layer, z: layer.forward(z, context), z, reverse=False)

    def inverse(self, x, context=None):
        return self._scan(lambda layer, x: layer.inverse(x, context), x, reverse=True)

    def _scan(self, apply, x, reverse):
        graph, states = nnx.split(self.layers)

        def body(x, state):
            return apply(nnx.merge(graph, state), x)

        x, log_dets = jax.lax.scan(body, x, states, reverse=reverse)
        return x, jnp.sum(log_dets)
