"""The galaxy emulator: p(galaxies | parameters), a point cloud moved out of noise."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import diffrax
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.densities.base import Gaussian, Uniform, WrappedGaussian
from physgen.densities.coupling import Coupling, Independent
from physgen.densities.fields import VelocityField
from physgen.densities.interpolants import Linear, Trigonometric, VarianceExploding
from physgen.densities.leaps import Leaps
from physgen.densities.likelihood import LikelihoodEstimate
from physgen.densities.solvers import (
    Clock,
    FixedSteps,
    OrdinarySolver,
    Solver,
    require_solved,
)
from physgen.densities.trace import Exact, Hutchinson, Trace
from physgen.densities.transport import Transport
from physgen.density import Density, map_leading, trained_numbers
from physgen.devices import map_over_devices
from physgen.errors import InputError
from physgen.galaxies.contributions import Contributions
from physgen.galaxies.counts import Counts, CountSettings
from physgen.galaxies.domain import Domain
from physgen.geometry import Euclidean, Torus
from physgen.io import read_model, save_model
from physgen.nets.carried import CarriedField
from physgen.nets.p3m import P3MSettings
from physgen.nets.pairs import PairSettings

KIND = "galaxy_emulator"
NetworkSettings = PairSettings | P3MSettings
LIKELIHOOD_SOLVER = FixedSteps(18, diffrax.Bosh3())
"""Densities need finer steps than samples: as far as 32 by midpoints, in half of their time."""


@dataclass(frozen=True)
class EmulatorSettings:
    """What shapes the density.

    network: of the positions, None if the user brings one. warp: of their clock, see `Clock`.
    evaluations: of their network for one sample, unless `sample` is told otherwise. coupling: of
    noise and galaxies in training, in units of the box. diffusion: in
    a periodic box, paths start as Gaussian noise around galaxies rather than in a Poisson process,
    so that positions have a score and random paths; in open space they always do. carried and
    carried_evaluations: the same for what galaxies carry, None where that is nothing; their clock
    is plain. counts: of the density of the number of galaxies, None where all boxes held as many.
    leaps: evaluations for one sample of what `distil` made, None for an emulator as it is trained.
    """

    domain: Domain
    network: NetworkSettings | None
    warp: float = 3.0
    evaluations: int = 32
    coupling: Coupling = Independent()
    diffusion: bool = False
    carried: NetworkSettings | None = None
    carried_evaluations: int = 16
    counts: CountSettings | None = None
    leaps: int | None = None


class GalaxyEmulator(Density):
    """p(galaxies | parameters) for clouds of up to `domain.points` galaxies, by flow matching.

    A galaxy is a row: its position, then what else `domain.features` says. Positions come first,
    out of a Poisson process in a periodic box, along the minimum image, or out of a Gaussian around
    the origin in open space, along the trigonometric path, which keeps its size; then `carried`,
    all else given the positions, out of standard normals. Networks see what is standardised, see
    `Domain` and `Features`. `counts` is p(N | parameters), None where N is always `domain.points`.

    `log_prob` is the density of the ordered array of galaxies, given N, over the units of its
    entries, with the exact trace; `log_prob_estimate` is cheaper, `set_log_prob_estimate` is that
    of the set.

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
        noisy = periodic and settings.diffusion
        path = Linear() if domain.radial is None else Trigonometric()
        base = WrappedGaussian() if noisy else Uniform() if periodic else Gaussian()
        self.domain = domain
        self.settings = settings
        self.event_shape = (domain.points, domain.features.width)
        self.context_shape = (len(domain.parameter_names),)
        self.transport = Transport(
            network,
            base,
            (domain.points, 3),
            self.context_shape,
            geometry=geometry,
            coupling=settings.coupling,
            clock=Clock(settings.warp),
            solver=FixedSteps(settings.evaluations),
            interpolant=VarianceExploding() if noisy else path,
        )
        self.carried = (
            None
            if settings.carried is None
            else Transport(
                CarriedField(settings.carried.build(geometry, rngs=rngs)),
                Gaussian(),
                (domain.points, domain.features.width - 3),
                solver=FixedSteps(settings.carried_evaluations),
                interpolant=path,
            )
        )
        few = settings.leaps
        self.leaps = None if few is None else Leaps(nnx.clone(network), few)
        self.carried_leaps = (
            None
            if few is None or self.carried is None
            else Leaps(nnx.clone(self.carried.network), few)
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
        return (
            f"<GalaxyEmulator of {domain.points} galaxies ({', '.join(domain.features.modelled)}) "
            f"in {where} {domain.position_unit}, "
            f"given {given or 'nothing'}; {trained_numbers(self)} trained numbers>"
        )

    __str__ = __repr__

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
        given = self.domain.standard_parameters(parameters)
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

        Raises:
            InputError: for a mask of another shape, and for random paths where positions have no
                score, see `EmulatorSettings.diffusion`.
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
        galaxies = _sample_all(self, keys, parameters, mask, solver)
        return require_solved(galaxies, solver or self.transport.solver)

    def sample_counts(self, key: PRNGKeyArray, parameters: Float[Array, "n p"]) -> Int[Array, " n"]:
        """The number of galaxies of each box, from `counts`; `domain.points` without it."""
        if self.counts is None:
            return jnp.full(len(parameters), self.domain.points)
        contexts = self.domain.standard_parameters(parameters)
        return self.counts.sample(key, len(parameters), contexts).astype(int)

    def contributions(
        self,
        key: PRNGKeyArray,
        galaxies: Float[Array, "n d"],
        parameters: Float[Array, " p"],
        mask: Bool[Array, " n"] | None = None,
        *,
        trace: Trace = Hutchinson(),
        solver: OrdinarySolver = LIKELIHOOD_SOLVER,
    ) -> Contributions:
        """The log-density of one cloud in its parts, with one estimate for each probe.

        Args:
            galaxies: in physical units, see `Features.events`; those not in the mask do not matter.
            solver: of both flows.
        """
        mask = jnp.ones(len(galaxies), bool) if mask is None else mask
        key_position, key_carried = jax.random.split(key)
        number = jnp.sum(mask)
        given = self.domain.standard_parameters(parameters)
        position, carried = self._standard(jnp.where(mask[:, None], galaxies, 0.0))
        positions = self.transport.log_prob_draws(
            key_position, position, given, mask, trace=trace, solver=solver
        )
        positions += self.domain.log_slope(galaxies[:, :3], mask)
        features = jnp.zeros_like(positions)
        if self.carried is not None:
            features = self.carried.log_prob_draws(
                key_carried, carried, (given, position), mask, trace=trace, solver=solver
            )
            features += self.domain.features.log_slope(galaxies[:, 3:], mask)
        counts = jnp.zeros(())
        if self.counts is not None:
            counts = self.counts._log_prob(number.astype(float), given)
        return Contributions(positions, features, counts, jax.scipy.special.gammaln(number + 1.0))

    def log_prob_estimate(
        self,
        key: PRNGKeyArray,
        x: ArrayLike,
        context: ArrayLike,
        mask: ArrayLike | None = None,
        *,
        trace: Trace = Hutchinson(),
        solver: OrdinarySolver = LIKELIHOOD_SOLVER,
    ) -> LikelihoodEstimate:
        """The log-density of ordered arrays of galaxies given their number, with its errors.

        All clouds and parameters share probes and steps.

        Args:
            x: clouds, shape (..., N, d) for any N, as `sample` gives them.
            context: parameters, shape (..., p); leading axes broadcast against those of x.
            mask: the real galaxies, shape (..., N).

        Raises:
            InputError: for other shapes.
        """
        return self._estimate(key, x, context, mask, trace, solver)[0]

    def set_log_prob_estimate(
        self,
        key: PRNGKeyArray,
        x: ArrayLike,
        context: ArrayLike,
        mask: ArrayLike | None = None,
        *,
        trace: Trace = Hutchinson(),
        solver: OrdinarySolver = LIKELIHOOD_SOLVER,
    ) -> LikelihoodEstimate:
        """The log-density of sets of galaxies, their number included, with its errors.

        It is that of the ordered array plus log N! + log p(N | parameters); arguments and errors
        are those of `log_prob_estimate`.
        """
        ordered, rest = self._estimate(key, x, context, mask, trace, solver)
        return ordered + rest

    def _estimate(self, key, x, context, mask, trace, solver) -> tuple[LikelihoodEstimate, Array]:
        """Of the ordered array, and what the set has besides."""
        x = jnp.asarray(x)
        width = self.domain.features.width
        if x.ndim < 2 or x.shape[-1] != width:
            raise InputError(
                f"expected clouds of shape (..., N, {width}) with "
                f"{', '.join(self.domain.features.modelled)}, got {x.shape}; give the features "
                "that the emulator was trained on"
            )
        contexts, _ = self._checked_context(context)
        assert contexts is not None, "an emulator always has a context, if of no parameters"
        mask = jnp.ones(x.shape[:-1], bool) if mask is None else jnp.asarray(mask)
        if mask.shape != x.shape[:-1]:
            raise InputError(f"expected a mask of shape {x.shape[:-1]}, got {mask.shape}")

        parts, coarse = (
            _all_contributions(self, key, x, mask, contexts, trace, each)
            for each in (solver, solver.coarser)
        )
        estimate = LikelihoodEstimate(
            require_solved(parts.ordered(), solver),
            require_solved(jnp.mean(coarse.ordered(), axis=-1), solver.coarser),
        )
        return estimate, parts.counts + parts.arrangements

    def _sample(self, key, context, mask=None, solver=None):
        mask = jnp.ones(self.domain.points, bool) if mask is None else mask
        given = self.domain.standard_parameters(context)

        def draw(transport, leaps, key, width, context):
            shape = len(mask), width
            if leaps is None or solver is not None:
                return transport.draw(key, shape, context, mask, solver=solver)
            return leaps.draw(transport, key, shape, context, mask)

        position = draw(self.transport, self.leaps, key, 3, given)
        galaxies = self.domain.physical(position)
        if self.carried is not None:
            features = self.domain.features
            key, width = jax.random.fold_in(key, 1), features.width - 3
            carried = draw(self.carried, self.carried_leaps, key, width, (given, position))
            galaxies = jnp.concatenate([galaxies, features.physical(carried)], axis=1)
        return galaxies * mask[:, None]

    def _log_prob(self, x, context: Any):
        parts = self.contributions(jax.random.key(0), x, context, trace=Exact())
        return parts.ordered()[0]

    def _standard(self, galaxies):
        """Positions and what is carried, as the networks see them."""
        carried = self.domain.features.standardised(galaxies[:, 3:])
        return self.domain.standardised(galaxies[:, :3]), carried

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
        settings = file.settings_as(EmulatorSettings)
        return file.restored(lambda: cls(settings, network, rngs=nnx.Rngs(0)), nnx.Param)


@partial(jax.jit, static_argnames="solver")
def _sample_all(emulator, keys, parameters, mask, solver):
    def one(key, context, present):
        return emulator._sample(key, context, present, solver)

    return map_over_devices(one, keys, parameters, mask)


@partial(jax.jit, static_argnames=("trace", "solver"))
def _all_contributions(emulator, key, x, mask, contexts, trace, solver) -> Contributions:
    def one(x, mask, parameters):
        return emulator.contributions(key, x, parameters, mask, trace=trace, solver=solver)

    clouds = x.shape[:-2]
    return map_leading(one, (x, clouds), (mask, clouds), (contexts, contexts.shape[:-1]))
