"""C2ST of sequential inference, all rounds together from one budget: one CSV row for each run.

python benchmarks/sequential.py REFERENCES OUT [--tasks slcp,lotka_volterra] [--observation 1]
    [--method TSNPE] [--simulations 10000] [--rounds 4] [--members 1]

REFERENCES holds TASK.npz with observations and reference posteriors. OUT is a folder:
sequential.csv, and the simulations of each run. A run that has a row is not done again, and one
that was interrupted uses the simulations that it has.
"""

import argparse
import time
from pathlib import Path

import jax
import numpy as np
from rows import append, has_row

from physgen.inference.benchmark import reference_case
from physgen.inference.sequential import SNLE, TSNPE, infer_sequentially
from physgen.inference.simulators import JaxSimulator
from physgen.inference.tasks import BENCHMARK, Task
from physgen.train import Silent
from physgen.validation.classifier import NeuralNetwork, RandomForest, c2st

METHODS = {"TSNPE": TSNPE, "SNLE": SNLE}


class Notes(Silent):
    """Prints what is noted, such as the size of the region, and nothing else."""

    def note(self, text: str) -> None:
        print(text, flush=True)


def main() -> None:
    """Run what is missing, and print each row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("references", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tasks", default="slcp,lotka_volterra")
    parser.add_argument("--observation", type=int, default=1)
    parser.add_argument("--method", choices=METHODS, default="TSNPE")
    parser.add_argument("--simulations", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tasks = {task.name: task for task in (make() for make in BENCHMARK)}
    table = options.out / "sequential.csv"
    for name in options.tasks.split(","):
        run = (
            f"{name}-{options.observation}-{options.method}-{options.simulations}-"
            f"{options.rounds}-{options.members}-seed{options.seed}"
        )
        if not has_row(table, run=run):
            append(table, {"run": run} | measure(options, tasks[name], options.out / run))


def measure(options: argparse.Namespace, task: Task, store: Path) -> dict[str, float]:
    """All rounds, and the distance of the last posterior from the reference."""
    key = jax.random.key(options.seed)
    case = reference_case(key, task, options.observation, options.references)
    started = time.monotonic()
    result = infer_sequentially(
        key,
        task.prior,
        JaxSimulator(task.simulator),
        case.x,
        simulations=options.simulations,
        rounds=options.rounds,
        method=METHODS[options.method](members=options.members),
        store=store,
        resume=True,
        report=Notes(),
        simulation_report=lambda status: None,
    )
    drawn = np.asarray(result.posterior.sample(key, len(case.reference), case.x))
    seconds = time.monotonic() - started
    return {
        "c2st": c2st(case.reference, drawn, classifier=NeuralNetwork(), permutations=0).mean,
        "c2st_random_forest": c2st(
            case.reference, drawn, classifier=RandomForest(), permutations=0
        ).mean,
        "seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    main()
