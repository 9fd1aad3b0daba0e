"""Convolutional embeddings of regularly sampled signals, images and fields.

Residual blocks with pre-activation (He et al. 2016, arXiv:1603.05027), and a strided convolution
between them that halves the sides and doubles the channels.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from physgen.errors import InputError
from physgen.nets.embedding import Embedding, check_positive, check_shape
from physgen.nets.missing import WithMissing


@dataclass(frozen=True)
class CNNEmbedding:
    """Size of a `CNN` for observations with 1, 2 or 3 regular axes, and channels or none.

    dimensions: 1 for signals (length[, channels]), 2 for images (height, width[, channels]), 3 for
    fields. width: channels of the first stage. stages: how often the sides are halved. kernel:
    cells of a filter along each axis. features: the output's size. pool: average over the last
    stage's cells, which forgets where things were; else all of them are kept. periodic: the field
    lives in a periodic box. missing: entries may be NaN, see `WithMissing`.
    """

    dimensions: int = 1
    width: int = 8
    stages: int = 3
    kernel: int = 3
    features: int = 32
    pool: bool = True
    periodic: bool = False
    missing: bool = False

    def __post_init__(self):
        check_positive(self, "width", "kernel", "features")
        if self.dimensions not in (1, 2, 3):
            raise InputError(
                f"expected 1, 2 or 3 dimensions, got {self.dimensions}; "
                "channels are not counted: an image has 2"
            )

    def build(self, x_shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Embedding:
        """An embedding of observations of shape `x_shape`.

        Raises:
            InputError: if it has neither `dimensions` axes nor one more.
        """
        sides = ("length",), ("height", "width"), ("height", "width", "depth")
        axes = sides[self.dimensions - 1]
        check_shape(self, x_shape, axes, (*axes, "channels"))
        channels = math.prod(x_shape[self.dimensions :]) * (2 if self.missing else 1)
        network = CNN(x_shape[: self.dimensions], channels, self, rngs=rngs)
        return WithMissing(network) if self.missing else network


class CNN(nnx.Module):
    """Features of an array whose first axes are regular; all further ones are its channels."""

    def __init__(
        self, sides: tuple[int, ...], channels: int, settings: CNNEmbedding, *, rngs: nnx.Rngs
    ):
        s = self.settings = settings
        self.size = s.features
        widths = [s.width * 2**i for i in range(s.stages + 1)]
        self.stem = _convolution(channels, s.width, s, rngs=rngs)
        self.blocks = nnx.List([_Block(width, s, rngs=rngs) for width in widths])
        self.halvings = nnx.List(
            [_convolution(a, 2 * a, s, strides=2, rngs=rngs) for a in widths[:-1]]
        )
        cells = 1 if s.pool else math.prod(-(-side // 2**s.stages) for side in sides)
        self.last = nnx.Linear(cells * widths[-1], s.features, rngs=rngs)

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, " c"]:
        h = self.stem(x.reshape(*x.shape[: self.settings.dimensions], -1))
        h = self.blocks[0](h)
        for halve, block in zip(self.halvings, self.blocks[1:], strict=True):
            h = block(halve(jax.nn.silu(h)))
        cells = jax.nn.silu(h).reshape(-1, h.shape[-1])
        return self.last(jnp.mean(cells, axis=0) if self.settings.pool else cells.reshape(-1))


class _Block(nnx.Module):
    def __init__(self, width: int, settings: CNNEmbedding, *, rngs: nnx.Rngs):
        self.inner = _convolution(width, width, settings, rngs=rngs)
        self.outer = _convolution(width, width, settings, gain=0.0, rngs=rngs)

    def __call__(self, h: Float[Array, "*sides c"]) -> Float[Array, "*sides c"]:
        return h + self.outer(jax.nn.silu(self.inner(jax.nn.silu(h))))


def _convolution(
    size_in: int,
    size: int,
    settings: CNNEmbedding,
    *,
    strides: int = 1,
    gain: float = 1.0,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    lecun = nnx.initializers.lecun_normal()
    return nnx.Conv(
        size_in,
        size,
        (settings.kernel,) * settings.dimensions,
        strides=strides,
        padding="CIRCULAR" if settings.periodic else "SAME",
        kernel_init=lecun if gain else nnx.initializers.zeros,
        rngs=rngs,
    )
