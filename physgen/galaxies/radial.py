"""Galaxies around the origin, in coordinates in which they are about a standard normal cloud."""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.stats import chi

from physgen.errors import InputError

_REACH = 4.0
_BEYOND = 10  # galaxies beyond the last knot
_LEAST = 1e-5


@dataclass(frozen=True)
class RadialScores:
    """x -> s(|x|) x / |x|, a map of open space that turns with it.

    s takes radii to those of a standard normal cloud, by their quantiles: linear between `knots`,
    the radii of the scores 0, STEP, 2 STEP and so on, and beyond the last of them. A network then
    sees a steep centre and sparse outskirts at one scale, and a cloud of noise has the radial
    profile of the training before anything is learned.
    """

    STEP: ClassVar[float] = 0.25
    knots: tuple[float, ...]

    @classmethod
    def fit(cls, positions: Float[np.ndarray, "n 3"]) -> "RadialScores":
        """The map of galaxies at these positions.

        Raises InputError where all are at the origin.
        """
        radii = np.linalg.norm(positions.astype(np.float64), axis=1)
        if radii.max() == 0:
            raise InputError(
                "expected galaxies around the origin, got all of them on it; check the positions"
            )
        scores = np.arange(0.0, _REACH, cls.STEP)
        above = len(radii) * chi.sf(scores, df=3)
        knots = np.quantile(radii, chi.cdf(scores, df=3)[: max(2, np.sum(above >= _BEYOND))])
        knots[0] = 0.0
        least = _LEAST * radii.max() * np.arange(len(knots))
        return cls(tuple((np.maximum.accumulate(knots - least) + least).tolist()))

    def apply(self, x: Float[Array, "N 3"]) -> Float[Array, "N 3"]:
        """Positions as scores."""
        return x * self._ratio(x)[:, None]

    def invert(self, z: Float[Array, "N 3"]) -> Float[Array, "N 3"]:
        """Positions of scores."""
        score, zero = _length(z)
        knots, slopes = self._pieces()
        i = jnp.clip(score // self.STEP, 0, len(slopes) - 1).astype(int)
        radius = knots[i] + (score - i * self.STEP) / slopes[i]
        return z * jnp.where(zero, 1 / slopes[0], radius / score)[:, None]

    def log_slope(self, x: Float[Array, "N 3"]) -> Float[Array, " N"]:
        """The logarithm of the Jacobian of `apply`, of each galaxy."""
        radius, _ = _length(x)
        _, slopes = self._pieces()
        return jnp.log(slopes[self._piece(radius)]) + 2 * jnp.log(self._ratio(x))

    def _ratio(self, x):
        radius, zero = _length(x)
        knots, slopes = self._pieces()
        i = self._piece(radius)
        score = i * self.STEP + slopes[i] * (radius - knots[i])
        return jnp.where(zero, slopes[0], score / radius)

    def _piece(self, radius):
        knots = jnp.asarray(self.knots)
        return jnp.clip(jnp.searchsorted(knots, radius, side="right") - 1, 0, len(knots) - 2)

    def _pieces(self):
        knots = jnp.asarray(self.knots)
        return knots, self.STEP / jnp.diff(knots)


def _length(x):
    """Of each row, one at the origin, and where that is."""
    squared = jnp.sum(x**2, axis=1)
    return jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), squared == 0
