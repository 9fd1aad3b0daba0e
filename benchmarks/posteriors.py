"""C2ST of posteriors on the ten tasks: one CSV row for each training run and observation.

python benchmarks/posteriors.py REFERENCES OUT [--tasks two_moons,slcp]
    [--simulations 1000,10000] [--observations 1,2,3,4,5] [--density spline] [--members 1]

REFERENCES holds TASK.npz with observations and reference posteriors. OUT is a folder: c2st.csv, and
each trained posterior. What is there already is not run again, so that an interrupted run goes on
where it was; without observations it only trains.
"""

import argparse
import csv
import dataclasses
from pathlib import Path

import jax

from physgen.inference.architectures import AffineFlow, FlowMatching, SplineFlow
from physgen.inference.benchmark import BenchmarkResult, Trained, reference_case, score, train_on
from physgen.inference.posterior import Posterior
from physgen.inference.tasks import BENCHMARK, Task
from physgen.train import Silent

COLUMNS = ["run", *(field.name for field in dataclasses.fields(BenchmarkResult))]


DENSITIES = {"spline": SplineFlow(), "maf": AffineFlow(), "flow-matching": FlowMatching()}


def main() -> None:
    """Run what is missing, and print each row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("references", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tasks", default=",".join(make().name for make in BENCHMARK))
    parser.add_argument("--simulations", default="1000,10000")
    parser.add_argument("--observations", default="1,2,3,4,5")
    parser.add_argument("--density", choices=DENSITIES, default="spline")
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tasks = {task.name: task for task in (make() for make in BENCHMARK)}
    for simulations in map(int, options.simulations.split(",")):
        for name in options.tasks.split(","):
            run(options, tasks[name], simulations)


def run(options: argparse.Namespace, task: Task, simulations: int) -> None:
    """Train unless that was done, and compare at each observation that has no row yet."""
    run = f"{task.name}-{simulations}-{options.density}-{options.members}-seed{options.seed}"
    key, file = jax.random.key(options.seed), options.out / f"{run}.h5"
    if file.exists():
        trained = Trained.of(task, Posterior.load(file))
    else:
        density = DENSITIES[options.density]
        trained = train_on(
            key, task, simulations, density=density, members=options.members, report=Silent()
        )
        trained.posterior.save(file)
        training = trained.posterior.training
        print(f"{run}: validation {training.validation_loss:.3f}, {trained.seconds:.0f} s")
    table = options.out / "c2st.csv"
    for number in [int(n) for n in options.observations.split(",") if n]:
        if (run, number) not in rows_of(table):
            case = reference_case(key, task, number, options.references)
            result = score(key, trained, case, number, stored=True)
            append(table, {"run": run} | dataclasses.asdict(result))


def rows_of(table: Path) -> set[tuple[str, int]]:
    """The runs and observations that the table has."""
    if not table.exists():
        return set()
    with table.open(newline="") as file:
        return {(row["run"], int(row["observation"])) for row in csv.DictReader(file)}


def append(path: Path, row: dict) -> None:
    """Add one row, and say it."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow(row)
    print(
        f"{row['run']} observation {row['observation']}: "
        f"c2st {row['c2st']:.3f}, forest {row['c2st_random_forest']:.3f}, "
        f"validation {row['validation_loss']:.3f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
