"""One density for all shots of a sweep: of a time, a detuning, or several such numbers.

Shots at neighbouring values of the control teach one network, where a model for each value would
see its own shots alone.
"""

import os
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.data import split
from physgen.errors import InputError
from physgen.nets.stacked import built
from physgen.spins.estimates import Estimate, mean_of
from physgen.spins.tomography.baselines import IndependentSites, MarkovChains
from physgen.spins.tomography.likelihood import fit_density
from physgen.spins.tomography.shots import Shots
from physgen.spins.tomography.sweep_density import SweepDensity, SweepSettings
from physgen.train import FitResult, FitSettings, OptimizerSettings, Report

SHOTS_A_VALUE = 10  # at least, on average: the baselines count at each value
RESOLVED = 1e-4  # the least spread of a control, by its size, that single precision resolves


@dataclass(frozen=True, eq=False)
class Sweep:
    """A density of all values, and how it compares on shots that it was not trained on.

    log_likelihood: the mean of log p(outcome | control) over held-out shots, in nats. They chose
        the step as well, so that it is high by a little, and so are the gains.
    over_independent, over_markov: the mean difference, shot by shot, to independent sites and to a
        first-order Markov chain at each value, from counts of the same training shots.
    held_out: which shots were.
    """

    density: SweepDensity
    log_likelihood: Estimate
    over_independent: Estimate
    over_markov: Estimate
    held_out: Int[np.ndarray, " h"]
    run: FitResult


def fit_sweep(
    key: PRNGKeyArray,
    outcomes: ArrayLike,
    control: ArrayLike,
    *,
    units: int = 32,
    held_out: float = 0.1,
    steps: int = 2400,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> Sweep:
    """The density p(outcomes | control) of largest likelihood, stopped by held-out shots.

    Args:
        outcomes: 0 and 1, (b, n), all in one basis.
        control: of each shot, in any unit, (b,) or (b, c).
        units: gated recurrent ones of the network.
        held_out: the share of shots that say when to stop, and how good it is.
        steps: at most, of 256 shots each.
        checkpoint, resume: see `physgen.train.fit`.

    Raises:
        InputError: for other outcomes, a control that does not fit them, is not finite or does not
            vary, and too few shots; for a checkpoint in the way or of another run.
    """
    x = Shots.of(outcomes).outcomes
    columns = _columns(control, len(x))
    if x.shape[1] < 2 or units < 1:
        raise InputError(
            f"expected a chain of two sites or more and at least one unit, got {x.shape[1]} and "
            f"{units}"
        )
    values, which = np.unique(columns, axis=0, return_inverse=True)
    which = which.reshape(-1)
    _require_a_sweep(values, len(x))
    if not 0 < held_out < 1 or round(held_out * len(x)) < 2:
        raise InputError(
            f"expected to hold out a share between 0 and 1 of {len(x)} shots, two of them or more, "
            f"got {held_out}"
        )
    key_split, key_init, key_fit = jax.random.split(key, 3)
    train, test = split(key_split, len(x), held_out)
    settings = SweepSettings(x.shape[1], units, tuple(map(tuple, values.tolist())))
    context = columns.astype(np.float32)
    found = fit_density(
        key_fit,
        built(lambda rngs: SweepDensity(settings, rngs=rngs), key_init),
        {"x": x[train], "context": context[train]},
        {"x": x[test], "context": context[test]},
        FitSettings(batch_size=min(256, len(train)), steps=steps, validate_every=100, patience=6),
        OptimizerSettings(learning_rate=1e-2, weight_decay=1e-4, ema_decay=0.99),
        checkpoint=checkpoint,
        resume=resume,
        identity=settings,
        report=report,
    )

    def gain(baseline: type[IndependentSites] | type[MarkovChains]) -> Estimate:
        counted = baseline.fit(x[train], which[train], len(values))
        return mean_of(found.log_p - counted.log_prob(x[test], which[test]))

    return Sweep(
        found.density,
        mean_of(found.log_p),
        gain(IndependentSites),
        gain(MarkovChains),
        test,
        found.run,
    )


def _columns(control: ArrayLike, shots: int) -> Float[np.ndarray, "b c"]:
    given = np.asarray(control)
    if given.ndim not in (1, 2) or len(given) != shots or 0 in given.shape:
        raise InputError(
            f"expected a control of shape ({shots},) or ({shots}, columns), a row for each shot, "
            f"got {given.shape}"
        )
    if given.dtype.kind not in "biuf":
        raise InputError(f"expected numbers for the control, got {given.dtype}")
    columns = given.reshape(shots, -1).astype(float)
    bad = np.flatnonzero(~np.isfinite(columns).all(axis=1))
    if len(bad):
        raise InputError(
            f"expected a finite control, got {columns[bad[0]].tolist()} at shot {bad[0]} and "
            f"{len(bad)} such shots in all; leave them out"
        )
    return columns


def _require_a_sweep(values: Float[np.ndarray, "v c"], shots: int) -> None:
    if len(values) < 2:
        raise InputError(
            f"expected a control that varies, got {values[0].tolist()} for every shot; without a "
            "sweep, reconstruct a state"
        )
    if shots < SHOTS_A_VALUE * len(values):
        raise InputError(
            f"expected at least {SHOTS_A_VALUE} shots for each value of the control on average, "
            f"got {shots} at {len(values)} values; give more, or round the control"
        )
    spread, size = values.std(axis=0), np.abs(values).max(axis=0)
    bad = np.flatnonzero((spread > 0) & (spread < RESOLVED * size))
    if len(bad):
        raise InputError(
            f"expected a control whose changes single precision resolves, got {spread[bad[0]]:.3g} "
            f"on top of {size[bad[0]]:.6g}; subtract a constant from it"
        )
