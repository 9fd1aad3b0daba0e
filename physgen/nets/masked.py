"""A masked network: outputs for each entry of a vector that see only the entries before it.

MADE, Germain et al. 2015 (arXiv:1502.03509), with the pre-activation residual blocks of He et al.
2016 (arXiv:1603.05027). Each hidden unit has a degree k and sees the first k entries. Units of
degree 0 see the context alone, so that the first entry depends on the context as freely as the
others do.
"""

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
        modulation = jnp.zeros(self.modulations, x.dtype)
        if self.conditioner is not None:
            assert context is not None
            modulation = self.conditioner(context).reshape(self.modulations)
        h = self.first(x) + modulation[0]
        for i in range(0, len(self.blocks), 2):
            inner = self.blocks[i](jax.nn.silu(h)) + modulation[i + 1]
            update = self.blocks[i + 1](jax.nn.silu(inner))
            h = h + update * jax.nn.sigmoid(modulation[i + 2])
        return self.last(jax.nn.silu(h)).reshape(self.d_in, self.outputs_per_input)


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

    def __call__(self, x: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
        return x @ jnp.where(self.mask(), self.kernel[...], 0) + self.bias[...]


def hidden_degrees(d_in: int, width: int, *, lowest: int) -> np.ndarray:
    """Degrees from `lowest` to d_in - 1 in ascending order, equally often; shape (width,)."""
    highest = d_in - 1
    levels = highest - min(lowest, highest) + 1
    return np.sort(highest - np.arange(width) * levels // width)
