"""The parts that the log-density of a cloud of galaxies is made of."""

from typing import NamedTuple

from jaxtyping import Array, Float


class Contributions(NamedTuple):
    """The parts of the log-density of a cloud of N galaxies, over the units of its entries.

    positions: of the ordered positions; features: of what is carried there; counts: of N;
    arrangements: log N!.
    """

    positions: Float[Array, "*lead k"]
    features: Float[Array, "*lead k"]
    counts: Float[Array, "*lead"]
    arrangements: Float[Array, "*lead"]

    def ordered(self) -> Float[Array, "*lead k"]:
        """The log-density of the ordered array given N."""
        return self.positions + self.features

    def of_the_set(self) -> Float[Array, "*lead k"]:
        """The log-density of the set and of N."""
        return self.ordered() + (self.counts + self.arrangements)[..., None]
