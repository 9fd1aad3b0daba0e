"""Ground states of long chains, trained on short ones first: one CSV row for each case and seed.

    python benchmarks/chains.py OUT [--cases ising-100,heisenberg-100] [--seed 0]

OUT is a folder: chains.csv, and each wavefunction. What has a row already is not run again.
Energies of open Heisenberg chains are compared with density-matrix renormalisation (bond dimension
200, variance below 1e-7); the others with exact ones.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
from rows import append, has_row

from physgen.spins import (
    Ansatz,
    GRUWavefunction,
    Heisenberg,
    StochasticReconfiguration,
    TransverseFieldIsing,
    grown,
    save_wavefunction,
)
from physgen.spins import ground_state as find_ground_state
from physgen.spins.hamiltonians import Hamiltonian
from physgen.spins.optimisers import Optimiser
from physgen.spins.reference import reference_energy

DMRG = {0.0: -44.12773989324799, 0.2: -40.73881905031654}  # 100 sites, by J2


@dataclass(frozen=True)
class Stage:
    """So many steps with so many samples on a chain of n sites."""

    n: int
    steps: int
    samples: int
    optimiser: Optimiser
    reach: int | None = None


@dataclass(frozen=True)
class Case:
    """A family of chains, and the stages that lead to the longest."""

    name: str
    hamiltonian: Callable[[int], Hamiltonian]
    ansatz: Ansatz
    stages: tuple[Stage, ...]
    reference: float | None = None


def stages(*sizes: tuple[int, int], reach: int | None = None) -> tuple[Stage, ...]:
    """Sites, and steps with 200 samples each."""
    return tuple(Stage(n, steps, 200, StochasticReconfiguration(), reach) for n, steps in sizes)


def ising(field: float) -> Callable[[int], Hamiltonian]:
    return lambda n: TransverseFieldIsing(n, field=field)


def heisenberg(j2: float) -> Callable[[int], Hamiltonian]:
    return lambda n: Heisenberg(n, j2=j2)


GRU = GRUWavefunction(units=50)
EVEN = GRUWavefunction(units=50, spin_flip=True)
SINGLET = GRUWavefunction(units=64, marshall=True, sector=0, spin_flip=True)
UNSIGNED = GRUWavefunction(units=64, phase=True, sector=0, spin_flip=True)
TO_100 = stages((20, 100), (40, 80), (100, 150))
CASES = (
    Case("ising-100-h0.5", ising(0.5), GRU, stages((100, 200))),  # grown, it holds a domain wall
    *(Case(f"ising-100-h{h}", ising(h), EVEN, TO_100) for h in (1.0, 1.5)),
    Case(
        "ising-1000",
        ising(1.0),
        GRU,
        stages(
            *((20, 100), (40, 100), (80, 100), (160, 150), (320, 150), (640, 150), (1000, 200)),
            reach=32,
        ),
    ),
    *(
        Case(f"heisenberg-100-j{j2}", heisenberg(j2), SINGLET, TO_100, DMRG.get(j2))
        for j2 in (0.0, 0.5)
    ),
    Case("heisenberg-100-unsigned", heisenberg(0.0), UNSIGNED, TO_100, DMRG[0.0]),
    Case(
        "heisenberg-100-j0.2",
        heisenberg(0.2),
        SINGLET,
        stages((20, 200), (40, 200), (100, 400)),
        DMRG[0.2],
    ),
    Case(
        "heisenberg-200",
        heisenberg(0.0),
        SINGLET,
        stages((20, 100), (40, 60), (80, 40), (140, 30), (200, 60)),
    ),
)


def main() -> None:
    """Run what is missing, and print each row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cases", default=",".join(case.name for case in CASES))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    table, cases = options.out / "chains.csv", {case.name: case for case in CASES}
    for name in options.cases.split(","):
        if not has_row(table, case=name, seed=options.seed):
            append(table, run(cases[name], options.seed, options.out))


def run(case: Case, seed: int, out: Path) -> dict[str, object]:
    """The row of one case."""
    key, state, started = jax.random.key(seed), case.ansatz, time.monotonic()
    for number, stage in enumerate(case.stages):
        if number:
            state = grown(state, stage.n)
        last = number == len(case.stages) - 1
        hamiltonian = case.hamiltonian(stage.n)
        found = find_ground_state(
            jax.random.fold_in(key, number),
            hamiltonian,
            state,
            steps=stage.steps,
            samples=stage.samples,
            optimiser=stage.optimiser,
            reach=stage.reach,
            energy_samples=8192 if last and stage.n <= 200 else 1024,
        )
        state = found.wavefunction
        energy = found.energy
        exact = reference_energy(hamiltonian, case.ansatz.sector)
        reference = exact.energy if exact else case.reference if last else None
        error = (energy.energy - reference) / abs(reference) if reference else float("nan")
        print(
            f"{case.name} n={stage.n}: {time.monotonic() - started:.0f} s, energy "
            f"{energy.energy:.6f} +- {energy.error:.6f}, relative error {error:+.2e}, V-score "
            f"{energy.v_score:.2e}",
            flush=True,
        )
        save_wavefunction(out / f"{case.name}-{stage.n}-seed{seed}.h5", state, overwrite=True)
    return {
        "case": case.name,
        "seed": seed,
        "seconds": time.monotonic() - started,
        "energy": energy.energy,
        "error": energy.error,
        "reference": reference,
        "signed_relative_error": error,
        "relative_sigma": energy.error / abs(energy.energy),
        "v_score": energy.v_score,
        "variance_per_site": energy.variance / stage.n,
    }


if __name__ == "__main__":
    main()
