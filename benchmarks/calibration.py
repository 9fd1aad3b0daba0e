"""SBC, TARP and coverage of posteriors of the ten tasks: one CSV row for each.

python benchmarks/calibration.py OUT [--simulations 1000]

OUT is the folder of benchmarks/posteriors.py. Each posterior there is checked with fresh
simulations, all curves together at the 95% level, and calibration.csv is written again.
"""

import argparse
import csv
from pathlib import Path

import jax

from physgen.inference import simulate
from physgen.inference.posterior import Posterior
from physgen.inference.simulators import JaxSimulator
from physgen.inference.tasks import BENCHMARK


def main() -> None:
    """Check every posterior, and print each row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tasks = {task.name: task for task in (make() for make in BENCHMARK)}
    rows = []
    for file in sorted(options.out.glob("*.h5")):
        task = tasks[file.stem.split("-")[0]]
        simulation_key, key = jax.random.split(jax.random.key(options.seed))
        fresh = simulate(
            simulation_key,
            task.prior,
            JaxSimulator(task.simulator),
            options.simulations,
            report=lambda status: None,
        )
        found = Posterior.load(file).check(key, fresh, n_simulations=options.simulations)
        row = {
            "run": file.stem,
            "simulations": options.simulations,
            "calibrated": found.calibrated,
            "sbc_p": found.calibration.p_value,
            "tarp_p": found.tarp.p_value,
            "coverage_p": found.coverage.p_value if found.coverage else "",
            "sbc_inside": found.calibration.inside,
            "tarp_inside": found.tarp.inside,
            "findings": " | ".join(found.findings),
        }
        rows.append(row)
        print(row, flush=True)
        with (options.out / "calibration.csv").open("w", newline="") as table:
            writer = csv.DictWriter(table, list(row))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
