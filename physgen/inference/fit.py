"""From simulations to a posterior: one network, one optimiser loop, any architecture."""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.data import split
from physgen.densities.bijections import Support
from physgen.inference.architectures import AffineFlow, FlowMatching, SplineFlow
from physgen.inference.checks import require_usable
from physgen.inference.embeddings import AnyEmbedding, takes_missing
from physgen.inference.frame import Frame
from physgen.inference.posterior import Posterior, PosteriorSettings, Training
from physgen.inference.priors import as_prior
from physgen.inference.store import Simulations
from physgen.nets.clouds import CloudEmbedding
from physgen.nets.residual import MLPEmbedding
from physgen.train import FitResult, FitSettings, OptimizerSettings, Report, fit, gradient_step

KEPT = 1000


@dataclass(frozen=True)
class PosteriorTraining:
    """How a posterior is trained.

    schedule: how long, and in what batches; `schedule_for` the number of simulations if None.
    held_out: the fraction of simulations kept for the validation loss, and for `check`.
    """

    schedule: FitSettings | None = None
    optimizer: OptimizerSettings = OptimizerSettings(
        learning_rate=2e-3, clip_norm=5.0, ema_decay=0.99, weight_decay=0.3
    )
    held_out: float = 0.1


def schedule_for(simulations: int) -> FitSettings:
    """4000 steps for 10,000 simulations, more or fewer as the square root of their number.

    Training stops early once the validation loss has not improved for a fifth of the run.
    """
    steps = 50 * math.ceil(80 * math.sqrt(simulations / 10_000))
    return FitSettings(
        batch_size=int(min(256, max(8, 2 ** int(math.log2(simulations / 10))))),
        steps=steps,
        steps_per_dispatch=50,
        validate_every=50,
        patience=max(steps // 250, 4),
    )


def fit_posterior(
    key: PRNGKeyArray,
    prior: Any,
    simulations: Simulations | tuple[ArrayLike, ArrayLike],
    *,
    density: SplineFlow | AffineFlow | FlowMatching = SplineFlow(),
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
        embedding: of the observation; for None a residual perceptron.
        members: networks in the ensemble, trained together.
        checkpoint, resume, report: see `physgen.train.fit`.

    Raises:
        InputError: for fewer than 50 simulations, arrays that do not fit each other, parameters
            outside of the prior's box, constant parameters, or too many that are not finite.
    """
    prior = None if prior is None else as_prior(prior)
    embedding = MLPEmbedding(width=128, depth=1, features=32) if embedding is None else embedding
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
    run = _train(
        key_fit,
        posterior,
        _in_frame(frame, theta[kept], x[kept]),
        _in_frame(frame, theta[held_out], x[held_out]),
        schedule=schedule,
        training=training,
        checkpoint=checkpoint,
        resume=resume,
        report=report,
    )
    graph, _, rest = nnx.split(posterior, nnx.Param, ...)
    posterior = nnx.merge(graph, _anywhere(run.state.ema), rest)
    posterior.keep_held_out(theta[held_out[:KEPT]], x[held_out[:KEPT]])
    loss = -float(np.mean(posterior.log_prob(theta[held_out], x[held_out])))
    posterior.training = Training(
        simulations=len(theta),
        failed=simulations.failed,
        steps=run.steps,
        interrupted=run.interrupted,
        seconds=time.monotonic() - started,
        compile_seconds=run.compile_seconds,
        validation_loss=loss,
    )
    return posterior


def _train(key, posterior, data, held_out, *, schedule, training, **running) -> FitResult:
    """Train the members of a posterior; its state is that of the networks alone."""
    graph, parameters, rest = nnx.split(posterior, nnx.Param, ...)

    def loss(parameters, key, batch):
        members = nnx.merge(graph, parameters, rest).members
        member_graph, states = nnx.split(members)

        def of_member(state, key):
            member = nnx.merge(member_graph, state)
            keys = jax.random.split(key, len(batch["latent"]))
            return jnp.mean(jax.vmap(member.loss)(keys, batch["latent"], batch["seen"]))

        return jnp.mean(
            jax.vmap(of_member)(states, jax.random.split(key, posterior.settings.members))
        )

    step = gradient_step(loss, training.optimizer)
    return fit(
        key,
        step.step,
        step.init(parameters),
        data,
        schedule,
        evaluate=step.evaluate,
        validation_data=held_out,
        on_total_steps=step.on_total_steps,
        identity=(posterior.settings, training),
        **running,
    )


def _whole_batches(wanted: float, batch: int, n: int) -> float:
    """The share of n items that is nearest to `wanted` of them in batches: compiled once."""
    return min(max(round(wanted / batch), 1) * batch, n // 2) / n


@jax.jit
def _to_frame(frame: Frame, theta, x):
    def one(theta, x):
        prediction = frame.predict(x)
        return frame.to_latent(theta, prediction)[0], prediction.seen

    return jax.vmap(one)(theta, x)


def _in_frame(frame: Frame, theta: np.ndarray, x: np.ndarray) -> dict[str, np.ndarray]:
    latent, seen = _to_frame(frame, jnp.asarray(theta), jnp.asarray(x))
    return {"latent": np.asarray(latent), "seen": np.asarray(seen)}


def _anywhere(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), tree)
