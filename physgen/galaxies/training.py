"""Training a galaxy emulator on a catalogue."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from physgen.data import Standardisation, split
from physgen.densities.fields import VelocityField
from physgen.errors import InputError
from physgen.galaxies.catalogue import Catalogue
from physgen.galaxies.counts import count_settings, fit_counts
from physgen.galaxies.domain import Domain
from physgen.galaxies.emulator import EmulatorSettings, GalaxyEmulator, NetworkSettings
from physgen.galaxies.features import Features
from physgen.galaxies.padding import alike_together, cut_to_size, packed, sizes
from physgen.galaxies.portions import microbatch
from physgen.galaxies.radial import RadialScores
from physgen.nets.p3m import P3MSettings
from physgen.nets.pairs import PairSettings
from physgen.nets.stacked import built
from physgen.train import (
    FitResult,
    FitSettings,
    OptimizerSettings,
    ProgressLine,
    Report,
    fit,
    gradient_step,
)

_VALIDATED = 512  # boxes at most: a few thousand take as long as the steps between
_COUNTS = 2**31  # folded into the key of the counts; no step count reaches it


@dataclass(frozen=True)
class TrainingSettings:
    """How an emulator is trained.

    schedule: how long, and in what batches. held_out: the fraction of boxes kept for the
    validation loss, 512 of them at most. microbatch: boxes whose gradients are computed together,
    fewer of them where they are large, one on each device where they are of several sizes
    (`padding.sizes`); None for the whole batch, at the size of the largest.
    """

    schedule: FitSettings = FitSettings(batch_size=16, minutes=30.0, validate_every=500)
    optimizer: OptimizerSettings = OptimizerSettings(
        learning_rate=1.5e-3, clip_norm=0.1, second_moment_decay=0.99
    )
    held_out: float = 0.05
    microbatch: int | None = 4


def for_this_device(training: TrainingSettings) -> TrainingSettings:
    """The settings with whole batches at a time where jax has an accelerator."""
    on_cpu = jax.default_backend() == "cpu"
    return training if on_cpu else replace(training, microbatch=None)


@dataclass(frozen=True)
class TrainedEmulator:
    """An emulator and the run that made it."""

    emulator: GalaxyEmulator
    run: FitResult


def emulator_settings(catalogue: Catalogue, **changes) -> EmulatorSettings:
    """The default settings for a catalogue; `changes` replace fields of `EmulatorSettings`.

    Boxes of up to 300 galaxies and clouds in open space get a `PairNetwork`, whose radial functions
    reach from a fiftieth of the mean separation of the galaxies to the box. Periodic boxes of more
    get a `P3MNetwork`, whose cost is linear in their number. A sample takes 32 evaluations, and 16
    by a `PairNetwork` in a periodic box without diffusion, which are as good there.

    Raises:
        InputError: if the catalogue has parameters that do not vary together with others that do,
            or clouds of one galaxy.
    """
    domain = _domain(catalogue)
    network = _network_settings(domain)
    chosen: dict[str, Any] = {
        "domain": domain,
        "network": network,
        "carried": _carrying(network, domain.features),
        "counts": count_settings(catalogue.counts),
    }
    straight = domain.box_size is not None and not changes.get("diffusion")
    if straight and isinstance(changes.get("network", network), PairSettings):
        chosen["evaluations"] = 16
    return EmulatorSettings(**(chosen | changes))


def train_emulator(
    key: PRNGKeyArray,
    catalogue: Catalogue,
    training: TrainingSettings = TrainingSettings(),
    settings: EmulatorSettings | None = None,
    *,
    network: VelocityField | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> TrainedEmulator:
    """Learn p(galaxies | parameters) from the boxes of a catalogue, with all that galaxies have.

    `Catalogue.with_features` leaves out what is not to be learned. Where boxes hold different
    numbers of galaxies, p(N | parameters) is learned first.

    Args:
        key: the only source of randomness: initial parameters, split, batches and noise.
        settings: of the density; `emulator_settings(catalogue)` if not given.
        network: a velocity field of the user's own, see `GalaxyEmulator`.
        checkpoint, resume, report: see `physgen.train.fit`.

    Raises:
        InputError: if there are fewer than two boxes, or a cloud has a single galaxy; for settings
            with leaps, which only `distil` learns.
    """
    if settings is not None and settings.leaps is not None:
        raise InputError(
            f"expected settings without leaps, got {settings.leaps}; train first, then distil"
        )
    report = ProgressLine() if report is None else report
    if catalogue.box_size is None:
        report.note(
            "no box_size: galaxies are learned in open space, around the origin; give the side of "
            "the box if it is periodic (--box, box_size=)"
        )
    settings = emulator_settings(catalogue) if settings is None else settings
    key_init, key_split, key_fit = jax.random.split(key, 3)
    emulator = built(lambda rngs: GalaxyEmulator(settings, network, rngs=rngs), key_init)
    train, held_out = split(key_split, len(catalogue), training.held_out, _VALIDATED)
    if emulator.counts is not None:
        emulator.counts = fit_counts(
            jax.random.fold_in(key_fit, _COUNTS),
            emulator.counts,
            catalogue.counts,
            np.asarray(settings.domain.standard_parameters(jnp.asarray(catalogue.parameters))),
            train,
            held_out,
        )
    galaxies, mask = packed(settings.domain.features.events(catalogue), catalogue.mask)
    data = {
        "galaxies": galaxies,
        "parameters": catalogue.parameters.astype(np.float32),
        "mask": mask,
    }
    return fit_clouds(
        key_fit,
        emulator,
        GalaxyEmulator.loss,
        data,
        (train, held_out),
        training,
        trained=("transport", "carried"),
        checkpoint=checkpoint,
        resume=resume,
        report=report,
    )


def fit_clouds(
    key: PRNGKeyArray,
    emulator: GalaxyEmulator,
    loss: Callable[..., Float[Array, ""]],
    data: dict[str, np.ndarray],
    parts: tuple[Int[np.ndarray, " k"], Int[np.ndarray, " h"]],
    training: TrainingSettings,
    *,
    trained: tuple[str, ...],
    checkpoint: str | Path | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> TrainedEmulator:
    """Minimise the mean loss(emulator, key, galaxies, parameters, mask) of clouds.

    Args:
        data: "galaxies" (n, N, d), those that exist first, "parameters" (n, p), "mask" (n, N).
        parts: the rows to learn from, and those held out.
        trained: the parts of the emulator whose parameters are to move.
        checkpoint, resume, report: see `physgen.train.fit`.
    """

    def moves(path: tuple[Any, ...], variable: Any) -> bool:
        return path[0] in trained and isinstance(variable, nnx.Param)

    graph, parameters, rest = nnx.split(emulator, moves, ...)

    def mean_loss(parameters, key, batch):
        model = nnx.merge(graph, parameters, rest)
        keys = jax.random.split(key, batch["mask"].shape[0])
        losses = jax.vmap(partial(loss, model))(
            keys, batch["galaxies"], batch["parameters"], batch["mask"]
        )
        return jnp.mean(losses)

    train, held_out = parts
    counts, rows = data["mask"].sum(axis=1), data["mask"].shape[1]
    widths = np.unique(sizes(counts, rows)).tolist() if training.microbatch else [rows]
    several = len(widths) > 1
    together = microbatch(rows, training.schedule.batch_size, 1 if several else training.microbatch)
    cut = cut_to_size(mean_loss, widths)
    step = gradient_step(parameters, cut, training.optimizer, microbatch=together)
    arrange = partial(alike_together, counts=counts[train], together=together or 1)
    run = fit(
        key,
        step.step,
        step.state,
        jax.tree.map(lambda array: array[train], data),
        training.schedule,
        evaluate=step.evaluate if len(held_out) else None,
        validation_data=jax.tree.map(lambda a: a[held_out], data) if len(held_out) else None,
        checkpoint=checkpoint,
        resume=resume,
        on_total_steps=step.on_total_steps,
        arrange=arrange if several else None,
        identity=(emulator.settings, training),
        report=report,
    )
    return TrainedEmulator(nnx.merge(graph, step.unravel(run.state.ema), rest), run)


# A step of both networks takes the same time at 128 galaxies; at 512 one of `P3MNetwork` takes a
# quarter (benchmarks/scale.py).
_ALL_PAIRS = 300


def _network_settings(domain: Domain) -> NetworkSettings:
    context_size = len(domain.parameter_names)
    if domain.box_size is not None and domain.points > _ALL_PAIRS:
        return P3MSettings.for_points(domain.points, context_size)
    return PairSettings(
        context_size=context_size,
        heads=0,
        shortest=0.015 * domain.points ** (-1 / 3),
        longest=0.6 if domain.box_size is not None else 6.0,
        waves=6 if domain.box_size is not None else 0,
        anchored=domain.box_size is None,
    )


def _carrying(network: NetworkSettings, features: Features) -> NetworkSettings | None:
    if features.width == 3:
        return None
    return replace(network, vectors=features.vectors, scalars=len(features.names))


def _domain(catalogue: Catalogue) -> Domain:
    if catalogue.counts.max() < 2:
        raise InputError(
            "expected at least 2 galaxies in a box, got no box with more than one; "
            "the structure of a point cloud is in its pairs: check that galaxies share a box"
        )
    parameters = np.asarray(catalogue.parameters, np.float64)
    standard = Standardisation.fit(parameters)
    inside = catalogue.position[catalogue.mask]
    return Domain(
        points=int(catalogue.counts.max()),
        box_size=catalogue.box_size,
        scale=float(np.sqrt(np.mean(inside.astype(np.float64) ** 2))),
        parameter_names=tuple(catalogue.parameter_names),
        parameter_units=tuple(catalogue.parameter_units),
        parameter_mean=tuple(standard.mean.tolist()),
        parameter_scale=tuple(standard.scale.tolist()),
        parameter_low=tuple(parameters.min(axis=0).tolist()),
        parameter_high=tuple(parameters.max(axis=0).tolist()),
        position_unit=catalogue.position_unit,
        features=Features.fit(catalogue),
        radial=None if catalogue.box_size is not None else RadialScores.fit(inside),
    )
