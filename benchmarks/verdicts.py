"""How honest and how sharp the two-sample tests are.

    python benchmarks/verdicts.py null OUT       # rejections at 5% of equal ensembles
    python benchmarks/verdicts.py ladder OUT     # detections of known corruptions
    python benchmarks/verdicts.py figure OUT IMAGE
    python benchmarks/verdicts.py report OUT     # seconds for a whole report

Each appends to files in OUT, and goes on where it was stopped. Run it with one thread
(OMP_NUM_THREADS=1) where other work runs beside it.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from scipy.stats import binom

from physgen.galaxies import (
    Catalogue,
    SimulationSettings,
    read_catalogue,
    simulate,
    summaries,
    write_catalogue,
)
from physgen.galaxies.summaries import choose_settings, fingerprints
from physgen.validation import (
    RandomForest,
    agreement_test,
    c2st,
    c2st_clouds,
    covariance_test,
    frechet_distance,
    hotelling,
    kpd,
    memorisation_test,
    pqmass,
    wasserstein_distances,
)
from physgen.validation.permutation import labellings, permutation_test, two_sample_scores

LEVEL = 0.05
BINS = 20
CORRELATION = 0.7  # of neighbouring bins
CHUNK = 50  # trials between two writes
DRAWS = 39  # a p-value of as few permutations rejects as often, if less sharply
FOREST = RandomForest(trees=20)


def permuted(which):
    """The test of means (0) or scatter (1) that a report makes of each statistic."""

    def test(a, b, draws, seed):
        is_real = np.arange(len(a) + len(b)) < len(a)
        strata, rng = np.zeros(len(is_real), int), np.random.default_rng(seed)
        labels = labellings(is_real, strata, draws, rng)
        return permutation_test([two_sample_scores(np.concatenate([a, b]), labels)[which]])

    return test


def forest(a, b, draws, seed):
    return c2st(a, b, classifier=FOREST, folds=2, permutations=draws, seed=seed)


PERMUTED = {
    "permuted means": permuted(0),
    "permuted scatter": permuted(1),
    "covariance": lambda a, b, draws, seed: covariance_test(a, b, draws=draws, seed=seed),
    "PQMass": lambda a, b, draws, seed: pqmass(a, b, draws=draws, seed=seed),
    "KPD": lambda a, b, draws, seed: kpd(a, b, draws=draws, seed=seed),
    "Frechet": lambda a, b, draws, seed: frechet_distance(a, b, draws=draws, seed=seed),
    "Wasserstein": lambda a, b, draws, seed: wasserstein_distances(a, b, draws=draws, seed=seed),
}
TESTS = {
    "Hotelling": lambda a, b, draws, seed: hotelling(a, b),
    "Hotelling, unequal covariances": lambda a, b, draws, seed: hotelling(
        a, b, equal_covariances=False
    ),
    **PERMUTED,
}


def gaussian(rng, count):
    distance = np.abs(np.subtract.outer(np.arange(BINS), np.arange(BINS)))
    return rng.normal(size=(count, BINS)) @ np.linalg.cholesky(CORRELATION**distance).T


def null(out: Path, sizes: list[int], names: list[str], trials: int) -> None:
    """Rejections of every p-value, both ensembles drawn from one distribution."""
    boxes = small_boxes(out / "small.h5")
    curves = statistics(boxes, ("xi", "neighbour distances"))
    file = out / "null.jsonl"
    done = {tuple(row["case"]) for row in rows(file)}
    for start in range(0, trials, CHUNK):
        for n in sizes:
            for source, name in CASES:
                case = (source, n, name, start)
                if case in done or name not in names:
                    continue
                began = time.monotonic()
                rejected = sum(
                    null_p_value(source, n, name, seed, curves, boxes) <= LEVEL
                    for seed in range(start, start + CHUNK)
                )
                seconds = round((time.monotonic() - began) / CHUNK, 4)
                append(file, {"case": case, "rejected": int(rejected), "seconds": seconds})


CHEAP = [*TESTS, "agreement"]
CASES = [
    ("Gaussian", "agreement"),
    ("galaxies", "C2ST of points"),
    *(
        (source, name)
        for source in ("Gaussian", "galaxies")
        for name in (*TESTS, "memorisation", "C2ST")
    ),
]


def null_p_value(source, n, name, seed, curves, boxes) -> float:
    rng, draws = np.random.default_rng([seed, n]), DRAWS
    sets = 3 if name == "memorisation" else 2
    if source == "Gaussian":
        values = gaussian(rng, sets * n)
    else:
        chosen = rng.permutation(len(curves))[: sets * n]
        values = curves[chosen]
    a, b = values[:n], values[n : 2 * n]
    if name == "memorisation":
        return memorisation_test(a, b, values[2 * n :]).p_value
    if name == "agreement":
        return agreement_test(a, b, *gaussian(rng, 40).reshape(2, 20, -1), draws=draws).p_value
    if name == "C2ST":
        return forest(a, b, draws, seed).p_value
    if name == "C2ST of points":
        return c2st_clouds(
            boxes.position[chosen[:n]],
            boxes.position[chosen[n:]],
            box_size=boxes.box_size,
            classifier=FOREST,
            permutations=draws,
            seed=seed,
        ).p_value
    return TESTS[name](a, b, draws, seed).p_value


def small_boxes(file: Path) -> Catalogue:
    """4000 boxes of 64 galaxies in 64 Mpc/h at one cosmology."""
    return made(file, 4000, 0, SimulationSettings(points=64, box_size=64.0, grid=32))


def made(file: Path, count: int, seed: int, settings: SimulationSettings) -> Catalogue:
    if not file.exists():
        parameters = np.repeat([[0.3, 0.8]], count, axis=0).astype(np.float32)
        write_catalogue(file, simulate(jax.random.key(seed), parameters, settings))
    return read_catalogue(file)


def statistics(boxes: Catalogue, names, like: Catalogue | None = None) -> np.ndarray:
    """Statistics of every box in a row, missing values replaced by the mean of the others."""
    found = summaries(boxes, choose_settings(boxes if like is None else like))
    values = np.concatenate([s.values for s in found if s.name in names], axis=1)
    return np.where(np.isfinite(values), values, np.nanmean(values, axis=0))


STATISTICS = ("xi", "neighbour distances", "v12", "speeds")
RUNGS = {
    "velocities shuffled": (1,),
    "xi up by %": (1, 2, 5),
    "smoothed at Mpc/h": (1, 2, 4),
    "copies of training boxes %": (1, 5, 20),
}
SIZE, TRIALS = 200, 20


def ladder(out: Path) -> None:
    """Detections of corruptions in 200 against 200 boxes of 128 galaxies in 128 Mpc/h."""
    settings = SimulationSettings(points=128, box_size=128.0, grid=64)
    real, other, train = (
        replace(made(out / f"{name}.h5", count, seed, settings), log_mass=None)
        for name, count, seed in (("real", 1000, 1), ("other", 1000, 2), ("train", 400, 3))
    )
    curves = statistics(real, STATISTICS)
    prints = fingerprints(real, train), fingerprints(train, train)
    file = out / "ladder.jsonl"
    done = {tuple(row["case"]) for row in rows(file)}
    for kind, amounts in {"nothing": (0,), **RUNGS}.items():
        for amount in amounts:
            if (kind, amount) in done:
                continue
            changed = corrupted(other, train, kind, amount)
            values = statistics(changed, STATISTICS, real)
            if kind.startswith("xi"):
                values[:, : values_of(real, "xi")] *= 1 + amount / 100
            found = fingerprints(changed, train)
            rejected: dict[str, int] = {}
            for seed in range(TRIALS):
                rng = np.random.default_rng(seed)
                r = rng.permutation(len(real))[:SIZE]
                g = rng.permutation(len(other))[:SIZE]
                if kind.startswith("copies"):  # so many of each hundred, exactly
                    copies = rng.permutation(np.arange(0, len(other), 5))[: SIZE * amount // 100]
                    honest = rng.permutation(
                        np.setdiff1d(np.arange(len(other)), np.arange(0, 1000, 5))
                    )
                    g = np.concatenate([copies, honest[: SIZE - len(copies)]])
                p_values = {
                    name: test(curves[r], values[g], 99, seed).p_value
                    for name, test in TESTS.items()
                }
                p_values["C2ST"] = forest(curves[r], values[g], 99, seed).p_value
                p_values["memorisation"] = memorisation_test(
                    found[g], prints[0][r], prints[1]
                ).p_value
                if not kind.startswith("xi"):
                    p_values["C2ST of points"] = c2st_clouds(
                        real.position[r],
                        changed.position[g],
                        real_velocities=real.velocity[r],
                        generated_velocities=changed.velocity[g],
                        box_size=real.box_size,
                        classifier=FOREST,
                        permutations=99,
                        seed=seed,
                    ).p_value
                for name, p_value in p_values.items():
                    rejected[name] = rejected.get(name, 0) + int(p_value <= LEVEL)
            append(file, {"case": (kind, amount), "trials": TRIALS, "rejected": rejected})


def values_of(boxes: Catalogue, name: str) -> int:
    """How many bins the first statistic has."""
    first = summaries(boxes.select(slice(2)))[0]
    assert first.name == name
    return first.values.shape[1]


def corrupted(boxes: Catalogue, train: Catalogue, kind: str, amount: float) -> Catalogue:
    rng = np.random.default_rng(5)
    position, velocity = boxes.position.copy(), boxes.velocity.copy()
    if kind.startswith("velocities"):
        velocity = rng.permuted(velocity, axis=1)
        order = np.argsort(rng.random(velocity.shape[:2]), axis=1)
        velocity = np.take_along_axis(boxes.velocity, order[..., None], axis=1)
    if kind.startswith("smoothed"):
        position += rng.normal(0, amount, position.shape).astype(position.dtype)
    if kind.startswith("copies"):  # every fifth box is a training box, moved
        rows_ = np.arange(0, len(position), 5)
        velocity[rows_] = train.velocity[: len(rows_)]
        moved = train.position[: len(rows_)] + rng.uniform(0, boxes.box_size, (len(rows_), 1, 3))
        position[rows_] = moved
    box = np.float32(boxes.box_size)
    position = np.mod(position, box)
    return replace(
        boxes, position=np.where(position >= box, np.float32(0), position), velocity=velocity
    )


def report(out: Path) -> None:
    """Seconds for the report of 200 + 200 boxes of 500 galaxies, 200 training boxes beside them."""
    from physgen.cli import main

    settings = SimulationSettings(points=500, box_size=200.0, grid=80)
    for name, seed in (("one", 11), ("two", 12), ("three", 13)):
        made(out / f"{name}.h5", 200, seed, settings)
    one, two, three = (str(out / f"{name}.h5") for name in ("one", "two", "three"))
    began = time.monotonic()
    main(["validate", one, two, "--train", three, "--out", str(out / "report"), "--force"])
    append(out / "report.jsonl", {"seconds": time.monotonic() - began})
    print(f"{time.monotonic() - began:.1f} s")


def figure(out: Path, image: Path) -> None:
    """Print both tables and draw the detections."""
    from matplotlib.figure import Figure

    low, high = (int(binom.ppf(q, 2000, LEVEL)) / 2000 for q in (0.0005, 0.9995))
    print(f"99.9% of 2000 trials at 5%: {low:.1%} to {high:.1%}")
    counts: dict[tuple, list] = {}
    for row in rows(out / "null.jsonl"):
        source, n, name, _ = row["case"]
        entry = counts.setdefault((name, source, n), [0, 0])
        entry[0] += row["rejected"]
        entry[1] += CHUNK
    for (name, source, n), (rejected, trials) in sorted(counts.items()):
        inside = binom.ppf(0.0005, trials, LEVEL) <= rejected <= binom.ppf(0.9995, trials, LEVEL)
        print(
            f"{name:32} {source:9} {n:5} {rejected / trials:6.1%} of {trials}"
            f"{'' if inside else ' OUT'}"
        )
    found = {tuple(row["case"]): row for row in rows(out / "ladder.jsonl")}
    names = dict.fromkeys(name for row in found.values() for name in row["rejected"])
    names = [name for name in names if "unequal" not in name]  # the other one, at equal sizes
    canvas = Figure(figsize=(11, 4.2), layout="constrained")
    axes = canvas.subplots(1, len(RUNGS), sharey=True)
    marks = ["o", "s", "^", "v", "D", "P", "X", "<", ">", "*", "h", "d"]
    for ax, (kind, amounts) in zip(axes, RUNGS.items(), strict=True):
        for i, name in enumerate(names):
            levels = [("nothing", 0), *((kind, amount) for amount in amounts)]
            shares = [
                found[c]["rejected"].get(name, np.nan) / found[c]["trials"]
                if c in found
                else np.nan
                for c in levels
            ]
            style = "-" if i < 6 else "--"
            ax.plot(range(len(levels)), shares, style, marker=marks[i], ms=5, lw=1, label=name)
        ax.set_xticks(
            range(len(amounts) + 1),
            ["0", *map(str, amounts)] if len(amounts) > 1 else ["no", "yes"],
        )
        ax.axhline(LEVEL, color="grey", lw=0.8, ls=":")
        ax.set_xlabel(kind)
    axes[0].set_ylabel("share of trials that reject at 5%")
    canvas.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=7)
    canvas.savefig(image, dpi=130)
    for case, row in found.items():
        print(case, {k: round(v / row["trials"], 2) for k, v in row["rejected"].items()})


def rows(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def append(file: Path, row: dict) -> None:
    with file.open("a") as stream:
        stream.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("null", "ladder", "figure", "report"))
    parser.add_argument("out", type=Path)
    parser.add_argument("image", type=Path, nargs="?", default=Path("detections.png"))
    parser.add_argument(
        "--sizes", type=int, nargs="+", help="of the ensembles, for null", default=[50, 200, 1000]
    )
    parser.add_argument(
        "--tests",
        nargs="+",
        default=CHEAP,
        help="for null; by default all but memorisation, C2ST and C2ST of points, which are slow",
    )
    parser.add_argument("--trials", type=int, default=2000, help="for null")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.what == "null":
        null(options.out, options.sizes, options.tests, options.trials)
    elif options.what == "figure":
        figure(options.out, options.image)
    else:
        {"ladder": ladder, "report": report}[options.what](options.out)
