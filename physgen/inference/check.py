"""Can a posterior be trusted? Calibration over simulations, and a look at one observation."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.data import seed_of
from physgen.densities.bijections import Support
from physgen.errors import InputError
from physgen.inference.check_report import FILES, Check, Prediction
from physgen.inference.misspecification import entry_names, misspecification
from physgen.inference.priors import Prior
from physgen.inference.results import PosteriorSamples
from physgen.inference.simulate import simulate
from physgen.inference.store import Simulations
from physgen.validation.calibration import (
    highest_density_coverage,
    simulation_based_calibration,
    tarp,
)
from physgen.validation.folder import require_free

SHOWN = 10_000  # posterior samples given the observation
PREDICTED = 500  # observations that they predict
_EVENTS = 2**16  # samples of generic posteriors drawn at once
_NUMBERS = 2**24  # in the observations that go with them
_DENSITY_DRAWS = 100  # of each simulation whose log_prob is computed


@runtime_checkable
class NamedPosterior(Protocol):
    """What is checked: p(parameters | observation) over named parameters."""

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def units(self) -> tuple[str, ...]: ...

    def sample(self, key: PRNGKeyArray, n: int, context: Any) -> Array:
        """n samples (n, d); context is one observation for all, or one for each."""
        ...


@runtime_checkable
class HasLogProb(Protocol):
    """A posterior whose density can be computed: a `Density`."""

    def log_prob(self, x: Any, context: Any) -> Array:
        """Log-densities of parameters (..., d) given observations (..., *x)."""
        ...


@runtime_checkable
class ManyObservations(Protocol):
    """A posterior that shares work between the samples of an observation."""

    def sample_each(self, key: PRNGKeyArray, n: int, observations: Any) -> Array:
        """n samples for each of m observations, (m, n, d)."""
        ...


def check(
    posterior: NamedPosterior,
    key: PRNGKeyArray,
    simulations: Simulations | tuple[ArrayLike, ArrayLike],
    *,
    observation: ArrayLike | None = None,
    truth: ArrayLike | None = None,
    simulator: Any = None,
    n_samples: int = 250,
    n_simulations: int = 500,
    alpha: float = 0.05,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Check:
    """Calibration of a posterior over simulations that it was not trained on.

    Ranks of each parameter, TARP and, where the posterior has `log_prob`, the coverage of
    highest-density regions, all at level `alpha` together. With an observation: its posterior, and
    whether it is like the simulations; with a simulator too: whether it is like what the posterior
    predicts.

    Args:
        simulations: parameters from the prior with their observations, as `Simulations` or a pair
            (theta (n, d), x (n, *x)).
        truth: the parameters (d,) behind the observation, where they are known.
        simulator: as in `simulate`.
        n_samples: posterior draws for each simulation.
        n_simulations: how many of the simulations are used at most, chosen at random.
        out: a folder to write to, see `Check.write`.

    Raises:
        InputError: for simulations, an observation or a truth of other shapes, a simulator without
            an observation, and draws or densities that are not finite.
    """
    if out is not None:
        require_free(Path(out), overwrite, FILES)
    theta, x = _pair(simulations, posterior)
    if simulator is not None and observation is None:
        raise InputError("expected an observation to go with the simulator, got none; give it")
    if truth is not None and np.shape(truth) != (len(posterior.names),):
        raise InputError(
            f"expected a truth of shape ({len(posterior.names)},), got {np.shape(truth)}; give one "
            "number for each parameter"
        )
    chosen_key, draw_key, sample_key, predict_key = jax.random.split(key, 4)
    rng = np.random.default_rng(seed_of(chosen_key))
    chosen = np.sort(rng.permutation(len(theta))[:n_simulations])
    truths, observations = theta[chosen], x[chosen]
    draws = draw_each(posterior, draw_key, n_samples, observations)
    d, has_density = len(posterior.names), isinstance(posterior, HasLogProb)
    share = alpha / (d + 1 + has_density)  # of each curve
    coverage = None
    if has_density:
        densities = _log_probs(posterior, truths, draws[:, :_DENSITY_DRAWS], observations)
        coverage = highest_density_coverage(
            densities[:, 0], densities[:, 1:], alpha=share, seed=rng
        )
    found = Check(
        names=tuple(posterior.names),
        units=tuple(posterior.units),
        n_simulations=len(chosen),
        n_samples=n_samples,
        alpha=alpha,
        calibration=simulation_based_calibration(
            truths, draws, names=posterior.names, alpha=share * d, seed=rng
        ),
        tarp=tarp(truths, draws, alpha=share, seed=rng),
        coverage=coverage,
    )
    if observation is not None:
        seen = np.asarray(observation)
        samples = _samples(posterior, sample_key, seen)
        found = replace(
            found,
            truth=None if truth is None else np.asarray(truth, np.float64),
            samples=samples,
            misspecification=misspecification(seen, x, seed=rng),
            prediction=None
            if simulator is None
            else _predict(posterior, predict_key, simulator, seen, samples, rng),
        )
    if out is not None:
        found.write(out, overwrite=overwrite)
    return found


def draw_each(
    posterior: NamedPosterior, key: PRNGKeyArray, n: int, observations: np.ndarray
) -> Float[np.ndarray, "m n d"]:
    """n samples for each of m observations (m, *x), in parts that fit into memory."""
    if isinstance(posterior, ManyObservations):
        return np.asarray(posterior.sample_each(key, n, observations))
    m = len(observations)
    rows = _rows(m, n, observations[0].size)
    keys = jax.random.split(key, -(-m // rows))
    parts = []
    for k, start in zip(keys, range(0, m, rows), strict=True):
        index = np.minimum(np.arange(start, start + rows), m - 1)
        drawn = posterior.sample(k, rows * n, np.repeat(observations[index], n, axis=0))
        parts.append(np.asarray(drawn).reshape(rows, n, -1))
    return np.concatenate(parts)[:m]


def _log_probs(posterior, truths, draws, observations) -> Float[np.ndarray, "m n"]:
    """log_prob of each truth (column 0) and of its draws."""
    values = np.concatenate([truths[:, None], draws], axis=1, dtype=np.float32)
    m, n, _ = values.shape
    rows = _rows(m, n, observations[0].size)
    parts = []
    for start in range(0, m, rows):
        index = np.minimum(np.arange(start, start + rows), m - 1)
        parts.append(np.asarray(posterior.log_prob(values[index], observations[index][:, None])))
    return np.concatenate(parts)[:m]


def _rows(m: int, n: int, size: int) -> int:
    """Observations of `size` numbers at a time, n events each."""
    return int(np.clip(min(_EVENTS, _NUMBERS // max(size, 1)) // n, 1, m))


def _samples(posterior: NamedPosterior, key, observation: np.ndarray) -> PosteriorSamples:
    if isinstance(posterior, ManyObservations):
        samples = np.asarray(posterior.sample_each(key, SHOWN, observation[None])[0])
    else:
        samples = np.asarray(posterior.sample(key, SHOWN, observation))
    return PosteriorSamples.from_arrays(
        samples,
        names=posterior.names,
        units=posterior.units,
        log_prob=posterior.log_prob(samples, observation)
        if isinstance(posterior, HasLogProb)
        else None,
        observation=observation,
        low=getattr(posterior, "low", None),
        high=getattr(posterior, "high", None),
    )


def _predict(posterior, key, simulator, observation, samples: PosteriorSamples, rng) -> Prediction:
    ends = [
        np.full(len(samples.names), fallback) if end is None else end
        for end, fallback in ((samples.low, -np.inf), (samples.high, np.inf))
    ]
    given = Prior(
        lambda key, n: posterior.sample(key, n, observation),
        _never,
        Support(*ends),
        samples.names,
        samples.units,
    )
    made = simulate(key, given, simulator, PREDICTED, report=lambda status: None).observations
    if made[0].size != observation.size:
        raise InputError(
            f"expected a simulator of observations of shape {observation.shape}, got "
            f"{made.shape[1:]}; give the one that the posterior was trained on"
        )
    draws, seen = made.reshape(len(made), -1), observation.ravel()
    names = entry_names(observation.shape)
    return Prediction(
        names,
        seen.astype(np.float64),
        draws.astype(np.float64),
        misspecification(seen, draws, names=names, seed=rng),
    )


def _never(theta):
    raise NotImplementedError("a simulation asks for samples alone")


def _pair(simulations, posterior) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(simulations, Simulations):
        theta, x = simulations.parameters, simulations.observations
    else:
        theta, x = (np.asarray(array) for array in simulations)
    d = len(posterior.names)
    if theta.ndim != 2 or theta.shape[1] != d or len(theta) != len(x) or len(theta) < 1:
        raise InputError(
            f"expected simulations of parameters (n, {d}) and observations (n, ...), got "
            f"{theta.shape} and {x.shape}; give pairs that the posterior was not trained on"
        )
    return theta, x
