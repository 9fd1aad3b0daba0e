"""Embeddings: networks that turn one observation into a vector of features.

Settings are plain values; they build a network once the shape of an observation is known. Networks
are unbatched: `jax.vmap` them. Absent elements of sets, clouds and series are rows of NaN.
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from physgen.errors import InputError


@runtime_checkable
class Embedding(Protocol):
    """An observation of a fixed shape in, features of shape (size,) out."""

    size: int

    def __call__(self, x: Array) -> Array: ...


@runtime_checkable
class EmbeddingSettings(Protocol):
    """What makes an embedding: a frozen dataclass of plain values."""

    def build(self, x_shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Embedding:
        """An embedding of observations of shape `x_shape`, with random weights."""
        ...


@dataclass(frozen=True)
class NoEmbedding:
    """The observation itself, flattened."""

    def build(self, x_shape: tuple[int, ...], *, rngs: nnx.Rngs) -> "Flatten":
        """`Flatten`, for any shape; it has no weights."""
        return Flatten(x_shape)


class Flatten(nnx.Module):
    """All entries of an array in one vector."""

    def __init__(self, x_shape: tuple[int, ...]):
        self.size = math.prod(x_shape)

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, " c"]:
        return jnp.reshape(x, -1)


def check_shape(
    settings: EmbeddingSettings, x_shape: tuple[int, ...], *expected: tuple[str, ...]
) -> None:
    """That `x_shape` has as many axes as one of the `expected` tuples of axis names.

    Raises:
        InputError: if it has not, or if an axis is empty.
    """
    if len(x_shape) in [len(axes) for axes in expected] and min(x_shape, default=1) > 0:
        return
    names = " or ".join("(" + ", ".join(axes) + "," * (len(axes) == 1) + ")" for axes in expected)
    raise InputError(
        f"expected observations of shape {names} for {type(settings).__name__}, got {x_shape}; "
        "reshape them, or take another embedding (MLPEmbedding takes any shape)"
    )


def check_positive(settings: EmbeddingSettings, *names: str) -> None:
    """That these fields are positive.

    Raises:
        InputError: names the first that is not.
    """
    for name in names:
        value = getattr(settings, name)
        if not value > 0:
            raise InputError(
                f"expected a positive {name} in {type(settings).__name__}, got {value}; "
                "give at least one"
            )
