"""The amortised posterior: p(parameters | observation), for any observation at once."""

import copy
import os
import time
from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.densities.bijections import Support
from physgen.densities.embedded import Embedded
from physgen.density import Buffer, Density, trained_numbers
from physgen.errors import InputError
from physgen.inference.architectures import AffineFlow, FewSteps, FlowMatching, SplineFlow
from physgen.inference.embeddings import AnyEmbedding
from physgen.inference.frame import Frame
from physgen.inference.misspecification import misspecification, warn_if_unlike
from physgen.inference.scaling import ScalingSettings
from physgen.io import read_model, save_model
from physgen.io.models import from_json
from physgen.nets.stacked import each, stacked
from physgen.train import FitResult

KIND = "posterior"
AT_ONCE = 16_384
EMBEDDED_AT_ONCE = 64
COMPARED = 50  # held-out simulations that say what is unlike them, at least


@dataclass(frozen=True)
class PosteriorSettings:
    """What shapes a posterior: the parameters, the observation, the networks.

    missing: whether entries of the observation may be NaN. members: networks in the ensemble. low
    and high are infinite where a parameter has no bound.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    x_shape: tuple[int, ...]
    scaling: ScalingSettings
    density: SplineFlow | AffineFlow | FlowMatching | FewSteps
    embedding: AnyEmbedding
    missing: bool = False
    members: int = 1


@dataclass(frozen=True)
class Training:
    """What is remembered of the run that made a posterior.

    validation_loss: mean of -log p(theta | x) over held-out simulations, in nats and in the units
    of the parameters. tried: architecture and validation loss of all that were compared.
    interrupted: by Ctrl-C, before its end. best_step: the step that was kept where training stopped
    early, because the validation loss improved no more; else None.
    """

    simulations: int
    failed: int
    steps: int
    seconds: float
    compile_seconds: float
    validation_loss: float
    tried: tuple[tuple[str, float], ...] = ()
    interrupted: bool = False
    best_step: int | None = None

    @classmethod
    def of(
        cls,
        run: FitResult,
        started: float,
        *,
        simulations: int,
        validation_loss: float,
        failed: int = 0,
        tried: tuple[tuple[str, float], ...] = (),
    ) -> Self:
        """Of a run of `fit` that began, with its preparation, at `started` (time.monotonic)."""
        return cls(
            simulations=simulations,
            failed=failed,
            steps=run.steps,
            seconds=time.monotonic() - started,
            compile_seconds=run.compile_seconds,
            validation_loss=validation_loss,
            tried=tried,
            interrupted=run.interrupted,
            best_step=run.best_step if run.stopped_early else None,
        )


def to_compile(model: Any) -> Any:
    """A module for a compiled function, without what is remembered of its training.

    That is no number to compute with; models of one structure then share what was compiled.
    """
    bare = copy.copy(model)
    for name in ("training", "held_out_parameters", "held_out_observations"):
        if hasattr(bare, name):
            delattr(bare, name)
    return bare


class Posterior(Density):
    """p(parameters | observation), learned from simulations; no sample leaves the prior's box.

    With several members it is their mixture, with equal weights. `names` and `units` are those of
    the parameters; `held_out` are pairs (parameters, observations) that it was not trained on.
    """

    def __init__(self, settings: PosteriorSettings, *, rngs: nnx.Rngs):
        self.settings = settings
        self.event_shape = (len(settings.names),)
        self.context_shape = settings.x_shape
        self.frame = Frame(self.support, settings.scaling, settings.x_shape)
        self.members = stacked(self._member, settings.members, rngs)
        self.held_out_parameters = Buffer(jnp.zeros((0, *self.event_shape)))
        self.held_out_observations = Buffer(jnp.zeros((0, *settings.x_shape)))
        self.training = Training(0, 0, 0, 0.0, 0.0, float("nan"))

    def _member(self, rngs: nnx.Rngs) -> Embedded:
        embedding = self.settings.embedding.build(self.frame.seen_shape, rngs=rngs)
        density = self.settings.density.build(self.event_shape[0], embedding.size, rngs=rngs)
        return Embedded(density, embedding, self.frame.seen_shape)

    def __repr__(self) -> str:
        s, t = self.settings, self.training
        names = ", ".join(f"{n} [{u}]" if u else n for n, u in zip(s.names, s.units, strict=True))
        return (
            f"<Posterior of {names} given observations of shape {s.x_shape}; "
            f"{s.members} x {type(s.density).__name__}, {trained_numbers(self)} trained numbers, "
            f"{t.simulations} simulations, held-out -log p {t.validation_loss:.4g}>"
        )

    __str__ = __repr__

    @property
    def support(self) -> Support:
        """The box of the prior."""
        return Support(self.settings.low, self.settings.high)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters."""
        return self.settings.names

    @property
    def units(self) -> tuple[str, ...]:
        """Of the parameters, empty where they have none."""
        return self.settings.units

    @property
    def low(self) -> Float[np.ndarray, " d"]:
        """The lower end of each parameter."""
        return np.array(self.settings.low)

    @property
    def high(self) -> Float[np.ndarray, " d"]:
        """The upper end of each parameter."""
        return np.array(self.settings.high)

    @property
    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Parameters (m, d) and observations (m, *x) that were not trained on."""
        return (
            np.asarray(self.held_out_parameters[...]),
            np.asarray(self.held_out_observations[...]),
        )

    def sample(
        self, key: PRNGKeyArray, n: int, context: ArrayLike | None = None
    ) -> Float[Array, "n d"]:
        """Posterior samples, inside the prior's box; members of an ensemble take turns.

        Warns (`UnlikeSimulations`) where the one observation, if it is no point cloud, is unlike
        the held-out simulations; `misspecification` says more.

        Args:
            context: one observation, shape x_shape, or one for each sample, (n, *x_shape).

        Raises:
            InputError: for an observation of another shape, or one with NaN or infinity where the
                posterior was trained without missing entries; for less than one sample.
        """
        if n < 1:
            raise InputError(f"expected at least one sample, got {n}")
        observation = self._observation(context)
        if observation.ndim == len(self.settings.x_shape):
            self._warn_if_unlike(np.asarray(observation))
            return self.sample_each(key, n, observation[None])[0]
        contexts = self.contexts(n, observation)
        assert contexts is not None, "a posterior always has a context"
        keys, turns = jax.random.split(key, n), min(self.settings.members, n)
        drawn = []
        for i in range(turns):
            member = jax.tree.map(lambda array, i=i: array[i : i + 1], self.members)
            own = keys[i::turns][None, :, None], contexts[i::turns]
            drawn.append(_draw_in_parts(self.frame, member, *own)[0, :, 0])
        order = np.argsort(np.concatenate([np.arange(i, n, turns) for i in range(turns)]))
        return jnp.concatenate(drawn)[order]

    def sample_each(
        self, key: PRNGKeyArray, n: int, observations: ArrayLike
    ) -> Float[Array, "m n d"]:
        """n samples for each of m observations (m, *x_shape), each observation embedded once.

        Raises:
            InputError: as `sample`.
        """
        contexts = self._observation(observations)
        m, members = len(contexts), self.settings.members
        keys = jax.random.split(key, (m, n)) if m > 1 else jax.random.split(key, n)[None]
        turns = jnp.moveaxis(_turns(jnp.swapaxes(keys, 0, 1), members), 1, 2)
        drawn = _draw_in_parts(self.frame, self.members, turns, contexts)
        return jnp.moveaxis(drawn, 0, 2).reshape(m, -1, *self.event_shape)[:, :n]

    def features(self, observations: ArrayLike) -> Float[Array, "m c"]:
        """What the networks make of m observations (m, *x_shape): all members' embeddings.

        Raises:
            InputError: as `sample`.
        """
        found = _embed(self.frame, self.members, self._observation(observations))
        return found.reshape(len(found), -1)

    def log_prob(self, x: ArrayLike, context: ArrayLike | None = None) -> Float[Array, "..."]:
        """log p(parameters | observation) per unit of the parameters; -inf outside the box.

        See `Density.log_prob` for the shapes.
        """
        observation = self._observation(context)
        return _log_prob(to_compile(self), jnp.asarray(x, jnp.float32), observation)

    def _log_prob(self, x, context: Any):
        prediction = self.frame.predict(context)
        latent, log_det = self.frame.to_latent(x, prediction)
        values = each(self.members, lambda m: m._log_prob(latent, prediction.seen))
        value = jax.nn.logsumexp(values) - jnp.log(self.settings.members) + log_det
        return jnp.where(self.support.contains(x), value, -jnp.inf)

    def _sample(self, key, context: Any):
        return self.sample_each(key, 1, context[None])[0, 0]

    def _observation(self, context: ArrayLike | None) -> Array:
        given, _ = self._checked_context(None if context is None else np.asarray(context))
        assert given is not None, "a posterior always has a context"
        given = given.astype(jnp.float32)
        if not self.settings.missing and not np.isfinite(np.asarray(given)).all():
            raise InputError(
                "expected an observation of finite numbers, got NaN or infinity; fill in what is "
                "missing, or train with an embedding that allows for it (missing=True)"
            )
        return given

    def _warn_if_unlike(self, observation: np.ndarray) -> None:
        _, simulated = self.held_out
        if len(simulated) < COMPARED or not self.settings.scaling.kinds:
            return
        comparable = np.isfinite(observation) & np.isfinite(simulated).any(axis=0)
        if comparable.any() and not np.isinf(observation).any():
            alpha = max(0.01, 1.5 / (1 + len(simulated) // 2))  # what the most unlike would get
            warn_if_unlike(misspecification(observation, simulated, alpha=alpha), stacklevel=3)

    def check(self, key: PRNGKeyArray, simulations: Any = None, **options: Any) -> Any:
        """Calibration against simulations, the held-out ones if None; see `inference.check`."""
        from physgen.inference.check import check

        return check(self, key, self.held_out if simulations is None else simulations, **options)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write settings and all numbers to one HDF5 file; `physgen.load` opens it."""
        save_model(
            path,
            kind=KIND,
            settings=self.settings,
            parameters=nnx.to_pure_dict(nnx.state(self)),
            metadata={
                "training": self.training,
                "held_out": len(self.held_out_parameters),
            },
            overwrite=overwrite,
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str], network: Any = None) -> Self:
        """The posterior in a file by `save`.

        Raises:
            InputError: if the file is not such a posterior, whole and of this structure.
        """
        file = read_model(path)
        if file.kind != KIND or network is not None:
            raise InputError(f"expected a posterior in {path}, found a {file.kind}")
        settings = file.settings_as(PosteriorSettings)

        def make() -> Self:
            posterior = cls(settings, rngs=nnx.Rngs(0))
            posterior.keep_held_out(
                *(
                    np.zeros((file.metadata["held_out"], *shape), np.float32)
                    for shape in (posterior.event_shape, settings.x_shape)
                )
            )
            return posterior

        posterior = file.restored(make)
        posterior.training = from_json(Training, file.metadata["training"], str(path))
        return posterior

    def keep_held_out(self, parameters: np.ndarray, observations: np.ndarray) -> None:
        """Remember pairs that were not trained on."""
        self.held_out_parameters = Buffer(jnp.asarray(parameters, jnp.float32))
        self.held_out_observations = Buffer(jnp.asarray(observations, jnp.float32))


def _turns(items: Array, members: int) -> Array:
    """(n, ...) -> (members, ceil(n / members), ...): item i goes to member i % members."""
    short = -len(items) % members
    padded = jnp.concatenate([items, items[:short]]) if short else items
    return jnp.swapaxes(padded.reshape(-1, members, *items.shape[1:]), 0, 1)


def _draw_in_parts(frame: Frame, members: Any, keys: Array, contexts: Array) -> Array:
    """Samples (members, m, k, d) for keys (members, m, k) and contexts (m, *x_shape).

    Parts are powers of two, so that few shapes are ever compiled.
    """
    _, m, k = keys.shape
    k_part = min(_power_of_two(k), AT_ONCE)
    m_part = min(_power_of_two(m), max(AT_ONCE // k_part, 1))
    rows = []
    for i in range(0, m, m_part):
        context = _padded(contexts[i : i + m_part], 0, m_part)
        features = jnp.swapaxes(_embed(frame, members, context), 0, 1)
        columns = []
        for j in range(0, k, k_part):
            part = _padded(_padded(keys[:, i : i + m_part, j : j + k_part], 1, m_part), 2, k_part)
            columns.append(_draw(frame, members, part, features, context))
        rows.append(jnp.concatenate(columns, axis=2)[:, : m - i, :k])
    return jnp.concatenate(rows, axis=1)


def _power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()


def _padded(array: Array, axis: int, size: int) -> Array:
    if array.shape[axis] == size:
        return array
    index = np.minimum(np.arange(size), array.shape[axis] - 1)
    return array[(slice(None),) * axis + (index,)]


@jax.jit
def _draw(frame: Frame, members: Any, keys: Array, features: Array, contexts: Array) -> Array:
    predictions = jax.vmap(frame.predict)(contexts)

    def of_member(member, keys, features):
        def of_observation(keys, features, prediction):
            def one(key):
                return frame.to_parameters(member.density._sample(key, features), prediction)

            return jax.vmap(one)(keys)

        return jax.vmap(of_observation)(keys, features, predictions)

    return each(members, of_member, keys, features)


@jax.jit
def _embed(frame: Frame, members: Any, contexts: Array) -> Array:
    """Features (m, members, c) of contexts (m, *x_shape).

    One context is never repeated for several members: in that, XLA crashes on clouds (jaxlib 0.10).
    """

    def of_observation(x):
        seen = frame.predict(x).seen
        return each(members, lambda member: member.embedding(seen))

    return jax.lax.map(of_observation, contexts, batch_size=EMBEDDED_AT_ONCE)


@jax.jit
def _log_prob(posterior: Posterior, x: Array, context: Array) -> Array:
    return Density.log_prob(posterior, x, context)
