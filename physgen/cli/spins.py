"""Commands on spins: ground-state, observe, exact."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from physgen.cli.options import add_json, add_output, add_seed, tell
from physgen.errors import InputError

if TYPE_CHECKING:
    from physgen.spins import Ansatz, GroundState, Hamiltonian
    from physgen.spins.optimisers import Optimiser
    from physgen.spins.reference import Reference

BELOW_EXACT = 3  # the exit status
SIGMAS = 3.0
COUPLINGS = {
    "tfim": ("coupling", "field", "longitudinal"),
    "heisenberg": ("coupling", "j2"),
    "xxz": ("coupling", "anisotropy", "field"),
    "xy": ("coupling", "anisotropy", "field"),
    "cluster-ising": ("cluster", "coupling", "field"),
    "rydberg": ("rabi", "detuning", "interaction"),
    "long-range-ising": ("coupling", "exponent", "field"),
}
SIZES = {
    "gru": ("units", "layers"),
    "tensorized": ("units", "layers"),
    "mingru": ("units", "layers"),
    "transformer": ("width", "heads", "layers"),
    "nade": ("units",),
    "made": ("width",),
    "fvsbn": (),
}


def add_commands(commands) -> None:
    """Add the commands to the parser of `physgen`."""
    spins = commands.add_parser(
        "spins", help="ground states of spin chains, their observables, and exact references"
    ).add_subparsers(required=True, metavar="COMMAND")

    parser = spins.add_parser("ground-state", help="variational Monte Carlo")
    _add_hamiltonian(parser)
    shape = parser.add_argument_group("wavefunction")
    shape.add_argument("--ansatz", choices=SIZES, default="gru", help="default gru")
    for name in ("units", "layers", "width", "heads"):
        shape.add_argument(f"--{name}", type=int)
    shape.add_argument("--phase", action="store_true", help="complex amplitudes")
    shape.add_argument("--marshall", action="store_true", help="the sign rule of antiferromagnets")
    shape.add_argument("--sector", type=int, help="total 2 S_z of every configuration")
    for name in ("spin-flip", "reflection", "translation"):
        shape.add_argument(f"--{name}", action="store_true", help="impose this symmetry")
    run = parser.add_argument_group("training")
    run.add_argument("--steps", type=int, default=1000, help="default 1000")
    run.add_argument("--samples", type=int, default=200, help="a step (default 200)")
    run.add_argument(
        "--optimiser",
        choices=("adam", "sr", "adam-sr"),
        default="adam-sr",
        help="Adam, stochastic reconfiguration, or one after the other (default)",
    )
    run.add_argument("--learning-rate", type=float, help="of the optimiser, the last of two")
    run.add_argument("--temperature", type=float, default=0.0, help="at the start; falls to 0")
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

    parser = spins.add_parser("observe", help="correlators and entropies of a wavefunction")
    parser.add_argument("wavefunction", type=Path, help="a folder of ground-state, or its .h5 file")
    parser.add_argument("--samples", type=int, default=16_384, help="default 16384")
    add_output(parser, "HDF5 file; figures go beside it")
    add_seed(parser)
    add_json(parser)
    parser.set_defaults(run=observe)

    parser = spins.add_parser("exact", help="the exact ground-state energy")
    _add_hamiltonian(parser)
    parser.add_argument("--sector", type=int, help="total 2 S_z of every configuration")
    add_json(parser)
    parser.set_defaults(run=exact)


def _add_hamiltonian(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Hamiltonian")
    group.add_argument(
        "--hamiltonian",
        required=True,
        metavar="NAME",
        help=f"{', '.join(COUPLINGS)}; or a text file of terms such as: -1.0 ZZ 0 1",
    )
    group.add_argument("--n", type=int, help="sites of a chain")
    group.add_argument("--lattice", metavar="RxC", help="a square lattice instead, as 4x4")
    group.add_argument("--periodic", action="store_true", help="a ring or torus (default: open)")
    for name in dict.fromkeys(name for names in COUPLINGS.values() for name in names):
        group.add_argument(f"--{name}", type=float)


def ground_state(options: argparse.Namespace) -> int:
    """physgen spins ground-state."""
    import jax
    from flax import nnx

    from physgen.io import require_writable
    from physgen.spins import self_check
    from physgen.spins.symmetry import require_symmetries

    for name in ("steps", "samples", "energy_samples"):
        if getattr(options, name) < 2:
            raise InputError(f"expected --{name.replace('_', '-')} of at least 2")
    hamiltonian, ansatz, sizes = _hamiltonian(options), _ansatz(options), _sizes(options)
    require_symmetries(ansatz.build(hamiltonian.geometry, rngs=nnx.Rngs(0)), hamiltonian.operator)
    reference = _reference(options, hamiltonian)
    if options.out is not None:
        if options.out.exists() and not options.out.is_dir():
            raise InputError(f"expected a folder for --out, got the file {options.out}")
        options.out.mkdir(parents=True, exist_ok=True)
        require_writable(options.out / "wavefunction.h5", options.force or options.resume)
    elif options.resume:
        raise InputError("expected --out with --resume, where the interrupted run is; give it")
    key_check, key = jax.random.split(jax.random.key(options.seed))
    print(self_check(key_check, ansatz, hamiltonian.operator), file=sys.stderr)
    found = _minimise(options, key, ansatz, sizes)
    figures = _figures(found, reference)
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
    return 0


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
        hamiltonian, line = _hamiltonian(options, size), energy_line()
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
            optimiser=_optimiser(options),
            temperature=options.temperature if number == 0 else 0.0,
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
    import jax
    from flax import nnx

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
        "signed_relative_error": None if exact is None else (e.energy - exact) / abs(exact),
        "sigmas_below_exact": below,
        "below_exact": below > SIGMAS,
        "steps": found.steps,
        "seconds": found.seconds,
        "seconds_per_step": found.seconds_per_step,
        "compile_seconds": found.compile_seconds,
        "parameters": sum(
            leaf.size for leaf in jax.tree.leaves(nnx.state(found.wavefunction, nnx.Param))
        ),
        "interrupted": found.interrupted,
    }


def _in_words(figures: dict[str, Any], out: Path | None) -> str:
    f = figures
    lines = [
        f"energy {f['energy']:.8g} +- {f['energy_error']:.2g}  ({f['n']} sites, "
        f"V-score {f['v_score']:.2g})"
    ]
    if f["reference"] is not None:
        lines.append(
            f"exact  {f['reference_energy']:.8g}  ({f['reference']}): signed relative error "
            f"{f['signed_relative_error']:+.2g} +- "
            f"{f['energy_error'] / abs(f['reference_energy']):.1g}"
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

    from physgen.io import atomic_path, read_model, require_writable, write_header
    from physgen.plots.spins import observed_curves
    from physgen.spins import diagonal_observables, entropy_profile, single_spins
    from physgen.spins.files import WavefunctionSettings, load_wavefunction

    require_writable(options.out, options.force)
    path = options.wavefunction
    path = path / "wavefunction.h5" if path.is_dir() else path
    wavefunction = load_wavefunction(path)
    if wavefunction.local_dimension != 2:
        raise InputError(f"expected spins 1/2 in {path}, found larger ones: not provided yet")
    periodic = read_model(path).settings_as(WavefunctionSettings).lattice.periodic
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
    with (
        atomic_path(options.out, options.force) as temporary,
        h5py.File(temporary, "w") as file,
    ):
        write_header(file, "observables")
        for name, estimate in estimates.items():
            group = file.create_group(name)
            for part, values in asdict(estimate).items():
                group[part] = values
        file["wave_numbers"] = diagonal.wave_numbers
        file["histogram/total_2sz"] = diagonal.totals
        file["histogram/samples"] = diagonal.histogram
    picture = options.out.with_suffix(".png")
    with atomic_path(picture, overwrite=True) as temporary:
        observed_curves(diagonal, estimates["renyi_2_entropy"]).savefig(temporary, dpi=150)
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
    tell(
        options,
        figures,
        f"half-chain Renyi-2 entropy {figures['renyi_2_half']:.4f} +- "
        f"{figures['renyi_2_half_error']:.1g}, mean <X> {figures['mean_x']:.4f}, mean <Z> "
        f"{figures['mean_z']:.4f}\n{options.out} and {picture} written",
    )


def exact(options: argparse.Namespace) -> None:
    """physgen spins exact."""
    from physgen.spins.reference import require_reference

    hamiltonian = _hamiltonian(options)
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


def _hamiltonian(options: argparse.Namespace, n: int | None = None) -> "Hamiltonian":
    from physgen.spins import hamiltonians as h
    from physgen.spins.lattice import Chain

    lattice = _lattice(options) if n is None else Chain(n, options.periodic)
    given = {
        name: getattr(options, name)
        for names in COUPLINGS.values()
        for name in names
        if getattr(options, name) is not None
    }
    if options.hamiltonian not in COUPLINGS:
        if given:
            raise InputError(
                f"expected no --{next(iter(given))} with a file of terms; leave it out"
            )
        return h.CustomHamiltonian(lattice, terms=_read_terms(Path(options.hamiltonian)))
    for name in given:
        if name not in COUPLINGS[options.hamiltonian]:
            raise InputError(
                f"expected {', '.join('--' + c for c in COUPLINGS[options.hamiltonian])} for "
                f"{options.hamiltonian}, got --{name}; leave it out"
            )
    classes = {
        "tfim": h.TransverseFieldIsing,
        "heisenberg": h.Heisenberg,
        "xxz": h.XXZ,
        "xy": h.XY,
        "cluster-ising": h.ClusterIsing,
        "rydberg": h.Rydberg,
        "long-range-ising": h.LongRangeIsing,
    }
    return classes[options.hamiltonian](lattice, **given)


def _lattice(options: argparse.Namespace):
    from physgen.spins.lattice import Chain, Square

    if (options.n is None) == (options.lattice is None):
        raise InputError("expected --n for a chain or --lattice RxC for a square one; give one")
    if options.n is not None:
        return Chain(options.n, options.periodic)
    rows, _, columns = options.lattice.partition("x")
    if not (rows.isdigit() and columns.isdigit()):
        raise InputError(f"expected --lattice as 4x4, got {options.lattice}")
    return Square(int(rows), int(columns), options.periodic)


def _read_terms(path: Path) -> tuple:
    if not path.is_file():
        raise InputError(
            f"expected one of {', '.join(COUPLINGS)}, or a text file of terms, got {path}"
        )
    terms = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            letters = words[1] if len(words) > 1 else ""
            terms.append((float(words[0]), letters, tuple(int(word) for word in words[2:])))
        except ValueError:
            raise InputError(
                f"{path}, line {number}: expected a coefficient, letters and sites, as "
                f"-1.0 ZZ 0 1, got {line.strip()!r}"
            ) from None
    return tuple(terms)


def _ansatz(options: argparse.Namespace) -> "Ansatz":
    from physgen.spins import ansatz as a

    classes = {
        "gru": a.GRUWavefunction,
        "tensorized": a.TensorizedWavefunction,
        "mingru": a.MinGRUWavefunction,
        "transformer": a.TransformerWavefunction,
        "nade": a.NADEWavefunction,
        "made": a.MADEWavefunction,
        "fvsbn": a.FVSBNWavefunction,
    }
    given = {
        name: getattr(options, name)
        for name in ("units", "layers", "width", "heads")
        if getattr(options, name) is not None
    }
    for name, value in given.items():
        if name not in SIZES[options.ansatz] or value < 1:
            known = ", ".join(f"--{size}" for size in SIZES[options.ansatz]) or "no size"
            raise InputError(f"expected {known}, at least 1, for {options.ansatz}, got --{name}")
    return classes[options.ansatz](
        **given,
        phase=options.phase,
        marshall=options.marshall,
        sector=options.sector,
        spin_flip=options.spin_flip,
        reflection=options.reflection,
        translation=options.translation,
    )


def _optimiser(options: argparse.Namespace) -> "Optimiser":
    from physgen.spins.optimisers import Adam, HandOver, StochasticReconfiguration

    rate = {} if options.learning_rate is None else {"learning_rate": options.learning_rate}
    if options.optimiser == "adam":
        return Adam(**rate)
    natural = StochasticReconfiguration(**rate)
    return natural if options.optimiser == "sr" else HandOver(then=natural)


def _reference(options: argparse.Namespace, hamiltonian: "Hamiltonian") -> "Reference | None":
    from physgen.spins.reference import Reference, reference_energy

    if options.reference == "none":
        return None
    if options.reference == "auto":
        return reference_energy(hamiltonian, options.sector)
    try:
        return Reference(float(options.reference), "given")
    except ValueError:
        raise InputError(
            f"expected --reference auto, none or a number, got {options.reference}"
        ) from None
