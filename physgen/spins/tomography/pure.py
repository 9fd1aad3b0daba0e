"""States from measured bit strings, by maximum likelihood.

The likelihood of a shot is Born's rule for an autoregressive wavefunction, which is normalised: no
partition function. A mixed state is a pure one of more sites, the last of which nobody sees
(Torlai & Melko 2018, arXiv:1801.09684), and so positive by construction. Training stops where the
likelihood of held-out shots is largest. Several wavefunctions may be trained side by side, from
different starts or, for the bootstrap, with different weights of the shots.
"""

import os
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Complex, Float, Int, PRNGKeyArray

from physgen.data import split
from physgen.errors import InputError
from physgen.nets.stacked import each, stacked
from physgen.spins.ansatz import Ansatz, GRUWavefunction
from physgen.spins.lattice import Lattice
from physgen.spins.tomography.born import Likelihood, amplitudes_of, likelihood_of
from physgen.spins.tomography.readout import LearnedReadout, Readout
from physgen.spins.tomography.shots import Shots, Z, phases_caveat
from physgen.spins.wavefunction import Wavefunction
from physgen.train import FitResult, FitSettings, OptimizerSettings, Report, fit, gradient_step

WHOLE = 2048  # distinct outcomes up to which all of them are one batch
BATCH = 256


@dataclass(frozen=True)
class TomographySettings:
    """How to train.

    steps: at most; the learning rate falls to zero over them. patience: validations without
    improvement after which to stop. held_out: the share of shots that decide when to stop.
    starts: random initial states side by side, of which the one with the largest held-out
    likelihood is kept; None for one, or four with phases, whose likelihood has several maxima.
    """

    steps: int = 300
    validate_every: int = 20
    patience: int = 5
    held_out: float = 0.1
    starts: int | None = None
    optimizer: OptimizerSettings = field(
        default_factory=lambda: OptimizerSettings(
            learning_rate=2e-2,
            weight_decay=0.0,
            clip_norm=1e3,
            ema_decay=0.95,
            second_moment_decay=0.99,
        )
    )

    def __post_init__(self):
        if not 0 < self.held_out < 1 or self.steps < 1 or (self.starts or 1) < 1:
            raise InputError(
                f"expected held_out between 0 and 1, at least one step and one start, got "
                f"{self.held_out}, {self.steps} and {self.starts}"
            )


class Model(nnx.Module):
    """A wavefunction, and readout errors where they are learned."""

    def __init__(self, wavefunction: Wavefunction, errors: LearnedReadout | None):
        self.wavefunction = wavefunction
        self.errors = errors


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A state from shots.

    wavefunction: trained on all shots, for as many steps as served held-out shots best.
    held_out_log_likelihood, held_out_error: the mean over held-out shots of log p(outcome | basis)
        in nats, and its standard error, of the state that was trained without them.
    readout: the errors that were given or learned. caveat: what the bases leave open.
    start: the model before training.
    """

    wavefunction: Wavefunction
    held_out_log_likelihood: float
    held_out_error: float
    readout: Readout | None
    caveat: str | None
    shots: Shots
    held_out: int
    best_step: int
    run: FitResult
    settings: TomographySettings
    start: Model
    hidden: int

    def __repr__(self) -> str:
        return (
            f"<Reconstruction from {self.shots}: held-out log-likelihood "
            f"{self.held_out_log_likelihood:.4g} +- {self.held_out_error:.2g}; "
            f"{self.wavefunction}>"
        )

    def density_matrix(self) -> Complex[np.ndarray, "d d"]:
        """rho of the measured sites, by all amplitudes."""
        psi = amplitudes_of(self.wavefunction).reshape(-1, 2**self.hidden)
        return psi @ psi.conj().T

    def log_likelihood(self, shots: Shots) -> Float[np.ndarray, " b"]:
        """log p(outcome | basis) of each shot, in nats."""
        return _evaluated(self.wavefunction, shots, self.readout, self.hidden)


def reconstruct(
    key: PRNGKeyArray,
    shots: Shots,
    ansatz: Ansatz | None = None,
    *,
    lattice: Lattice | None = None,
    readout: Readout | Literal["learned"] | None = None,
    hidden: int = 0,
    settings: TomographySettings | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> Reconstruction:
    """The pure state of largest likelihood that the ansatz can have.

    Torlai et al. 2018 (arXiv:1703.05334), with a normalised wavefunction in place of a Boltzmann
    machine: Carrasquilla et al. 2019 (arXiv:1810.10584).

    Args:
        ansatz: by default gated recurrent units, with phases where a basis is not Z.
        lattice: an open chain by default.
        readout: errors of the measurement, known, or "learned" with the state.
        hidden: sites behind those that were measured, for a mixed state; as many as these for any.
        checkpoint, resume: see `physgen.train.fit`.

    Raises:
        InputError: for shots that do not fit the lattice or the ansatz, and too few of them; for a
            checkpoint in the way or of another run.
    """
    settings = settings or TomographySettings()
    if ansatz is None:
        ansatz = GRUWavefunction(units=16, phase=bool((shots.bases != Z).any()))
    if ansatz.local_dimension != 2 or (lattice is not None and lattice.n != shots.sites):
        raise InputError(
            f"expected an ansatz of spins 1/2 on {shots.sites} sites, as the shots have; give "
            "another lattice or ansatz"
        )
    if lattice is not None and hidden:
        raise InputError("expected no lattice with hidden sites, which have no place on it")
    where = shots.sites + hidden if lattice is None else lattice

    def make(rngs: nnx.Rngs) -> Model:
        errors = LearnedReadout(shots.sites) if readout == "learned" else None
        return Model(ansatz.build(where, rngs=rngs), errors)

    key_split, key_init, key_fit = jax.random.split(key, 3)
    train, held_out = split(key_split, len(shots), settings.held_out)
    known = readout if isinstance(readout, Readout) else None
    starts = settings.starts or (4 if ansatz.phase else 1)
    start = stacked(make, starts, nnx.Rngs(key_init))
    rows, index = shots.distinct_rows()
    counts = [np.bincount(index[some], minlength=len(rows)) for some in (train, held_out)]
    without, every, validation = counts[0], counts[0] + counts[1], counts[1]
    models, run = maximise(
        key_fit,
        jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), start),
        rows,
        np.stack([without] * starts + [every] * starts, axis=1),
        settings,
        known,
        held_out=np.stack([validation] * starts + [0 * validation] * starts, axis=1),
        checkpoint=checkpoint,
        resume=resume,
        identity=(ansatz, where, readout, settings.optimizer),
        report=report,
    )
    values = []
    for number in range(starts):
        model = member(models, number)
        of_rows = _evaluated(model.wavefunction, rows, _errors(model, known), hidden)
        values.append(np.repeat(of_rows, validation))
    best = int(np.argmax([v.mean() for v in values]))
    model = member(models, starts + best)
    return Reconstruction(
        wavefunction=model.wavefunction,
        held_out_log_likelihood=float(values[best].mean()),
        held_out_error=float(values[best].std() / np.sqrt(max(len(held_out) - 1, 1))),
        readout=_errors(model, known),
        caveat=phases_caveat(shots, not ansatz.phase),
        shots=shots,
        held_out=len(held_out),
        best_step=run.best_step or 0,
        run=run,
        settings=settings,
        start=member(start, best),
        hidden=hidden,
    )


def maximise(
    key: PRNGKeyArray,
    models: Any,
    rows: Shots,
    counts: Int[np.ndarray, "r members"],
    settings: TomographySettings,
    readout: Readout | None,
    *,
    held_out: Int[np.ndarray, "r members"] | None = None,
    steps: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    identity: Any = None,
    report: Report | None = None,
) -> tuple[Any, FitResult]:
    """Models side by side at their largest likelihood, each for its own counts of the rows.

    Args:
        held_out: counts whose likelihood, summed over the models, decides when to stop.
        steps: to stop after, of those of the settings, which shape the schedule.
        checkpoint, resume, identity: see `physgen.train.fit`.
    """
    graph, parameters, rest = nnx.split(models, nnx.Param, ...)
    hidden = models.wavefunction.n - rows.sites
    errors = readout is not None or models.errors is not None
    likelihood = likelihood_of(rows, readout=errors, hidden=hidden)
    known = None if readout is None else jnp.asarray(readout.confusion, jnp.float32)

    def loss(parameters: Any, key: Array, batch: dict[str, Array]) -> Array:
        rows = {name: array for name, array in batch.items() if name != "weight"}

        def of_member(model: Model, weight: Array) -> Array:
            confusion = known if model.errors is None else model.errors.matrices()
            return -jnp.mean(weight * likelihood(model.wavefunction, rows, confusion))

        losses = each(nnx.merge(graph, parameters, rest), of_member, batch["weight"].T)
        return losses.sum() / jnp.maximum((batch["weight"] > 0).any(axis=0).sum(), 1)

    def data(counts: Int[np.ndarray, "r members"]) -> dict[str, np.ndarray]:
        weights = counts / np.maximum(counts.mean(axis=0, keepdims=True), 1e-300)
        return {**likelihood.rows(rows), "weight": weights.astype(np.float32)}

    step = gradient_step(parameters, loss, settings.optimizer)
    run = fit(
        key,
        step.step,
        step.state,
        data(counts),
        FitSettings(
            batch_size=len(rows) if len(rows) <= WHOLE else BATCH,
            steps=steps or settings.steps,
            validate_every=settings.validate_every,
            patience=None if held_out is None else settings.patience,
        ),
        evaluate=None if held_out is None else step.evaluate,
        validation_data=None if held_out is None else data(held_out),
        checkpoint=checkpoint,
        resume=resume,
        on_total_steps=lambda state, _: step.on_total_steps(state, settings.steps),
        identity=identity,
        report=report,
    )
    return nnx.merge(graph, step.unravel(run.state.ema), rest), run


def member(models: Any, number: int) -> Any:
    """One of modules side by side."""
    graph, state = nnx.split(models)
    return nnx.merge(graph, jax.tree.map(lambda leaf: leaf[number], state))


def _errors(model: Model, known: Readout | None) -> Readout | None:
    return known if model.errors is None else Readout(np.asarray(model.errors.matrices(), float))


def _evaluated(
    wavefunction: Wavefunction, shots: Shots, readout: Readout | None, hidden: int
) -> Float[np.ndarray, " b"]:
    likelihood = likelihood_of(shots, readout=readout is not None, hidden=hidden)
    confusion = None if readout is None else jnp.asarray(readout.confusion, jnp.float32)
    rows = likelihood.rows(shots)
    parts = [
        _log_likelihood(
            likelihood, wavefunction, {k: v[i : i + WHOLE] for k, v in rows.items()}, confusion
        )
        for i in range(0, len(shots), WHOLE)
    ]
    return np.concatenate([np.asarray(part, float) for part in parts])


@partial(jax.jit, static_argnums=0)
def _log_likelihood(
    likelihood: Likelihood, wavefunction: Wavefunction, rows: Any, confusion: Any
) -> Array:
    return likelihood(wavefunction, rows, confusion)
