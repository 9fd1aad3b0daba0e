"""A posterior by flow matching, sampled in a few evaluations of a network."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from flax import nnx
from jaxtyping import PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.data import split
from physgen.errors import InputError
from physgen.inference.architectures import FewSteps, FlowMatching
from physgen.inference.checks import require_usable
from physgen.inference.losses import in_frame, pair_loss
from physgen.inference.posterior import Posterior
from physgen.inference.store import Simulations
from physgen.inference.training import PosteriorTraining, train
from physgen.train import OptimizerSettings, Report

DISTILLATION = PosteriorTraining(
    optimizer=OptimizerSettings(
        learning_rate=2e-3, clip_norm=5.0, ema_decay=0.999, weight_decay=0.0
    )
)


def distil(
    key: PRNGKeyArray,
    posterior: Posterior,
    simulations: Simulations | tuple[ArrayLike, ArrayLike],
    *,
    evaluations: int = 2,
    width: int = 128,
    depth: int = 3,
    training: PosteriorTraining = DISTILLATION,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> Posterior:
    """The posterior with samples that take `evaluations` of a network, see `FlowMap`.

    Its log-density stays that of `posterior`, and so does its record of the training.

    Args:
        posterior: learned by `FlowMatching`.
        simulations: that it was learned from.
        width, depth: of the network that learns where paths end.
        training: by default without weight decay, for the teacher can be asked about new paths
            without end.
        checkpoint, resume, report: see `physgen.train.fit`.

    Raises:
        InputError: for a posterior of another architecture, or other simulations.
    """
    settings = posterior.settings
    if not isinstance(settings.density, FlowMatching):
        raise InputError(
            f"expected a posterior by FlowMatching, got one by {type(settings.density).__name__}, "
            "which takes one evaluation as it is"
        )
    simulations = require_usable(None, simulations, missing=settings.missing)
    theta = np.asarray(simulations.parameters, np.float32)
    x = np.asarray(simulations.observations, np.float32)
    if theta.shape[1:] != posterior.event_shape or x.shape[1:] != settings.x_shape:
        raise InputError(
            f"expected parameters {posterior.event_shape} and observations {settings.x_shape}, got "
            f"{theta.shape[1:]} and {x.shape[1:]}; give the simulations of this posterior"
        )
    key_init, key_split, key_fit = jax.random.split(key, 3)
    kept, held_out = split(key_split, len(theta), training.held_out)
    few = FewSteps(settings.density, evaluations, width, depth)
    student = Posterior(replace(settings, density=few), rngs=nnx.Rngs(key_init))
    student.frame, student.training = posterior.frame, posterior.training
    student.keep_held_out(*posterior.held_out)
    student.members.embedding = posterior.members.embedding
    student.members.density.transport = posterior.members.density

    student.members, _ = train(
        key_fit,
        student.members,
        pair_loss,
        in_frame(posterior.frame, theta, x),
        kept,
        held_out,
        training,
        trained=lambda path, value: path[:2] == ("density", "network"),
        identity=student.settings,
        checkpoint=checkpoint,
        resume=resume,
        report=report,
    )
    return student
