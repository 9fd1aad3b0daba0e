"""Commands on posteriors: infer, and infer benchmark."""

import argparse
import dataclasses
import os
import sys
from pathlib import Path

from physgen.cli.options import INTERRUPTED, add_json, add_output, as_json, tell
from physgen.cli.posteriors import (
    add_density,
    add_training,
    check_as_asked,
    density_of,
    facts_of,
    keep,
    require_at_least,
    require_enough_to_check,
    require_free,
    train,
    with_prior,
    words_of,
)
from physgen.errors import InputError
from physgen.words import counted

TASKS = (
    "gaussian_linear",
    "gaussian_linear_uniform",
    "slcp",
    "slcp_distractors",
    "bernoulli_glm",
    "bernoulli_glm_raw",
    "gaussian_mixture",
    "two_moons",
    "sir",
    "lotka_volterra",
)


def add_commands(commands) -> None:
    """Add the commands to the parser of `physgen`."""
    parser = commands.add_parser(
        "infer", help="learn p(parameters | observation) from simulations, and draw from it"
    )
    parser.add_argument(
        "simulations", type=Path, help="HDF5 with parameters and observations; or: benchmark TASK"
    )
    parser.add_argument(
        "--observation", type=Path, required=True, help="HDF5, NPY, or text with numbers"
    )
    add_training(parser)
    parser.set_defaults(run=infer)

    parser = commands.add_parser("infer-benchmark", prog="physgen infer benchmark")
    parser.add_argument("task", metavar="TASK", help=", ".join(TASKS))
    parser.add_argument("--simulations", type=int, default=10_000, help="default 10000")
    parser.add_argument("--observation", type=int, default=1, help="number, from 1 (default 1)")
    parser.add_argument("--samples", type=int, default=10_000, help="to compare (default 10000)")
    parser.add_argument(
        "--references",
        type=Path,
        metavar="FOLDER",
        help="of TASK.npz with observations and draws of their posteriors (default "
        "$PHYSGEN_REFERENCES); without one physgen makes both",
    )
    add_density(parser)
    add_output(parser, "the figures, JSON", required=False)
    add_json(parser)
    parser.set_defaults(run=benchmark)


def infer(options: argparse.Namespace) -> int:
    """physgen infer."""
    import jax
    import numpy as np

    from physgen.inference.misspecification import misspecification, warn_if_unlike
    from physgen.inference.observed import read_observation
    from physgen.inference.results import PosteriorSamples
    from physgen.inference.store import Simulations

    require_free(options)
    simulations = with_prior(options, Simulations.load(options.simulations))
    require_enough_to_check(options, simulations)
    observation = read_observation(options.observation, simulations.observations.shape[1:])
    _note_what_is_learned_from(options, simulations)
    fit_key, sample_key, check_key = jax.random.split(jax.random.key(options.seed), 3)
    posterior = train(options, fit_key, simulations)
    likeness = misspecification(observation, simulations.observations)
    warn_if_unlike(likeness)
    samples = np.asarray(posterior.sample_each(sample_key, options.samples, observation[None])[0])
    drawn = PosteriorSamples.from_arrays(
        samples,
        names=posterior.names,
        units=posterior.units,
        log_prob=posterior.log_prob(samples, observation),
        observation=observation,
        low=posterior.low,
        high=posterior.high,
        metadata={"simulations": str(options.simulations), "seed": options.seed},
    )
    (samples_file,), figure = keep(options, posterior, [drawn])
    figures = facts_of(options, posterior) | {
        "samples": samples_file,
        "figure": figure,
        "units": dict(zip(drawn.names, drawn.units, strict=True)),
        "statistics": drawn.statistics(),
        "misspecified": likeness.misspecified,
        "misspecification_p": likeness.p_value,
    }
    text = f"{drawn.summary()}\n{words_of(options, posterior, samples_file, figure)}"
    checked, words = check_as_asked(options, check_key, posterior, observation)
    tell(options, figures | checked, "\n".join([text, *words]))
    return INTERRUPTED if posterior.training.interrupted else 0


def _note_what_is_learned_from(options, simulations) -> None:
    import numpy as np

    if simulations.failed:
        _note(f"left out: {counted(simulations.failed, 'simulation')} without finite result")
    open_ended = ~np.isfinite([simulations.low, simulations.high]).all(axis=0)
    if open_ended.any():
        names = np.array(simulations.parameter_names)[open_ended]
        _note(
            f"{options.simulations} has no bounds of {', '.join(names)}: samples may lie anywhere; "
            "--prior-low and --prior-high give the box of the prior"
        )


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr, flush=True)


def benchmark(options: argparse.Namespace) -> None:
    """physgen infer benchmark."""
    if options.task not in TASKS:
        raise InputError(f"expected a task, one of {', '.join(TASKS)}, got {options.task!r}")
    require_at_least(1, simulations=options.simulations, members=options.members)
    require_at_least(10, samples=options.samples)
    import jax

    from physgen.inference import tasks
    from physgen.inference.benchmark import benchmark
    from physgen.io import atomic_path, require_writable

    if options.out is not None:
        require_writable(options.out, options.force)

    references = _references(options)
    result = benchmark(
        jax.random.key(options.seed),
        getattr(tasks, options.task)(),
        simulations=options.simulations,
        observation=options.observation,
        references=references,
        samples=options.samples,
        density=density_of(options.density),
        members=options.members,
    )
    figures = dataclasses.asdict(result) | {"density": options.density, "seed": options.seed}
    text = (
        f"{result.task}, {result.simulations} simulations, observation {result.observation} "
        f"{_where_from(references)}\n"
        f"C2ST {result.c2st:.4f} (neural network), {result.c2st_random_forest:.4f} (random forest)"
        f"\n{result.chosen}, {result.parameters} trained numbers, "
        f"held-out -log p {result.validation_loss:.4g} nats\n"
        f"trained in {result.train_seconds:.1f} s, {result.compile_seconds:.1f} s of it compiling; "
        f"{result.samples_per_second:.0f} samples/s"
    )
    if options.out is not None:
        with atomic_path(options.out, options.force) as temporary:
            temporary.write_text(f"{as_json(figures)}\n", encoding="utf-8")
        text += f"\n-> {options.out}"
    tell(options, figures, text)


def _where_from(references: Path | None) -> str:
    if references is not None:
        return f"and its reference posterior from {references}"
    return (
        "simulated by physgen, its reference posterior drawn from the known likelihood "
        "(--references FOLDER takes both from files)"
    )


def _references(options: argparse.Namespace) -> Path | None:
    """The folder of reference posteriors: as asked for, or where one is known to hold the task."""
    asked = options.references or os.environ.get("PHYSGEN_REFERENCES")
    if asked is not None:
        return Path(asked)
    folder = Path(os.environ.get("PHYSGEN_SHARED", "../shared")) / "data" / "inference"
    return folder if (folder / f"{options.task}.npz").is_file() else None
