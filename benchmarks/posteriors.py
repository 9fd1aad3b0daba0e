"""C2ST of posteriors on the ten tasks: one CSV row for each training run and observation.

python benchmarks/posteriors.py REFERENCES OUT.csv [--tasks two_moons,slcp]
    [--simulations 1000,10000] [--observations 1,2,3,4,5] [--members 1]

REFERENCES holds TASK.npz with observations and reference posteriors. Rows that OUT.csv has already
are not run again, so that an interrupted run goes on where it was.
"""

import argparse
import csv
import dataclasses
from pathlib import Path

import jax

from physgen.inference.benchmark import BenchmarkResult, reference_case, score, train_on
from physgen.inference.tasks import BENCHMARK
from physgen.train import Silent

COLUMNS = [field.name for field in dataclasses.fields(BenchmarkResult)]


def main() -> None:
    """Run what is missing, and print each row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("references", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tasks", default=",".join(make().name for make in BENCHMARK))
    parser.add_argument("--simulations", default="1000,10000")
    parser.add_argument("--observations", default="1,2,3,4,5")
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tasks = {task.name: task for task in (make() for make in BENCHMARK)}
    for simulations in map(int, options.simulations.split(",")):
        for name in options.tasks.split(","):
            numbers = [int(n) for n in options.observations.split(",")]
            done = rows_of(options.out, name, simulations, options.members)
            missing = [n for n in numbers if n not in done]
            if missing:
                run(options, tasks[name], simulations, missing)


def run(options: argparse.Namespace, task, simulations: int, numbers: list[int]) -> None:
    """Train once, and compare at each observation."""
    key = jax.random.key(options.seed)
    trained = train_on(key, task, simulations, members=options.members, report=Silent())
    for number in numbers:
        case = reference_case(key, task, number, options.references)
        result = score(key, trained, case, number, stored=True)
        append(options.out, dataclasses.asdict(result))


def rows_of(path: Path, task: str, simulations: int, members: int) -> set[int]:
    """The observations that the file has for a task."""
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        return {
            int(row["observation"])
            for row in csv.DictReader(file)
            if (row["task"], int(row["members"])) == (task, members)
            and abs(int(row["simulations"]) - simulations) < 1
        }


def append(path: Path, row: dict) -> None:
    """Add one row, and say it."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow(row)
    print(
        f"{row['task']} {row['simulations']} observation {row['observation']}: "
        f"c2st {row['c2st']:.3f}, forest {row['c2st_random_forest']:.3f}, "
        f"validation {row['validation_loss']:.3f}, {row['train_seconds']:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
