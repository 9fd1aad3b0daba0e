"""Where points live: Euclidean space, or a periodic box.

Besides wrapping and displacements, a geometry gives the two smooth pair quantities of which
velocity fields of point clouds are made: squared distances, and displacements in factors.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float

DirectionFactors = tuple[Float[Array, "n 6"], Float[Array, "n 6"]]


@dataclass(frozen=True)
class Euclidean:
    """Open space."""

    def wrap(self, x: Array) -> Array:
        """The point itself."""
        return x

    def displacement(self, start: Array, end: Array) -> Array:
        """end - start."""
        return end - start

    def squared_distances(
        self, x: Float[Array, "n 3"], others: Float[Array, "m 3"] | None = None
    ) -> Float[Array, "n m"]:
        """Squared distances of all pairs, with the others where these are given."""
        to = x if others is None else others
        delta = x.T[:, :, None] - to.T[:, None, :]
        return jnp.sum(delta * delta, axis=0)

    def direction_factors(self, x: Float[Array, "n 3"]) -> DirectionFactors:
        """(a, b) with (x_j - x_i)_c = a_i,c b_j,c + a_i,c+3 b_j,c+3."""
        ones = jnp.ones_like(x)
        return jnp.concatenate([ones, -x], axis=1), jnp.concatenate([x, ones], axis=1)


@dataclass(frozen=True)
class Torus:
    """A periodic box with sides `box_size`, in the units of the positions.

    The minimum image jumps at half the box. The pair quantities are its smooth counterparts,
    equal to it to second order in delta / L: the displacement L/(2 pi) sin(2 pi delta / L), and
    the squared chord (L/pi)^2 sum sin^2(pi delta / L).
    """

    box_size: float

    def wrap(self, x: Array) -> Array:
        """Positions in [0, box_size), also where rounding would give box_size itself."""
        wrapped = jnp.mod(x, self.box_size)
        return jnp.where(wrapped >= self.box_size, 0.0, wrapped)

    def displacement(self, start: Array, end: Array) -> Array:
        """The shortest vector from start to end (minimum image), in [-L/2, L/2]."""
        delta = end - start
        return delta - self.box_size * jnp.round(delta / self.box_size)

    def squared_distances(
        self, x: Float[Array, "n 3"], others: Float[Array, "m 3"] | None = None
    ) -> Float[Array, "n m"]:
        """Squared chords of all pairs, with the others where these are given."""

        def factors(points):
            angle = jnp.pi * points.T / self.box_size
            return jnp.sin(angle), jnp.cos(angle)

        sine, cosine = factors(x)
        sines, cosines = (sine, cosine) if others is None else factors(others)
        half = sine[:, :, None] * cosines[:, None, :] - cosine[:, :, None] * sines[:, None, :]
        return (self.box_size / jnp.pi) ** 2 * jnp.sum(half * half, axis=0)

    def direction_factors(self, x: Float[Array, "n 3"]) -> DirectionFactors:
        """(a, b) with L/(2 pi) sin(2 pi (x_j - x_i)_c / L) = a_i,c b_j,c + a_i,c+3 b_j,c+3."""
        angle = 2 * jnp.pi * x / self.box_size
        scale = self.box_size / (2 * jnp.pi)
        sine, cosine = jnp.sin(angle), jnp.cos(angle)
        return (
            scale * jnp.concatenate([cosine, -sine], axis=1),
            jnp.concatenate([sine, cosine], axis=1),
        )


Geometry = Euclidean | Torus
