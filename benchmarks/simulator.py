"""Boxes a second of the simulator, after compilation; median of five runs.

python benchmarks/simulator.py
"""

import json
import statistics
import time

import jax

from physgen.galaxies import SimulationSettings, simulate, sobol_parameters

BOXES = 256


def main() -> None:
    """Print a JSON line for each order."""
    parameters = sobol_parameters(BOXES, seed=0)
    for order in (1, 2):
        settings = SimulationSettings(order=order)
        simulate(jax.random.key(0), parameters[:8], settings)
        rates = []
        for run in range(5):
            started = time.perf_counter()
            simulate(jax.random.key(run), parameters, settings)
            rates.append(BOXES / (time.perf_counter() - started))
        print(
            json.dumps(
                {
                    "order": order,
                    "boxes_per_second": round(statistics.median(rates), 1),
                    "range": [round(min(rates), 1), round(max(rates), 1)],
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
