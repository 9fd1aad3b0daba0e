"""One family of bridges: flow matching and diffusions by the same network, walked in all ways.

    python benchmarks/bridges.py OUT_DIR two-moons
    python benchmarks/bridges.py OUT_DIR galaxies [--mocks data/mocks.h5]
        [--held-out data/heldout.h5] [--minutes 30]

two-moons: 10,000 points, the same network and as many steps for three bridges. C2ST by sbibm's
neural network at 64 evaluations, and the sliced Wasserstein distance to fresh data against the
number of evaluations; two-moons.csv, sliced.csv and bridges.png.

galaxies: flow matching and the diffusion of the torus for as many minutes each. z as in
benchmarks/emulator.py against held-out boxes, and against the finest flow of the same network, by
all solvers, as galaxies.csv and galaxies.png; trained emulators are kept and not trained again.

Rows that are there are not measured again.
"""

import argparse
import os
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from emulator import first_of_each, rms, together, z_scores
from flax import nnx
from rows import append, has_row, read

from physgen.densities import (
    AncestralSteps,
    ChurnedSteps,
    Clock,
    FixedSteps,
    Gaussian,
    Linear,
    Prediction,
    Solver,
    StochasticSteps,
    Transport,
    Trigonometric,
    VariancePreserving,
)
from physgen.galaxies import (
    Catalogue,
    GalaxyEmulator,
    TrainingSettings,
    emulator_settings,
    generate,
    read_catalogue,
    train_emulator,
)
from physgen.nets import MLP
from physgen.nets.pairs import time_features
from physgen.train import FitSettings, OptimizerSettings, fit, gradient_step
from physgen.validation import c2st

POINTS, BLUR = 10_000, 0.05
EVALUATIONS = (2, 4, 8, 16, 32, 64, 128)
COMPARED = 64  # evaluations at which classifiers look
DIRECTIONS = 100
BRIDGES = {
    "flow matching": (Linear(), Prediction.VELOCITY),
    "trigonometric": (Trigonometric(), Prediction.VELOCITY),
    "variance preserving, noise": (VariancePreserving(), Prediction.NOISE),
}
SOLVERS = {
    "ODE": FixedSteps,
    "SDE": StochasticSteps,
    "churned": ChurnedSteps,
    "ancestral": AncestralSteps,
}
STYLES = {
    "ODE": ("black", "s-"),
    "SDE": ("#d55e00", "o--"),
    "churned": ("#009e73", "v-."),
    "ancestral": ("#0072b2", "^:"),
}


def main() -> None:
    """Measure what has no row yet, and print each row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("what", choices=["two-moons", "galaxies"])
    parser.add_argument("--steps", type=int, default=20_000, help="of two moons, batches of 256")
    parser.add_argument("--mocks", type=Path, default=Path("data/mocks.h5"))
    parser.add_argument("--held-out", type=Path, default=Path("data/heldout.h5"))
    parser.add_argument("--minutes", type=float, default=30.0, help="for each emulator")
    parser.add_argument("--boxes", type=int, default=64, help="of each held-out cosmology")
    parser.add_argument("--evaluations", type=int, nargs="+", default=EVALUATIONS[2:-1])
    parser.add_argument("--solvers", nargs="+", choices=SOLVERS, default=list(SOLVERS))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.what == "two-moons":
        two_moons(options.out, options.steps)
    else:
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
        galaxies(options)


class Field(nnx.Module):
    """Three layers of 128 units that see the point, and time as fine as the noise near the data."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.mlp = MLP((18, 128, 128, 128, 2), rngs=rngs)

    def __call__(self, time, x, context, mask):
        return self.mlp(jnp.concatenate([time_features(time), x]))


def moons(key, n: int) -> np.ndarray:
    """Two half circles with normal blur, (n, 2)."""
    key_angle, key_arc, key_blur = jax.random.split(key, 3)
    angle = jax.random.uniform(key_angle, (n,), maxval=jnp.pi)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    upper, lower = jnp.stack([cos, sin], 1), jnp.stack([1 - cos, 0.5 - sin], 1)
    x = jnp.where(jax.random.bernoulli(key_arc, shape=(n, 1)), upper, lower)
    return np.asarray(x + BLUR * jax.random.normal(key_blur, (n, 2)))


def two_moons(out: Path, steps: int) -> None:
    """All bridges by all solvers."""
    key_data, key_fit, key_draw, *keys = jax.random.split(jax.random.key(0), 5)
    data, fresh, others = (moons(key, POINTS) for key in (key_data, *keys))
    if not has_row(out / "two-moons.csv", bridges="data"):
        row = {"bridges": "data", "between": "two sets of fresh data"}
        append(out / "two-moons.csv", row | {"c2st": round(accuracy(fresh, others), 4)})
    if not has_row(out / "sliced.csv", bridges="data"):
        row = {"bridges": "data", "solver": "", "evaluations": ""}
        append(out / "sliced.csv", row | {"sliced": round(sliced(fresh, others), 5)})
    for name, (interpolant, prediction) in BRIDGES.items():
        if has_row(out / "two-moons.csv", bridges=name, between="ODE and SDE"):
            continue
        density = Transport(
            Field(rngs=nnx.Rngs(0)),
            Gaussian(),
            (2,),
            clock=Clock(2.0),
            interpolant=interpolant,
            prediction=prediction,
        )
        density, compared = learn(key_fit, density, data, steps), {}
        for number, (solver_name, make) in enumerate(SOLVERS.items()):
            key = jax.random.fold_in(key_draw, number)
            for evaluations in EVALUATIONS:
                samples = drawn(key, density, make(evaluations))
                row = {"bridges": name, "solver": solver_name, "evaluations": evaluations}
                append(out / "sliced.csv", row | {"sliced": round(sliced(fresh, samples), 5)})
                if evaluations == COMPARED:
                    compared[solver_name] = samples
        pairs = [(fresh, "fresh data", other) for other in SOLVERS]
        pairs += [(compared["ODE"], "ODE", other) for other in ("churned", "SDE")]
        for reference, known, other in pairs:
            found = round(accuracy(reference, compared[other]), 4)
            row = {"bridges": name, "between": f"{known} and {other}", "c2st": found}
            append(out / "two-moons.csv", row)
    draw_figure(read(out / "sliced.csv"), out / "bridges.png")


def learn(key, density: Transport, data: np.ndarray, steps: int) -> Transport:
    """Trained on batches of 256, parameters averaged."""
    graph, parameters, rest = nnx.split(density, nnx.Param, ...)

    def loss(parameters, key, batch):
        model = nnx.merge(graph, parameters, rest)
        return jnp.mean(jax.vmap(model.loss)(jax.random.split(key, len(batch)), batch))

    step = gradient_step(parameters, loss, OptimizerSettings(learning_rate=5e-3))
    schedule = FitSettings(batch_size=256, steps=steps, steps_per_dispatch=500)
    run = fit(key, step.step, step.state, data, schedule, on_total_steps=step.on_total_steps)
    print(f"{run.seconds:.0f} s of training, {run.compile_seconds:.0f} of them compiling")
    return nnx.merge(graph, step.unravel(run.state.ema), rest)


def drawn(key, density: Transport, solver: Solver) -> np.ndarray:
    """As many samples as there are data."""
    one = jax.jit(jax.vmap(lambda key: density.draw(key, (2,), solver=solver)))
    return np.asarray(one(jax.random.split(key, POINTS)))


def accuracy(reference: np.ndarray, samples: np.ndarray) -> float:
    """0.5 where sbibm's network cannot tell them apart."""
    return c2st(reference, samples, permutations=0).mean


def sliced(x: np.ndarray, y: np.ndarray) -> float:
    """The mean over directions of the Wasserstein distance of what is seen along them."""
    angles = np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    directions = np.stack([np.cos(angles), np.sin(angles)])
    return float(np.mean(np.abs(np.sort(x @ directions, 0) - np.sort(y @ directions, 0))))


def draw_figure(rows: list[dict[str, str]], path: Path) -> None:
    """The sliced Wasserstein distance against evaluations, a panel for each kind of bridge."""
    floor = next(float(row["sliced"]) for row in rows if row["bridges"] == "data")
    figure, axes = plt.subplots(1, len(BRIDGES), figsize=(10, 3.4), sharey=True)
    for panel, name in zip(axes, BRIDGES, strict=True):
        panel.axhline(floor, color="0.6", linestyle="-.", label="fresh data")
        for solver, (colour, style) in STYLES.items():
            points = [
                (int(row["evaluations"]), float(row["sliced"]))
                for row in rows
                if (row["bridges"], row["solver"]) == (name, solver)
            ]
            panel.plot(*np.transpose(points), style, color=colour, label=solver)
        panel.set(xscale="log", yscale="log", title=name, xlabel="evaluations of the network")
        panel.set_xticks(EVALUATIONS, [str(each) for each in EVALUATIONS])
        panel.set_xticks([], minor=True)
    axes[0].set_ylabel("sliced Wasserstein distance\n(units of the data)")
    axes[-1].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def galaxies(options: argparse.Namespace) -> None:
    """Both emulators of a catalogue by both solvers."""
    mocks = read_catalogue(options.mocks).positions_only()
    held_out = read_catalogue(options.held_out).positions_only()
    held_out = first_of_each(held_out, options.boxes)
    table, key = options.out / "galaxies.csv", jax.random.key(0)
    for name, diffusion in (("flow matching", False), ("diffusion", True)):
        file = options.out / f"{name.replace(' ', '-')}.h5"
        if not file.exists():
            minutes = FitSettings(batch_size=16, minutes=options.minutes, validate_every=500)
            settings = emulator_settings(mocks, diffusion=diffusion)
            training = TrainingSettings(schedule=minutes)
            trained = train_emulator(key, mocks, training, settings)
            trained.emulator.save(file, training={"steps": trained.run.steps})
        draw = partial(generate, emulator=GalaxyEmulator.load(file), parameters=held_out.parameters)
        finest = draw(jax.random.key(2), solver=FixedSteps(max(options.evaluations)))
        for number, solver in enumerate(SOLVERS, 3):
            if solver not in options.solvers or not (diffusion or solver == "ODE"):
                continue
            for evaluations in options.evaluations:
                row = {"emulator": name, "solver": solver, "evaluations": evaluations}
                if not has_row(table, **row):
                    made = draw(jax.random.key(number), solver=SOLVERS[solver](evaluations))
                    row["rms_z"], row["from_flow"] = rms_z(made, held_out), rms_z(made, finest)
                    append(table, row)
    draw_galaxies(read(table), options.out / "galaxies.png")


def draw_galaxies(rows: list[dict[str, str]], path: Path) -> None:
    """rms z against evaluations: from held-out boxes, and from the finest flow."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), sharey=True)
    marks = (0.15, 0.2, 0.3, 0.5, 1.0, 2.0)
    asked = {"rms_z": "from held-out simulations", "from_flow": "from the network's own flow"}
    for panel, (column, title) in zip(axes, asked.items(), strict=True):
        for name, solver in dict.fromkeys((row["emulator"], row["solver"]) for row in rows):
            chosen = [row for row in rows if (row["emulator"], row["solver"]) == (name, solver)]
            points = sorted((int(row["evaluations"]), float(row[column])) for row in chosen)
            colour, style = ("0.55", "D-") if name == "flow matching" else STYLES[solver]
            panel.plot(*np.transpose(points), style, color=colour, label=f"{name}, {solver}")
        panel.set(xscale="log", yscale="log", title=title, xlabel="evaluations of the network")
        ticks = sorted({int(row["evaluations"]) for row in rows})
        panel.set_xticks(ticks, [str(each) for each in ticks])
        panel.set_xticks([], minor=True)
        panel.set_yticks(marks, [str(each) for each in marks])
        panel.set_yticks([], minor=True)
    axes[0].set_ylabel("rms z (no unit)")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def rms_z(ours: Catalogue, theirs: Catalogue) -> float:
    """Over all statistics, cosmologies and bins."""
    every = together(z_scores(ours, theirs))
    return rms(every)


if __name__ == "__main__":
    main()
