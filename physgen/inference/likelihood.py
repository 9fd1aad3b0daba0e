"""The learned likelihood p(observation | parameters), which is also an emulator of the simulator.

Neural likelihood estimation, Papamakarios, Sterratt & Murray 2019 (arXiv:1805.07226).
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.data import seed_of, split
from physgen.densities.bijections import Support
from physgen.densities.conditionals import Autoregressive, Categorical
from physgen.densities.embedded import Embedded
from physgen.density import Density, Shape
from physgen.errors import InputError
from physgen.inference.architectures import AffineFlow, FlowMatching, SplineFlow
from physgen.inference.checks import require_usable
from physgen.inference.losses import in_frame, pair_loss
from physgen.inference.observation import (
    LevelFrame,
    Levels,
    ObservationFrame,
    levels_of,
    spread,
    whole_of,
)
from physgen.inference.posterior import Training, to_compile
from physgen.inference.priors import as_prior
from physgen.inference.saving import load_trained, save_trained
from physgen.inference.scaling import ScalingSettings
from physgen.inference.store import Simulations
from physgen.inference.training import PosteriorTraining, train
from physgen.nets.embedding import NoEmbedding
from physgen.nets.residual import MLPEmbedding
from physgen.nets.stacked import each, stacked
from physgen.train import Report

KIND = "likelihood"


@dataclass(frozen=True)
class LikelihoodSettings:
    """What shapes a likelihood: the parameters, the observation, the networks.

    Of observation, whole and levels see `physgen.inference.observation`; where there are levels
    the density is `Autoregressive` and `density` says nothing but its width and depth.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    parameters: ScalingSettings
    observation: ScalingSettings
    whole: tuple[bool, ...]
    levels: Levels
    density: SplineFlow | AffineFlow | FlowMatching
    embedding: MLPEmbedding | NoEmbedding
    members: int = 1


class Likelihood(Density):
    """p(observation | parameters), learned from simulations; with several members their mixture.

    Events are observations (c,), contexts are parameters (d,). The log-density is per unit of each
    entry; of an entry of few levels it is a log-probability, and so it is of other integers, whose
    density hardly changes from one to the next.
    """

    def __init__(self, settings: LikelihoodSettings, *, rngs: nnx.Rngs):
        self.settings = settings
        self.event_shape = (len(settings.levels or settings.whole),)
        self.context_shape = (len(settings.names),)
        self.frame = (
            LevelFrame(settings.levels, settings.parameters)
            if settings.levels
            else ObservationFrame(settings.observation, settings.parameters, settings.whole)
        )
        self.members = stacked(self._member, settings.members, rngs)
        self.training = Training(0, 0, 0, 0.0, 0.0, float("nan"))

    def _member(self, rngs: nnx.Rngs) -> Embedded:
        s, shape = self.settings, self.frame.seen_shape
        embedding = s.embedding.build(shape, rngs=rngs)
        if s.levels:
            entries = [Categorical(len(values)) for values in s.levels]
            size, context = {"width": s.density.width, "depth": s.density.depth}, (embedding.size,)
            return Embedded(Autoregressive(entries, context, **size, rngs=rngs), embedding, shape)
        density = s.density.build(self.event_shape[0], embedding.size, rngs=rngs)
        return Embedded(density, embedding, shape)

    def __repr__(self) -> str:
        s, t = self.settings, self.training
        kind = "Autoregressive" if s.levels else type(s.density).__name__
        return (
            f"<Likelihood of observations of shape {self.event_shape} given {', '.join(s.names)}; "
            f"{s.members} x {kind}, {t.simulations} simulations, held-out -log p "
            f"{t.validation_loss:.4g}>"
        )

    __str__ = __repr__

    @property
    def support(self) -> Support:
        """The box of the prior."""
        return Support(self.settings.low, self.settings.high)

    @property
    def x_shape(self) -> Shape:
        """The shape of an observation."""
        return self.event_shape

    def log_likelihood(self, theta: Float[Array, " d"], x: Float[Array, " c"]) -> Float[Array, ""]:
        """log p(x | theta) of one pair, to be traced by jax."""
        return self._log_prob(x, theta)

    def log_prob(self, x: ArrayLike, context: ArrayLike | None = None) -> Float[Array, "..."]:
        """log p(x | parameters); see `Density.log_prob` for the shapes."""
        given = None if context is None else jnp.asarray(context, jnp.float32)
        return _log_prob(to_compile(self), jnp.asarray(x, jnp.float32), given)

    def sample(
        self, key: PRNGKeyArray, n: int, context: ArrayLike | None = None
    ) -> Float[Array, "n c"]:
        """Simulated observations; `context` are the parameters, (d,) for all or (n, d)."""
        given = None if context is None else jnp.asarray(context, jnp.float32)
        return _sample(to_compile(self), key, n, given)

    def _log_prob(self, x, context: Any):
        prediction = self.frame.predict(self.support.unconstrain(context)[0])
        latent, log_det = self.frame.to_latent(x, prediction)
        values = each(self.members, lambda m: m._log_prob(latent, prediction.seen))
        return jax.nn.logsumexp(values) - jnp.log(self.settings.members) + log_det

    def _sample(self, key, context: Any):
        member_key, key = jax.random.split(key)
        prediction = self.frame.predict(self.support.unconstrain(context)[0])
        drawn = each(self.members, lambda m: m._sample(key, prediction.seen))
        latent = drawn[jax.random.randint(member_key, (), 0, self.settings.members)]
        return self.frame.to_observation(latent, prediction)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write settings and all numbers to one HDF5 file; `physgen.load` opens it."""
        save_trained(self, KIND, path, overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str], network: Any = None) -> Self:
        """The likelihood in a file by `save`.

        Raises:
            InputError: if the file is not such a likelihood, whole and of this structure.
        """
        return load_trained(cls, path, KIND, LikelihoodSettings, network)


def fit_likelihood(
    key: PRNGKeyArray,
    prior: Any,
    simulations: Simulations | tuple[ArrayLike, ArrayLike],
    *,
    density: SplineFlow | AffineFlow | FlowMatching = SplineFlow(),
    embedding: MLPEmbedding | NoEmbedding = MLPEmbedding(),
    members: int = 1,
    training: PosteriorTraining = PosteriorTraining(),
    checkpoint: str | Path | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> Likelihood:
    """Learn p(observation | parameters) from simulated pairs, for observations of shape (c,).

    The parameters may come from any proposal inside the prior's box: the likelihood does not
    depend on it. Observations whose entries all have at most 20 levels are taken to be discrete.

    Args:
        key: the only source of randomness.
        prior: whose box holds the parameters; that of the simulations if None.
        simulations: `Simulations`, or a pair (theta (n, d), x (n, c)).
        embedding: of the parameters.
        members: networks in the ensemble, trained together.
        checkpoint, resume, report: see `physgen.train.fit`.

    Raises:
        InputError: as `fit_posterior`; for observations that are not vectors, or constant entries.
    """
    started = time.monotonic()
    prior = None if prior is None else as_prior(prior)
    simulations = require_usable(prior, simulations)
    theta = np.asarray(simulations.parameters, np.float32)
    x = np.asarray(simulations.observations, np.float32)
    _require_vectors(x)
    key_init, key_split, key_fit, key_spread = jax.random.split(key, 4)
    kept, held_out = split(key_split, len(theta), training.held_out)
    support = Support(simulations.low, simulations.high)
    z = np.asarray(jax.jit(jax.vmap(lambda t: support.unconstrain(t)[0]))(jnp.asarray(theta)))

    levels, whole = levels_of(x), whole_of(x)
    if levels is None:
        x = spread(x, whole, np.random.default_rng(seed_of(key_spread)))
        frame = ObservationFrame.fit(x[kept], z[kept], whole)
        scalings = frame.frame.scaling.settings, frame.scaling.settings
    else:
        frame = LevelFrame.fit(levels, z[kept])
        scalings = frame.scaling.settings, ScalingSettings(())
    settings = LikelihoodSettings(
        simulations.parameter_names,
        simulations.parameter_units,
        tuple(simulations.low.tolist()),
        tuple(simulations.high.tolist()),
        *scalings,
        whole=whole if levels is None else (),
        levels=levels or (),
        density=density,
        embedding=embedding,
        members=members,
    )
    likelihood = Likelihood(settings, rngs=nnx.Rngs(key_init))
    likelihood.frame = frame
    likelihood.members, run = train(
        key_fit,
        likelihood.members,
        pair_loss,
        in_frame(frame, x, z),
        kept,
        held_out,
        training,
        identity=settings,
        checkpoint=checkpoint,
        resume=resume,
        report=report,
    )
    likelihood.training = Training.of(
        run,
        started,
        simulations=len(theta),
        failed=simulations.failed,
        validation_loss=-float(np.mean(likelihood.log_prob(x[held_out], theta[held_out]))),
    )
    return likelihood


def _require_vectors(x: np.ndarray) -> None:
    if x.ndim != 2:
        raise InputError(
            f"expected observations of shape (n, c) for a likelihood, got {x.shape}; summarise "
            "each in a vector, or learn the posterior or the ratio instead"
        )
    constant = np.ptp(x, axis=0) == 0
    if constant.any():
        i = int(np.flatnonzero(constant)[0])
        raise InputError(
            f"expected entries of the observation that vary, got {x[0, i]:g} for entry {i} in all "
            "simulations; leave it out"
        )


_log_prob = jax.jit(Density.log_prob)
_sample = jax.jit(Density.sample, static_argnums=2)
