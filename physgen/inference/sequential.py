"""Inference in rounds, for one observation: each round simulates where the last one pointed.

Every round learns anew, from the simulations of all rounds.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.errors import InputError
from physgen.inference.architectures import AffineFlow, FlowMatching, SplineFlow
from physgen.inference.embeddings import AnyEmbedding, takes_missing
from physgen.inference.fit import fit_posterior
from physgen.inference.likelihood import fit_likelihood
from physgen.inference.mcmc import LikelihoodPosterior, Sampler
from physgen.inference.posterior import Posterior, Training
from physgen.inference.priors import Prior, as_prior
from physgen.inference.progress import SimulationStatus
from physgen.inference.simulate import simulate
from physgen.inference.simulators import Simulator
from physgen.inference.store import Simulations
from physgen.inference.training import PosteriorTraining
from physgen.inference.truncation import truncated_prior
from physgen.train import ProgressLine, Report

Round = tuple[Posterior | LikelihoodPosterior, Training]


@dataclass(frozen=True)
class TSNPE:
    """Truncated sequential neural posterior estimation.

    Deistler, Gonçalves & Macke 2022 (arXiv:2210.04815): parameters come from the prior, cut to the
    region that holds all but `epsilon` of the current posterior. Inside of it prior and proposal
    are proportional, so that nothing has to be corrected for.
    """

    density: SplineFlow | AffineFlow | FlowMatching = SplineFlow()
    embedding: AnyEmbedding | None = None
    members: int = 1
    training: PosteriorTraining = PosteriorTraining()
    epsilon: float = 1e-4

    @property
    def missing(self) -> bool:
        """Whether entries of observations may be NaN."""
        return self.embedding is not None and takes_missing(self.embedding)

    def fit(
        self, key: PRNGKeyArray, prior: Prior, simulations: Simulations, report: Report
    ) -> Round:
        """The posterior of all simulations."""
        posterior = fit_posterior(
            key,
            prior,
            simulations,
            density=self.density,
            embedding=self.embedding,
            members=self.members,
            training=self.training,
            report=report,
        )
        return posterior, posterior.training

    def proposal(
        self, key: PRNGKeyArray, prior: Prior, posterior: Any, x: ArrayLike, report: Report
    ) -> Prior:
        """Where the next round simulates."""
        truncated, share = truncated_prior(key, prior, posterior, x, self.epsilon)
        report.note(f"the next round has {share:.2g} of the prior's volume")
        return truncated


@dataclass(frozen=True)
class SNLE:
    """Sequential neural likelihood estimation.

    Papamakarios, Sterratt & Murray 2019 (arXiv:1805.07226): parameters come from the current
    posterior. The likelihood does not depend on where they come from.
    """

    density: SplineFlow | AffineFlow | FlowMatching = SplineFlow()
    members: int = 1
    training: PosteriorTraining = PosteriorTraining()
    sampler: Sampler = Sampler()

    @property
    def missing(self) -> bool:
        """Whether entries of observations may be NaN: a likelihood needs them all."""
        return False

    def fit(
        self, key: PRNGKeyArray, prior: Prior, simulations: Simulations, report: Report
    ) -> Round:
        """The posterior of all simulations."""
        likelihood = fit_likelihood(
            key,
            prior,
            simulations,
            density=self.density,
            members=self.members,
            training=self.training,
            report=report,
        )
        return LikelihoodPosterior(likelihood, prior, self.sampler), likelihood.training

    def proposal(
        self, key: PRNGKeyArray, prior: Prior, posterior: Any, x: ArrayLike, report: Report
    ) -> Prior:
        """Where the next round simulates."""
        del key, report

        def draw(key: PRNGKeyArray, n: int) -> Any:
            return posterior.sample(key, n, x)

        return Prior(draw, prior.log_density, prior.support, prior.names, prior.units)


@dataclass(frozen=True, eq=False)
class SequentialResult:
    """The posterior of the last finished round, good for the one observation; and all simulations.

    simulations: of each finished round.
    """

    posterior: Posterior | LikelihoodPosterior
    simulations: tuple[Simulations, ...]


def infer_sequentially(
    key: PRNGKeyArray,
    prior: Any,
    simulator: Simulator | Callable[..., Any],
    observation: ArrayLike,
    *,
    simulations: int = 10_000,
    rounds: int = 10,
    method: TSNPE | SNLE = TSNPE(),
    store: str | Path | None = None,
    resume: bool = False,
    workers: int = 1,
    report: Report | None = None,
    simulation_report: Callable[[SimulationStatus], None] | None = None,
) -> SequentialResult:
    """The posterior of one observation, from simulations that come closer to it round by round.

    Ctrl-C stops it, and returns the last finished round.

    Args:
        prior, simulator, workers: see `simulate`.
        simulations: of all rounds together.
        method: how each round learns, and where the next one simulates.
        store: a folder for the simulations, one file a round; with `resume` those that are there
            are used.
        report, simulation_report: told of the progress; None prints to stderr.

    Raises:
        InputError: for fewer than 50 simulations a round, an observation of another shape, and as
            `simulate` and `fit_posterior`.
        KeyboardInterrupt: if Ctrl-C comes before the first round is finished.
    """
    prior, x = as_prior(prior), np.asarray(observation, np.float32)
    report = ProgressLine() if report is None else report
    sizes = np.diff(np.linspace(0, simulations, rounds + 1).astype(int))
    if rounds < 1 or sizes.min() < 50:
        raise InputError(
            f"expected at least 50 simulations a round, got {simulations} for {rounds} rounds; "
            "give more simulations, or fewer rounds"
        )
    folder = None if store is None else Path(store)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    result: SequentialResult | None = None
    try:
        for number, size in enumerate(sizes.tolist(), start=1):
            keys = jax.random.split(jax.random.fold_in(key, number), 3)
            proposal = prior
            if result is not None:
                proposal = method.proposal(keys[0], prior, result.posterior, x, report)
            made = simulate(
                keys[1],
                proposal,
                simulator,
                size,
                store=None if folder is None else folder / f"round-{number}.h5",
                resume=resume,
                workers=workers,
                missing=method.missing,
                report=simulation_report,
            )
            _require_observation(x, made)
            rows = (*(() if result is None else result.simulations), made)
            posterior, training = method.fit(keys[2], prior, joined(rows), report)
            if training.interrupted:
                raise KeyboardInterrupt
            result = SequentialResult(posterior, rows)
            report.note(
                f"round {number} of {rounds}: {training.simulations} simulations, "
                f"held-out -log p {training.validation_loss:.4g}"
            )
    except KeyboardInterrupt:
        if result is None:
            raise KeyboardInterrupt("stopped before the first round was finished") from None
        report.note(f"stopped: this is the posterior of round {len(result.simulations)}")
    assert result is not None
    return result


def joined(simulations: tuple[Simulations, ...]) -> Simulations:
    """The simulations of several rounds as one, described by the first."""
    return replace(
        simulations[0],
        parameters=np.concatenate([s.parameters for s in simulations]),
        observations=np.concatenate([s.observations for s in simulations]),
        failed=sum(s.failed for s in simulations),
    )


def _require_observation(x: np.ndarray, made: Simulations) -> None:
    if x.shape != made.observations.shape[1:]:
        raise InputError(
            f"expected an observation of shape {made.observations.shape[1:]}, as the simulator "
            f"makes them, got {x.shape}; give one observation"
        )
