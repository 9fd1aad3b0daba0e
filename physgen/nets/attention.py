"""Multi-head attention (Vaswani et al. 2017, arXiv:1706.03762), and the block made of it."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from physgen.errors import InputError
from physgen.nets.mlp import MLP

Cache = tuple[Array, Array]  # keys and values of a series, (n, heads, width / heads) each


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

    def cache(self, length: int) -> Cache:
        """Room for the keys and values of a series of that length."""
        heads, width = self.heads, self.query.out_features // self.heads
        nothing = jnp.zeros((length, heads, width), self.query.kernel[...].dtype)
        return nothing, nothing

    def extend(
        self,
        tokens: Float[Array, "m width"],
        items: Float[Array, "m width"],
        seen: Cache,
        start: int | Array,
    ) -> tuple[Float[Array, "m width"], Cache]:
        """The means for `tokens`, which stand at start, start + 1 ... of a series.

        Each sees itself and those before it, of which `seen` has the keys and the values.
        """
        positions = start + jnp.arange(tokens.shape[0])
        q, k, v = (
            layer(x).reshape(x.shape[0], self.heads, -1)
            for layer, x in ((self.query, tokens), (self.key, items), (self.value, items))
        )
        if self.rotary is not None:
            q, k = rotate(q, self.rotary, start), rotate(k, self.rotary, start)
        keys, values = (
            jax.lax.dynamic_update_slice_in_dim(old, new, start, 0)
            for old, new in zip(seen, (k, v), strict=True)
        )
        logits = jnp.einsum("ihd,jhd->hij", q, keys) / q.shape[-1] ** 0.5
        mask = jnp.arange(keys.shape[0])[None] <= positions[:, None]
        weights = jax.nn.softmax(jnp.where(mask[None], logits, -1e9), axis=-1)
        update = self.out(jnp.einsum("hij,jhd->ihd", weights, values).reshape(tokens.shape))
        return update, (keys, values)


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

    def extend(
        self, tokens: Float[Array, "m width"], seen: Cache, start: int | Array
    ) -> tuple[Float[Array, "m width"], Cache]:
        """Tokens at start, start + 1 ... of a series, see `MultiHeadAttention.extend`."""
        normed = self.norm_queries(tokens), self.norm_items(tokens)
        update, seen = self.attention.extend(*normed, seen, start)
        h = tokens + update
        return h + self.update(self.norm_update(h)), seen


def causal_mask(n: int) -> Bool[Array, "n n"]:
    """True where the item is no later than the query."""
    return jnp.tril(jnp.ones((n, n), bool))


def rotate(
    x: Float[Array, "n heads d"], length: int, start: int | Int[Array, ""] = 0
) -> Float[Array, "n heads d"]:
    """Pairs of entries turned by angles that grow with the position, start, start + 1 ...

    Products of rotated vectors depend on the difference of their positions alone.
    """
    half = x.shape[-1] // 2
    frequencies = float(length) ** -(jnp.arange(half) / half)
    positions = start + jnp.arange(x.shape[0])
    angles = (positions[:, None] * frequencies[None])[:, None, :]
    cosine, sine = jnp.cos(angles), jnp.sin(angles)
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cosine - second * sine, first * sine + second * cosine], -1)
