"""Multi-head attention (Vaswani et al. 2017, arXiv:1706.03762), and the block made of it."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from physgen.errors import InputError
from physgen.nets.mlp import MLP


class MultiHeadAttention(nnx.Module):
    """Each query gets a weighted mean of the items, the weights from products of both.

    Args:
        width: entries of queries and items; heads must divide it.
        heads: independent weighted means, of width / heads entries each.
        rotary: queries and items are a series, of at most this length, and the weights depend on
            how far apart they are: rotary positions (Su et al. 2021, arXiv:2104.09864), with
            wavelengths from two pi steps to two pi times the length. None: order has no meaning.
    """

    def __init__(self, width: int, heads: int, *, rotary: int | None = None, rngs: nnx.Rngs):
        per_head = 1 if rotary is None else 2
        if width % (heads * per_head):
            raise InputError(
                f"expected a width that {per_head} x heads divides, got {width} for {heads} heads; "
                "widen the network"
            )
        self.heads = heads
        self.rotary = rotary
        self.query = nnx.Linear(width, width, rngs=rngs)
        self.key = nnx.Linear(width, width, use_bias=False, rngs=rngs)
        self.value = nnx.Linear(width, width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)

    def __call__(
        self,
        queries: Float[Array, "n width"],
        items: Float[Array, "m width"],
        mask: Bool[Array, "n m"] | None = None,
    ) -> Float[Array, "n width"]:
        """Means over the items that the mask allows (True); zero before the last layer if none."""
        q, k, v = (
            layer(x).reshape(x.shape[0], self.heads, -1)
            for layer, x in ((self.query, queries), (self.key, items), (self.value, items))
        )
        if self.rotary is not None:
            q, k = rotate(q, self.rotary), rotate(k, self.rotary)
        logits = jnp.einsum("ihd,jhd->hij", q, k) / q.shape[-1] ** 0.5
        if mask is None:
            weights = jax.nn.softmax(logits, axis=-1)
        else:
            weights = jax.nn.softmax(jnp.where(mask[None], logits, -1e9), axis=-1) * mask[None]
        return self.out(jnp.einsum("hij,jhd->ihd", weights, v).reshape(queries.shape))


class AttentionBlock(nnx.Module):
    """Attention and a perceptron, each added to its normalised input (pre-norm).

    Xiong et al. 2020 (arXiv:2002.04745). The queries are what is updated.
    """

    def __init__(self, width: int, heads: int, *, rotary: int | None = None, rngs: nnx.Rngs):
        self.norm_queries = nnx.LayerNorm(width, rngs=rngs)
        self.norm_items = nnx.LayerNorm(width, rngs=rngs)
        self.norm_update = nnx.LayerNorm(width, rngs=rngs)
        self.attention = MultiHeadAttention(width, heads, rotary=rotary, rngs=rngs)
        self.update = MLP((width, 2 * width, width), rngs=rngs)

    def __call__(
        self,
        queries: Float[Array, "n width"],
        items: Float[Array, "m width"],
        mask: Bool[Array, "n m"] | None = None,
    ) -> Float[Array, "n width"]:
        h = queries + self.attention(self.norm_queries(queries), self.norm_items(items), mask)
        return h + self.update(self.norm_update(h))


def causal_mask(n: int) -> Bool[Array, "n n"]:
    """True where the item is no later than the query."""
    return jnp.tril(jnp.ones((n, n), bool))


def rotate(x: Float[Array, "n heads d"], length: int) -> Float[Array, "n heads d"]:
    """Pairs of entries turned by angles that grow with the position along the first axis.

    Products of rotated vectors depend on the difference of their positions alone.
    """
    half = x.shape[-1] // 2
    frequencies = float(length) ** -(jnp.arange(half) / half)
    angles = (jnp.arange(x.shape[0])[:, None] * frequencies[None])[:, None, :]
    cosine, sine = jnp.cos(angles), jnp.sin(angles)
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cosine - second * sine, first * sine + second * cosine], -1)
