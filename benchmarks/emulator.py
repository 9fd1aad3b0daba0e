"""How well an emulator reproduces simulations it never saw, and at what cost.

    python benchmarks/emulator.py data/emulator.h5 data/heldout.h5 --evaluations 8 16 32 64

z = (mean generated - mean held-out) / single-box scatter at each cosmology, for xi, the quartiles
of the k = 1, 2, 4, 8 neighbour distances and, of emulators of velocities and masses, v12, sigma12,
the mass function and redshift-space multipoles; the number of galaxies where it varies. For scale:
fresh simulations of the same cosmologies, which is as good as anything can be. With --rounded,
networks multiply as an accelerator does with less precision.
"""

import argparse
import json
import os
import time
import warnings
from pathlib import Path

import diffrax
import jax
import numpy as np
from rounding import MANTISSA_BITS, round_products

from physgen.densities import FixedSteps
from physgen.galaxies import (
    Catalogue,
    GalaxyEmulator,
    choose_settings,
    generate,
    read_catalogue,
    summaries,
)

LEFT_OUT = {"pair separations", "speeds", "log masses", "mass correlation"}
FEWEST = 16  # boxes with a value, in either set, for a bin to count


def z_scores(generated: Catalogue, held_out: Catalogue) -> dict[str, np.ndarray]:
    """z of each measured statistic, (cosmologies, bins); NaN where too few boxes have a value."""
    settings = choose_settings(held_out)
    _, group = np.unique(held_out.parameters, axis=0, return_inverse=True)
    result = {}
    pairs = zip(summaries(generated, settings), summaries(held_out, settings), strict=True)
    for ours, theirs in pairs:
        rows = [_z(ours.values[group == g], theirs.values[group == g]) for g in np.unique(group)]
        if ours.name not in LEFT_OUT and np.isfinite(rows).any():
            result[ours.name] = np.array(rows)
    return result


def together(z: dict[str, np.ndarray]) -> np.ndarray:
    """All but the power spectrum's, which come from the same pairs as xi, side by side."""
    return np.concatenate([values for name, values in z.items() if name != "power spectrum"], 1)


def _z(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    counted = np.minimum(np.isfinite(ours).sum(0), np.isfinite(theirs).sum(0)) >= FEWEST
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of bins without a value
        z = (np.nanmean(ours, 0) - np.nanmean(theirs, 0)) / np.nanstd(theirs, 0, ddof=1)
    return np.where(counted & np.isfinite(z), z, np.nan)


def first_of_each(catalogue: Catalogue, boxes: int) -> Catalogue:
    """So many boxes of each cosmology."""
    _, group = np.unique(catalogue.parameters, axis=0, return_inverse=True)
    rank = np.zeros(len(group), int)
    for each in np.unique(group):
        rank[group == each] = np.arange(np.sum(group == each))
    return catalogue.select(rank < boxes)


def rms(z: np.ndarray) -> float:
    """Over all numbers that there are."""
    return round(float(np.sqrt(np.nanmean(z**2))), 3)


def score(name: str, generated: Catalogue, held_out: Catalogue, **more) -> dict:
    """One line of the table, printed as JSON."""
    z = z_scores(generated, held_out)
    every = together(z)
    line = {
        "what": name,
        "rms_z": np.sqrt(np.nanmean(every**2)),
        "max_abs_z": np.nanmax(np.abs(every)),
        **{f"rms_z {key}": np.sqrt(np.nanmean(values**2)) for key, values in z.items()},
        **{f"max_abs_z {key}": np.nanmax(np.abs(values)) for key, values in z.items()},
        **{f"z by bin {key}": np.nanmean(values, axis=0).tolist() for key, values in z.items()},
        "worst_cosmology_rms": np.nanmax(np.sqrt(np.nanmean(every**2, axis=1))),
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
    parser.add_argument("--evaluations", type=int, nargs="*", help="its own if not given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--references", type=Path, help="fresh simulations of the same boxes")
    parser.add_argument("--rounded", choices=MANTISSA_BITS, help="factors of all products")
    options = parser.parse_args()
    if options.rounded is not None:
        round_products(options.rounded)
    jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    key = jax.random.key(options.seed)
    emulator = GalaxyEmulator.load(options.emulator)
    modelled = emulator.domain.features.modelled
    held_out = read_catalogue(options.held_out).with_features(modelled)
    if options.references is not None:
        fresh = read_catalogue(options.references).with_features(modelled)
        score("fresh simulations", fresh, held_out)
    own = emulator.settings.leaps or emulator.settings.evaluations
    for evaluations in options.evaluations or [own]:
        method = diffrax.Euler() if evaluations == 1 else diffrax.Midpoint()
        solver = FixedSteps(evaluations, method) if options.evaluations else None
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
