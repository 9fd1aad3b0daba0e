"""Slip rate and locking depth of a fault: the learned posterior against tempered Monte Carlo.

python benchmarks/fault.py [--simulations 10000] [--observations 1,2,3] [--members 5]
"""

import argparse

import jax
import numpy as np

from physgen.inference.benchmark import reference_case, score, train_on
from physgen.inference.tasks import strike_slip_fault


def main() -> None:
    """Train once, and compare at each observation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=10_000)
    parser.add_argument("--observations", default="1,2,3")
    parser.add_argument("--members", type=int, default=5)
    options = parser.parse_args()
    key, task = jax.random.key(0), strike_slip_fault()
    trained = train_on(key, task, options.simulations, members=options.members)
    for number in map(int, options.observations.split(",")):
        case = reference_case(key, task, number, None)
        result = score(key, trained, case, number, stored=False)
        drawn = np.asarray(trained.posterior.sample(key, 10_000, case.x))
        for i, name in enumerate(trained.posterior.names):
            print(
                f"observation {number}: {name} {drawn[:, i].mean():.3f} +- {drawn[:, i].std():.3f}"
                f", Monte Carlo {case.reference[:, i].mean():.3f} +- "
                f"{case.reference[:, i].std():.3f}"
            )
        print(
            f"observation {number}: c2st {result.c2st:.3f}, forest {result.c2st_random_forest:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
