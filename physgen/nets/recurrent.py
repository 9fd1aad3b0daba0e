"""Recurrent cells: (carry, input) -> (carry, features), unbatched, one idea of memory each.

The features of a cell are its carry, or a part of it. Weights do not depend on the length of a
sequence, so that a trained network can go on with a longer one.
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
        blocks = [kernel(rngs.params(), (size, size)) for _ in range(3)]
        self.recurrent = nnx.Param(jnp.concatenate(blocks, axis=1))
        self.bias = nnx.Param(jnp.zeros(size))

    def initial(self) -> Float[Array, " size"]:
        return jnp.zeros(self.size, self.bias[...].dtype)

    def __call__(
        self, carry: Float[Array, " size"], inputs: Float[Array, " size_in"]
    ) -> tuple[Float[Array, " size"], Float[Array, " size"]]:
        reset_in, update_in, new_in = jnp.split(self.input(inputs), 3, axis=-1)
        reset, update, new = jnp.split(carry @ self.recurrent[...], 3, axis=-1)
        reset = jax.nn.sigmoid(reset_in + reset)
        update = jax.nn.sigmoid(update_in + update)
        new = jnp.tanh(new_in + reset * (new + self.bias[...]))
        carry = new + update * (carry - new)
        return carry, carry


class TensorizedCell(nnx.Module):
    """The tensorized gated cell of Hibat-Allah et al. 2022 (arXiv:2207.14314, eq. 4).

    Input and carry meet in a product: the update may depend on each pair of their entries.
    """

    def __init__(self, size_in: int, size: int, *, rngs: nnx.Rngs):
        self.size = size
        scale = nnx.initializers.variance_scaling(1.0, "fan_avg", "normal")
        self.kernel = nnx.Param(scale(rngs.params(), (size_in * size, 2 * size)) * size_in**0.5)
        self.bias = nnx.Param(jnp.zeros(2 * size))
        self.input = nnx.Linear(size_in, size, rngs=rngs)

    def initial(self) -> Float[Array, " size"]:
        return jnp.zeros(self.size, self.bias[...].dtype)

    def __call__(
        self, carry: Float[Array, " size"], inputs: Float[Array, " size_in"]
    ) -> tuple[Float[Array, " size"], Float[Array, " size"]]:
        product = jnp.outer(inputs, carry).reshape(-1) @ self.kernel[...] + self.bias[...]
        new, update = jnp.split(product, 2, axis=-1)
        new = jnp.tanh(new + self.input(inputs))
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
        self, carry: Float[Array, " size"], inputs: Float[Array, " size_in"]
    ) -> tuple[Float[Array, " size"], Float[Array, " size"]]:
        keep, add = self._gates(inputs)
        carry = keep * carry + add
        return carry, carry

    def scan(
        self, carry: Float[Array, " size"], inputs: Float[Array, "n size_in"]
    ) -> Float[Array, "n size"]:
        """The carries after each input."""
        keep, add = self._gates(inputs)
        add = add.at[0].add(keep[0] * carry)

        def compose(first, second):
            return first[0] * second[0], second[0] * first[1] + second[1]

        return jax.lax.associative_scan(compose, (keep, add))[1]

    def _gates(self, inputs: Float[Array, "*n size_in"]) -> tuple[Array, Array]:
        update, new = jnp.split(self.input(inputs), 2, axis=-1)
        update = jax.nn.sigmoid(update)
        return 1 - update, update * jnp.tanh(new)
