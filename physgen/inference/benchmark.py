"""How good a posterior is, and how fast: train on a task, compare with its reference posterior."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from physgen.density import trained_numbers
from physgen.errors import InputError
from physgen.inference.architectures import SplineFlow
from physgen.inference.embeddings import AnyEmbedding
from physgen.inference.fit import Trainable, fit_posterior
from physgen.inference.posterior import Posterior
from physgen.inference.progress import SimulationStatus
from physgen.inference.simulate import simulate
from physgen.inference.simulators import JaxSimulator
from physgen.inference.store import Simulations
from physgen.inference.tasks import StoredObservation, Task, reference_posterior, stored_observation
from physgen.inference.training import PosteriorTraining
from physgen.train import Report
from physgen.validation.classifier import Classifier, NeuralNetwork, RandomForest, c2st

SAMPLES = 10_000

_SIMULATE, _FIT, _SAMPLE, _REFERENCE = range(4)  # what a part of the key is for


@dataclass(frozen=True)
class BenchmarkResult:
    """One posterior of one task, and its samples at one observation.

    c2st, c2st_random_forest: the two accuracies of `physgen.validation.c2st`, 0.5 at best.
    train_seconds: of all of `fit_posterior`, of which compile_seconds went into compiling steps.
    samples_per_second: of a second call, compiled by the first. parameters: trained numbers.
    validation_loss: see `Training`. reference: whether observation and reference posterior were
    read from files ("stored"), or simulated and drawn by this package ("own"). density is what was
    asked for, chosen what was trained.
    """

    task: str
    simulations: int
    observation: int
    density: str
    c2st: float
    c2st_random_forest: float
    train_seconds: float
    compile_seconds: float
    samples_per_second: float
    parameters: int
    validation_loss: float
    members: int
    steps: int
    reference: Literal["stored", "own"]
    chosen: str
    tried: tuple[tuple[str, float], ...]


@dataclass(frozen=True, eq=False)
class Trained:
    """A posterior of a task, and the wall time that `fit_posterior` took for it."""

    task: Task
    posterior: Posterior
    asked: str
    seconds: float

    @classmethod
    def of(cls, task: Task, posterior: Posterior) -> "Trained":
        """A posterior that was trained before; it knows the time but for its own last compiling."""
        return cls(task, posterior, repr(posterior.settings.density), posterior.training.seconds)


def benchmark(
    key: PRNGKeyArray,
    task: Task,
    *,
    simulations: int = 10_000,
    observation: int = 1,
    references: str | os.PathLike[str] | None = None,
    samples: int = SAMPLES,
    network: Classifier = NeuralNetwork(),
    forest: Classifier = RandomForest(),
    **fitting: Any,
) -> BenchmarkResult:
    """Simulate, train, sample and compare.

    Args:
        simulations: how many to train on, the held-out ones included.
        observation: the number of the test case, counted from 1.
        references: a folder of NPZ files, see `stored_observation`; for None the task's own test
            case and `reference_posterior`.
        samples: draws of either posterior.
        network, forest: the classifiers of `c2st` and `c2st_random_forest`.
        fitting: arguments of `train_on`.

    Raises:
        InputError: as `fit_posterior`, `stored_observation` and `reference_posterior`.
    """
    case = reference_case(key, task, observation, references, samples)
    trained = train_on(key, task, simulations, **fitting)
    return score(
        key, trained, case, observation, stored=references is not None,
        network=network, forest=forest,
    )  # fmt: skip


def train_on(
    key: PRNGKeyArray,
    task: Task,
    simulations: int,
    *,
    density: Trainable | Sequence[Trainable] = SplineFlow(),
    embedding: AnyEmbedding | None = None,
    members: int = 1,
    training: PosteriorTraining = PosteriorTraining(),
    report: Report | None = None,
) -> Trained:
    """A posterior of a task from so many simulations; one serves all observations."""
    drawn = drawn_for(key, task, simulations)
    started = time.monotonic()
    posterior = fit_posterior(
        _part(key, _FIT),
        task.prior,
        drawn,
        density=density,
        embedding=embedding,
        members=members,
        training=training,
        report=report,
    )
    return Trained(task, posterior, repr(density), time.monotonic() - started)


def drawn_for(key: PRNGKeyArray, task: Task, simulations: int) -> Simulations:
    """The simulations that `train_on` learns from, given the same key."""
    simulator = JaxSimulator(task.simulator)
    return simulate(_part(key, _SIMULATE), task.prior, simulator, simulations, report=_quiet)


def reference_case(
    key: PRNGKeyArray,
    task: Task,
    observation: int,
    references: str | os.PathLike[str] | None,
    samples: int = SAMPLES,
) -> StoredObservation:
    """Observation and reference posterior, read from a folder or, for None, the task's own.

    Raises:
        InputError: as `stored_observation` and `reference_posterior`, and for another task's file.
    """
    if references is not None:
        stored = stored_observation(references, task.name, observation)
        shapes = stored.x.shape, stored.reference.shape[1:]
        if shapes != (task.x_shape, task.prior.event_shape):
            raise InputError(
                f"expected an observation {task.x_shape} and draws of {task.prior.event_shape} "
                f"parameters of {task.name} in {references}, got {shapes[0]} and {shapes[1]}; give "
                "the references of this task"
            )
        return stored._replace(reference=stored.reference[:samples])
    theta, x = task.observation(observation)
    reference = reference_posterior(task, _part(key, _REFERENCE), samples, x)
    return StoredObservation(np.asarray(x), np.asarray(reference), np.asarray(theta))


def score(
    key: PRNGKeyArray,
    trained: Trained,
    case: StoredObservation,
    observation: int,
    *,
    stored: bool,
    network: Classifier = NeuralNetwork(),
    forest: Classifier = RandomForest(),
) -> BenchmarkResult:
    """Compare a posterior with the reference, draw for draw as many."""
    posterior, run = trained.posterior, trained.posterior.training
    n = len(case.reference)
    drawn = np.asarray(posterior.sample(_part(key, _SAMPLE), n, case.x))
    started = time.monotonic()
    jax.block_until_ready(posterior.sample(_part(key, _SAMPLE), n, case.x))
    seconds = time.monotonic() - started
    return BenchmarkResult(
        task=trained.task.name,
        simulations=run.simulations + run.failed,
        observation=observation,
        density=trained.asked,
        c2st=c2st(case.reference, drawn, classifier=network, permutations=0).mean,
        c2st_random_forest=c2st(case.reference, drawn, classifier=forest, permutations=0).mean,
        train_seconds=trained.seconds,
        compile_seconds=run.compile_seconds,
        samples_per_second=n / seconds,
        parameters=trained_numbers(posterior),
        validation_loss=run.validation_loss,
        members=posterior.settings.members,
        steps=run.steps,
        reference="stored" if stored else "own",
        chosen=repr(posterior.settings.density),
        tried=run.tried,
    )


def _part(key: PRNGKeyArray, number: int) -> PRNGKeyArray:
    return jax.random.fold_in(key, number)


def _quiet(status: SimulationStatus) -> None:
    pass
