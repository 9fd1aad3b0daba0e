"""What an emulator was trained on."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from physgen.data import Standardisation
from physgen.galaxies.features import Features
from physgen.galaxies.radial import RadialScores

_FAR = 3.0


@dataclass(frozen=True)
class Domain:
    """What an emulator was trained on: the events, the parameters and where they lie.

    box_size is the side of the periodic box, or None in open space, where `radial` makes a standard
    normal cloud of galaxies; scale is the root-mean-square coordinate; all in `position_unit`.
    features: what galaxies have besides positions.
    """

    points: int
    box_size: float | None
    scale: float
    parameter_names: tuple[str, ...]
    parameter_units: tuple[str, ...]
    parameter_mean: tuple[float, ...]
    parameter_scale: tuple[float, ...]
    parameter_low: tuple[float, ...]
    parameter_high: tuple[float, ...]
    position_unit: str = "Mpc/h"
    features: Features = Features()
    radial: RadialScores | None = None

    def standardised(self, position: Float[Array, "N 3"]) -> Float[Array, "N 3"]:
        """Positions as a network sees them: in units of the box, or about standard normal."""
        if self.radial is not None:
            return self.radial.apply(position)
        return position / self._length

    def physical(self, standard: Float[Array, "N 3"]) -> Float[Array, "N 3"]:
        """Positions in their unit, inside the box if there is one."""
        if self.radial is not None:
            return self.radial.invert(standard)
        position = standard * self._length
        if self.box_size is None:
            return position
        return jnp.where(position >= self.box_size, 0.0, position)

    def log_slope(self, position: Float[Array, "N 3"], mask: Bool[Array, " N"]) -> Float[Array, ""]:
        """The logarithm of the Jacobian of `standardised`, of the galaxies in the mask."""
        if self.radial is not None:
            return jnp.sum(jnp.where(mask, self.radial.log_slope(position), 0.0))
        return -3 * jnp.sum(mask) * jnp.log(self._length)

    def standard_parameters(self, parameters: Float[Array, "*n p"]) -> Float[Array, "*n p"]:
        """Parameters as a network sees them: in deviations from the mean of the training.

        Beyond three they are drawn in, to four at most: the few simulations that are as far out as
        that teach no network where it leads.
        """
        mean, scale = jnp.array(self.parameter_mean), jnp.array(self.parameter_scale)
        z = Standardisation(mean, scale).apply(parameters)
        far = jnp.maximum(jnp.abs(z) - _FAR, 0.0)
        return jnp.clip(z, -_FAR, _FAR) + jnp.sign(z) * jnp.tanh(far)

    @property
    def _length(self) -> float:
        return self.scale if self.box_size is None else self.box_size

    @property
    def units(self) -> dict[str, str]:
        """The unit of each feature."""
        of_vectors = {"velocity": self.features.velocity_unit} if self.features.vectors else {}
        scalars = dict(zip(self.features.names, self.features.units, strict=True))
        return {"position": self.position_unit, **of_vectors, **scalars}
