"""The whole path in one call: simulate, learn, generate, judge."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from physgen.errors import InputError
from physgen.galaxies.catalogue import write_catalogue
from physgen.galaxies.generate import generate
from physgen.galaxies.simulate import simulate, sobol_parameters
from physgen.galaxies.training import TrainingSettings, train_emulator
from physgen.galaxies.validate import validate_catalogues
from physgen.train import FitSettings
from physgen.validation import Report, write_report

ProgressOf = Callable[[str], Callable[[int, int], None]]

FILES = ("mocks.h5", "heldout.h5", "emulator.h5", "generated.h5")


@dataclass(frozen=True)
class DemoSettings:
    """How large the demonstration is; the default takes about eight minutes on two cores."""

    training_boxes: int = 2500
    cosmologies: int = 16
    boxes_each: int = 64
    schedule: FitSettings = FitSettings(batch_size=16, minutes=4.5, validate_every=500)


def run_demo(
    key: PRNGKeyArray,
    folder: Path,
    settings: DemoSettings = DemoSettings(),
    *,
    progress: ProgressOf | None = None,
    say: Callable[[str], None] = print,
) -> Report:
    """Simulate galaxies, train an emulator, generate at cosmologies it never saw, and judge it.

    Leaves mocks.h5, heldout.h5, emulator.h5, generated.h5 and report/ in `folder`, which is made.

    Raises:
        InputError: if the folder already has one of them.
        KeyboardInterrupt: after Ctrl-C; files that are there are whole.
    """
    require_free_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    key_train, key_held_out, key_fit, key_generate = jax.random.split(key, 4)

    def shown(what: str) -> Callable[[int, int], None] | None:
        return None if progress is None else progress(what)

    say(f"1/4 simulating {settings.training_boxes} boxes of galaxies, each of another cosmology")
    parameters = sobol_parameters(settings.training_boxes, seed=1)
    mocks = simulate(key_train, parameters, progress=shown("training boxes"))
    write_catalogue(folder / "mocks.h5", mocks)
    parameters = np.repeat(sobol_parameters(settings.cosmologies, seed=7), settings.boxes_each, 0)
    held_out = simulate(key_held_out, parameters, progress=shown("held-out boxes"))
    write_catalogue(folder / "heldout.h5", held_out)

    say("2/4 learning p(positions | Omega_m, sigma_8)")
    training = replace(TrainingSettings(), schedule=settings.schedule)
    trained = train_emulator(key_fit, mocks.positions_only(), training)
    if trained.run.interrupted:
        raise KeyboardInterrupt
    trained.emulator.save(
        folder / "emulator.h5",
        training={"steps": trained.run.steps, "seconds": trained.run.seconds},
    )

    say(f"3/4 generating {len(held_out)} boxes at {settings.cosmologies} cosmologies never seen")
    generated = generate(
        key_generate, trained.emulator, held_out.parameters, progress=shown("generated boxes")
    )
    write_catalogue(folder / "generated.h5", generated)

    say("4/4 judging them against simulations that were held out")
    report, figures = validate_catalogues(generated, held_out, mocks)
    write_report(folder / "report", report, figures, title="physgen demo")
    return report


def require_free_folder(folder: Path) -> None:
    """InputError unless the demonstration can write to `folder`."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: give the name of a folder")
    taken = [name for name in (*FILES, "report") if (folder / name).exists()]
    if taken:
        raise InputError(
            f"{folder} already holds {', '.join(taken)}: choose another folder, or --force to "
            "replace them"
        )
