"""The command spins tomography: from measured bit strings to a state."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from physgen.cli import sweeps
from physgen.cli.hamiltonians import add_ansatz, ansatz_of
from physgen.cli.options import (
    INTERRUPTED,
    add_json,
    add_output,
    add_resume,
    add_seed,
    free_checkpoint,
    goes_on,
    require_checkpoint,
    tell,
)
from physgen.errors import InputError
from physgen.words import counted

if TYPE_CHECKING:
    from physgen.spins.tomography import Readout, Reconstruction


def add_command(commands) -> None:
    """Add it to the parser of `physgen spins`."""
    parser = commands.add_parser("tomography", help="a state from measured bit strings")
    parser.add_argument(
        "shots",
        type=Path,
        help="text, .npy, .npz or .h5 with a row of 0 and 1 for each shot, or .json of counts",
    )
    parser.add_argument(
        "--bases",
        metavar="FILE|LETTERS",
        help="letters X, Y and Z for all shots, or a file with a row of them for each shot; "
        "default: those in the file of shots, or Z",
    )
    parser.add_argument(
        "--control",
        metavar="NAME[,NAME]",
        help="one density of the outcomes for all values of an array beside the shots of a .npz or "
        ".h5 file, such as a time, instead of a state",
    )
    parser.add_argument(
        "--target",
        type=Path,
        help="amplitudes to compare with, text or .npy with columns re and im; the first site is "
        "the most significant bit of the row's number",
    )
    shape = add_ansatz(parser)
    shape.add_argument(
        "--positive", action="store_true", help="no phases, whatever the bases (one basis: always)"
    )
    shape.add_argument("--periodic", action="store_true", help="the sites form a ring")
    run = parser.add_argument_group("training")
    run.add_argument("--steps", type=int, help="at most (default 300; 2400 with --control)")
    run.add_argument("--held-out", type=float, default=0.1, help="share of shots (default 0.1)")
    run.add_argument(
        "--readout",
        metavar="P,Q|learned",
        help="errors P(1 measured | 0), P(0 measured | 1) of each site, or learned",
    )
    run.add_argument("--members", type=int, help="refits for the interval (default 10; 0: none)")
    add_resume(parser)
    add_output(parser, "the state, HDF5; PATH.checkpoint is kept beside it while training")
    add_seed(parser)
    add_json(parser)
    parser.set_defaults(run=tomography)


def tomography(options: argparse.Namespace) -> int | None:
    """physgen spins tomography."""
    if options.control is not None:
        return sweeps.fit(options)
    started = time.monotonic()
    import jax
    import numpy as np

    from physgen.io import require_writable
    from physgen.spins import fidelity, save_wavefunction
    from physgen.spins.lattice import Chain
    from physgen.spins.tomography import (
        TomographySettings,
        bootstrap,
        interval_of,
        read_amplitudes,
        read_shots_and_controls,
        reconstruct,
        varying,
    )

    members = 10 if options.members is None else options.members
    if members == 1 or members < 0:
        raise InputError("expected --members 0, or at least 2 for a scatter")
    require_writable(options.out, options.force or options.resume)
    require_checkpoint(options)
    shots, controls = read_shots_and_controls(options.shots, options.bases)
    if names := varying(controls):
        print(
            f"physgen: note: shots at all values of {', '.join(names)} are pooled into one "
            f"state; --control {' or '.join(names)} makes one model of that sweep instead",
            file=sys.stderr,
        )
    target = None if options.target is None else read_amplitudes(options.target, shots.sites)
    options.marshall = False
    options.phase = len(shots.distinct()[0]) > 1 and not options.positive
    if options.ansatz == "gru" and options.units is None:
        options.units = 16
    steps = 300 if options.steps is None else options.steps
    checkpoint = free_checkpoint(options)
    key, key_boot = jax.random.split(jax.random.key(options.seed))
    found = reconstruct(
        key,
        shots,
        ansatz_of(options),
        lattice=Chain(shots.sites, options.periodic),
        readout=_readout(options.readout, shots.sites),
        settings=TomographySettings(steps=steps, held_out=options.held_out),
        checkpoint=checkpoint,
        resume=options.resume,
    )
    figures = _figures(found, time.monotonic() - started)
    if target is not None:
        figures["fidelity"] = fidelity(found.wavefunction, target)
    save_wavefunction(
        options.out,
        found.wavefunction,
        metadata={"result": figures},
        overwrite=options.force or options.resume,
    )
    if target is not None:
        figures["fidelity_interval"] = None
        if members and not found.run.interrupted:
            print(f"refitting {members} times for the interval", file=sys.stderr)
            values = bootstrap(key_boot, found, members).fidelities(target)
            low, high = interval_of(figures["fidelity"], values)
            figures["fidelity_interval"] = np.clip([low, high], 0, 1).tolist()
    figures["total_seconds"] = time.monotonic() - started
    if found.caveat is not None:
        print(f"physgen: caveat: {found.caveat}", file=sys.stderr)
    if not found.run.interrupted:
        checkpoint.unlink()
    tell(options, figures, _in_words(options, figures))
    return INTERRUPTED if found.run.interrupted else 0


def _readout(given: str | None, sites: int) -> Any:
    from physgen.spins.tomography import Readout

    if given is None or given == "learned":
        return given
    try:
        up, down = (float(word) for word in given.split(","))
    except ValueError:
        raise InputError(
            f"expected --readout learned, or two probabilities as 0.02,0.03, got {given!r}"
        ) from None
    return Readout.flips(up, down, sites)


def _figures(found: "Reconstruction", seconds: float) -> dict[str, Any]:
    readout: Readout | None = found.readout
    return {
        "sites": found.shots.sites,
        "shots": len(found.shots),
        "bases": len(found.shots.distinct()[0]),
        "held_out_shots": found.held_out,
        "held_out_log_likelihood": found.held_out_log_likelihood,
        "held_out_log_likelihood_error": found.held_out_error,
        "steps": found.run.steps,
        "stopped_early": found.run.stopped_early,
        "best_step": found.best_step,
        "complex": found.wavefunction.phase,
        "readout": None if readout is None else readout.confusion,
        "caveat": found.caveat,
        "interrupted": found.run.interrupted,
        "compile_seconds": found.run.compile_seconds,
        "seconds": seconds,
    }


def _in_words(options: argparse.Namespace, figures: dict[str, Any]) -> str:
    f = figures
    lines = [
        f"{f['shots']} shots of {f['sites']} sites in {counted(f['bases'], 'basis', 'bases')}: "
        f"held-out log-likelihood {f['held_out_log_likelihood']:.4f} +- "
        f"{f['held_out_log_likelihood_error']:.2g} nats a shot, {sweeps.trained_in(f)}"
    ]
    if "fidelity" in f:
        interval = f["fidelity_interval"]
        between = "" if interval is None else f", 95% from {interval[0]:.4f} to {interval[1]:.4f}"
        lines.append(f"fidelity {f['fidelity']:.4f}{between}")
    if f["interrupted"]:
        lines.append(goes_on(options))
    return "\n".join([*lines, f"{options.out} written"])
