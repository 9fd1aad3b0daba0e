"""What of the galaxy emulator matters: one choice changed at a time, as many minutes each.

    python benchmarks/ablations.py OUT_DIR [--mocks data/mocks.h5] [--held-out data/heldout.h5]
        [--minutes 10] [--only NAME ...] [--boxes N] [--rounded bfloat16]

z as in benchmarks/emulator.py, by 32 and by 4 evaluations, as ablations.csv. Rows that are there
are not measured again; trained emulators are kept, where benchmarks/bridges.py finds them. Pin it
to one core where others run beside it: minutes are of the clock. With --rounded, all products, of
training as well, are those of an accelerator with less precision.

There is no row without symmetries: the network has those of the torus and of the cube by
construction, and nothing is augmented.
"""

import argparse
import os
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from emulator import first_of_each, rms, together, z_scores
from flax import nnx
from jax.flatten_util import ravel_pytree
from rounding import MANTISSA_BITS, round_products
from rows import append, has_row

from physgen.densities import FixedSteps, OptimalTransport
from physgen.galaxies import (
    Catalogue,
    GalaxyEmulator,
    TrainingSettings,
    emulator_settings,
    generate,
    read_catalogue,
    train_emulator,
)
from physgen.nets import PairSettings
from physgen.train import FitSettings

EVALUATIONS = (32, 4)


@dataclass(frozen=True)
class Choice:
    """What is changed: settings of the density and of its network, the catalogue and the boxes."""

    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    in_open_space: bool = False
    network: dict[str, Any] = field(default_factory=dict)


CHOICES = {
    "flow-matching": Choice(),
    "another-seed": Choice(seed=1),
    "gaussian-base": Choice(in_open_space=True),
    "diffusion": Choice({"diffusion": True}),
    "optimal-transport": Choice({"coupling": OptimalTransport()}),
    "blurred-transport": Choice({"coupling": OptimalTransport(noise=0.1)}),
    "plain-clock": Choice({"warp": 1.0}),
    "attention": Choice(network={"heads": 4}),
    "no-waves": Choice(network={"waves": 0}),
}


def main() -> None:
    """Measure what has no row yet, and print each row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--mocks", type=Path, default=Path("data/mocks.h5"))
    parser.add_argument("--held-out", type=Path, default=Path("data/heldout.h5"))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", nargs="+", choices=CHOICES, default=list(CHOICES))
    parser.add_argument("--boxes", type=int, default=64, help="of each held-out cosmology")
    parser.add_argument("--rounded", choices=MANTISSA_BITS, help="factors of all products")
    options = parser.parse_args()
    if options.rounded is not None:
        round_products(options.rounded)
    options.out.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    mocks = read_catalogue(options.mocks).positions_only()
    held_out = read_catalogue(options.held_out).positions_only()
    held_out = first_of_each(held_out, options.boxes)
    for name in options.only:
        row = f"{name}, {options.rounded}" if options.rounded else name
        measure(options, row, CHOICES[name], mocks, held_out)


def measure(
    options: argparse.Namespace, name: str, choice: Choice, mocks: Catalogue, held_out: Catalogue
) -> None:
    """Train, and a row for the averaged parameters and one for the last, by each solver."""
    table = options.out / "ablations.csv"
    if has_row(table, what=name, parameters="averaged", evaluations=EVALUATIONS[-1]):
        return
    side = mocks.box_size
    assert side is not None, "the emulator is of a periodic box"
    if choice.in_open_space:
        mocks = replace(mocks, position=mocks.position - side / 2, box_size=None)
    schedule = FitSettings(batch_size=16, minutes=options.minutes, validate_every=500)
    training = TrainingSettings(schedule=schedule)
    settings = emulator_settings(mocks, **choice.settings)
    if choice.network:
        assert isinstance(settings.network, PairSettings)
        settings = replace(settings, network=replace(settings.network, **choice.network))
    trained = train_emulator(jax.random.key(choice.seed), mocks, training, settings)
    trained.emulator.save(options.out / f"{name}.h5", training={"steps": trained.run.steps})
    kinds = {"averaged": trained.emulator}
    if name == "flow-matching":
        kinds["last"] = last(trained.emulator, trained.run.state.params)
    for kind, emulator in kinds.items():
        for evaluations in EVALUATIONS:
            draw = partial(generate, jax.random.key(2), emulator, held_out.parameters)
            made = draw(solver=FixedSteps(evaluations))
            if choice.in_open_space:
                made = replace(made, position=(made.position + side / 2) % side, box_size=side)
            z = z_scores(made, held_out)
            every = together(z)
            row = {"what": name, "parameters": kind, "evaluations": evaluations}
            row |= {"steps": trained.run.steps, "rms_z": rms(every)}
            row |= {"max_abs_z": round(float(np.nanmax(np.abs(every))), 2)}
            append(table, row | {f"rms_z {key}": rms(values) for key, values in z.items()})


def last(emulator: GalaxyEmulator, params: jax.Array) -> GalaxyEmulator:
    """With the parameters of the last step in place of their running average."""
    graph, averaged, rest = nnx.split(
        emulator, lambda path, v: path[0] == "transport" and isinstance(v, nnx.Param), ...
    )
    return nnx.merge(graph, ravel_pytree(averaged)[1](params), rest)


if __name__ == "__main__":
    main()
