"""Free energies of Ising models on a torus, against exact ones.

    python benchmarks/annealing.py [4 8 16] [--temperatures 2.0 2.27 2.6] [--steps 400] [--seed 1]
    python benchmarks/annealing.py 4 --glass --temperatures 0.5 1.0 2.0

Ferromagnets against Kaufman's solution; glasses, whose couplings are +1 or -1 by chance and whose
torus is one column wider, against all configurations. Seconds are of the processor (one core).
"""

import argparse
import time

import jax
import numpy as np

from physgen.spins import Square
from physgen.spins.classical import Ising, enumerated_free_energy, free_energy, torus_free_energy
from physgen.train import Silent

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int, nargs="*", default=[4, 8, 16])
    parser.add_argument("--temperatures", type=float, nargs="+", default=[2.0, 2.27, 2.6])
    parser.add_argument("--steps", type=int, help="default: that of the library")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--glass", action="store_true")
    options = parser.parse_args()
    for size in options.sizes:
        for temperature in options.temperatures:
            started = time.process_time()
            lattice = Square(size, size + options.glass, periodic=True)
            if options.glass:
                signs = np.random.default_rng(options.seed).choice([-1, 1], len(lattice.bonds()))
                model = Ising(lattice, tuple(signs.tolist()))
                exact = enumerated_free_energy(model, temperature)
            else:
                model = Ising(lattice)
                exact = torus_free_energy(size, size, 1.0, temperature)
            found = free_energy(
                jax.random.key(options.seed),
                model,
                temperature,
                steps=options.steps,
                report=Silent(),
            )
            bound, weighted = found.bound, found.weighted
            print(
                f"{lattice.rows} x {lattice.columns}, T {temperature}: exact {exact:.4f}, excess "
                f"{(bound.value - exact) / abs(exact):+.2e} +- {bound.error / abs(exact):.1e}, "
                f"weighted {(weighted.value - exact) / max(weighted.error, 1e-12):+.2f} sigma, "
                f"effective {found.effective:.0f} of 10000, {time.process_time() - started:.0f} s",
                flush=True,
            )
