"""The learned ratio p(observation | parameters) / p(observation), by telling pairs from non-pairs.

Neural ratio estimation (Hermans, Begy & Louppe 2020, arXiv:1903.04057), contrastive among several
parameters (Durkan, Murray & Papamakarios 2020, arXiv:2002.03712), with the loss whose minimum is
the ratio itself (NRE-C: Miller, Weniger & Forré 2022, arXiv:2210.06170).
"""

import math
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

from physgen.data import split
from physgen.densities.bijections import Support
from physgen.density import Shape, leading_shape, map_leading, trained_numbers
from physgen.errors import InputError
from physgen.inference.checks import require_usable
from physgen.inference.embeddings import AnyEmbedding, takes_missing
from physgen.inference.frame import Frame, Prediction
from physgen.inference.losses import mean_loss
from physgen.inference.posterior import Training, to_compile
from physgen.inference.priors import as_prior
from physgen.inference.saving import load_trained, save_trained
from physgen.inference.scaling import Scaling, ScalingSettings
from physgen.inference.store import Simulations
from physgen.inference.training import PosteriorTraining, train
from physgen.nets.clouds import CloudEmbedding
from physgen.nets.embedding import Embedding
from physgen.nets.residual import MLPEmbedding, ResidualMLP
from physgen.nets.stacked import each, stacked
from physgen.train import Report

KIND = "ratio"


@dataclass(frozen=True)
class RatioSettings:
    """What shapes a ratio: the parameters, the observation, the networks.

    width, depth: of the `ResidualMLP` of parameters and embedded observation.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    x_shape: tuple[int, ...]
    scaling: ScalingSettings
    parameters: ScalingSettings
    embedding: AnyEmbedding
    width: int = 64
    depth: int = 2
    members: int = 1


class Classifier(nnx.Module):
    """A network of coordinates of the parameters, and of an observation as `Frame` shows it."""

    def __init__(self, coordinates: int, embedding: Embedding, width: int, depth: int, *, rngs):
        self.embedding = embedding
        self.network = ResidualMLP(coordinates + embedding.size, 1, width, depth, rngs=rngs)

    def __call__(
        self, coordinates: Float[Array, "k c"], seen: Float[Array, "*x"]
    ) -> Float[Array, " k"]:
        """The log-ratio of k parameter vectors and one observation."""
        features = self.embedding(seen)
        features = jnp.broadcast_to(features, (len(coordinates), *features.shape))
        return self.network(jnp.concatenate([coordinates, features], axis=1))[:, 0]


class Ratio(nnx.Module):
    """log p(x | theta) - log p(x); with several members the logarithm of their mean ratio."""

    def __init__(self, settings: RatioSettings, *, rngs: nnx.Rngs):
        self.settings = settings
        self.frame = Frame(self.support, settings.scaling, settings.x_shape)
        self.parameters = Scaling(settings.parameters)
        self.members = stacked(self._member, settings.members, rngs)
        self.training = Training(0, 0, 0, 0.0, 0.0, float("nan"))

    def _member(self, rngs: nnx.Rngs) -> Classifier:
        s = self.settings
        embedding = s.embedding.build(self.frame.seen_shape, rngs=rngs)
        return Classifier(2 * len(s.names), embedding, s.width, s.depth, rngs=rngs)

    def __repr__(self) -> str:
        s, t = self.settings, self.training
        return (
            f"<Ratio of {', '.join(s.names)} and observations of shape {self.x_shape}; "
            f"{trained_numbers(self)} trained numbers, {t.simulations} simulations>"
        )

    __str__ = __repr__

    @property
    def support(self) -> Support:
        """The box of the prior."""
        return Support(self.settings.low, self.settings.high)

    @property
    def x_shape(self) -> Shape:
        """The shape of an observation."""
        return self.settings.x_shape

    def log_ratio(self, theta: ArrayLike, x: ArrayLike) -> Float[Array, "..."]:
        """log p(x | theta) / p(x), of theta (..., d) and x (..., *x_shape).

        Raises:
            InputError: for arrays of other shapes, or leading axes that do not broadcast.
        """
        theta, x = jnp.asarray(theta, jnp.float32), jnp.asarray(x, jnp.float32)
        leads = (
            leading_shape("theta", theta.shape, (len(self.settings.names),)),
            leading_shape("x", x.shape, self.x_shape),
        )
        try:
            jnp.broadcast_shapes(*leads)
        except ValueError:
            raise InputError(
                f"expected leading axes of theta {leads[0]} and x {leads[1]} that broadcast; "
                "give one observation for all parameters, or one for each"
            ) from None
        return _log_ratio(to_compile(self), theta, x)

    def log_likelihood(self, theta: Float[Array, " d"], x: Float[Array, "*x"]) -> Float[Array, ""]:
        """The log-ratio of one pair, to be traced by jax: the log-likelihood up to log p(x)."""
        prediction = self.frame.predict(x)
        coordinates = self.coordinates(theta[None], prediction)
        values = each(self.members, lambda member: member(coordinates, prediction.seen)[0])
        return jax.nn.logsumexp(values) - jnp.log(self.settings.members)

    def coordinates(
        self, theta: Float[Array, "k d"], prediction: Prediction
    ) -> Float[Array, "k c"]:
        """What the networks see of parameters: these, scaled, and how far they are from those that
        a regression on the observation expects.
        """

        def one(theta):
            z, _ = self.support.unconstrain(theta)
            latent, _ = self.frame.to_latent(theta, prediction)
            return jnp.concatenate([self.parameters(z), jnp.arcsinh(latent)])

        return jax.vmap(one)(theta)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write settings and all numbers to one HDF5 file."""
        save_trained(self, KIND, path, overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str], network: Any = None) -> Self:
        """The ratio in a file by `save`.

        Raises:
            InputError: if the file is not such a ratio, whole and of this structure.
        """
        return load_trained(cls, path, KIND, RatioSettings, network)


def fit_ratio(
    key: PRNGKeyArray,
    prior: Any,
    simulations: Simulations | tuple[ArrayLike, ArrayLike],
    *,
    embedding: AnyEmbedding | None = None,
    width: int = 64,
    depth: int = 2,
    contrasts: int = 15,
    members: int = 1,
    training: PosteriorTraining = PosteriorTraining(),
    checkpoint: str | Path | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> Ratio:
    """Learn p(observation | parameters) / p(observation) from simulated pairs.

    p(observation) is that of the parameters simulated, whatever they were drawn from.

    Args:
        prior: whose box holds the parameters; that of the simulations if None.
        embedding: of the observation; for None a residual perceptron.
        contrasts: parameters of other pairs that each pair is told from.
        members: networks in the ensemble, trained together.
        checkpoint, resume, report: see `physgen.train.fit`.

    Raises:
        InputError: as `fit_posterior`.
    """
    started = time.monotonic()
    prior = None if prior is None else as_prior(prior)
    embedding = MLPEmbedding() if embedding is None else embedding
    simulations = require_usable(prior, simulations, missing=takes_missing(embedding))
    theta = np.asarray(simulations.parameters, np.float32)
    x = np.asarray(simulations.observations, np.float32)
    key_init, key_split, key_fit = jax.random.split(key, 3)
    kept, held_out = split(key_split, len(theta), training.held_out)

    support = Support(simulations.low, simulations.high)
    frame = Frame.fit(support, theta[kept], x[kept], raw=isinstance(embedding, CloudEmbedding))
    z = jax.jit(jax.vmap(lambda t: support.unconstrain(t)[0]))(jnp.asarray(theta[kept]))
    parameters = Scaling.fit(np.asarray(z))
    settings = RatioSettings(
        simulations.parameter_names,
        simulations.parameter_units,
        tuple(simulations.low.tolist()),
        tuple(simulations.high.tolist()),
        x.shape[1:],
        frame.scaling.settings,
        parameters.settings,
        embedding,
        width,
        depth,
        members,
    )
    ratio = Ratio(settings, rngs=nnx.Rngs(key_init))
    ratio.frame, ratio.parameters = frame, parameters
    predictions = jax.jit(jax.vmap(frame.predict))(jnp.asarray(x))

    def one(member: Classifier, key: PRNGKeyArray, batch: Any) -> Array:
        def log_ratios(i, chosen):
            prediction = Prediction(batch["seen"][i], batch["mean"][i])
            return member(ratio.coordinates(batch["theta"][chosen], prediction), prediction.seen)

        return contrastive_loss(log_ratios, len(batch["theta"]), contrasts)

    ratio.members, run = train(
        key_fit,
        ratio.members,
        lambda members, key, batch: mean_loss(one, members, key, batch),
        {"theta": theta, **{name: np.asarray(v) for name, v in predictions._asdict().items()}},
        kept,
        held_out,
        training,
        identity=(settings, contrasts),
        checkpoint=checkpoint,
        resume=resume,
        report=report,
    )
    ratio.training = Training.of(
        run,
        started,
        simulations=len(theta),
        failed=simulations.failed,
        validation_loss=run.best_validation_loss or float("nan"),
    )
    return ratio


def contrastive_loss(log_ratios: Any, pairs: int, contrasts: int) -> Float[Array, ""]:
    """The loss of NRE-C at gamma = 1 (Miller et al. 2022, eq. 10), over a batch of pairs.

    Args:
        log_ratios: (i, js) -> the log-ratios of observation i and parameters js.
        contrasts: K parameters, of which one or none is that of the observation.
    """
    others = jnp.arange(contrasts + 1)

    def of_pair(i):
        values = log_ratios(i, (i + others) % pairs)  # first its own parameters, then K others
        log_k = math.log(contrasts)
        with_own = jnp.logaddexp(log_k, jax.nn.logsumexp(values[:-1]))
        without = jnp.logaddexp(log_k, jax.nn.logsumexp(values[1:]))
        return (with_own - values[0] + without - log_k) / 2

    return jnp.mean(jax.vmap(of_pair)(jnp.arange(pairs)))


@jax.jit
def _log_ratio(ratio: Ratio, theta: Array, x: Array) -> Array:
    lead = x.shape[: x.ndim - len(ratio.x_shape)]
    return map_leading(ratio.log_likelihood, (theta, theta.shape[:-1]), (x, lead))
