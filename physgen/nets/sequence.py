"""A causal Transformer as the embedding of time series.

Each time sees itself and the past, so the last one has seen all: its features are the summary.
"""

import math
from dataclasses import dataclass

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from physgen.nets.attention import AttentionBlock, Cache, causal_mask
from physgen.nets.embedding import Embedding, check_positive, check_shape
from physgen.nets.missing import WithMissing, present_rows


@dataclass(frozen=True)
class TransformerEmbedding:
    """Size of a `CausalTransformer` for time series (length[, channels]).

    Rows with a NaN are absent: shorter series are padded with them. With `missing`, single entries
    may be NaN and all rows count, see `WithMissing`.
    width: entries of a token. heads: of attention; twice their number must divide the width.
    layers: blocks. features: the output's size.
    """

    width: int = 32
    heads: int = 4
    layers: int = 2
    features: int = 32
    missing: bool = False

    def __post_init__(self):
        check_positive(self, "width", "heads", "features")

    def build(self, x_shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Embedding:
        """An embedding of observations of shape `x_shape`.

        Raises:
            InputError: if it has neither one nor two axes.
        """
        check_shape(self, x_shape, ("length",), ("length", "channels"))
        channels = math.prod(x_shape[1:]) * (2 if self.missing else 1)
        network = SeriesTransformer(x_shape[0], channels, self, rngs=rngs)
        return WithMissing(network) if self.missing else network


class SeriesTransformer(nnx.Module):
    """Features of a series: those of its last present time."""

    def __init__(
        self, length: int, channels: int, settings: TransformerEmbedding, *, rngs: nnx.Rngs
    ):
        s = settings
        self.length = length
        self.size = s.features
        self.first = nnx.Linear(channels + 1, s.width, rngs=rngs)
        self.transformer = CausalTransformer(s.width, s.heads, s.layers, length, rngs=rngs)
        self.last = nnx.Linear(s.width, s.features, rngs=rngs)

    def __call__(self, x: Float[Array, "length ..."]) -> Float[Array, " c"]:
        rows, present = present_rows(x.reshape(x.shape[0], -1))
        times = jnp.linspace(-1.0, 1.0, self.length)
        tokens = self.first(jnp.concatenate([rows, times[:, None]], axis=1))
        h = self.transformer(tokens, present)
        return self.last(h[self.length - 1 - jnp.argmax(present[::-1])])


class CausalTransformer(nnx.Module):
    """Tokens in, tokens out, each made of itself and those before it."""

    def __init__(self, width: int, heads: int, layers: int, length: int, *, rngs: nnx.Rngs):
        """`length` is that of the longest series: it sets the wavelengths of the positions."""
        self.blocks = nnx.List(
            [AttentionBlock(width, heads, rotary=length, rngs=rngs) for _ in range(layers)]
        )
        self.norm = nnx.LayerNorm(width, rngs=rngs)

    def __call__(
        self, tokens: Float[Array, "n width"], present: Bool[Array, " n"] | None = None
    ) -> Float[Array, "n width"]:
        """`present` marks the tokens that others may see; all if None."""
        mask = causal_mask(tokens.shape[0])
        if present is not None:
            mask = mask & present[None, :]
        for block in self.blocks:
            tokens = block(tokens, tokens, mask)
        return self.norm(tokens)

    def caches(self, length: int) -> tuple[Cache, ...]:
        """What `extend` knows of a series of that length before its first token."""
        return tuple(block.attention.cache(length) for block in self.blocks)

    def extend(
        self, tokens: Float[Array, "m width"], caches: tuple[Cache, ...], start: int | Array
    ) -> tuple[Float[Array, "m width"], tuple[Cache, ...]]:
        """The same for the tokens from `start` on, given the caches of those before."""
        extended = []
        for block, seen in zip(self.blocks, caches, strict=True):
            tokens, seen = block.extend(tokens, seen, start)
            extended.append(seen)
        return self.norm(tokens), tuple(extended)
