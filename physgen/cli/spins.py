"""Commands on spins: ground-state, observe, exact, and those of `tomography`."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from physgen.cli import sweeps, tomography
from physgen.cli.hamiltonians import (
    add_ansatz,
    add_hamiltonian,
    ansatz_of,
    hamiltonian_of,
    optimiser_of,
    reference_of,
)
from physgen.cli.options import (
    INTERRUPTED,
    add_json,
    add_output,
    add_seed,
    note_if_interrupted,
    tell,
    use_cores,
)
from physgen.errors import InputError

if TYPE_CHECKING:
    from physgen.spins import Ansatz, GroundState, Hamiltonian, Wavefunction
    from physgen.spins.reference import Reference

BELOW_EXACT = 3  # the exit status
SIGMAS = 3.0
LONG = 200  # sites


def add_commands(commands) -> None:
    """Add the commands to the parser of `physgen`."""
    spins = commands.add_parser(
        "spins",
        help="ground states of spin chains, states from measurements, observables, references",
    ).add_subparsers(required=True, metavar="COMMAND")

    parser = spins.add_parser("ground-state", help="variational Monte Carlo")
    add_hamiltonian(parser)
    shape = add_ansatz(parser)
    shape.add_argument("--phase", action="store_true", help="complex amplitudes")
    shape.add_argument("--marshall", action="store_true", help="the sign rule of antiferromagnets")
    run = parser.add_argument_group("training")
    run.add_argument("--steps", type=int, default=300, help="default 300")
    run.add_argument("--samples", type=int, default=200, help="a step (default 200)")
    run.add_argument(
        "--optimiser",
        choices=("sr", "adam", "adam-sr"),
        default="sr",
        help="stochastic reconfiguration (default), Adam, or one after the other",
    )
    run.add_argument("--learning-rate", type=float, help="of the optimiser, the last of two")
    run.add_argument("--temperature", type=float, default=0.0, help="at the start; falls to 0")
    run.add_argument(
        "--reach",
        type=int,
        metavar="SITES",
        help="that a step evaluates after a flip, the rest in linear order: for chains of hundreds "
        "of sites, where 32 makes steps much faster (default: all, as in the final energy)",
    )
    run.add_argument(
        "--grow-from", type=int, metavar="N", help="train at N sites first, then at 2 N, 4 N ..."
    )
    run.add_argument("--energy-samples", type=int, default=8192, help="of the final energy")
    run.add_argument(
        "--reference",
        default="auto",
        help="exact energy to compare with: auto (default), none, or a number",
    )
    add_output(parser, "folder for wavefunction.h5, figures and history", required=False)
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    add_seed(parser)
    add_json(parser)
    parser.set_defaults(run=ground_state)

    parser = spins.add_parser(
        "observe", help="correlators and entropies of a wavefunction, spins along a sweep"
    )
    parser.add_argument(
        "wavefunction",
        type=Path,
        help="a folder of ground-state, or its .h5 file, or that of tomography",
    )
    parser.add_argument("--samples", type=int, default=16_384, help="default 16384")
    add_output(parser, "HDF5 file; figures go beside it")
    add_seed(parser)
    add_json(parser)
    parser.set_defaults(run=observe)

    parser = spins.add_parser("exact", help="the exact ground-state energy")
    add_hamiltonian(parser)
    parser.add_argument("--sector", type=int, help="total 2 S_z of every configuration")
    add_json(parser)
    parser.set_defaults(run=exact)

    tomography.add_command(spins)


def ground_state(options: argparse.Namespace) -> int:
    """physgen spins ground-state."""
    import jax
    from flax import nnx

    from physgen.io import require_writable
    from physgen.nets.autoregressive import Recurrent
    from physgen.spins import self_check
    from physgen.spins.symmetry import require_symmetries
    from physgen.spins.vmc import require_reach

    for name in ("steps", "samples", "energy_samples"):
        if getattr(options, name) < 2:
            raise InputError(f"expected --{name.replace('_', '-')} of at least 2")
    use_cores(at_most=8)
    hamiltonian, ansatz, sizes = hamiltonian_of(options), ansatz_of(options), _sizes(options)
    built = nnx.eval_shape(lambda: ansatz.build(hamiltonian.geometry, rngs=nnx.Rngs(0)))
    require_symmetries(built, hamiltonian.operator)
    require_reach(built, options.reach)
    if options.out is not None:
        if options.out.exists() and not options.out.is_dir():
            raise InputError(f"expected a folder for --out, got the file {options.out}")
        options.out.mkdir(parents=True, exist_ok=True)
        require_writable(options.out / "wavefunction.h5", options.force or options.resume)
        _require_interrupted(options, sizes[0] or hamiltonian.n)
    elif options.resume:
        raise InputError("expected --out with --resume, where the interrupted run is; give it")
    key_check, key = jax.random.split(jax.random.key(options.seed))
    print(self_check(key_check, ansatz, hamiltonian.operator), file=sys.stderr)
    _note_spin_flip(built, hamiltonian)
    if options.reach is None and hamiltonian.n >= LONG and isinstance(built.network, Recurrent):
        print("physgen: note: --reach 32 makes steps of a long chain much faster", file=sys.stderr)
    found = _minimise(options, key, ansatz, sizes)
    if found.wavefunction.n != hamiltonian.n:  # interrupted while it grew
        hamiltonian = hamiltonian_of(options, found.wavefunction.n)
    figures = _figures(found, reference_of(options, hamiltonian))
    if options.out is not None:
        _keep(options, hamiltonian, found, figures)
    tell(options, figures, _in_words(figures, options.out))
    if figures["below_exact"]:
        print(
            f"physgen: WARNING: the energy is {figures['sigmas_below_exact']:.1f} sigma below the "
            "exact one, which cannot be: do not use it; more --energy-samples tell chance from "
            "error",
            file=sys.stderr,
        )
        return BELOW_EXACT
    return INTERRUPTED if found.interrupted else 0


def _note_spin_flip(wavefunction: "Wavefunction", hamiltonian: "Hamiltonian") -> None:
    from physgen.spins.symmetry import could_impose_spin_flip

    if could_impose_spin_flip(wavefunction, hamiltonian.operator):
        print(
            "physgen: note: flipping all spins leaves this Hamiltonian as it is; --spin-flip "
            "imposes that on the wavefunction, which keeps out low excitations for twice the work",
            file=sys.stderr,
        )


def _require_interrupted(options: argparse.Namespace, n: int) -> None:
    """Raises InputError if there is nothing to resume: another run would be written over."""
    there = sorted(path.name for path in options.out.glob("checkpoint-*.h5"))
    if options.resume and f"checkpoint-{n}.h5" not in there:
        raise InputError(
            f"expected an interrupted run of {n} sites in {options.out} to resume, found "
            f"{', '.join(there) or 'no checkpoint'}; give its options, or leave --resume out"
        )


def _sizes(options: argparse.Namespace) -> list[int | None]:
    """Of the chains to train one after the other; None for the one that was asked for."""
    if options.grow_from is None:
        return [None]
    if options.lattice is not None or not 2 <= options.grow_from < options.n:
        raise InputError(f"expected --grow-from below --n of a chain, got {options.grow_from}")
    sizes = [options.grow_from]
    while sizes[-1] * 2 < options.n:
        sizes.append(sizes[-1] * 2)
    return [*sizes, None]


def _minimise(
    options: argparse.Namespace, key: Any, ansatz: "Ansatz", sizes: list[int | None]
) -> "GroundState":
    import jax

    from physgen.spins import ground_state as run
    from physgen.spins import grown
    from physgen.spins.progress import energy_line

    start: Any = ansatz
    for number, size in enumerate(sizes):
        hamiltonian, line = hamiltonian_of(options, size), energy_line()
        if number:
            line.note(f"growing to {hamiltonian.n} sites")
            start = grown(start, hamiltonian.geometry)
        checkpoint = None
        if options.out is not None:
            checkpoint = options.out / f"checkpoint-{hamiltonian.n}.h5"
            if options.force and not options.resume:
                checkpoint.unlink(missing_ok=True)
        found = run(
            jax.random.fold_in(key, hamiltonian.n),
            hamiltonian,
            start,
            steps=options.steps,
            samples=options.samples,
            optimiser=optimiser_of(options),
            temperature=options.temperature if number == 0 else 0.0,
            reach=options.reach,
            energy_samples=options.energy_samples if size is None else 1024,
            checkpoint=checkpoint,
            resume=options.resume and checkpoint is not None and checkpoint.exists(),
            report=line,
        )
        start = found.wavefunction
        if found.interrupted:
            break
    return found


def _figures(found: "GroundState", reference: "Reference | None") -> dict[str, Any]:
    from physgen.density import trained_numbers

    e = found.energy
    exact = None if reference is None else reference.energy
    below = 0.0 if exact is None else (exact - e.energy) / max(e.error, 1e-300)
    return {
        "n": found.wavefunction.n,
        "energy": e.energy,
        "energy_error": e.error,
        "variance": e.variance,
        "v_score": e.v_score,
        "reference_energy": exact,
        "reference": None if reference is None else reference.method,
        "signed_relative_error": (e.energy - exact) / abs(exact) if exact else None,
        "sigmas_below_exact": below,
        "below_exact": below > SIGMAS,
        "steps": found.steps,
        "seconds": found.seconds,
        "seconds_per_step": found.seconds_per_step,
        "compile_seconds": found.compile_seconds,
        "parameters": trained_numbers(found.wavefunction),
        "interrupted": found.interrupted,
    }


def _in_words(figures: dict[str, Any], out: Path | None) -> str:
    f = figures
    lines = [
        f"energy {f['energy']:.8g} +- {f['energy_error']:.2g}  ({f['n']} sites, "
        f"V-score {f['v_score']:.2g})"
    ]
    if f["reference"] is not None:
        exact, what, scale = f["reference_energy"], "relative error", abs(f["reference_energy"])
        if not scale:
            what, scale = "error", 1.0
        lines.append(
            f"exact  {exact:.8g}  ({f['reference']}): signed {what} "
            f"{(f['energy'] - exact) / scale:+.2g} +- {f['energy_error'] / scale:.1g}"
        )
    if out is not None:
        state = "interrupted; --resume goes on" if f["interrupted"] else "written"
        lines.append(f"{out / 'wavefunction.h5'} {state}")
    return "\n".join(lines)


def _keep(
    options: argparse.Namespace,
    hamiltonian: "Hamiltonian",
    found: "GroundState",
    figures: dict[str, Any],
) -> None:
    from physgen.io import atomic_path, to_json
    from physgen.plots.spins import training_curves
    from physgen.spins.files import save_wavefunction

    path = options.out / "wavefunction.h5"
    metadata = {"hamiltonian": to_json(hamiltonian), "result": figures, "history": found.history}
    save_wavefunction(path, found.wavefunction, metadata=metadata, overwrite=path.exists())
    exact = figures["reference_energy"]
    per_site = None if exact is None else exact / figures["n"]
    with atomic_path(options.out / "training.png", overwrite=True) as temporary:
        training_curves(found.history, per_site).savefig(temporary, dpi=150)
    if not found.interrupted:
        for checkpoint in options.out.glob("checkpoint-*.h5"):
            checkpoint.unlink()


def observe(options: argparse.Namespace) -> None:
    """physgen spins observe."""
    import h5py
    import jax
    import numpy as np

    from physgen.io import (
        atomic_path,
        figure_beside,
        read_model,
        require_writable,
        write_header,
    )
    from physgen.plots.spins import observed_curves
    from physgen.spins import diagonal_observables, entropy_profile, single_spins
    from physgen.spins.files import WavefunctionSettings, hamiltonian_in, load_wavefunction
    from physgen.spins.reference import exact_observables
    from physgen.spins.tomography.sweep_density import KIND as SWEEP

    if options.samples < 2:
        raise InputError(f"expected --samples of at least 2, got {options.samples}")
    picture = figure_beside(options.out)
    for written in (options.out, picture):
        require_writable(written, options.force)
    use_cores(at_most=8)
    path = options.wavefunction
    path = path / "wavefunction.h5" if path.is_dir() else path
    model = read_model(path)
    note_if_interrupted(model)
    if model.kind == SWEEP:
        return sweeps.observe(options, model, picture)
    wavefunction = load_wavefunction(path)
    if wavefunction.local_dimension != 2:
        raise InputError(f"expected spins 1/2 in {path}, found larger ones: not provided yet")
    periodic = model.settings_as(WavefunctionSettings).lattice.periodic
    keys = jax.random.split(jax.random.key(options.seed), 4)
    configurations = wavefunction.sample(keys[0], options.samples)
    diagonal = diagonal_observables(configurations, periodic=periodic)
    estimates = {
        "magnetisation_z": diagonal.magnetisation,
        "magnetisation_x": single_spins(keys[1], wavefunction, "X", options.samples),
        "magnetisation_y": single_spins(keys[2], wavefunction, "Y", options.samples),
        "correlation_zz": diagonal.correlation,
        "correlations_zz": diagonal.correlations,
        "structure_factor": diagonal.structure_factor,
        "string_order": diagonal.string_order,
        "renyi_2_entropy": entropy_profile(keys[3], wavefunction, options.samples),
    }
    hamiltonian = hamiltonian_in(model)
    if hamiltonian is not None:
        _note_spin_flip(wavefunction, hamiltonian)
    known = {} if hamiltonian is None else exact_observables(hamiltonian, wavefunction.sector)
    with (
        atomic_path(options.out, options.force) as temporary,
        h5py.File(temporary, "w") as file,
    ):
        write_header(file, "observables")
        for name, estimate in estimates.items():
            group = file.create_group(name)
            for part, values in asdict(estimate).items():
                group[part] = values
            if name in known:
                group["exact"] = known[name]
        file["wave_numbers"] = diagonal.wave_numbers
        file["histogram/total_2sz"] = diagonal.totals
        file["histogram/samples"] = diagonal.histogram
    with atomic_path(picture, overwrite=True) as temporary:
        observed_curves(diagonal, estimates["renyi_2_entropy"], known).savefig(temporary, dpi=150)
    middle = wavefunction.n // 2 - 1
    entropy = estimates["renyi_2_entropy"]
    figures = {
        "n": wavefunction.n,
        "samples": options.samples,
        "renyi_2_half": float(np.asarray(entropy.value)[middle]),
        "renyi_2_half_error": float(np.asarray(entropy.error)[middle]),
        "mean_x": float(np.mean(estimates["magnetisation_x"].value)),
        "mean_z": float(np.mean(estimates["magnetisation_z"].value)),
    }
    exactly = ""
    if known:
        figures["exact_renyi_2_half"] = float(known["renyi_2_entropy"][middle])
        figures["exact_mean_x"] = float(known["magnetisation_x"].mean())
        figures["exact_mean_z"] = float(known["magnetisation_z"].mean())
        exactly = (
            f"exact: {figures['exact_renyi_2_half']:.4f}, {figures['exact_mean_x']:z.4f} and "
            f"{figures['exact_mean_z']:z.4f} (free fermions)\n"
        )
    tell(
        options,
        figures,
        f"half-chain Renyi-2 entropy {figures['renyi_2_half']:.4f} +- "
        f"{figures['renyi_2_half_error']:.1g}, mean <X> {figures['mean_x']:z.4f}, mean <Z> "
        f"{figures['mean_z']:z.4f}\n{exactly}{options.out} and {picture} written",
    )


def exact(options: argparse.Namespace) -> None:
    """physgen spins exact."""
    from physgen.spins.reference import require_reference

    hamiltonian = hamiltonian_of(options)
    found = require_reference(hamiltonian, options.sector)
    figures = {
        "n": hamiltonian.n,
        "energy": found.energy,
        "energy_per_site": found.energy / hamiltonian.n,
        "method": found.method,
    }
    tell(
        options,
        figures,
        f"energy {found.energy:.12g}, {figures['energy_per_site']:.12g} a site ({found.method})",
    )
