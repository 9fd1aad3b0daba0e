"""The density of outcomes at any value of a control, and its file."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from physgen.data import Standardisation
from physgen.densities.sequences import SequenceDensity
from physgen.density import Buffer, trained_numbers
from physgen.errors import InputError
from physgen.io import ModelFile, read_model, save_model
from physgen.nets.conditioned import ConditionedRecurrent

KIND = "sweep"


@dataclass(frozen=True)
class SweepSettings:
    """What the density is built from.

    values: of the control that it was trained at, each a tuple of its columns, in ascending order.
    """

    sites: int
    units: int
    values: tuple[tuple[float, ...], ...]

    @property
    def frequencies(self) -> int:
        """Octaves of sines that the network sees: the fastest spans ten values or more.

        With faster ones it learns each value by itself, and errs where one is missing.
        """
        fewest = min(len(set(column)) for column in zip(*self.values, strict=True))
        return min(max(int(np.log2(max(fewest - 1, 1) / 5)), 0), 3)


class SweepDensity(SequenceDensity):
    """p(outcomes | control) of a chain, with the control in its own unit, (c,).

    The network sees the control with the values of the sweep at zero mean and unit spread.
    """

    def __init__(self, made_of: SweepSettings, *, rngs: nnx.Rngs):
        self.made_of = made_of
        standard = Standardisation.fit(self.values)
        columns = self.values.shape[1]
        network = ConditionedRecurrent(
            columns, 2, 2, made_of.units, frequencies=made_of.frequencies, rngs=rngs
        )
        super().__init__(network, made_of.sites, context_shape=(columns,))
        self.location = Buffer(jnp.asarray(standard.mean, jnp.float32))
        self.spread = Buffer(jnp.asarray(standard.scale, jnp.float32))

    def __repr__(self) -> str:
        return (
            f"<SweepDensity of {self.made_of.sites} sites at {len(self.values)} values; "
            f"{trained_numbers(self)} trained numbers>"
        )

    __str__ = __repr__

    @property
    def values(self) -> Float[np.ndarray, "v c"]:
        """Of the control, those that it was trained at."""
        return np.array(self.made_of.values)

    def _given(self, context: Any) -> Any:
        return super()._given((context - self.location[...]) / self.spread[...])


def save_sweep(
    path: str | os.PathLike[str],
    density: SweepDensity,
    control: Sequence[str],
    *,
    letter: str = "Z",
    metadata: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write the density to one HDF5 file; `physgen.load` opens it.

    Args:
        control: a name for each column. letter: of the Pauli basis of all sites. Both are kept in
            the metadata, with what else is given.

    Raises:
        InputError: for another number of names, or if the file is there.
    """
    if len(control) != density.values.shape[1]:
        raise InputError(
            f"expected {density.values.shape[1]} names of the control, one for each column, got "
            f"{len(control)}"
        )
    save_model(
        path,
        kind=KIND,
        settings=density.made_of,
        parameters=nnx.to_pure_dict(nnx.state(density)),
        metadata={**(metadata or {}), "control": list(control), "letter": letter},
        overwrite=overwrite,
    )


def load_sweep(path: str | os.PathLike[str] | ModelFile, network: None = None) -> SweepDensity:
    """The density in a file by `save_sweep`.

    Raises:
        InputError: if the file is no such thing, or damaged.
    """
    file = path if isinstance(path, ModelFile) else read_model(path)
    if file.kind != KIND or network is not None:
        raise InputError(f"expected the density of a sweep in {file.path}, found a {file.kind}")
    settings = file.settings_as(SweepSettings)
    return file.restored(lambda: SweepDensity(settings, rngs=nnx.Rngs(0)))
