"""Satellites of hydrodynamical halos: open space, padded sets, 13 conditions.

    python benchmarks/dreams.py ../shared/data/galaxies --minutes 8

Trains on 164 halos of DREAMS-TNG, with velocities and masses, and generates clouds of the 40 held
out from their conditions alone, their numbers of satellites too. Prints, as JSON, z = (mean
generated - mean held-out) / single-halo scatter of each statistic, and the accuracy of a classifier
that is given conditions and statistics of each cloud, mean over 8 clouds for each halo: of the
emulator and, for scale, of a baseline whose satellites come from any halos of the training set,
independently.
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
    SummarySettings,
    TrainingSettings,
    choose_settings,
    generate,
    read_catalogue,
    summaries,
    train_emulator,
)
from physgen.train import FitSettings
from physgen.validation import RandomForest, c2st

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
    rng = np.random.default_rng(options.seed)
    accuracy = {"emulator": [], "independent galaxies": []}
    real = described(held_out, settings)
    for copy in range(COPIES):
        once = generated.select(np.arange(copy, len(generated), COPIES))
        baseline = independent(mocks, once, rng)
        for name, fake in zip(accuracy, (once, baseline), strict=True):
            found = c2st(real, described(fake, settings), classifier=RandomForest(), seed=copy)
            accuracy[name].append(found.statistic)
    result["accuracy of a classifier"] = {
        name: f"{np.mean(values):.3f} +- {np.std(values) / COPIES**0.5:.3f}"
        for name, values in accuracy.items()
    }
    print(json.dumps(result))


def independent(mocks: Catalogue, like: Catalogue, rng: np.random.Generator) -> Catalogue:
    """Clouds of the sizes and conditions of `like`, of galaxies from any cloud of the mocks."""
    pool = np.flatnonzero(mocks.mask)
    chosen = rng.choice(pool, like.mask.shape)
    (mass,) = mocks.columns
    return replace(
        like,
        position=mocks.position.reshape(-1, 3)[chosen],
        velocity=mocks.velocity.reshape(-1, 3)[chosen],
        columns=(replace(mass, values=mass.values.ravel()[chosen]),),
    )


def described(catalogue: Catalogue, settings: SummarySettings) -> np.ndarray:
    """Each cloud as its conditions and its summaries, zero where it is too small for one."""
    curves = [statistic.values for statistic in summaries(catalogue, settings)]
    return np.concatenate([catalogue.parameters, *(np.nan_to_num(c) for c in curves)], axis=1)


if __name__ == "__main__":
    main()
