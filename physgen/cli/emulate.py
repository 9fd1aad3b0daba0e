"""Commands on emulators: train, distil and sample."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from physgen.cli.options import (
    INTERRUPTED,
    add_json,
    add_output,
    add_resume,
    add_seed,
    feature_names,
    free_checkpoint,
    goes_on,
    note_if_interrupted,
    progress,
    require_checkpoint,
    require_parameters_of,
    steps_in_words,
    tell,
    use_cores,
)
from physgen.errors import InputError
from physgen.words import counted, of_other_case

if TYPE_CHECKING:
    from physgen.galaxies.training import TrainedEmulator


def add_commands(galaxies) -> None:
    """Add the commands to the parser of `physgen galaxies`."""
    parser = galaxies.add_parser("train", help="learn p(galaxies | parameters) from mocks")
    parser.add_argument("mocks", type=Path, help="a catalogue with parameters")
    parser.add_argument("--conditions", type=Path, help="CSV table of parameters, one row a box")
    parser.add_argument("--box", type=float, help="side of the periodic box, if the file lacks it")
    parser.add_argument(
        "--features",
        metavar="NAMES",
        help="what to learn besides positions, e.g. velocity,log_mass (default: all that the "
        "catalogue has)",
    )
    parser.add_argument(
        "--diffusion",
        action="store_true",
        help="add noise to galaxies, instead of straight lines from a Poisson process: allows "
        "sample --random-paths",
    )
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, default=30.0, help="training time (default 30)")
    budget.add_argument("--steps", type=int, help="optimiser steps instead of minutes")
    parser.add_argument(
        "--patience",
        type=int,
        help="stop after so many validations (every 500 steps, of few mocks every five epochs) "
        "without improvement, and keep the best; for few mocks",
    )
    parser.add_argument(
        "--weight-decay",
        type=float,
        metavar="W",
        help="of the optimiser (default 1e-4); 1 for a few hundred mocks",
    )
    add_resume(parser)
    add_seed(parser)
    add_output(parser, "the emulator, HDF5; PATH.checkpoint is kept beside it while training")
    add_json(parser)
    parser.set_defaults(run=train)

    parser = galaxies.add_parser("distil", help="make an emulator sample in few evaluations")
    parser.add_argument("emulator", type=Path, help="a file by `physgen galaxies train`")
    parser.add_argument(
        "mocks", type=Path, help="a catalogue of parameters and counts, as it was trained on"
    )
    parser.add_argument("--conditions", type=Path, help="CSV table of parameters, one row a box")
    parser.add_argument(
        "--evaluations", type=int, default=4, help="of each network, for one box (default 4)"
    )
    parser.add_argument(
        "--boxes",
        type=int,
        default=4000,
        help="boxes of the emulator to learn from (default 4000); rows of the mocks are repeated "
        "where there are fewer",
    )
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument(
        "--minutes", type=float, default=15.0, help="training, after these boxes (default 15)"
    )
    budget.add_argument("--steps", type=int, help="optimiser steps instead of minutes")
    add_resume(parser)
    add_seed(parser)
    add_output(parser, "the emulator, HDF5; PATH.checkpoint is kept beside it while training")
    add_json(parser)
    parser.set_defaults(run=distil)

    parser = galaxies.add_parser("sample", help="generate galaxies with an emulator")
    parser.add_argument("emulator", type=Path, help="a file by `physgen galaxies train`")
    parser.add_argument("--n", type=int, help="boxes (default 100, or one for each of --like)")
    parser.add_argument("--omega-m", type=float, help="short for --parameter Omega_m=...")
    parser.add_argument("--sigma-8", type=float, help="short for --parameter sigma_8=...")
    parser.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", help="may be repeated"
    )
    parser.add_argument("--like", type=Path, help="take parameters and counts from this catalogue")
    parser.add_argument("--like-conditions", type=Path, help="CSV of parameters for --like")
    parser.add_argument(
        "--evaluations",
        type=int,
        help="of the network, an even number for each box; for a distilled emulator of its teacher",
    )
    parser.add_argument(
        "--random-paths",
        action="store_true",
        help="draw by noise and flow in turn (default 32 evaluations), of a diffusion",
    )
    add_seed(parser)
    add_output(parser, "the catalogue, HDF5")
    add_json(parser)
    parser.set_defaults(run=sample)


def train(options: argparse.Namespace) -> int:
    """physgen galaxies train."""
    use_cores(at_most=4)
    import dataclasses

    import jax

    from physgen.galaxies.catalogue import read_catalogue
    from physgen.galaxies.training import (
        TrainingSettings,
        emulator_settings,
        for_this_device,
        train_emulator,
    )
    from physgen.io import require_writable

    require_writable(options.out, options.force or options.resume)
    require_checkpoint(options)
    catalogue = read_catalogue(options.mocks, box_size=options.box, conditions=options.conditions)
    if options.features is not None:
        catalogue = catalogue.with_features(feature_names(options.features))
    settings = TrainingSettings()
    often = max(50, 5 * len(catalogue) // settings.schedule.batch_size)
    schedule = dataclasses.replace(
        settings.schedule,
        steps=options.steps,
        minutes=options.minutes if options.steps is None else None,
        patience=options.patience,
        validate_every=min(settings.schedule.validate_every, often),
    )
    optimizer = settings.optimizer
    if options.weight_decay is not None:
        optimizer = dataclasses.replace(optimizer, weight_decay=options.weight_decay)
    settings = for_this_device(
        dataclasses.replace(settings, schedule=schedule, optimizer=optimizer)
    )
    if not catalogue.parameter_names:
        print(
            f"physgen: note: no parameters in {options.mocks}, one distribution is learned of all "
            "boxes; --conditions gives a table of parameters",
            file=sys.stderr,
        )
    checkpoint = free_checkpoint(options)
    trained = train_emulator(
        jax.random.key(options.seed),
        catalogue,
        settings,
        emulator_settings(catalogue, diffusion=options.diffusion),
        checkpoint=checkpoint,
        resume=options.resume,
    )
    learned = ", ".join(catalogue.features)
    more = {"boxes": len(catalogue), "features": list(catalogue.features)}
    return _kept(options, trained, checkpoint, learned, more)


def distil(options: argparse.Namespace) -> int:
    """physgen galaxies distil."""
    use_cores(at_most=4)
    import dataclasses

    import jax
    import numpy as np

    from physgen.galaxies import distillation
    from physgen.galaxies.catalogue import read_catalogue
    from physgen.galaxies.emulator import GalaxyEmulator
    from physgen.galaxies.training import for_this_device
    from physgen.io import read_model, require_writable

    emulator = GalaxyEmulator.load(options.emulator)
    require_writable(options.out, options.force or options.resume)
    require_checkpoint(options)
    if options.boxes < 2:
        raise InputError(f"expected --boxes of at least 2, got {options.boxes}")
    note_if_interrupted(read_model(options.emulator))
    mocks = read_catalogue(options.mocks, conditions=options.conditions)
    require_parameters_of(emulator, mocks, options.mocks)
    rows = np.resize(np.arange(len(mocks)), options.boxes)
    settings = distillation.DISTILLATION
    schedule = dataclasses.replace(
        settings.schedule,
        steps=options.steps,
        minutes=options.minutes if options.steps is None else None,
    )
    checkpoint = free_checkpoint(options)
    trained = distillation.distil(
        jax.random.key(options.seed),
        emulator,
        mocks.parameters[rows],
        counts=mocks.counts[rows],
        evaluations=options.evaluations,
        training=for_this_device(dataclasses.replace(settings, schedule=schedule)),
        checkpoint=checkpoint,
        resume=options.resume,
        progress=progress("paths"),
    )
    learned = counted(options.evaluations, "evaluation", "evaluations") + " a box"
    more = {"boxes": options.boxes, "evaluations": options.evaluations}
    return _kept(options, trained, checkpoint, learned, more)


def _kept(
    options: argparse.Namespace,
    trained: "TrainedEmulator",
    checkpoint: Path,
    learned: str,
    more: dict[str, Any],
) -> int:
    """Write the emulator and say what was done."""
    run = trained.run
    figures = {
        "steps": run.steps,
        "seconds": run.seconds,
        "loss": float(run.history["loss"][-1]),
        "validation_loss": run.best_validation_loss,
        "interrupted": run.interrupted,
        "stopped_early": run.stopped_early,
        "best_step": run.best_step,
        "seed": options.seed,
    } | more
    trained.emulator.save(options.out, training=figures, overwrite=options.force or options.resume)
    if not run.interrupted:
        checkpoint.unlink()
    steps = steps_in_words(run.steps, run.best_step if run.stopped_early else None)
    text = f"{learned}: {steps} in {run.seconds / 60:.1f} min -> {options.out}"
    if run.interrupted:
        text += f"\n{goes_on(options)}"
    tell(options, figures | {"out": options.out}, text)
    return INTERRUPTED if run.interrupted else 0


def sample(options: argparse.Namespace) -> None:
    """physgen galaxies sample."""
    use_cores()
    import time

    import jax

    from physgen.densities.solvers import ChurnedSteps, FixedSteps
    from physgen.galaxies.catalogue import read_catalogue, write_catalogue
    from physgen.galaxies.emulator import GalaxyEmulator
    from physgen.galaxies.generate import generate
    from physgen.io import read_model, require_writable

    emulator = GalaxyEmulator.load(options.emulator)
    require_writable(options.out, options.force)
    if options.n is not None and options.n < 1:
        raise InputError(f"expected --n of at least 1, got {options.n}")
    note_if_interrupted(read_model(options.emulator))
    solver = None if options.evaluations is None else FixedSteps(options.evaluations)
    if options.random_paths:
        if emulator.domain.box_size is not None and not emulator.settings.diffusion:
            raise InputError(
                f"expected a diffusion for --random-paths, got {options.emulator}, whose paths "
                "have no score; train one with --diffusion, or leave the option out"
            )
        solver = ChurnedSteps(options.evaluations or ChurnedSteps.evaluations)
    counts = None
    if options.like is not None:
        if options.parameter or options.omega_m is not None or options.sigma_8 is not None:
            raise InputError("expected parameters or --like, got both; leave one of them out")
        like = read_catalogue(options.like, conditions=options.like_conditions)
        require_parameters_of(emulator, like, options.like)
        if options.n is not None and options.n > len(like):
            raise InputError(
                f"expected --n of at most the {len(like)} boxes of {options.like}, got {options.n}"
            )
        rows = slice(options.n)
        parameters, counts = like.parameters[rows], like.counts[rows]
    else:
        parameters = _parameters(options, emulator.domain.parameter_names)
    started = time.monotonic()
    catalogue = generate(
        jax.random.key(options.seed),
        emulator,
        parameters,
        counts=counts,
        solver=solver,
        progress=progress("boxes"),
    )
    seconds, settings = time.monotonic() - started, emulator.settings
    made = {"command": options.command}
    write_catalogue(options.out, catalogue, overwrite=options.force, provenance=made)
    figures = {
        "boxes": len(catalogue),
        "seconds": seconds,
        "boxes_per_second": len(catalogue) / seconds,
        "evaluations": solver.evaluations if solver else settings.leaps or settings.evaluations,
        "out": options.out,
    }
    tell(
        options,
        figures,
        f"{counted(len(catalogue), 'box', 'boxes')} in {seconds:.0f} s -> {options.out}",
    )


def _parameters(options: argparse.Namespace, names: tuple[str, ...]) -> list[list[float]]:
    given = {}
    for item in options.parameter:
        name, _, value = item.partition("=")
        try:
            given[name] = float(value)
        except ValueError:
            raise InputError(f"expected --parameter NAME=VALUE, got {item!r}") from None
    shorthand = {"Omega_m": options.omega_m, "sigma_8": options.sigma_8}
    given |= {name: value for name, value in shorthand.items() if value is not None}
    if given.keys() != set(names):
        raise InputError(
            f"expected a value for each of {', '.join(names) or 'no parameter'}, got "
            f"{', '.join(given) or 'none'}{of_other_case(given, names)}; give --parameter "
            "NAME=VALUE, or --like CATALOGUE"
        )
    return [[given[name] for name in names]] * (options.n or 100)
