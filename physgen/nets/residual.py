"""Residual perceptrons: the embedding of vectors.

Pre-activation blocks, He et al. 2016 (arXiv:1603.05027). The second layer of each block starts at
zero, so the network starts as a shallow one and no depth is too large to train.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from physgen.nets.embedding import Embedding, check_positive
from physgen.nets.missing import WithMissing


@dataclass(frozen=True)
class MLPEmbedding:
    """Size of a `ResidualMLP` for observations of any shape, which are flattened.

    width, depth: units of a layer, and residual blocks of two layers. features: the output's size.
    norm: layer normalisation in the blocks. missing: entries may be NaN, see `WithMissing`.
    """

    width: int = 64
    depth: int = 2
    features: int = 32
    norm: bool = False
    missing: bool = False

    def __post_init__(self):
        check_positive(self, "width", "features")

    def build(self, x_shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Embedding:
        """An embedding of observations of shape `x_shape`, any."""
        entries = math.prod(x_shape) * (2 if self.missing else 1)
        network = FlatMLP(
            ResidualMLP(entries, self.features, self.width, self.depth, norm=self.norm, rngs=rngs)
        )
        return WithMissing(network) if self.missing else network


class FlatMLP(nnx.Module):
    """A perceptron of all entries of an array."""

    def __init__(self, mlp: "ResidualMLP"):
        self.mlp = mlp
        self.size = mlp.size

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, " c"]:
        return self.mlp(jnp.reshape(x, -1))


class ResidualMLP(nnx.Module):
    """A perceptron with residual blocks, on the last axis.

    Args:
        size_in, size: entries of the last axis of input and output.
        width: units of each hidden layer.
        depth: blocks of two layers; 0 leaves one hidden layer.
        norm: layer normalisation (Ba et al. 2016, arXiv:1607.06450) at the start of each block.
    """

    def __init__(
        self,
        size_in: int,
        size: int,
        width: int,
        depth: int,
        *,
        norm: bool = False,
        rngs: nnx.Rngs,
    ):
        self.size = size
        self.first = nnx.Linear(size_in, width, rngs=rngs)
        self.blocks = nnx.List([_Block(width, norm, rngs=rngs) for _ in range(depth)])
        self.last = nnx.Linear(width, size, rngs=rngs)

    def __call__(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        h = self.first(x)
        for block in self.blocks:
            h = h + block(h)
        return self.last(jax.nn.silu(h))


class _Block(nnx.Module):
    def __init__(self, width: int, norm: bool, *, rngs: nnx.Rngs):
        zeros = nnx.initializers.zeros
        self.norm = nnx.data(nnx.LayerNorm(width, rngs=rngs) if norm else None)
        self.inner = nnx.Linear(width, width, rngs=rngs)
        self.outer = nnx.Linear(width, width, kernel_init=zeros, rngs=rngs)

    def __call__(self, h: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        h = h if self.norm is None else self.norm(h)
        return self.outer(jax.nn.silu(self.inner(jax.nn.silu(h))))
