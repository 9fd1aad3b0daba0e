"""An emulator that samples in a few evaluations of its networks, made of one that takes more."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.data import split
from physgen.densities.leaps import Leaps
from physgen.devices import map_over_devices
from physgen.errors import InputError
from physgen.galaxies.emulator import GalaxyEmulator
from physgen.galaxies.generate import checked_counts, checked_parameters
from physgen.galaxies.portions import made_in_portions
from physgen.galaxies.training import TrainedEmulator, TrainingSettings, fit_clouds
from physgen.train import FitSettings, OptimizerSettings, Report

DISTILLATION = TrainingSettings(
    schedule=FitSettings(batch_size=8, minutes=15.0, validate_every=500),
    optimizer=OptimizerSettings(
        learning_rate=7e-4, clip_norm=0.5, ema_decay=0.99, second_moment_decay=0.99
    ),
)


def distil(
    key: PRNGKeyArray,
    emulator: GalaxyEmulator,
    parameters: ArrayLike,
    *,
    counts: ArrayLike | None = None,
    evaluations: int = 4,
    training: TrainingSettings = DISTILLATION,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    report: Report | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TrainedEmulator:
    """The emulator with samples that take `evaluations` of each network, see `Leaps`.

    Paths of the emulator to one box for each row of `parameters` are what is learned from; some
    thousand are needed. Densities stay those of `emulator`, and so do samples that are asked for
    with a solver. Resuming computes the same paths again.

    Args:
        parameters: shape (n, p), all over the range in which samples will be wanted.
        counts: galaxies in each box, shape (n,); drawn from the emulator if not given.
        training: the held-out loss is that of `Leaps.loss`.
        checkpoint, resume, report: see `physgen.train.fit`.
        progress: called as progress(done, total) while paths are computed.

    Raises:
        InputError: as `generate`, and for fewer than two boxes or less than one evaluation.
    """
    parameters = checked_parameters(emulator, parameters)
    if len(parameters) < 2:
        raise InputError(f"expected parameters of at least 2 boxes, got {len(parameters)}")
    key_counts, key_paths, key_split, key_fit = jax.random.split(key, 4)
    counts = checked_counts(key_counts, emulator, parameters, counts)
    student = _student(emulator, evaluations)
    paths = made_in_portions(
        partial(_paths, student),
        key_paths,
        parameters,
        counts,
        emulator.domain.points,
        (evaluations + 1) * emulator.domain.features.width,
        progress,
    )
    mask = np.arange(counts.max()) < counts[:, None]
    return fit_clouds(
        key_fit,
        student,
        _loss,
        {"galaxies": paths, "parameters": parameters, "mask": mask},
        split(key_split, len(parameters), training.held_out),
        training,
        trained=("leaps", "carried_leaps"),
        checkpoint=checkpoint,
        resume=resume,
        report=report,
    )


def _student(emulator: GalaxyEmulator, evaluations: int) -> GalaxyEmulator:
    settings = replace(emulator.settings, leaps=evaluations)
    student = GalaxyEmulator(settings, nnx.clone(emulator.transport.network), rngs=nnx.Rngs(0))
    student.transport, student.carried = emulator.transport, emulator.carried
    student.counts = emulator.counts
    if emulator.carried is not None:
        student.carried_leaps = Leaps(nnx.clone(emulator.carried.network), evaluations)
    return student


@jax.jit
def _paths(student, keys, parameters, mask):
    """Rows of galaxies: where each is at all times, then all that it carries at all times."""

    def one(key, parameters, mask):
        given = student.domain.standard_parameters(parameters)
        key_position, key_carried = jax.random.split(key)
        path = student.leaps.path(student.transport, key_position, (len(mask), 3), given, mask)
        rows = _rows(path)
        if student.carried is None:
            return rows
        shape = len(mask), student.domain.features.width - 3
        context = given, student.transport.geometry.wrap(path[-1])
        path = student.carried_leaps.path(student.carried, key_carried, shape, context, mask)
        return jnp.concatenate([rows, _rows(path)], axis=1)

    return map_over_devices(one, keys, parameters, mask)


def _loss(student, _, rows, parameters, mask) -> Float[Array, ""]:
    """Of the leaps of the positions and of those of what galaxies carry."""
    given, times = student.domain.standard_parameters(parameters), student.settings.leaps + 1
    rows, carried = jnp.split(rows, [3 * times], axis=1)
    path = _path(rows, times)
    loss = student.leaps.loss(path, given, mask)
    if student.carried is None:
        return loss
    context = given, student.transport.geometry.wrap(path[-1])
    return loss + student.carried_leaps.loss(_path(carried, times), context, mask)


def _rows(path: Float[Array, "k N d"]) -> Float[Array, "N kd"]:
    return path.swapaxes(0, 1).reshape(path.shape[1], -1)


def _path(rows: Float[Array, "N kd"], times: int) -> Float[Array, "k N d"]:
    return rows.reshape(len(rows), times, -1).swapaxes(0, 1)
