"""Recurrent cells: (carry, input) -> (carry, features), one idea of memory each.

Entries come first and any batch axes after them: gates are then whole rows, which a processor takes
several at a time. Weights do not depend on the length of a sequence, so that a trained network can
go on with a longer one.
"""

from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


@runtime_checkable
class Cell(Protocol):
    """What a recurrent network is made of; `size` is that of the features."""

    @property
    def size(self) -> int: ...

    def initial(self) -> Any:
        """The carry before the first input."""
        ...

    def __call__(self, carry: Any, inputs: Array) -> tuple[Any, Array]: ...


class GRUCell(nnx.Module):
    """Gated recurrent unit (Cho et al. 2014, arXiv:1406.1078), reset after the matrix product.

    One product of the carry with all three kernels side by side, which a batch of many carries
    turns into one large matrix product.
    """

    def __init__(self, size_in: int, size: int, *, rngs: nnx.Rngs):
        self.size = size
        self.input = nnx.Linear(size_in, 3 * size, rngs=rngs)
        kernel = nnx.initializers.orthogonal()
        blocks = [kernel(rngs.params(), (size, size), jnp.float32) for _ in range(3)]
        self.recurrent = nnx.Param(jnp.concatenate(blocks))
        self.bias = nnx.Param(jnp.zeros(size, jnp.float32))

    def initial(self) -> Float[Array, " size"]:
        return jnp.zeros(self.size, self.bias[...].dtype)

    def __call__(
        self, carry: Float[Array, "size *b"], inputs: Float[Array, "size_in *b"]
    ) -> tuple[Float[Array, "size *b"], Float[Array, "size *b"]]:
        reset_in, update_in, new_in = jnp.split(dense(self.input, inputs), 3)
        reset, update, new = jnp.split(jnp.tensordot(self.recurrent[...], carry, 1), 3)
        reset = jax.nn.sigmoid(reset_in + reset)
        update = jax.nn.sigmoid(update_in + update)
        new = jnp.tanh(new_in + reset * (new + columns(self.bias[...], carry)))
        carry = new + update * (carry - new)
        return carry, carry


class TensorizedCell(nnx.Module):
    """The tensorized gated cell of Hibat-Allah et al. 2022 (arXiv:2207.14314, eq. 4).

    Input and carry meet in a product: the update may depend on each pair of their entries.
    """

    def __init__(self, size_in: int, size: int, *, rngs: nnx.Rngs):
        self.size = size
        scale = nnx.initializers.variance_scaling(1.0, "fan_avg", "normal")
        self.kernel = nnx.Param(
            scale(rngs.params(), (2 * size, size_in * size), jnp.float32) * size_in**0.5
        )
        self.bias = nnx.Param(jnp.zeros(2 * size, jnp.float32))
        self.input = nnx.Linear(size_in, size, rngs=rngs)

    def initial(self) -> Float[Array, " size"]:
        return jnp.zeros(self.size, self.bias[...].dtype)

    def __call__(
        self, carry: Float[Array, "size *b"], inputs: Float[Array, "size_in *b"]
    ) -> tuple[Float[Array, "size *b"], Float[Array, "size *b"]]:
        pairs = (inputs[:, None] * carry[None]).reshape(-1, *carry.shape[1:])
        product = jnp.tensordot(self.kernel[...], pairs, 1) + columns(self.bias[...], carry)
        new, update = jnp.split(product, 2)
        new = jnp.tanh(new + dense(self.input, inputs))
        update = jax.nn.sigmoid(update)
        carry = carry + update * (new - carry)
        return carry, carry


class MinGRUCell(nnx.Module):
    """minGRU (Feng et al. 2024, arXiv:2410.01201): gates that see the input alone.

    The carry is then linear in the one before, h = (1 - z) h + z g, and `scan` computes all of a
    sequence in logarithmic depth (Blelloch 1990).
    """

    def __init__(self, size_in: int, size: int, *, rngs: nnx.Rngs):
        self.size = size
        self.input = nnx.Linear(size_in, 2 * size, rngs=rngs)

    def initial(self) -> Float[Array, " size"]:
        return jnp.zeros(self.size, self.input.kernel[...].dtype)

    def __call__(
        self, carry: Float[Array, "size *b"], inputs: Float[Array, "size_in *b"]
    ) -> tuple[Float[Array, "size *b"], Float[Array, "size *b"]]:
        keep, add = self._gates(inputs)
        carry = keep * carry + add
        return carry, carry

    def scan(
        self, carry: Float[Array, " size"], inputs: Float[Array, "n size_in"]
    ) -> Float[Array, "n size"]:
        """The carries after each input."""
        keep, add = jax.vmap(self._gates)(inputs)
        add = add.at[0].add(keep[0] * carry)

        def compose(first, second):
            return first[0] * second[0], second[0] * first[1] + second[1]

        return jax.lax.associative_scan(compose, (keep, add))[1]

    def _gates(self, inputs: Float[Array, "size_in *b"]) -> tuple[Array, Array]:
        update, new = jnp.split(dense(self.input, inputs), 2)
        update = jax.nn.sigmoid(update)
        return 1 - update, update * jnp.tanh(new)


def dense(layer: nnx.Linear, inputs: Float[Array, "size_in *b"]) -> Float[Array, "size *b"]:
    """The layer, entries first."""
    assert layer.bias is not None
    return jnp.tensordot(layer.kernel[...].T, inputs, 1) + columns(layer.bias[...], inputs)


def columns(entries: Float[Array, " n"], like: Float[Array, "m *b"]) -> Float[Array, "n *ones"]:
    """With as many axes of length 1 as `like` has batch axes."""
    return entries.reshape(-1, *[1] * (like.ndim - 1))
