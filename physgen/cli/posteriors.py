"""What the commands that train a posterior share: options, training, and the files they leave."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from physgen.cli.options import (
    add_json,
    add_output,
    add_resume,
    add_seed,
    checkpoint_of,
    goes_on,
    require_checkpoint,
    steps_in_words,
)
from physgen.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import PRNGKeyArray

    from physgen.inference.architectures import AffineFlow, FlowMatching, SplineFlow
    from physgen.inference.embeddings import AnyEmbedding
    from physgen.inference.misspecification import Misspecification
    from physgen.inference.posterior import Posterior
    from physgen.inference.results import PosteriorSamples
    from physgen.inference.store import Simulations

SHOWN = 4
FEWEST_TO_CHECK = 250  # a tenth of them, in whole batches, is more than a check needs


def add_density(parser: argparse.ArgumentParser) -> None:
    """--density, --members and --seed."""
    parser.add_argument(
        "--density",
        default="spline",
        metavar="NAME[,NAME]",
        help="spline (neural spline flow, default), maf (masked autoregressive flow) or "
        "flow-matching; of several the one with the lowest held-out loss is kept",
    )
    parser.add_argument("--members", type=int, default=1, help="networks, an ensemble (default 1)")
    add_seed(parser)


def add_training(parser: argparse.ArgumentParser) -> None:
    """All options of a command that leaves a posterior."""
    add_density(parser)
    ends = "of the uniform prior, a number a parameter: --prior-{}=-1,0.5 (no space)"
    parser.add_argument("--prior-low", metavar="A,B,...", help="low ends " + ends.format("low"))
    parser.add_argument("--prior-high", metavar="C,D,...", help="high ends " + ends.format("high"))
    parser.add_argument("--samples", type=int, default=10_000, help="to draw (default 10000)")
    parser.add_argument(
        "--check", type=Path, metavar="FOLDER", help="write a report on the calibration there"
    )
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, help="training time, at most")
    budget.add_argument("--steps", type=int, help="optimiser steps, at most")
    add_resume(parser)
    add_output(
        parser,
        "the posterior, HDF5; STEM_samples.h5 and STEM.png are put beside it, and "
        "PATH.checkpoint is kept there while training",
    )
    add_json(parser)


def density_of(names: str) -> "list[SplineFlow | AffineFlow | FlowMatching]":
    """What --density stands for."""
    from physgen.inference.architectures import AffineFlow, FlowMatching, SplineFlow

    known = {"spline": SplineFlow(), "maf": AffineFlow(), "flow-matching": FlowMatching()}
    asked = names.split(",")
    if not set(asked) <= set(known):
        raise InputError(
            f"expected --density to be of {', '.join(known)}, with commas between, got {names!r}"
        )
    return [known[name] for name in asked]


def require_at_least(least: int, **options: int) -> None:
    """InputError if one of the options is smaller."""
    for name, value in options.items():
        if value < least:
            raise InputError(f"expected --{name} of at least {least}, got {value}")


def samples_path(out: Path, box: int | None = None) -> Path:
    """Where the samples go that are kept beside a posterior; boxes are counted from 1."""
    return out.with_name(f"{out.stem}_samples{'' if box is None else f'_{box}'}.h5")


def require_free(
    options: argparse.Namespace,
    boxes: Sequence[int | None] = (None,),
    checkpoints: Sequence[Path] = (),
) -> None:
    """InputError if a file that the command writes is in the way, or --resume has no checkpoint.

    checkpoints: that may be there instead of PATH.checkpoint.
    """
    from physgen.io import figure_beside, require_writable

    require_at_least(1, members=options.members)
    require_at_least(2, samples=options.samples)
    written = [options.out, figure_beside(options.out)]
    for path in [*written, *(samples_path(options.out, box) for box in boxes)]:
        require_writable(path, options.force or options.resume)
    if options.check is not None:
        from physgen.inference.check_report import FILES
        from physgen.validation import folder

        folder.require_free(options.check, options.force or options.resume, FILES)
    require_checkpoint(options, *checkpoints)


def require_enough_to_check(options: argparse.Namespace, simulations: "Simulations") -> None:
    """InputError if --check would have too few simulations."""
    if options.check is not None and len(simulations) < FEWEST_TO_CHECK:
        raise InputError(
            f"expected at least {FEWEST_TO_CHECK} simulations for --check, got {len(simulations)}: "
            "a tenth of them is held out for it; simulate more, or leave out --check"
        )


def with_prior(options: argparse.Namespace, simulations: "Simulations") -> "Simulations":
    """The simulations, in the box of --prior-low and --prior-high if these are given."""
    ends = prior_ends(options, simulations.parameter_names)
    if ends is None:
        return simulations
    low, high = ends
    return dataclasses.replace(simulations, low=low, high=high)


def prior_ends(
    options: argparse.Namespace, names: Sequence[str]
) -> "tuple[np.ndarray, np.ndarray] | None":
    """--prior-low and --prior-high, a number for each parameter; None where neither is given."""
    given = options.prior_low, options.prior_high
    if not any(given):
        return None
    if not all(given):
        raise InputError("expected --prior-low and --prior-high together, got one: give both")
    low, high = given
    return _numbers("low", low, names), _numbers("high", high, names)


def _numbers(end: str, text: str, names: Sequence[str]) -> "np.ndarray":
    import numpy as np

    try:
        values = np.array([float(word) for word in text.split(",")])
    except ValueError:
        values = np.zeros(0)
    if len(values) != len(names):
        raise InputError(
            f"expected --prior-{end} to be a number for each of {', '.join(names)}, with commas "
            f"between, got {text!r}"
        )
    return values


def train(
    options: argparse.Namespace,
    key: "PRNGKeyArray",
    simulations: "Simulations",
    embedding: "AnyEmbedding | None" = None,
    batch_size: int | None = None,
) -> "Posterior":
    """Train as the options say, with a checkpoint beside --out."""
    from physgen.inference.fit import fit_posterior
    from physgen.inference.training import PosteriorTraining, schedule_for

    schedule = schedule_for(len(simulations))
    if batch_size is not None:
        schedule = dataclasses.replace(schedule, batch_size=min(batch_size, schedule.batch_size))
    if options.minutes is not None or options.steps is not None:
        schedule = dataclasses.replace(schedule, steps=options.steps, minutes=options.minutes)
    if options.force and not options.resume:
        _forget_checkpoints(options)
    return fit_posterior(
        key,
        None,
        simulations,
        density=density_of(options.density),
        embedding=embedding,
        members=options.members,
        training=PosteriorTraining(schedule=schedule),
        checkpoint=checkpoint_of(options),
        resume=options.resume,
    )


def keep(
    options: argparse.Namespace,
    posterior: "Posterior",
    drawn: Sequence["PosteriorSamples"],
    truth: Any = None,
) -> tuple[list[Path], Path]:
    """Write the posterior, the samples of each observation, and a figure of the first few."""
    from physgen.io import atomic_path, figure_beside

    overwrite = options.force or options.resume
    posterior.save(options.out, overwrite=overwrite)
    if not posterior.training.interrupted:
        _forget_checkpoints(options)
    boxes = [None] if len(drawn) == 1 else range(1, len(drawn) + 1)
    paths = [samples_path(options.out, box) for box in boxes]
    for path, samples in zip(paths, drawn, strict=True):
        samples.save(path, overwrite=overwrite)
    first, *others = drawn[:SHOWN]
    figure = first.plot(
        truth=truth,
        label="posterior" if not others else "box 1",
        others={f"box {i}": other for i, other in enumerate(others, start=2)},
    )
    figure_path = figure_beside(options.out)
    with atomic_path(figure_path, overwrite) as temporary:
        figure.savefig(temporary, dpi=150)
    return paths, figure_path


def check_as_asked(
    options: argparse.Namespace,
    key: "PRNGKeyArray",
    posterior: "Posterior",
    observation: "np.ndarray | None" = None,
    likeness: "Misspecification | None" = None,
) -> tuple[dict[str, Any], list[str]]:
    """The report of --check, what --json says of it, and lines of text; nothing without it.

    likeness: whether the observation is like the simulations, where its entries do not tell.
    """
    from physgen.inference.check import check

    if options.check is None:
        return {}, []
    found = check(posterior, key, posterior.held_out, observation=observation)
    if likeness is not None:
        found = dataclasses.replace(found, misspecification=likeness)
    found.write(options.check, overwrite=options.force or options.resume)
    facts = {"calibrated": found.calibrated, "findings": found.findings, "notes": found.notes}
    said = [f"- {text}" for text in (*found.findings, *found.notes)]
    return {"check": facts}, [found.headline, *said, f"-> {options.check / 'report.html'}"]


def facts_of(options: argparse.Namespace, posterior: "Posterior") -> dict[str, Any]:
    """What every command that trains a posterior reports of the training."""
    run, settings = posterior.training, posterior.settings
    return {
        "out": options.out,
        "simulations": run.simulations,
        "failed": run.failed,
        "density": options.density,
        "chosen": repr(settings.density),
        "tried": run.tried,
        "members": settings.members,
        "steps": run.steps,
        "train_seconds": run.seconds,
        "compile_seconds": run.compile_seconds,
        "validation_loss": run.validation_loss,
        "interrupted": run.interrupted,
        "stopped_early": run.best_step is not None,
        "seed": options.seed,
    }


def words_of(options: argparse.Namespace, posterior: "Posterior", *files: str | Path) -> str:
    """The same in a line or two, with the files beside --out."""
    run = posterior.training
    text = ""
    if len(run.tried) > 1:
        losses = ", ".join(f"{density}: {loss:.4g}" for density, loss in run.tried)
        text = f"held-out -log p of {losses}; the lowest is kept\n"
    steps = steps_in_words(run.steps, run.best_step)
    text += (
        f"{run.simulations} simulations, {steps} in {run.seconds:.0f} s, held-out -log p "
        f"{run.validation_loss:.4g} nats -> {', '.join(map(str, (options.out, *files)))}"
    )
    if run.interrupted:
        text += f"\n{goes_on(options)}"
    return text


def _forget_checkpoints(options: argparse.Namespace) -> None:
    from physgen.inference.fit import checkpoint_path

    for number in range(1, len(density_of(options.density)) + 1):
        checkpoint_path(checkpoint_of(options), number).unlink(missing_ok=True)
