"""The options of spin commands, and the objects that they ask for."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from physgen.errors import InputError

if TYPE_CHECKING:
    from physgen.spins import Ansatz, Hamiltonian
    from physgen.spins.lattice import Lattice
    from physgen.spins.optimisers import Optimiser
    from physgen.spins.reference import Reference

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


def add_hamiltonian(parser: argparse.ArgumentParser) -> None:
    """--hamiltonian, its lattice and its couplings."""
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
        having = ", ".join(chain for chain, names in COUPLINGS.items() if name in names)
        which = "next-nearest coupling (J1-J2 chain), of" if name == "j2" else "of"
        group.add_argument(f"--{name}", type=float, help=f"{which} {having}")


def hamiltonian_of(options: argparse.Namespace, n: int | None = None) -> "Hamiltonian":
    """The Hamiltonian that was asked for, or the same on a chain of n sites."""
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


def _lattice(options: argparse.Namespace) -> "Lattice":
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
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"expected a text file of terms, got {path}, which is binary") from None
    for number, line in enumerate(lines, start=1):
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


def add_ansatz(parser: argparse.ArgumentParser) -> Any:
    """Options that `ansatz_of` reads, but for signs and phases; the group that they are in."""
    shape = parser.add_argument_group("wavefunction")
    shape.add_argument("--ansatz", choices=SIZES, default="gru", help="default gru")
    for name in ("units", "layers", "width", "heads"):
        having = ", ".join(ansatz for ansatz, names in SIZES.items() if name in names)
        shape.add_argument(f"--{name}", type=int, help=f"of {having}")
    shape.add_argument("--sector", type=int, help="total 2 S_z of every configuration")
    for name in ("spin-flip", "reflection", "translation"):
        shape.add_argument(f"--{name}", action="store_true", help="impose this symmetry")
    return shape


def ansatz_of(options: argparse.Namespace) -> "Ansatz":
    """The wavefunction that was asked for."""
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


def optimiser_of(options: argparse.Namespace) -> "Optimiser":
    """Stochastic reconfiguration, Adam, or one after the other."""
    from physgen.spins.optimisers import Adam, HandOver, StochasticReconfiguration

    rate = {} if options.learning_rate is None else {"learning_rate": options.learning_rate}
    if options.optimiser == "adam":
        return Adam(**rate)
    natural = StochasticReconfiguration(**rate)
    return natural if options.optimiser == "sr" else HandOver(then=natural)


def reference_of(options: argparse.Namespace, hamiltonian: "Hamiltonian") -> "Reference | None":
    """The exact energy, if it is wanted and known."""
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
