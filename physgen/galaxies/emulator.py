"""The galaxy emulator: p(galaxies | parameters), a point cloud moved out of noise."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.densities.base import Gaussian, Uniform
from physgen.densities.coupling import Independent, OptimalTransport
from physgen.densities.solvers import Clock, FixedSteps, Solver
from physgen.densities.transport import Transport, VelocityField
from physgen.density import Density
from physgen.devices import map_over_devices
from physgen.errors import InputError
from physgen.galaxies.counts import Counts, CountSettings
from physgen.galaxies.domain import Domain
from physgen.geometry import Euclidean, Torus
from physgen.io import read_model, save_model
from physgen.nets.carried import CarriedField
from physgen.nets.p3m import P3MSettings
from physgen.nets.pairs import PairSettings

KIND = "galaxy_emulator"
NetworkSettings = PairSettings | P3MSettings


class Buffer(nnx.Variable):
    """Numbers that belong to a model and are not trained."""


@dataclass(frozen=True)
class EmulatorSettings:
    """What shapes the density.

    network: of the positions, None if the user brings one. warp: of their clock, see `Clock`.
    evaluations: of their network for one sample, unless `sample` is told otherwise. carried and
    carried_evaluations: the same for what galaxies carry, None where that is nothing; their clock
    is plain. counts: of the density of the number of galaxies, None where all boxes held as many.
    """

    domain: Domain
    network: NetworkSettings | None
    warp: float = 3.0
    evaluations: int = 32
    optimal_transport: bool = False
    carried: NetworkSettings | None = None
    carried_evaluations: int = 16
    counts: CountSettings | None = None


class GalaxyEmulator(Density):
    """p(galaxies | parameters) for clouds of up to `domain.points` galaxies, by flow matching.

    A galaxy is a row: its position, then what else `domain.features` says. Positions come first,
    out of a Poisson process in a periodic box, along the minimum image, or out of a Gaussian around
    the origin in open space; then `carried`, all else given the positions, out of standard normals.
    Inside, lengths are in units of the box (or of `domain.scale`), and features and parameters are
    standardised. `counts` is p(N | parameters), None where N is always `domain.points`.

    `log_prob` is the density of the ordered array of galaxies, given N, over the units of its
    entries; that of the set is larger by log N!.

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
            network = settings.network.build(geometry, rngs=rngs)
        self.domain = domain
        self.settings = settings
        self.event_shape = (domain.points, domain.features.width)
        self.context_shape = (len(domain.parameter_names),)
        self.parameter_mean = Buffer(jnp.asarray(domain.parameter_mean))
        self.parameter_scale = Buffer(jnp.asarray(domain.parameter_scale))
        self.transport = Transport(
            network,
            Uniform() if periodic else Gaussian(),
            (domain.points, 3),
            self.context_shape,
            geometry=geometry,
            coupling=OptimalTransport() if settings.optimal_transport else Independent(),
            clock=Clock(settings.warp),
            solver=FixedSteps(settings.evaluations),
        )
        self.carried = (
            None
            if settings.carried is None
            else Transport(
                CarriedField(settings.carried.build(geometry, rngs=rngs)),
                Gaussian(),
                (domain.points, domain.features.width - 3),
                solver=FixedSteps(settings.carried_evaluations),
            )
        )
        self.counts = (
            None
            if settings.counts is None
            else Counts(settings.counts, self.context_shape[0], rngs=rngs)
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
            f"<GalaxyEmulator of {domain.points} galaxies ({', '.join(domain.features.modelled)}) "
            f"in {where} {domain.position_unit}, "
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
        galaxies: Float[Array, "n d"],
        parameters: Float[Array, " p"],
        mask: Bool[Array, " n"] | None = None,
    ) -> Float[Array, ""]:
        """Flow-matching loss of one cloud (see `Features.events`), as `Transport.loss`.

        The loss of what galaxies carry is added, weighted for an equal share: its targets have
        variance 2, and those of positions in a box 1/12.
        """
        key_position, key_carried = jax.random.split(key)
        given = self._standard_parameters(parameters)
        position, carried = self._standard(galaxies)
        loss = self.transport.loss(key_position, position, given, mask)
        if self.carried is None:
            return loss
        share = 1.0 if self.domain.box_size is None else 1 / 24
        return loss + share * self.carried.loss(key_carried, carried, (given, position), mask)

    def sample(
        self,
        key: PRNGKeyArray,
        n: int,
        context: ArrayLike | None = None,
        *,
        mask: ArrayLike | None = None,
        solver: Solver | None = None,
    ) -> Float[Array, "n N d"]:
        """n independent clouds in physical units; in a periodic box positions are always inside.

        `domain.features` says what follows the position of a galaxy.

        Args:
            context: parameters, shape (p,) for all clouds or (n, p), in `domain.parameter_names`.
            mask: the real galaxies of each cloud, shape (n, N) for any N; all of
                `domain.points` if not given. Masked galaxies are zero.
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
    ) -> Float[Array, "n N d"]:
        """One cloud for each key, each row of parameters and of the mask; see `sample`."""
        return _sample_all(self, keys, parameters, mask, solver)

    def sample_counts(self, key: PRNGKeyArray, parameters: Float[Array, "n p"]) -> Int[Array, " n"]:
        """The number of galaxies of each box, from `counts`; `domain.points` without it."""
        if self.counts is None:
            return jnp.full(len(parameters), self.domain.points)
        contexts = jax.vmap(self._standard_parameters)(parameters)
        return self.counts.sample(key, len(parameters), contexts).astype(int)

    def _sample(self, key, context, mask=None, solver=None):
        mask = jnp.ones(self.domain.points, bool) if mask is None else mask
        given = self._standard_parameters(context)
        x0 = self.transport.base.sample(key, (len(mask), 3))
        position = self.transport.transport(x0, given, mask, solver=solver)
        galaxies = self._to_position_unit(position)
        if self.carried is not None:
            features = self.domain.features
            key_carried = jax.random.fold_in(key, 1)
            y0 = self.carried.base.sample(key_carried, (len(mask), features.width - 3))
            carried = self.carried.transport(y0, (given, position), mask, solver=solver)
            galaxies = jnp.concatenate([galaxies, features.physical(carried)], axis=1)
        return galaxies * mask[:, None]

    def _log_prob(self, x, context):
        given = self._standard_parameters(context)
        position, carried = self._standard(x)
        log_prob = self.transport._log_prob(position, given)
        log_prob -= position.size * jnp.log(self.length)
        if self.carried is not None:
            log_prob += self.carried._log_prob(carried, (given, position))
            log_prob += self.domain.features.log_slope(x[:, 3:])
        return log_prob

    def _standard_parameters(self, parameters):
        return (parameters - self.parameter_mean[...]) / self.parameter_scale[...]

    def _standard(self, galaxies):
        """Positions and what is carried, as the networks see them."""
        carried = self.domain.features.standardised(galaxies[:, 3:])
        return galaxies[:, :3] / self.length, carried

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


@partial(jax.jit, static_argnames="solver")
def _sample_all(emulator, keys, parameters, mask, solver):
    def one(key, context, present):
        return emulator._sample(key, context, present, solver)

    return map_over_devices(one, keys, parameters, mask)
