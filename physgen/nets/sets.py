"""Embeddings of sets: the order of the elements has no meaning, and their number may vary.

Rows with a NaN are absent, so sets of different size fit one shape. Elements are averaged, and the
logarithm of one plus their number is a feature of its own: together they hold any sum.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from physgen.nets.attention import AttentionBlock
from physgen.nets.embedding import check_positive, check_shape
from physgen.nets.missing import present_rows
from physgen.nets.residual import ResidualMLP


@dataclass(frozen=True)
class DeepSetsEmbedding:
    """Size of a `DeepSets` for sets (elements, entries).

    width, depth: of both its perceptrons. features: the output's size.
    """

    width: int = 64
    depth: int = 1
    features: int = 32

    def __post_init__(self):
        check_positive(self, "width", "features")

    def build(self, x_shape: tuple[int, ...], *, rngs: nnx.Rngs) -> "DeepSets":
        """An embedding of observations of shape `x_shape`.

        Raises:
            InputError: if it has not two axes.
        """
        check_shape(self, x_shape, ("elements", "entries"))
        return DeepSets(x_shape[1], self, rngs=rngs)


class DeepSets(nnx.Module):
    """A function of the mean of a function of the elements (Zaheer et al. 2017, 1703.06114)."""

    def __init__(self, entries: int, settings: DeepSetsEmbedding, *, rngs: nnx.Rngs):
        s = settings
        self.size = s.features
        self.of_element = ResidualMLP(entries, s.width, s.width, s.depth, rngs=rngs)
        self.of_mean = ResidualMLP(s.width + 1, s.features, s.width, s.depth, rngs=rngs)

    def __call__(self, x: Float[Array, "n f"]) -> Float[Array, " c"]:
        rows, present = present_rows(x)
        mean = masked_mean(self.of_element(rows), present)
        return self.of_mean(jnp.concatenate([mean, log_number(present)]))


@dataclass(frozen=True)
class SetTransformerEmbedding:
    """Size of a `SetTransformer` for sets (elements, entries).

    width: entries of an element's representation; heads must divide it. inducing: points that
    stand between the elements, so that the cost grows with the elements' number and not its square.
    layers: induced blocks. seeds: vectors that the set is pooled into. features: the output's size.
    """

    width: int = 32
    heads: int = 4
    layers: int = 2
    inducing: int = 8
    seeds: int = 2
    features: int = 32

    def __post_init__(self):
        check_positive(self, "width", "heads", "inducing", "seeds", "features")

    def build(self, x_shape: tuple[int, ...], *, rngs: nnx.Rngs) -> "SetTransformer":
        """An embedding of observations of shape `x_shape`.

        Raises:
            InputError: if it has not two axes.
        """
        check_shape(self, x_shape, ("elements", "entries"))
        return SetTransformer(x_shape[1], self, rngs=rngs)


class SetTransformer(nnx.Module):
    """Attention between elements, then from seeds to them (Lee et al. 2019, 1810.00825)."""

    def __init__(self, entries: int, settings: SetTransformerEmbedding, *, rngs: nnx.Rngs):
        s = settings
        self.size = s.features
        self.first = nnx.Linear(entries, s.width, rngs=rngs)
        self.blocks = nnx.List(
            [_InducedBlock(s.width, s.heads, s.inducing, rngs=rngs) for _ in range(s.layers)]
        )
        self.seeds = _points(s.seeds, s.width, rngs=rngs)
        self.pool = AttentionBlock(s.width, s.heads, rngs=rngs)
        self.last = nnx.Linear(s.seeds * s.width + 1, s.features, rngs=rngs)

    def __call__(self, x: Float[Array, "n f"]) -> Float[Array, " c"]:
        rows, present = present_rows(x)
        h = self.first(rows)
        for block in self.blocks:
            h = block(h, present)
        seeds = self.seeds[...]
        pooled = self.pool(seeds, h, _for_each(seeds, present)).reshape(-1)
        return self.last(jnp.concatenate([pooled, log_number(present)]))


class _InducedBlock(nnx.Module):
    """ISAB, eq. 9-10 of Lee et al. 2019."""

    def __init__(self, width: int, heads: int, inducing: int, *, rngs: nnx.Rngs):
        self.inducing = _points(inducing, width, rngs=rngs)
        self.gather = AttentionBlock(width, heads, rngs=rngs)
        self.scatter = AttentionBlock(width, heads, rngs=rngs)

    def __call__(self, h: Float[Array, "n width"], present: Bool[Array, " n"]):
        inducing = self.inducing[...]
        return self.scatter(h, self.gather(inducing, h, _for_each(inducing, present)))


def masked_mean(x: Float[Array, "n f"], present: Bool[Array, " n"]) -> Float[Array, " f"]:
    """Mean over the present rows, zero if there are none."""
    return jnp.sum(x * present[:, None], axis=0) / jnp.maximum(jnp.sum(present), 1)


def log_number(present: Bool[Array, " n"]) -> Float[Array, " 1"]:
    """log(1 + how many are present)."""
    return jnp.log1p(jnp.sum(present))[None]


def _points(n: int, width: int, *, rngs: nnx.Rngs) -> nnx.Param:
    return nnx.Param(jax.random.normal(rngs.params(), (n, width)))


def _for_each(queries: Array, present: Bool[Array, " n"]) -> Bool[Array, "m n"]:
    return jnp.broadcast_to(present[None], (queries.shape[0], present.shape[0]))
