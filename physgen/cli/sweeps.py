"""A sweep of a control on the command line: one density of all its shots, and what it says."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from physgen.cli.options import (
    INTERRUPTED,
    free_checkpoint,
    goes_on,
    require_checkpoint,
    steps_in_words,
    tell,
)
from physgen.errors import InputError

if TYPE_CHECKING:
    from physgen.io import ModelFile
    from physgen.spins.tomography import Shots, Sweep

NOT_OF_A_SWEEP = (
    "bases", "target", "positive", "periodic", "readout", "members", "layers", "width", "heads",
    "sector", "spin_flip", "reflection", "translation",
)  # fmt: skip


def fit(options: argparse.Namespace) -> int:
    """physgen spins tomography --control."""
    import jax

    from physgen.io import require_writable
    from physgen.spins.tomography import (
        control_columns,
        fit_sweep,
        read_shots_and_controls,
        save_sweep,
    )

    started = time.monotonic()
    _require_no_state(options)
    require_writable(options.out, options.force or options.resume)
    require_checkpoint(options)
    shots, controls = read_shots_and_controls(options.shots)
    names = options.control.split(",")
    columns = control_columns(controls, names)
    letter, checkpoint = _letter(shots), free_checkpoint(options)
    found = fit_sweep(
        jax.random.key(options.seed),
        shots.outcomes,
        columns,
        held_out=options.held_out,
        checkpoint=checkpoint,
        resume=options.resume,
        **{name: n for name in ("units", "steps") if (n := getattr(options, name)) is not None},
    )
    figures = _figures(options.control, len(shots), found, time.monotonic() - started)
    save_sweep(
        options.out,
        found.density,
        names,
        letter=letter,
        metadata={"result": figures},
        overwrite=options.force or options.resume,
    )
    if not found.run.interrupted:
        checkpoint.unlink()
    tell(options, figures, _in_words(options, figures))
    return INTERRUPTED if found.run.interrupted else 0


def _require_no_state(options: argparse.Namespace) -> None:
    given = [name for name in NOT_OF_A_SWEEP if getattr(options, name) not in (None, False)]
    if options.ansatz != "gru":
        given.append("ansatz")
    if given:
        raise InputError(
            f"expected no --{given[0].replace('_', '-')} with --control, which makes a density of "
            "outcomes and no wavefunction; leave one of them out"
        )


def _letter(shots: "Shots") -> str:
    letters = {letter for basis in set(shots.strings) for letter in basis}
    if len(letters) > 1:
        raise InputError(
            f"expected all sites of all shots in one basis with --control, got "
            f"{', '.join(sorted(letters))}; select the shots of one"
        )
    return letters.pop()


def _figures(control: str, shots: int, found: "Sweep", seconds: float) -> dict[str, Any]:
    return {
        "sites": found.density.event_shape[0],
        "shots": shots,
        "control": control,
        "values": len(found.density.values),
        "held_out_shots": len(found.held_out),
        "held_out_log_likelihood": found.log_likelihood.value,
        "held_out_log_likelihood_error": found.log_likelihood.error,
        "gain_over_independent": found.over_independent.value,
        "gain_over_independent_error": found.over_independent.error,
        "gain_over_markov": found.over_markov.value,
        "gain_over_markov_error": found.over_markov.error,
        "steps": found.run.steps,
        "stopped_early": found.run.stopped_early,
        "best_step": found.run.best_step,
        "interrupted": found.run.interrupted,
        "compile_seconds": found.run.compile_seconds,
        "seconds": seconds,
    }


def _in_words(options: argparse.Namespace, figures: dict[str, Any]) -> str:
    f = figures
    text = (
        f"{f['shots']} shots of {f['sites']} sites at {f['values']} values of {f['control']}: "
        f"held-out log-likelihood {f['held_out_log_likelihood']:.4f} +- "
        f"{f['held_out_log_likelihood_error']:.2g} nats a shot, {trained_in(f)}\n"
        f"more than independent sites at each value by {f['gain_over_independent']:.4f} +- "
        f"{f['gain_over_independent_error']:.2g}, than Markov chains by "
        f"{f['gain_over_markov']:.4f} +- {f['gain_over_markov_error']:.2g}"
    )
    if f["interrupted"]:
        text += f"\n{goes_on(options)}"
    return f"{text}\n{options.out} written"


def trained_in(figures: dict[str, Any]) -> str:
    """Steps and seconds."""
    best = figures["best_step"] if figures["stopped_early"] else None
    return f"{steps_in_words(figures['steps'], best)} in {figures['seconds']:.1f} s"


def observe(options: argparse.Namespace, model: "ModelFile", picture: Path) -> None:
    """physgen spins observe, of a file that `fit` wrote."""
    from dataclasses import asdict

    import h5py
    import jax

    from physgen.io import atomic_path, write_header
    from physgen.plots.spins import sweep_images
    from physgen.spins.tomography.sweep_density import load_sweep
    from physgen.spins.tomography.sweep_observables import sweep_observables

    density = load_sweep(model)
    names, letter = model.metadata["control"], model.metadata["letter"]
    found = sweep_observables(
        jax.random.key(options.seed), density, density.values, options.samples
    )
    estimates = {
        f"magnetisation_{letter.lower()}": found.magnetisation,
        f"neighbours_{2 * letter.lower()}": found.neighbours,
    }
    with atomic_path(options.out, options.force) as temporary, h5py.File(temporary, "w") as file:
        write_header(file, "sweep observables")
        for name, values in zip(names, density.values.T, strict=True):
            file[f"control/{name}"] = values
        for name, estimate in estimates.items():
            for part, values in asdict(estimate).items():
                file[f"{name}/{part}"] = values
    with atomic_path(picture, overwrite=True) as temporary:
        sweep_images(names, density.values, found, letter).savefig(temporary, dpi=150)
    figures = {
        "n": density.event_shape[0],
        "samples": options.samples,
        "control": ",".join(names),
        "values": len(density.values),
    }
    tell(
        options,
        figures,
        f"<{letter}> of {figures['n']} sites and <{letter} {letter}> of neighbours at "
        f"{figures['values']} values of {figures['control']}, from {options.samples} samples each\n"
        f"{options.out} and {picture} written",
    )
