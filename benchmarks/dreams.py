"""Satellites of hydrodynamical halos: open space, padded sets, 13 conditions.

    python benchmarks/dreams.py ../shared/data/galaxies --minutes 5

Trains on 164 halos of DREAMS-TNG and generates, for each of the 40 held out, clouds with its number
of satellites and its conditions. Prints z = (mean generated - mean held-out) / single-halo scatter
of the radial profile and of the pair separations, as JSON, and the verdict.
"""

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from physgen.galaxies import (
    TrainingSettings,
    choose_settings,
    generate,
    read_catalogue,
    summaries,
    train_emulator,
    validate_catalogues,
)
from physgen.train import FitSettings

HELD_OUT = 40
COPIES = 8  # generated for each held-out halo


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", min(4, len(os.sched_getaffinity(0))))
    catalogue = read_catalogue(
        options.folder / "dreams_tng_satellites.npz",
        conditions=options.folder / "dreams_tng_conditions.csv",
    ).positions_only()
    order = np.random.default_rng(options.seed).permutation(len(catalogue))
    held_out, mocks = catalogue.select(order[:HELD_OUT]), catalogue.select(order[HELD_OUT:])

    key_train, key_generate = jax.random.split(jax.random.key(options.seed))
    schedule = FitSettings(batch_size=16, minutes=options.minutes, validate_every=100, patience=15)
    training = replace(TrainingSettings(), schedule=schedule, held_out=0.1)
    trained = train_emulator(key_train, mocks, training)
    generated = generate(
        key_generate,
        trained.emulator,
        np.repeat(held_out.parameters, COPIES, axis=0),
        counts=np.repeat(held_out.counts, COPIES),
    )
    settings = choose_settings(mocks)
    result = {"steps": trained.run.steps, "best_step": trained.run.best_step}
    for real, ours in zip(
        summaries(held_out, settings), summaries(generated, settings), strict=True
    ):
        scatter = np.nanstd(real.values, axis=0, ddof=1)
        difference = np.nanmean(ours.values, axis=0) - np.nanmean(real.values, axis=0)
        z = np.divide(difference, scatter, out=np.zeros_like(scatter), where=scatter > 0)
        result[real.name] = {
            "rms_z": round(float(np.sqrt(np.mean(z**2))), 3),
            "z": np.round(z, 2).tolist(),
        }
    once = generated.select(np.arange(0, len(generated), COPIES))
    report, _ = validate_catalogues(once, held_out, mocks)
    print(json.dumps(result | {"verdict": report.verdict}))


if __name__ == "__main__":
    main()
