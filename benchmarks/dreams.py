"""Satellites of hydrodynamical halos: open space, padded sets, 13 conditions.

    python benchmarks/dreams.py ../shared/data/galaxies --minutes 8

Trains on 164 halos of DREAMS-TNG, with velocities and masses, and generates clouds of the 40 held
out from their conditions alone, their numbers of satellites too. Prints, as JSON, z = (mean
generated - mean held-out) / single-halo scatter of each statistic, and what a classifier of sets of
points makes of one generated cloud for each halo: its accuracy, and that for a baseline that takes
every satellite from any halo of the training set, independently of the others.
"""

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from physgen.galaxies import (
    Catalogue,
    TrainingSettings,
    choose_settings,
    generate,
    read_catalogue,
    summaries,
    train_emulator,
)
from physgen.train import FitSettings
from physgen.validation import c2st_clouds

HELD_OUT = 40
COPIES = 8  # generated for each held-out halo
FEATURES = ("position", "velocity", "feature_6")  # the last one the mass


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
    ).with_features(FEATURES)
    order = np.random.default_rng(options.seed).permutation(len(catalogue))
    held_out, mocks = catalogue.select(order[:HELD_OUT]), catalogue.select(order[HELD_OUT:])

    key_train, key_generate = jax.random.split(jax.random.key(options.seed))
    schedule = FitSettings(batch_size=16, minutes=options.minutes, validate_every=100, patience=15)
    training = replace(TrainingSettings(), schedule=schedule, held_out=0.1)
    trained = train_emulator(key_train, mocks, training)
    repeated = np.repeat(held_out.parameters, COPIES, axis=0)
    generated = generate(key_generate, trained.emulator, repeated)
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
    baseline = independent(mocks, once.counts, np.random.default_rng(options.seed))
    result["accuracy of a classifier"] = {
        name: round(float(real_or_fake(held_out, fake)), 3)
        for name, fake in (("emulator", once), ("independent galaxies", baseline))
    }
    print(json.dumps(result))


def independent(mocks: Catalogue, counts: np.ndarray, rng: np.random.Generator) -> Catalogue:
    """Clouds of those sizes whose galaxies come from any cloud of the mocks."""
    pool = np.flatnonzero(mocks.mask)
    mask = np.arange(counts.max()) < counts[:, None]
    chosen = rng.choice(pool, mask.shape)
    return Catalogue(
        position=mocks.position.reshape(-1, 3)[chosen],
        velocity=mocks.velocity.reshape(-1, 3)[chosen],
        mask=mask,
    )


def real_or_fake(real: Catalogue, fake: Catalogue) -> float:
    """Accuracy of a classifier of whole clouds, of positions and velocities."""
    real, fake = (c.select(c.counts >= 2) for c in (real, fake))
    return c2st_clouds(
        real.position,
        fake.position,
        real_velocities=real.velocity,
        generated_velocities=fake.velocity,
        real_mask=real.mask,
        generated_mask=fake.mask,
    ).statistic


if __name__ == "__main__":
    main()
