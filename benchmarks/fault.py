"""Slip rate and locking depth of a fault: the learned posterior against tempered Monte Carlo.

python benchmarks/fault.py [--simulations 10000] [--observations 1,2,3] [--members 1]
    [--picture docs/images/fault.png]
"""

import argparse

import jax
import numpy as np

from physgen.inference.benchmark import reference_case, score, train_on
from physgen.inference.posterior import Posterior
from physgen.inference.results import PosteriorSamples
from physgen.inference.tasks import strike_slip_fault


def main() -> None:
    """Train once, and compare at each observation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=10_000)
    parser.add_argument("--observations", default="1,2,3")
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--picture", help="of the first observation")
    options = parser.parse_args()
    key, task = jax.random.key(0), strike_slip_fault()
    trained = train_on(key, task, options.simulations, members=options.members)
    numbers = [int(number) for number in options.observations.split(",")]
    for number in numbers:
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
        if options.picture and number == numbers[0]:
            learned, sampled = (named(trained.posterior, s) for s in (drawn, case.reference))
            figure = learned.plot(
                truth=case.theta, label="learned", others={"Monte Carlo": sampled}
            )
            figure.savefig(options.picture, dpi=110)


def named(posterior: Posterior, samples: np.ndarray) -> PosteriorSamples:
    """Samples with the names, units and ends of a posterior's parameters."""
    return PosteriorSamples.from_arrays(
        samples,
        names=posterior.names,
        units=posterior.units,
        low=posterior.low,
        high=posterior.high,
    )


if __name__ == "__main__":
    main()
