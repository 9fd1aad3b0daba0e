"""Sums over pairs of points by the longest waves of a periodic box, exactly.

A function of chords is one of sum_c cos(2 pi delta_c / L), and so are the waves (1, 1, 0) and
(2, 0, 0) in it tied to one another. Waves of their own let each length have its own response, as
the long-range part of an Ewald sum has (Ewald 1921). Time and memory are linear in the points.
"""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from physgen.geometry import Torus


class Waves(NamedTuple):
    """Wave vectors k, each twice: for its cosine, and then for its sine. Of k and -k there is one.

    Lengths are in units of the fundamental, 2 pi / L.
    """

    vector: Int[np.ndarray, "w 3"]
    shell: Int[np.ndarray, " w"]
    """The place of |k| among all lengths, from 0."""

    @property
    def length(self) -> Float[np.ndarray, " w"]:
        """|k|."""
        return np.linalg.norm(self.vector, axis=1).astype(np.float32)

    @property
    def direction(self) -> Float[np.ndarray, "w 3"]:
        """Unit vectors."""
        return self.vector / self.length[:, None]


@cache
def long_waves(largest: int) -> Waves:
    """All with 0 < |k|^2 <= `largest`."""
    reach = int(largest**0.5)
    k = np.indices((2 * reach + 1,) * 3).reshape(3, -1).T - reach
    squared = np.sum(k**2, axis=1)
    leading = k[np.arange(len(k)), np.argmax(k != 0, axis=1)]
    k = k[(leading > 0) & (squared <= largest)]
    shell = np.unique(np.sum(k**2, axis=1), return_inverse=True)[1]
    return Waves(np.tile(k, (2, 1)), np.tile(shell, 2))


class Phases(NamedTuple):
    """cos and sin of 2 pi k.x / L for all points, and their derivatives."""

    even: Float[Array, "n w"]
    odd: Float[Array, "n w"]
    waves: Waves
    box_size: float

    def scalar_sums(
        self, gains: Float[Array, "w f"], charge: Float[Array, "n f c"]
    ) -> Float[Array, "n f c"]:
        """Sum over j and k of gain_k charge_j cos(2 pi k.(x_j - x_i) / L)."""
        amplitude = gains[:, :, None] * jnp.einsum("nw,nfc->wfc", self.even, charge)
        return jnp.einsum("nw,wfc->nfc", self.even, amplitude)

    def vector_sums(
        self, gains: Float[Array, "w f"], charge: Float[Array, "n f c"]
    ) -> Float[Array, "n f 3"]:
        """Sum over j and k of gain_k charge_j sin(2 pi k.(x_j - x_i) / L) k / |k|.

        A charge is one number, or one for each component of the direction.
        """
        amplitude = gains[:, :, None] * jnp.einsum("nw,nfc->wfc", self.even, charge)
        return jnp.einsum("nw,wfc->nfc", self.odd, amplitude * self.waves.direction[:, None, :])

    def divergence(
        self, gains: Float[Array, "w f"], charge: Float[Array, "n f"]
    ) -> Float[Array, "n f"]:
        """Of `vector_sums` with each point, while all others and the charges stay."""
        steep = gains * (2 * np.pi / self.box_size * self.waves.length)[:, None]
        of_itself = charge * jnp.sum(steep, axis=0, keepdims=True) / 2
        return of_itself - self.scalar_sums(steep, charge[:, :, None])[:, :, 0]


def phases(x: Float[Array, "n 3"], largest: int, box: Torus) -> Phases:
    """Of points in waves; angles are sums of products that no accelerator rounds."""
    waves = long_waves(largest)
    half = waves.vector[: len(waves.vector) // 2]
    angle = 2 * jnp.pi / box.box_size * jnp.sum(x[:, None, :] * half[None], axis=2)
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    even = jnp.concatenate([cosine, sine], axis=1)
    odd = jnp.concatenate([-sine, cosine], axis=1)
    return Phases(even, odd, waves, box.box_size)


class WaveFilters(nnx.Module):
    """Gains of each length of wave, which the conditions shift."""

    def __init__(self, largest: int, filters: int, conditioning: int, *, rngs: nnx.Rngs):
        self.largest = largest
        shells = int(long_waves(largest).shell.max()) + 1
        size = (_POINTS * len(long_waves(largest).vector)) ** -0.5
        self.gains = nnx.Param(size * jax.random.normal(rngs.params(), (filters, shells)))
        self.shift = nnx.Linear(
            conditioning,
            filters * shells,
            kernel_init=nnx.initializers.normal(0.1 * size * conditioning**-0.5),
            use_bias=False,
            rngs=rngs,
        )

    def __call__(self, condition: Float[Array, " conditioning"]) -> Float[Array, "w filters"]:
        gains = self.gains[...] + self.shift(condition).reshape(self.gains.shape)
        return gains.T[long_waves(self.largest).shell]


_POINTS = 32.0  # whose sums are of order one at first
