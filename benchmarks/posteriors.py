"""C2ST of posteriors on the ten tasks: one CSV row for each training run and observation.

python benchmarks/posteriors.py REFERENCES OUT [--tasks two_moons,slcp]
    [--simulations 1000,10000] [--observations 1,2,3,4,5] [--density spline] [--members 1]

REFERENCES holds TASK.npz with observations and reference posteriors. OUT is a folder: c2st.csv, and
each trained posterior. What is there already is not run again, so that an interrupted run goes on
where it was; without observations it only trains.
"""

import argparse
import dataclasses
from pathlib import Path

import jax
from rows import append, has_row

from physgen.inference.architectures import AffineFlow, FlowMatching, SplineFlow
from physgen.inference.benchmark import Trained, reference_case, score, train_on
from physgen.inference.posterior import Posterior
from physgen.inference.tasks import BENCHMARK, Task
from physgen.train import Silent

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
        if not has_row(table, run=run, observation=number):
            case = reference_case(key, task, number, options.references)
            result = score(key, trained, case, number, stored=True)
            append(table, {"run": run} | dataclasses.asdict(result))


if __name__ == "__main__":
    main()
