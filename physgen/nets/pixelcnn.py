"""PixelCNN: masked convolutions that see the pixels above and to the left (arXiv:1601.06759)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int


class PixelCNN(nnx.Module):
    """An autoregressive network of small images, pixel by pixel along the rows.

    Sites are rows x columns, flattened. A mask that leaves out the pixel itself comes first, then
    residual layers that see it.
    """

    def __init__(
        self,
        rows: int,
        columns: int,
        symbols: int,
        outputs: int,
        width: int = 16,
        layers: int = 3,
        kernel: int = 5,
        *,
        rngs: nnx.Rngs,
    ):
        self.shape = rows, columns
        self.symbols = symbols
        normal = nnx.initializers.variance_scaling(2.0, "fan_in", "normal")
        sizes = [symbols] + [width] * layers
        self.kernels = nnx.List(
            [
                nnx.Param(normal(rngs.params(), (kernel, kernel, size, width), jnp.float32))
                for size in sizes
            ]
        )
        self.biases = nnx.Param(jnp.zeros((layers + 1, width), jnp.float32))
        self.last = nnx.Linear(width, outputs, rngs=rngs)

    def __call__(self, symbols: Int[Array, " n"]) -> Float[Array, "n outputs"]:
        image = jax.nn.one_hot(symbols.reshape(self.shape), self.symbols)
        features = self._convolved(0, image, seen=False)
        for layer in range(1, len(self.kernels)):
            features += self._convolved(layer, jax.nn.relu(features), seen=True)
        return self.last(jax.nn.relu(features)).reshape(len(symbols), -1)

    def _convolved(self, layer: int, image: Array, *, seen: bool) -> Float[Array, "r c width"]:
        kernel = self.kernels[layer][...]
        size = kernel.shape[0]
        before = np.arange(size**2).reshape(size, size, 1, 1) < size**2 // 2 + seen
        found = jax.lax.conv_general_dilated(
            image[None],
            kernel * before,
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return found[0] + self.biases[layer][None, None]

    def start(self) -> tuple[Any, Array]:
        symbols = jnp.zeros(self.shape[0] * self.shape[1], int)
        return symbols, self(symbols)[0]

    def advance(self, carry: Array, symbol: Int[Array, ""], site: Any) -> tuple[Any, Array]:
        carry = carry.at[site].set(symbol)
        return carry, self(carry)[jnp.minimum(site + 1, len(carry) - 1)]
