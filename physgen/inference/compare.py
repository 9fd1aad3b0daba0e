"""Which of several models made an observation: their probabilities, by a classifier.

Trained to tell the simulations of the models apart, a classifier learns p(model | x) (Radev et al.
2021, arXiv:2004.10629). Its probabilities are calibrated on simulations that it has not seen, by
one temperature (Guo et al. 2017, arXiv:1706.04599).
"""

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from physgen.data import split
from physgen.density import Buffer, leading_shape, map_leading, trained_numbers
from physgen.errors import InputError
from physgen.inference.checks import FEWEST, require_representable
from physgen.inference.embeddings import AnyEmbedding, takes_missing
from physgen.inference.evidence import log_prior_of
from physgen.inference.losses import mean_loss
from physgen.inference.posterior import Training, to_compile
from physgen.inference.saving import load_trained, save_trained
from physgen.inference.scaling import Scaling, ScalingSettings
from physgen.inference.store import Simulations
from physgen.inference.training import PosteriorTraining, train
from physgen.nets.clouds import CloudEmbedding
from physgen.nets.residual import MLPEmbedding
from physgen.nets.stacked import each, stacked
from physgen.train import Report

KIND = "model comparison"


@dataclass(frozen=True)
class ComparisonSettings:
    """What shapes a comparison: the models, how many simulations each had, the networks."""

    names: tuple[str, ...]
    counts: tuple[int, ...]
    x_shape: tuple[int, ...]
    scaling: ScalingSettings
    embedding: AnyEmbedding
    members: int = 1


class _Classifier(nnx.Module):
    def __init__(self, settings: ComparisonSettings, *, rngs: nnx.Rngs):
        self.embedding = settings.embedding.build(settings.x_shape, rngs=rngs)
        self.last = nnx.Linear(self.embedding.size, len(settings.names), rngs=rngs)

    def __call__(self, scaled: Float[Array, "*x"]) -> Float[Array, " models"]:
        return self.last(jax.nn.silu(self.embedding(scaled)))


class Comparison(nnx.Module):
    """p(model | x) for any prior probabilities of the models, and Bayes factors."""

    def __init__(self, settings: ComparisonSettings, *, rngs: nnx.Rngs):
        self.settings = settings
        self.scaling = Scaling(settings.scaling)
        self.members = stacked(
            lambda rngs: _Classifier(settings, rngs=rngs), settings.members, rngs
        )
        self.temperature = Buffer(jnp.ones(()))
        self.training = Training(0, 0, 0, 0.0, 0.0, float("nan"))

    def __repr__(self) -> str:
        s = self.settings
        return (
            f"<Comparison of {', '.join(s.names)} by observations of shape {s.x_shape}; "
            f"{trained_numbers(self)} trained numbers, {self.training.simulations} simulations>"
        )

    __str__ = __repr__

    @property
    def names(self) -> tuple[str, ...]:
        """Of the models."""
        return self.settings.names

    def log_evidences(self, x: ArrayLike) -> Float[Array, "... models"]:
        """log p(x | model) of observations (..., *x_shape), up to a number that only x knows.

        Raises:
            InputError: for observations of another shape.
        """
        x = jnp.asarray(x, jnp.float32)
        leading_shape("x", x.shape, self.settings.x_shape)
        return _log_evidences(to_compile(self), x)

    def probabilities(
        self, x: ArrayLike, prior: ArrayLike | None = None
    ) -> Float[Array, "... models"]:
        """p(model | x) of observations (..., *x_shape).

        Args:
            prior: probabilities of the models before the observation; equal if None.

        Raises:
            InputError: for observations or probabilities of another shape, or not positive.
        """
        weights = log_prior_of(len(self.names), prior)
        evidences = self.log_evidences(x)
        log_prior = jnp.asarray(weights, evidences.dtype)
        return jax.nn.softmax(evidences + jnp.broadcast_to(log_prior, evidences.shape))

    def log_bayes_factor(self, x: ArrayLike, first: str, second: str) -> Float[Array, "..."]:
        """log p(x | first) - log p(x | second) of observations (..., *x_shape).

        Raises:
            InputError: for a name that is no model's, or observations of another shape.
        """
        for name in (first, second):
            if name not in self.names:
                raise InputError(f"expected a model among {', '.join(self.names)}, got {name!r}")
        evidences = self.log_evidences(x)
        return evidences[..., self.names.index(first)] - evidences[..., self.names.index(second)]

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write settings and all numbers to one HDF5 file."""
        save_trained(self, KIND, path, overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str], network: Any = None) -> Self:
        """The comparison in a file by `save`.

        Raises:
            InputError: if the file is not such a comparison, whole and of this structure.
        """
        return load_trained(cls, path, KIND, ComparisonSettings, network)

    def _log_evidences(self, x: Float[Array, "*x"]) -> Float[Array, " models"]:
        scaled = self.scaling(x)
        values = each(self.members, lambda member: jax.nn.log_softmax(member(scaled)))
        mixed = jax.nn.logsumexp(values, axis=0) - jnp.log(self.settings.members)
        return (mixed - _log_shares(self.settings.counts)) / self.temperature


def compare_models(
    key: PRNGKeyArray,
    simulations: Mapping[str, Simulations | ArrayLike],
    *,
    embedding: AnyEmbedding | None = None,
    members: int = 1,
    training: PosteriorTraining = PosteriorTraining(),
    checkpoint: str | Path | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> Comparison:
    """Learn which of several models an observation is of, from simulations of each.

    Args:
        simulations: of each model by its name: `Simulations`, their parameters drawn from the
            model's prior, or observations (n, *x). Their numbers may differ.
        embedding: of the observation; for None a residual perceptron.
        members: networks in the ensemble, trained together.
        checkpoint, resume, report: see `physgen.train.fit`.

    Raises:
        InputError: for fewer than two models, fewer than 50 simulations of one, observations of
            different shapes, or with NaN or infinity where the embedding does not allow for them.
    """
    started = time.monotonic()
    embedding = MLPEmbedding() if embedding is None else embedding
    missing = takes_missing(embedding)
    observations = {name: _observations(name, x, missing) for name, x in simulations.items()}
    _require_comparable(observations)
    counts = tuple(len(x) for x in observations.values())
    x = np.concatenate(list(observations.values()))
    model = np.repeat(np.arange(len(counts)), counts)
    key_init, key_split, key_fit = jax.random.split(key, 3)
    kept, held_out = split(key_split, len(x), training.held_out)

    scaling = Scaling.fit(x[kept], raw=isinstance(embedding, CloudEmbedding))
    settings = ComparisonSettings(
        tuple(observations), counts, x.shape[1:], scaling.settings, embedding, members
    )
    comparison = Comparison(settings, rngs=nnx.Rngs(key_init))
    comparison.scaling = scaling

    def one(member: _Classifier, key: PRNGKeyArray, batch: Any) -> Array:
        log_probabilities = jax.nn.log_softmax(jax.vmap(member)(batch["scaled"]))
        return -jnp.mean(jnp.take_along_axis(log_probabilities, batch["model"][:, None], axis=1))

    comparison.members, run = train(
        key_fit,
        comparison.members,
        lambda members, key, batch: mean_loss(one, members, key, batch),
        {"scaled": np.asarray(jax.jit(jax.vmap(scaling))(jnp.asarray(x))), "model": model},
        kept,
        held_out,
        training,
        identity=settings,
        checkpoint=checkpoint,
        resume=resume,
        report=report,
    )
    evidences = np.asarray(comparison.log_evidences(x[held_out]), np.float64)
    temperature, loss = _best_temperature(evidences, model[held_out], counts)
    comparison.temperature = Buffer(jnp.asarray(temperature, jnp.float32))
    comparison.training = Training.of(
        run,
        started,
        simulations=len(x),
        validation_loss=loss,
    )
    return comparison


def _observations(name: str, given: Simulations | ArrayLike, missing: bool) -> np.ndarray:
    x = np.asarray(given.observations if isinstance(given, Simulations) else given)
    x = x[:, None] if x.ndim == 1 else x
    if len(x) < FEWEST or x.ndim < 2:
        raise InputError(
            f"expected at least {FEWEST} observations (n, ...) of model {name}, got an array of "
            f"shape {x.shape}; simulate more"
        )
    if np.isinf(x).any() or (np.isnan(x).any() and not missing):
        raise InputError(
            f"expected finite observations of model {name}, got NaN or infinity; leave them out, "
            "or take an embedding that allows for missing entries (missing=True)"
        )
    require_representable(x)
    return x.astype(np.float32)


def _require_comparable(observations: dict[str, np.ndarray]) -> None:
    if len(observations) < 2:
        raise InputError(f"expected at least two models, got {len(observations)}; give another")
    shapes = {name: x.shape[1:] for name, x in observations.items()}
    if len(set(shapes.values())) > 1:
        raise InputError(
            f"expected observations of one shape, got {shapes}; models must predict the same data"
        )


def _log_shares(counts: tuple[int, ...]) -> Float[Array, " models"]:
    return jnp.asarray(np.log(np.array(counts) / sum(counts)), jnp.float32)


def _best_temperature(
    evidences: Float[np.ndarray, "n models"], model: Int[np.ndarray, " n"], counts: tuple[int, ...]
) -> tuple[float, float]:
    """The temperature of least mean -log p(model | x), and that mean."""
    shares = np.log(np.array(counts) / sum(counts))

    def loss(log_temperature: float) -> float:
        logits = evidences / np.exp(log_temperature) + shares
        logits = logits - logits.max(axis=1, keepdims=True)
        own = logits[np.arange(len(model)), model]
        return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - own))

    best: Any = minimize_scalar(loss, bounds=(-math.log(10), math.log(10)), method="bounded")
    return math.exp(best.x), best.fun


@jax.jit
def _log_evidences(comparison: Comparison, x: Array) -> Array:
    lead = x.shape[: x.ndim - len(comparison.settings.x_shape)]
    return map_leading(comparison._log_evidences, (x, lead))
