"""What an emulator was trained on."""

from dataclasses import dataclass

from physgen.galaxies.features import Features


@dataclass(frozen=True)
class Domain:
    """What an emulator was trained on: the events, the parameters and where they lie.

    box_size is the side of the periodic box, or None in open space, where `scale` is the
    root-mean-square coordinate; both in `position_unit`. features: what galaxies have besides
    positions.
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

    @property
    def units(self) -> dict[str, str]:
        """The unit of each feature."""
        of_vectors = {"velocity": self.features.velocity_unit} if self.features.vectors else {}
        scalars = dict(zip(self.features.names, self.features.units, strict=True))
        return {"position": self.position_unit, **of_vectors, **scalars}
