"""What a galaxy has besides its position, as the numbers that a network learns."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from physgen.data import NormalScores
from physgen.errors import InputError
from physgen.galaxies.catalogue import Catalogue
from physgen.galaxies.column import Column


@dataclass(frozen=True)
class Features:
    """A velocity, or none, and any scalars (log_mass and columns), each to about a standard normal.

    Velocities are divided by the root mean square of a component, so that they turn with the box.
    Scalars go through their quantiles (`physgen.data.NormalScores`): what is generated lies between
    the extremes of the training set, and a sharp cut-off in mass stays one.

    knots: of the quantiles of each scalar.
    """

    velocity_scale: float | None = None
    velocity_unit: str = "km/s"
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    knots: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def fit(cls, catalogue: Catalogue) -> "Features":
        """All that the catalogue has; `Catalogue.with_features` leaves some out.

        Raises:
            InputError: where velocities are all zero, or the values of a scalar all equal.
        """
        scalars, scores, mask = _scalars(catalogue), [], catalogue.mask
        for scalar in scalars:
            try:
                scores.append(NormalScores.fit(scalar.values[mask]))
            except InputError as error:
                raise InputError(f"{scalar.name}: {error}") from error
        scale = None
        if catalogue.velocity is not None:
            scale = float(np.sqrt(np.mean(catalogue.velocity[mask].astype(np.float64) ** 2)))
            if scale == 0:
                raise InputError("velocity: expected some that are not zero, got none")
        return cls(
            velocity_scale=scale,
            velocity_unit=catalogue.velocity_unit,
            names=tuple(scalar.name for scalar in scalars),
            units=tuple(scalar.unit for scalar in scalars),
            knots=tuple(s.knots for s in scores),
        )

    @property
    def vectors(self) -> int:
        """How many vectors a galaxy carries."""
        return int(self.velocity_scale is not None)

    @property
    def width(self) -> int:
        """Entries of an event for each galaxy: position, vectors and scalars."""
        return 3 + 3 * self.vectors + len(self.names)

    @property
    def modelled(self) -> tuple[str, ...]:
        """The names of the features, positions among them."""
        return ("position", *(("velocity",) if self.vectors else ()), *self.names)

    def events(self, catalogue: Catalogue) -> Float[np.ndarray, "n N width"]:
        """Each box as one array: positions, velocities, scalars."""
        wanted = catalogue.with_features(self.modelled)
        parts = [wanted.position]
        parts += [] if wanted.velocity is None else [wanted.velocity]
        scalars = {scalar.name: scalar.values for scalar in _scalars(wanted)}
        parts += [scalars[name][..., None] for name in self.names]
        return np.concatenate(parts, axis=-1).astype(np.float32)

    def fields(self, events: Float[np.ndarray, "n N width"]) -> dict[str, Any]:
        """The arguments of a `Catalogue` that are in such arrays."""
        position, velocity, scalars = np.split(events, [3, 3 + 3 * self.vectors], axis=-1)
        values = {name: scalars[..., i] for i, name in enumerate(self.names)}
        units = dict(zip(self.names, self.units, strict=True))
        fields: dict[str, Any] = {"position": position}
        if self.vectors:
            fields |= {"velocity": velocity, "velocity_unit": self.velocity_unit}
        if "log_mass" in values:
            fields |= {"log_mass": values.pop("log_mass"), "log_mass_unit": units["log_mass"]}
        fields["columns"] = tuple(Column(name, v, units[name]) for name, v in values.items())
        return fields

    def standardised(self, carried: Float[Array, "N c"]) -> Float[Array, "N c"]:
        """Velocities and scalars as a network sees them."""
        velocity, scalars = jnp.split(carried, [3 * self.vectors], axis=1)
        columns = [NormalScores(k).apply(scalars[:, i])[:, None] for i, k in enumerate(self.knots)]
        return jnp.concatenate([velocity / (self.velocity_scale or 1.0), *columns], axis=1)

    def physical(self, standard: Float[Array, "N c"]) -> Float[Array, "N c"]:
        """Velocities and scalars in their units."""
        velocity, scalars = jnp.split(standard, [3 * self.vectors], axis=1)
        columns = [NormalScores(k).invert(scalars[:, i])[:, None] for i, k in enumerate(self.knots)]
        return jnp.concatenate([velocity * (self.velocity_scale or 1.0), *columns], axis=1)

    def log_slope(self, carried: Float[Array, "N c"], mask: Bool[Array, " N"]) -> Float[Array, ""]:
        """The logarithm of the Jacobian of `standardised`, of the galaxies in the mask."""
        scale = self.velocity_scale or 1.0
        total = -3 * self.vectors * jnp.sum(mask) * jnp.log(scale)
        for i, knots in enumerate(self.knots, start=3 * self.vectors):
            slopes = NormalScores(knots).slope(carried[:, i])
            total += jnp.sum(jnp.log(jnp.where(mask, slopes, 1.0)))
        return total


def _scalars(catalogue: Catalogue) -> tuple[Column, ...]:
    mass = catalogue.log_mass
    first = [] if mass is None else [Column("log_mass", mass, catalogue.log_mass_unit)]
    return (*first, *catalogue.columns)
