"""The galaxy emulator: p(galaxy positions | parameters), a point cloud moved out of noise."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.densities.base import Gaussian, Uniform
from physgen.densities.coupling import Independent, OptimalTransport
from physgen.densities.solvers import Clock, FixedSteps, Solver
from physgen.densities.transport import Transport, VelocityField
from physgen.density import Density
from physgen.devices import map_over_devices
from physgen.errors import InputError
from physgen.geometry import Euclidean, Geometry, Torus
from physgen.io import read_model, save_model
from physgen.nets.p3m import P3MSettings
from physgen.nets.pairs import PairNetwork, PairSettings

KIND = "galaxy_emulator"


class Buffer(nnx.Variable):
    """Numbers that belong to a model and are not trained."""


@dataclass(frozen=True)
class Domain:
    """What an emulator was trained on: the events, the parameters and where they lie.

    box_size is the side of the periodic box, or None in open space, where `scale` is the
    root-mean-square coordinate; both in `position_unit`.
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


@dataclass(frozen=True)
class EmulatorSettings:
    """What shapes the density.

    network: None if the user brings a network. warp: of the clock, see `Clock`.
    evaluations: of the network, for one sample, unless `sample` is told otherwise.
    """

    domain: Domain
    network: PairSettings | P3MSettings | None
    warp: float = 3.0
    evaluations: int = 32
    optimal_transport: bool = False


class GalaxyEmulator(Density):
    """p(positions | parameters) for clouds of up to `domain.points` galaxies, by flow matching.

    In a periodic box the base is a Poisson process in that box and paths follow the minimum
    image; in open space the base is a Gaussian around the origin. Inside, lengths are in units of
    the box (or of `domain.scale`) and parameters are standardised.

    `log_prob` is the density of the ordered array of galaxies, in (position unit)^(-3N); that of
    the set is larger by log N!.

    Args:
        network: any velocity field v(time, x, parameters, mask) in those units; the one of
            `settings.network` if not given.
    """

    def __init__(
        self,
        settings: EmulatorSettings,
        network: VelocityField | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        domain = settings.domain
        periodic = domain.box_size is not None
        geometry = Torus(1.0) if periodic else Euclidean()
        if network is None:
            if settings.network is None:
                raise InputError(
                    "expected a network, got none: this emulator was made with a network of the "
                    "user's own; pass network=..."
                )
            network = _network(settings.network, geometry, rngs)
        self.domain = domain
        self.settings = settings
        self.event_shape = (domain.points, 3)
        self.context_shape = (len(domain.parameter_names),)
        self.parameter_mean = Buffer(jnp.asarray(domain.parameter_mean))
        self.parameter_scale = Buffer(jnp.asarray(domain.parameter_scale))
        self.transport = Transport(
            network,
            Uniform() if periodic else Gaussian(),
            self.event_shape,
            self.context_shape,
            geometry=geometry,
            coupling=OptimalTransport() if settings.optimal_transport else Independent(),
            clock=Clock(settings.warp),
            solver=FixedSteps(settings.evaluations),
        )

    def __repr__(self) -> str:
        domain = self.domain
        where = "open space" if domain.box_size is None else f"a box of {domain.box_size:g}"
        ranges = zip(
            domain.parameter_names, domain.parameter_low, domain.parameter_high, strict=True
        )
        given = ", ".join(f"{name} {low:.4g} to {high:.4g}" for name, low, high in ranges)
        size = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(self, nnx.Param)))
        return (
            f"<GalaxyEmulator of {domain.points} galaxies in {where} {domain.position_unit}, "
            f"given {given or 'nothing'}; {size} trained numbers>"
        )

    __str__ = __repr__

    @property
    def length(self) -> float:
        """The unit of length inside the network, in `domain.position_unit`."""
        return self.domain.scale if self.domain.box_size is None else self.domain.box_size

    def loss(
        self,
        key: PRNGKeyArray,
        position: Float[Array, "n 3"],
        parameters: Float[Array, " p"],
        mask: Bool[Array, " n"] | None = None,
    ) -> Float[Array, ""]:
        """Flow-matching loss of one cloud, in units of `length` squared a coordinate."""
        return self.transport.loss(key, position / self.length, self._standard(parameters), mask)

    def sample(
        self,
        key: PRNGKeyArray,
        n: int,
        context: ArrayLike | None = None,
        *,
        mask: ArrayLike | None = None,
        solver: Solver | None = None,
    ) -> Float[Array, "n N 3"]:
        """n independent clouds, in `domain.position_unit`; in a periodic box always inside it.

        Args:
            context: parameters, shape (p,) for all clouds or (n, p), in `domain.parameter_names`.
            mask: the real galaxies of each cloud, shape (n, N) for any N; all of
                `domain.points` if not given. Masked positions are zero.
            solver: how the paths are integrated; `FixedSteps(settings.evaluations)` by default.
        """
        keys = jax.random.split(key, n)
        parameters = self.contexts(n, context)
        assert parameters is not None, "an emulator always has a context, if of no parameters"
        present = jnp.ones((n, self.domain.points), bool) if mask is None else jnp.asarray(mask)
        if present.shape[:1] != (n,) or present.ndim != 2:
            raise InputError(
                f"expected a mask of shape ({n}, N), got {present.shape}; give one row a cloud"
            )
        return self.sample_boxes(keys, parameters, present, solver)

    def sample_boxes(
        self,
        keys: Key[Array, " n"],
        parameters: Float[Array, "n p"],
        mask: Bool[Array, "n N"],
        solver: Solver | None = None,
    ) -> Float[Array, "n N 3"]:
        """One cloud for each key, each row of parameters and of the mask; see `sample`."""
        return _sample_all(self, keys, parameters, mask, solver)

    def _sample(self, key, context, mask=None, solver=None):
        mask = jnp.ones(self.domain.points, bool) if mask is None else mask
        x0 = self.transport.base.sample(key, (mask.shape[0], 3))
        x = self.transport.transport(x0, self._standard(context), mask, solver=solver)
        return self._to_position_unit(x) * mask[:, None]

    def _log_prob(self, x, context):
        log_prob = self.transport._log_prob(x / self.length, self._standard(context))
        return log_prob - x.size * jnp.log(self.length)

    def _standard(self, parameters):
        return (parameters - self.parameter_mean[...]) / self.parameter_scale[...]

    def _to_position_unit(self, x):
        x = x * self.length
        if self.domain.box_size is None:
            return x
        return jnp.where(x >= self.domain.box_size, 0.0, x)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        training: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        """Write settings, domain and parameters to one HDF5 file.

        Args:
            training: what to remember of the run that made it, as JSON values.
        """
        parameters = nnx.to_pure_dict(nnx.state(self, nnx.Param))
        save_model(
            path,
            kind=KIND,
            settings=self.settings,
            parameters=parameters,
            metadata={"training": dict(training or {})},
            overwrite=overwrite,
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str], network: VelocityField | None = None) -> Self:
        """The emulator in a file by `save`, ready to sample.

        Args:
            network: the user's own network with the right structure, where one was saved.

        Raises:
            InputError: if the file is not such an emulator, whole and of this structure.
        """
        file = read_model(path)
        if file.kind != KIND:
            raise InputError(f"expected a galaxy emulator in {path}, found a {file.kind}")
        emulator = cls(file.settings_as(EmulatorSettings), network, rngs=nnx.Rngs(0))
        return file.restored(emulator, nnx.Param)


def _network(
    settings: PairSettings | P3MSettings, geometry: Geometry, rngs: nnx.Rngs
) -> VelocityField:
    if isinstance(settings, P3MSettings):
        return settings.build(geometry, rngs=rngs)
    return PairNetwork(geometry, settings, rngs=rngs)


@partial(jax.jit, static_argnames="solver")
def _sample_all(emulator, keys, parameters, mask, solver):
    def one(key, context, present):
        return emulator._sample(key, context, present, solver)

    return map_over_devices(one, keys, parameters, mask)
