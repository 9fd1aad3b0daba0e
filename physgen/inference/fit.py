"""From simulations to a posterior: one network, one optimiser loop, any architecture."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.data import split
from physgen.densities.bijections import Support
from physgen.errors import InputError
from physgen.inference.architectures import AffineFlow, FlowMatching, SplineFlow
from physgen.inference.checks import require_usable
from physgen.inference.embeddings import AnyEmbedding, takes_missing
from physgen.inference.frame import Frame
from physgen.inference.losses import in_frame, pair_loss
from physgen.inference.posterior import Posterior, PosteriorSettings, Training
from physgen.inference.priors import as_prior
from physgen.inference.store import Simulations
from physgen.inference.training import PosteriorTraining, schedule_for, train
from physgen.nets.clouds import CloudEmbedding
from physgen.nets.residual import MLPEmbedding
from physgen.train import ProgressLine, Report

KEPT = 1000

Trainable = SplineFlow | AffineFlow | FlowMatching


def fit_posterior(
    key: PRNGKeyArray,
    prior: Any,
    simulations: Simulations | tuple[ArrayLike, ArrayLike],
    *,
    density: Trainable | Sequence[Trainable] = SplineFlow(),
    embedding: AnyEmbedding | None = None,
    members: int = 1,
    training: PosteriorTraining = PosteriorTraining(),
    checkpoint: str | Path | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> Posterior:
    """Learn p(parameters | observation) from simulated pairs.

    Neural posterior estimation (Papamakarios & Murray 2016, arXiv:1605.06376; Greenberg et al.
    2019, arXiv:1905.07488): maximum likelihood of the parameters given their observation, or flow
    matching. Parameters are learned in the coordinates of `Frame`.

    Args:
        key: the only source of randomness: initial parameters, split, batches and noise.
        prior: that the parameters were drawn from; a `Prior`, or any object with `sample` and
            `log_prob`. Its box bounds the posterior. None stands for the prior of the simulations,
            of which they know the names, the units and the box.
        simulations: `Simulations`, or a pair (theta (n, d), x (n, ...)). Entries of x may be NaN,
            missing, if the embedding allows for that; pairs with any other NaN are dropped.
        density: what is learned; of several the one with the lowest held-out loss is returned,
            and its `training.tried` has the losses of all.
        embedding: of the observation; for None a residual perceptron.
        members: networks in the ensemble, trained together.
        checkpoint, resume, report: see `physgen.train.fit`; of several densities, the checkpoint of
            each but the first has its number in its name.

    Raises:
        InputError: for fewer than 50 simulations, arrays that do not fit each other, parameters
            outside of the prior's box, constant parameters, or too many that are not finite.
    """
    prior = None if prior is None else as_prior(prior)
    embedding = MLPEmbedding(width=64, depth=1, features=32) if embedding is None else embedding
    missing = takes_missing(embedding)
    simulations = require_usable(prior, simulations, missing=missing)
    theta = np.asarray(simulations.parameters, np.float32)
    x = np.asarray(simulations.observations, np.float32)
    key_init, key_split, key_fit = jax.random.split(key, 3)
    schedule = training.schedule or schedule_for(len(theta))
    share = _whole_batches(training.held_out * len(theta), schedule.batch_size, len(theta))
    kept, held_out = split(key_split, len(theta), share)

    started = time.monotonic()
    support = Support(simulations.low, simulations.high)
    frame = Frame.fit(support, theta[kept], x[kept], raw=isinstance(embedding, CloudEmbedding))
    pairs = in_frame(frame, theta, x)

    def learn(density: Trainable, checkpoint: str | Path | None) -> Posterior:
        settings = PosteriorSettings(
            names=simulations.parameter_names,
            units=simulations.parameter_units,
            low=tuple(simulations.low.tolist()),
            high=tuple(simulations.high.tolist()),
            x_shape=x.shape[1:],
            scaling=frame.scaling.settings,
            density=density,
            embedding=embedding,
            missing=missing,
            members=members,
        )
        posterior = Posterior(settings, rngs=nnx.Rngs(key_init))
        posterior.frame = frame
        posterior.members, run = train(
            key_fit,
            posterior.members,
            pair_loss,
            pairs,
            kept,
            held_out,
            training,
            identity=settings,
            checkpoint=checkpoint,
            resume=resume,
            report=report,
        )
        posterior.keep_held_out(theta[held_out[:KEPT]], x[held_out[:KEPT]])
        loss = -float(np.mean(posterior.log_prob(theta[held_out], x[held_out])))
        posterior.training = Training.of(
            run,
            started,
            simulations=len(theta),
            failed=simulations.failed,
            validation_loss=loss,
            tried=((repr(density), loss),),
        )
        return posterior

    posteriors: list[Posterior] = []
    densities = _several(density)
    for number, one in enumerate(densities, start=1):
        if len(densities) > 1:
            report = ProgressLine() if report is None else report
            report.note(f"density {number} of {len(densities)}: {one}")
        file = None if checkpoint is None else checkpoint_path(checkpoint, number)
        posteriors.append(learn(one, file))
        if posteriors[-1].training.interrupted:
            break
    return _best(posteriors, time.monotonic() - started)


def checkpoint_path(checkpoint: str | Path, number: int) -> Path:
    """The checkpoint of the density that is tried as the first, second ... of several."""
    path = Path(checkpoint)
    return path if number == 1 else path.with_name(f"{path.name}-{number}")


def _several(density: Trainable | Sequence[Trainable]) -> Sequence[Trainable]:
    if not isinstance(density, Sequence):
        return (density,)
    if not density:
        raise InputError("expected a density to learn, got an empty list of them; give one or more")
    return density


def _best(posteriors: list[Posterior], seconds: float) -> Posterior:
    """The one with the lowest held-out loss, which knows how the others did."""
    best = min(posteriors, key=lambda posterior: posterior.training.validation_loss)
    runs = [posterior.training for posterior in posteriors]
    best.training = replace(
        best.training,
        seconds=seconds,
        compile_seconds=sum(run.compile_seconds for run in runs),
        tried=tuple(tried for run in runs for tried in run.tried),
        interrupted=runs[-1].interrupted,
    )
    return best


def _whole_batches(wanted: float, batch: int, n: int) -> float:
    """The share of n items that is nearest to `wanted` of them in batches: compiled once."""
    return min(max(round(wanted / batch), 1) * batch, n // 2) / n
