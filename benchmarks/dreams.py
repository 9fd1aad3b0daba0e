"""Satellites of hydrodynamical halos: open space, padded sets, 13 conditions.

    python benchmarks/dreams.py FOLDER OUT_DIR --minutes 5

204 halos of DREAMS-TNG (dreams_tng_satellites.npz and dreams_tng_conditions.csv in FOLDER), with
velocities and masses, in five parts: each part is held out once, and an emulator of the others
generates its clouds from their conditions alone, their numbers of satellites too. Emulators and
generated catalogues are kept in OUT_DIR and not made again. Prints, as JSON, z = (mean generated -
mean held-out) / single-halo scatter of each statistic over all halos, and the accuracy of a random
forest that is given conditions and statistics of each cloud, cross-validated over halos, mean over
8 clouds for each: of the emulator and, for scale, of a baseline whose satellites come from any
halos of the training set, independently.
"""

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GroupKFold, cross_val_predict

from physgen.galaxies import (
    Catalogue,
    SummarySettings,
    TrainingSettings,
    choose_settings,
    generate,
    read_catalogue,
    summaries,
    train_emulator,
    write_catalogue,
)
from physgen.train import FitSettings

PARTS = 5
COPIES = 8  # generated for each held-out halo
FEATURES = ("position", "velocity", "feature_6")  # the last one the mass


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0, help="for each part")
    parser.add_argument("--weight-decay", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_num_cpu_devices", min(4, len(os.sched_getaffinity(0))))
    catalogue = read_catalogue(
        options.folder / "dreams_tng_satellites.npz",
        conditions=options.folder / "dreams_tng_conditions.csv",
    ).with_features(FEATURES)
    rng = np.random.default_rng(options.seed)
    parts = np.array_split(rng.permutation(len(catalogue)), PARTS)
    settings = choose_settings(catalogue)
    real, made, baseline = [], [], []
    for number, part in enumerate(parts):
        mocks = catalogue.select(np.setdiff1d(np.arange(len(catalogue)), part))
        held_out = catalogue.select(part)
        generated = generated_clouds(options, number, mocks, held_out)
        scattered = independent(mocks, generated, rng)
        real.append(curves(held_out, settings))
        made.append(curves(generated, settings))
        baseline.append(curves(scattered, settings))
    result: dict = {}
    for name in real[0]:
        truth, ours = (np.concatenate([each[name] for each in sets]) for sets in (real, made))
        scatter = np.nanstd(truth, axis=0, ddof=1)
        difference = np.nanmean(ours, axis=0) - np.nanmean(truth, axis=0)
        z = np.divide(difference, scatter, out=np.zeros_like(scatter), where=scatter > 0)
        result[name] = {"rms_z": round(float(np.sqrt(np.mean(z**2))), 3), "z": z.round(2).tolist()}
    conditions = catalogue.parameters[np.concatenate(parts)]
    for name, sets in (("emulator", made), ("independent galaxies", baseline)):
        found = accuracies(conditions, real, sets)
        result[f"accuracy of a classifier, {name}"] = f"{np.mean(found):.3f}"
        result[f"{name}: spread over copies"] = f"{np.std(found):.3f}"
    print(json.dumps(result))


def generated_clouds(
    options: argparse.Namespace, number: int, mocks: Catalogue, held_out: Catalogue
) -> Catalogue:
    """The copies of each held-out halo, by an emulator of the others."""
    path = options.out / f"generated-{number}.h5"
    if path.exists():
        return read_catalogue(path)
    key = jax.random.fold_in(jax.random.key(options.seed), number)
    key_train, key_generate, key_counts = jax.random.split(key, 3)
    schedule = FitSettings(batch_size=16, minutes=options.minutes, validate_every=100, patience=15)
    training = TrainingSettings()
    optimizer = replace(training.optimizer, weight_decay=options.weight_decay)
    training = replace(training, schedule=schedule, optimizer=optimizer, held_out=0.1)
    trained = train_emulator(key_train, mocks, training)
    trained.emulator.save(
        options.out / f"emulator-{number}.h5", training={"best_step": trained.run.best_step}
    )
    write_catalogue(options.out / f"held-out-{number}.h5", held_out)
    repeated = np.repeat(held_out.parameters, COPIES, axis=0)
    # One halo's conditions are so far from those of the others that their counts mean nothing.
    counts = np.asarray(trained.emulator.sample_counts(key_counts, jnp.asarray(repeated)))
    counts = np.minimum(counts, mocks.counts.max())
    generated = generate(key_generate, trained.emulator, repeated, counts=counts)
    write_catalogue(path, generated)
    return generated


def curves(catalogue: Catalogue, settings: SummarySettings) -> dict[str, np.ndarray]:
    """Each statistic of each cloud."""
    return {each.name: each.values for each in summaries(catalogue, settings)}


def accuracies(conditions: np.ndarray, real: list[dict], fake: list[dict]) -> list[float]:
    """Of a random forest, for each copy; a halo and its copy are both learned from, or neither."""
    truth = described(conditions, {k: np.concatenate([p[k] for p in real]) for k in real[0]})
    found = []
    for copy in range(COPIES):
        once = {k: np.concatenate([p[k][copy::COPIES] for p in fake]) for k in fake[0]}
        both = np.concatenate([truth, described(conditions, once)])
        label, halo = np.repeat([0, 1], len(truth)), np.tile(np.arange(len(truth)), 2)
        forest = RandomForestClassifier(n_estimators=300, random_state=copy)
        guess = cross_val_predict(forest, both, label, groups=halo, cv=GroupKFold(PARTS))
        found.append(float(np.mean(guess == label)))
    return found


def described(conditions: np.ndarray, statistics: dict[str, np.ndarray]) -> np.ndarray:
    """Each cloud as its conditions and its statistics, zero where it is too small for one."""
    return np.concatenate([conditions, *map(np.nan_to_num, statistics.values())], axis=1)


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


if __name__ == "__main__":
    main()
