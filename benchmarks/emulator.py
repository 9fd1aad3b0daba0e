"""How well an emulator reproduces simulations it never saw, and at what cost.

    python benchmarks/emulator.py data/emulator.h5 data/heldout.h5 --evaluations 8 16 32 64

z = (mean generated - mean held-out) / single-box scatter, for xi and for the quartiles of the
k = 1, 2, 4, 8 neighbour distances, at each cosmology. For scale: a Poisson process, and fresh
simulations of the same cosmologies, which is as good as anything can be.
"""

import argparse
import json
import os
import time
from pathlib import Path

import jax
import numpy as np

from physgen.densities import FixedSteps
from physgen.galaxies import (
    Catalogue,
    GalaxyEmulator,
    choose_settings,
    generate,
    read_catalogue,
    simulate,
    summaries,
)

MEASURED = ("xi", "neighbour distances")


def z_scores(generated: Catalogue, held_out: Catalogue) -> dict[str, np.ndarray]:
    """z of each measured statistic, (cosmologies, bins)."""
    settings = choose_settings(held_out)
    _, group = np.unique(held_out.parameters, axis=0, return_inverse=True)
    result = {}
    pairs = zip(summaries(generated, settings), summaries(held_out, settings), strict=True)
    for ours, theirs in pairs:
        if ours.name in MEASURED:
            result[ours.name] = np.array(
                [
                    (ours.values[group == g].mean(0) - theirs.values[group == g].mean(0))
                    / theirs.values[group == g].std(0, ddof=1)
                    for g in range(group.max() + 1)
                ]
            )
    return result


def score(name: str, generated: Catalogue, held_out: Catalogue, **more) -> dict:
    """One line of the table, printed as JSON."""
    z = z_scores(generated, held_out)
    every = np.concatenate(list(z.values()), axis=1)
    line = {
        "what": name,
        "rms_z": np.sqrt(np.mean(every**2)),
        "max_abs_z": np.abs(every).max(),
        **{f"rms_z_{key}": np.sqrt(np.mean(values**2)) for key, values in z.items()},
        "mean_z_by_bin": every.mean(axis=0).tolist(),
        "worst_cosmology_rms": np.sqrt(np.mean(every**2, axis=1)).max(),
        "points_outside": int(
            np.sum((generated.position < 0) | (generated.position >= generated.box_size))
        ),
        **more,
    }
    rounded = {
        k: np.round(v, 3).tolist() if isinstance(v, list | float | np.floating) else v
        for k, v in line.items()
    }
    print(json.dumps(rounded), flush=True)
    return line


def main() -> None:
    """Print a JSON line for each row of the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("emulator", type=Path)
    parser.add_argument("held_out", type=Path)
    parser.add_argument("--evaluations", type=int, nargs="+", default=[32])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--references", action="store_true", help="Poisson and fresh simulations")
    options = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    key = jax.random.key(options.seed)
    held_out = read_catalogue(options.held_out).positions_only()
    emulator = GalaxyEmulator.load(options.emulator)
    if options.references:
        shape = held_out.position.shape
        points = np.random.default_rng(options.seed).uniform(0, held_out.box_size, shape)
        poisson = Catalogue(points, box_size=held_out.box_size)
        score("Poisson", poisson, held_out)
        fresh = simulate(jax.random.fold_in(key, 1), held_out.parameters).positions_only()
        score("fresh simulations", fresh, held_out)
    for evaluations in options.evaluations:
        solver = FixedSteps(evaluations)
        generate(key, emulator, held_out.parameters[:64], solver=solver)
        started = time.perf_counter()
        generated = generate(key, emulator, held_out.parameters, solver=solver)
        seconds = time.perf_counter() - started
        score(
            f"emulator, {evaluations} evaluations",
            generated,
            held_out,
            boxes_per_second=len(held_out) / seconds,
        )


if __name__ == "__main__":
    main()
