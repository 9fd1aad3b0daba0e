"""A masked network: outputs for each entry of a vector that see only the entries before it.

MADE, Germain et al. 2015 (arXiv:1502.03509), with the pre-activation residual blocks of He et al.
2016 (arXiv:1603.05027). Each hidden unit has a degree k and sees the first k entries. Units of
degree 0 see the context alone, so that the first entry depends on the context as freely as the
others do.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float


class MaskedMLP(nnx.Module):
    """Outputs of shape (d_in, outputs_per_input); those of entry i depend on x[:i] and the context.

    Unbatched; under `jax.vmap` each layer is one matrix product. The last layer starts at zero.

    Args:
        d_in: entries of x, in their natural order.
        context_size: entries of the context, 0 if there is none; it enters every block.
        outputs_per_input: outputs for each entry.
        width: hidden units, shared out evenly over the degrees. Fewer than d_in are allowed, and
            leave some entries out of the sight of the entries right after them.
        depth: residual blocks of two layers each.
        features_per_input: numbers that each entry is given as, one after the other in x.
    """

    def __init__(
        self,
        d_in: int,
        context_size: int,
        outputs_per_input: int,
        width: int,
        depth: int,
        *,
        features_per_input: int = 1,
        rngs: nnx.Rngs,
    ):
        self.d_in = d_in
        self.outputs_per_input = outputs_per_input
        inputs = np.repeat(np.arange(1, d_in + 1), features_per_input)
        hidden = hidden_degrees(d_in, width, lowest=0 if context_size else 1)
        outputs = np.repeat(np.arange(d_in), outputs_per_input)
        self.first = MaskedLinear(inputs, hidden, rngs=rngs)
        self.blocks = nnx.List(
            [MaskedLinear(hidden, hidden, gain=1 - i % 2, rngs=rngs) for i in range(2 * depth)]
        )
        self.last = MaskedLinear(hidden, outputs, gain=0, rngs=rngs)
        self.modulations = (1 + 2 * depth, width)
        self.conditioner = nnx.data(
            nnx.Linear(context_size, (1 + 2 * depth) * width, rngs=rngs) if context_size else None
        )

    def __call__(
        self, x: Float[Array, " inputs"], context: Float[Array, " c"] | None = None
    ) -> Float[Array, "d outputs"]:
        modulation = self._modulation(x.dtype, context)
        h = self.first(x) + modulation[0]
        for i in range(0, len(self.blocks), 2):
            inner = self.blocks[i](jax.nn.silu(h)) + modulation[i + 1]
            update = self.blocks[i + 1](jax.nn.silu(inner))
            h = h + update * jax.nn.sigmoid(modulation[i + 2])
        return self.last(jax.nn.silu(h)).reshape(self.d_in, self.outputs_per_input)

    def generate(
        self,
        entry: Callable[[Any, Float[Array, " outputs"]], tuple[Array, Any]],
        context: Float[Array, " c"] | None = None,
    ) -> Any:
        """Entries one after the other, each from the outputs that the ones before it lead to.

        Each hidden unit is evaluated once, as soon as all that it sees is known: all entries
        together cost as much as one call.

        Args:
            entry: (i, outputs of entry i) -> the numbers (features_per_input,) that entry i is
                given as, and anything to keep.

        Returns:
            What was kept, stacked along a first axis of d_in.
        """
        degrees = np.asarray(self.first.degrees_out)
        m = int(np.unique(degrees, return_counts=True)[1].max())
        starts = np.searchsorted(degrees, np.arange(self.d_in)).clip(max=len(degrees) - m)
        features = len(self.first.degrees_in) // self.d_in
        dtype = self.last.bias[...].dtype
        modulation = self._modulation(dtype, context)
        kernels = [layer.masked() for layer in (self.first, *self.blocks)]
        biases = [layer.bias[...] for layer in (self.first, *self.blocks)]
        last = self.last.masked().reshape(-1, self.d_in, self.outputs_per_input)
        last_bias = self.last.bias[...].reshape(self.d_in, -1)

        def outputs(i, x, seen):
            """Of entry i; `seen` are what follows the activations of each hidden layer."""
            start, seen = jnp.asarray(starts)[i], list(seen)

            def units(array):
                return jax.lax.dynamic_slice_in_dim(array, start, m, -1)

            def layer(k, inputs):
                return inputs @ units(kernels[k]) + units(biases[k])

            def keep(k, values):
                values = jax.nn.silu(values)
                seen[k] = jax.lax.dynamic_update_slice_in_dim(seen[k], values, start, -1)

            h = layer(0, x) + units(modulation[0])
            keep(0, h)
            for k in range(1, len(kernels), 2):
                keep(k, layer(k, seen[k - 1]) + units(modulation[k]))
                h = h + layer(k + 1, seen[k]) * jax.nn.sigmoid(units(modulation[k + 1]))
                keep(k + 1, h)
            return seen[-1] @ last[:, i] + last_bias[i], tuple(seen)

        def advance(carry, i):
            row, seen = outputs(i, *carry)
            numbers, kept = entry(i, row)
            x = jax.lax.dynamic_update_slice_in_dim(carry[0], numbers, i * features, -1)
            return (x, seen), kept

        nothing = jnp.zeros(len(degrees), dtype)
        start = jnp.zeros(self.d_in * features, dtype), (nothing,) * len(kernels)
        carry, first = advance(start, 0)  # apart: it is the same for a whole batch
        _, rest = jax.lax.scan(advance, carry, jnp.arange(1, self.d_in))
        return jax.tree.map(lambda one, more: jnp.concatenate([one[None], more]), first, rest)

    def _modulation(self, dtype: Any, context: Float[Array, " c"] | None) -> Array:
        if self.conditioner is None:
            return jnp.zeros(self.modulations, dtype)
        assert context is not None
        return self.conditioner(context).reshape(self.modulations)


class MaskedLinear(nnx.Module):
    """A dense layer without the connections from higher degrees to lower ones."""

    def __init__(
        self,
        degrees_in: np.ndarray,
        degrees_out: np.ndarray,
        *,
        gain: float = 1.0,
        rngs: nnx.Rngs,
    ):
        """Kernels start with variance gain^2 / (number of inputs that the unit sees)."""
        self.degrees_in = tuple(degrees_in.tolist())
        self.degrees_out = tuple(degrees_out.tolist())
        mask = self.mask()
        scale = gain / np.sqrt(np.maximum(mask.sum(axis=0, keepdims=True), 1))
        normal = jax.random.normal(rngs.params(), mask.shape)
        self.kernel = nnx.Param(normal * jnp.asarray(scale * mask, normal.dtype))
        self.bias = nnx.Param(jnp.zeros(mask.shape[1]))

    def mask(self) -> Bool[np.ndarray, "inputs outputs"]:
        """True where a connection is."""
        return np.asarray(self.degrees_in)[:, None] <= np.asarray(self.degrees_out)[None, :]

    def masked(self) -> Float[Array, "inputs outputs"]:
        """The kernel, zero where there is no connection."""
        return jnp.where(self.mask(), self.kernel[...], 0)

    def __call__(self, x: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
        return x @ self.masked() + self.bias[...]


def hidden_degrees(d_in: int, width: int, *, lowest: int) -> np.ndarray:
    """Degrees from `lowest` to d_in - 1 in ascending order, equally often; shape (width,)."""
    highest = d_in - 1
    levels = highest - min(lowest, highest) + 1
    return np.sort(highest - np.arange(width) * levels // width)
