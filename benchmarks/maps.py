"""Cosmology from galaxy maps, and from their summaries: calibration, and which says more.

python benchmarks/maps.py data/mocks.h5 OUT [--inputs maps,summaries,more] [--fresh 0]
    [--held-out 500] [--steps STEPS]

One normalizing flow learns (Omega_m, sigma_8) from the mocks, and from as many fresh ones as asked
for: from positions and velocities of all galaxies (maps), from pair separations, neighbour
distances and mean relative velocities (summaries), or from these and quantiles of the speeds
(more). All are asked about the same maps, simulated afterwards at draws of the prior. OUT is a
folder: each posterior, and maps.csv with a row for each input.
"""

import argparse
import csv
import dataclasses
from pathlib import Path

import jax
import numpy as np

from physgen.cli.maps import BATCH_SIZE, clouds_of
from physgen.galaxies.catalogue import Catalogue, read_catalogue, write_catalogue
from physgen.galaxies.simulate import (
    PARAMETER_NAMES,
    PARAMETER_RANGES,
    simulate,
    sobol_parameters,
)
from physgen.galaxies.summaries import choose_settings, summaries
from physgen.inference import Posterior, PosteriorTraining, Simulations, fit_posterior, schedule_for
from physgen.nets.clouds import CloudEmbedding
from physgen.nets.residual import MLPEmbedding

LOW, HIGH = np.array(PARAMETER_RANGES).T
SUMMARIES = ("pair separations", "neighbour distances", "v12")
INPUTS = {"maps": (), "summaries": SUMMARIES, "more": (*SUMMARIES, "speeds")}


def main() -> None:
    """Train what is missing, and print each row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mocks", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--inputs", default=",".join(INPUTS))
    parser.add_argument("--fresh", type=int, default=0, help="mocks more to learn from")
    parser.add_argument("--held-out", type=int, default=500)
    parser.add_argument("--steps", type=int, help="to learn from maps, in batches of 32")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    prior_key, held_out_key, fresh_key, fit_key, check_key = jax.random.split(
        jax.random.key(options.seed), 5
    )
    truths = jax.random.uniform(prior_key, (options.held_out, 2)) * (HIGH - LOW) + LOW
    held_out = simulate(held_out_key, truths)
    catalogues = [read_catalogue(options.mocks)]
    if options.fresh:
        file = options.out / f"fresh-{options.fresh}.h5"
        if not file.exists():
            parameters = sobol_parameters(options.fresh, seed=options.seed + 1000)
            write_catalogue(file, simulate(fresh_key, parameters))
        catalogues.append(read_catalogue(file))
    rows, known = [], []
    for name in options.inputs.split(","):
        file = options.out / f"{name}.h5"
        if not file.exists():
            made = [simulations_of(catalogue, INPUTS[name]) for catalogue in catalogues]
            learn(fit_key, name, joined(made), options.steps, catalogues[0].box_size).save(file)
        posterior, seen = Posterior.load(file), simulations_of(held_out, INPUTS[name])
        known.append(np.asarray(posterior.log_prob(seen.parameters, seen.observations)))
        rows.append(row_of(check_key, name, posterior, seen, known[-1]))
        print(rows[-1], flush=True)
    with (options.out / "maps.csv").open("w", newline="") as table:
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for row, values in zip(rows[1:], known[1:], strict=True):
        gain = known[0] - values
        print(
            f"{rows[0]['input']} - {row['input']}: {gain.mean():.3f} +- "
            f"{gain.std() / len(gain) ** 0.5:.3f} nats a map"
        )


def simulations_of(catalogue: Catalogue, names: tuple[str, ...]) -> Simulations:
    """Parameters with the summaries of these names or, of none, with the galaxies themselves."""
    if names:
        found = {s.name: s.values for s in summaries(catalogue, choose_settings(catalogue))}
        observations = np.concatenate([found[name] for name in names], axis=1)
    else:
        positions = dataclasses.replace(catalogue, log_mass=None)
        observations = clouds_of(positions, catalogue.position.shape[1])
    return Simulations.from_arrays(
        catalogue.parameters, observations, names=PARAMETER_NAMES, low=LOW, high=HIGH, missing=True
    )


def joined(parts: list[Simulations]) -> Simulations:
    """All of them."""
    return dataclasses.replace(
        parts[0],
        parameters=np.concatenate([part.parameters for part in parts]),
        observations=np.concatenate([part.observations for part in parts]),
    )


def learn(key, name: str, simulations: Simulations, steps: int | None, box_size) -> Posterior:
    """One spline flow, its embedding apart the same for all."""
    schedule = schedule_for(len(simulations))
    embedding = MLPEmbedding(width=64, depth=1, features=32, missing=True)
    if name == "maps":
        embedding = CloudEmbedding(box_size=box_size, vectors=1)
        schedule = dataclasses.replace(
            schedule, batch_size=BATCH_SIZE, steps=steps or schedule.steps
        )
    return fit_posterior(
        key,
        None,
        simulations,
        embedding=embedding,
        training=PosteriorTraining(schedule=schedule),
    )


def row_of(
    key, name: str, posterior: Posterior, held_out: Simulations, known: np.ndarray
) -> dict[str, object]:
    """How much it knows of the held-out maps, and whether it is calibrated there."""
    found = posterior.check(key, held_out, n_simulations=len(held_out))
    return {
        "input": name,
        "simulations": posterior.training.simulations,
        "steps": posterior.training.steps,
        "train_seconds": round(posterior.training.seconds),
        "held_out": len(held_out),
        "mean_log_posterior": float(known.mean()),
        "standard_error": float(known.std() / len(known) ** 0.5),
        "contraction": found.calibration.contraction.round(3).tolist(),
        "held_68": found.calibration.held.round(3).tolist(),
        "calibrated": found.calibrated,
        "sbc_p": found.calibration.p_value,
        "tarp_p": found.tarp.p_value,
        "coverage_p": found.coverage.p_value if found.coverage else "",
        "findings": " | ".join(found.findings),
    }


if __name__ == "__main__":
    main()
