"""The exact log-density of maps of 16 galaxies against estimates by random probes.

    python benchmarks/traces.py MOCKS [--minutes 2] [--maps 8]

An emulator of the 16 most massive galaxies of each box is trained; then the estimate of each of 200
probes is compared with the exact trace: their mean must be within three standard errors. Then the
scatter of estimates that cost as much, 24 products of the Jacobian, by both kinds of probes.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from physgen.densities import Exact, Hutchinson, HutchPlusPlus
from physgen.galaxies import TrainingSettings, emulator_settings, read_catalogue, train_emulator
from physgen.train import FitSettings

GALAXIES, HELD_OUT = 16, 64


def main() -> None:
    """Train, then a line for each map."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mocks", type=Path)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--maps", type=int, default=8)
    options = parser.parse_args()
    catalogue = read_catalogue(options.mocks).positions_only()
    heaviest = replace(
        catalogue, position=catalogue.position[:, :GALAXIES], mask=catalogue.mask[:, :GALAXIES]
    )
    train, held_out = heaviest.select(slice(HELD_OUT, None)), heaviest.select(slice(0, HELD_OUT))
    schedule = FitSettings(batch_size=64, minutes=options.minutes, validate_every=500)
    emulator = train_emulator(
        jax.random.key(0), train, TrainingSettings(schedule), emulator_settings(train)
    ).emulator
    z = []
    for i in range(options.maps):
        x = jnp.asarray(held_out.position[i])
        theta = jnp.asarray(held_out.parameters[i])
        exact = emulator.log_prob_estimate(jax.random.key(1), x, theta, trace=Exact())
        many = emulator.log_prob_estimate(
            jax.random.fold_in(jax.random.key(2), i), x, theta, trace=Hutchinson(200)
        )
        z.append(float((many.value - exact.value) / many.standard_error))
        print(
            f"map {i}: exact {float(exact.value):.2f}, solver {float(exact.solver_error):.2f}; 200 "
            f"probes {float(many.value):.2f} +- {float(many.standard_error):.2f}, {z[-1]:+.2f} "
            "standard errors",
            flush=True,
        )
    print(f"mean of z {np.mean(z):+.2f} +- {len(z) ** -0.5:.2f}, largest {np.max(np.abs(z)):.2f}")
    x, theta = jnp.asarray(held_out.position[0]), jnp.asarray(held_out.parameters[0])
    for trace in (Hutchinson(24), HutchPlusPlus(8, 8)):
        found = [
            float(emulator.log_prob_estimate(jax.random.key(s), x, theta, trace=trace).value)
            for s in range(20)
        ]
        print(f"{trace}: scatter {np.std(found, ddof=1):.2f} of 20")


if __name__ == "__main__":
    main()
