"""C2ST of learned posteriors, corrected by a likelihood learned from the same simulations.

python benchmarks/corrected.py REFERENCES OUT [--tasks slcp] [--observations 1] [--members 5]
    [--draws 100000]

OUT is the folder of benchmarks/posteriors.py. Draws of its posteriors of 10,000 simulations get the
weights prior x likelihood / posterior. The likelihoods are kept there, and corrected.csv gets a row
for each observation that has none.
"""

import argparse
import time
from pathlib import Path

import jax
import numpy as np
from rows import append, has_row

from physgen.inference.benchmark import SAMPLES, drawn_for, reference_case
from physgen.inference.importance import correct
from physgen.inference.likelihood import Likelihood, fit_likelihood
from physgen.inference.posterior import Posterior
from physgen.inference.tasks import BENCHMARK
from physgen.train import Silent
from physgen.validation.classifier import NeuralNetwork, RandomForest, c2st

SIMULATIONS = 10_000


def main() -> None:
    """Learn what is missing, correct, and print each row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("references", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tasks", default="slcp")
    parser.add_argument("--observations", default="1")
    parser.add_argument("--members", type=int, default=5, help="networks of either kind")
    parser.add_argument("--draws", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tasks = {task.name: task for task in (make() for make in BENCHMARK)}
    key, table = jax.random.key(options.seed), options.out / "corrected.csv"
    fit_key, draw_key, choice_key = (jax.random.key(options.seed + i) for i in (1, 2, 3))
    for name in options.tasks.split(","):
        run, task = f"{name}-{SIMULATIONS}-spline-{options.members}-seed{options.seed}", tasks[name]
        posterior = Posterior.load(options.out / f"{run}.h5")
        file = options.out / "likelihoods" / f"{run}.h5"
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            simulations = drawn_for(key, task, SIMULATIONS)
            fit_likelihood(
                fit_key, task.prior, simulations, members=options.members, report=Silent()
            ).save(file)
        likelihood = Likelihood.load(file)
        for number in options.observations.split(","):
            if has_row(table, run=run, observation=number):
                continue
            case = reference_case(key, task, int(number), options.references)
            started = time.monotonic()
            weighted = correct(
                draw_key, posterior, task.prior, likelihood.log_likelihood, case.x, options.draws
            )
            drawn = np.asarray(weighted.resample(choice_key, SAMPLES))
            row = {
                "run": run,
                "observation": number,
                "likelihood_loss": likelihood.training.validation_loss,
                "likelihood_seconds": likelihood.training.seconds,
                "seconds": time.monotonic() - started,
                "pareto_k": weighted.pareto_k,
                "effective_sample_size": weighted.effective_sample_size,
                "different": len(np.unique(drawn, axis=0)),
                "c2st": c2st(
                    case.reference, drawn, classifier=NeuralNetwork(), permutations=0
                ).mean,
                "c2st_random_forest": c2st(
                    case.reference, drawn, classifier=RandomForest(), permutations=0
                ).mean,
            }
            append(table, row)


if __name__ == "__main__":
    main()
