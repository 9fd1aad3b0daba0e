"""The evidence of maps under emulators that move nothing: that of the number of galaxies."""

import csv
import json
import os
import signal
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from commands import run
from flax import nnx
from scipy.special import gammaln

from physgen.cli import evidences
from physgen.galaxies import Catalogue, GalaxyEmulator, emulator_settings, write_catalogue
from physgen.nets import PairSettings

BOX = 50.0
CHEAP = ("--probes", 2, "--evaluations", 3)


def maps(fewest, most, n, seed):
    rng = np.random.default_rng(seed)
    return Catalogue(
        position=rng.uniform(0, BOX, (n, 9, 3)).astype(np.float32),
        mask=np.arange(9) < rng.integers(fewest, most + 1, n)[:, None],
        parameters=rng.uniform(0.1, 0.5, (n, 1)).astype(np.float32),
        parameter_names=("Omega_m",),
        box_size=BOX,
    )


def untrained(catalogue):
    """Its p(N | Omega_m) varies over the prior by less than a grid of evidences resolves."""
    network = PairSettings(1, width=4, layers=1, heads=2, filters=2)
    emulator = GalaxyEmulator(emulator_settings(catalogue, network=network), rngs=nnx.Rngs(0))
    kernel = emulator.counts.network.layers[-1].kernel
    kernel[...] = 0.5 * kernel[...]
    return emulator


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, ends, seed in (("few", (2, 5), 0), ("many", (4, 9), 1)):
        untrained(maps(*ends, 40, seed)).save(tmp_path / f"{name}.h5")
        write_catalogue(tmp_path / f"{name}_maps.h5", maps(*ends, 12, seed + 2))
    write_catalogue(tmp_path / "observed.h5", maps(2, 9, 2, 4))
    return tmp_path


COMPARE = ("galaxies", "compare", "observed.h5", "--emulators", "few.h5", "many.h5", *CHEAP)
CALIBRATED = (*COMPARE, "--held-out", "few_maps.h5", "many_maps.h5", "--out", "odds.csv")


def test_evidences_are_of_the_numbers_of_galaxies(folder, capsys):
    status, text, _ = run(capsys, *COMPARE, "--out", "odds.csv", "--json")
    assert status == 0
    counts = maps(2, 9, 2, 4).counts
    for name, i in (("few", 0), ("many", 1)):
        emulator = GalaxyEmulator.load(f"{name}.h5")
        domain = emulator.domain
        theta = np.linspace(domain.parameter_low[0], domain.parameter_high[0], 401)
        given = jnp.asarray((theta - domain.parameter_mean[0]) / domain.parameter_scale[0])
        for box, n in zip(json.loads(text)["boxes"], counts, strict=True):
            numbers = jnp.full(401, float(n))
            of_number = np.log(np.mean(np.exp(emulator.counts.log_prob(numbers, given[:, None]))))
            exact = of_number - 3 * n * np.log(BOX) + gammaln(n + 1)
            assert box["values"][i] == pytest.approx(exact, abs=2e-3)
            assert box["errors"][i] < 1e-3
    assert not (folder / "odds.png").exists()


def test_held_out_maps_say_what_differences_are_worth(folder, capsys):
    status, text, _ = run(capsys, *CALIBRATED)
    assert status == 0 and "of 24 known observations" in text and "probability" in text
    with open("odds.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 26
    for row in rows:
        assert float(row["few_probability"]) + float(row["many_probability"]) == pytest.approx(1)
    of_few = [float(row["few_probability"]) for row in rows[2:14]]
    assert np.mean(np.array(of_few) > 0.5) > 0.6
    assert (folder / "odds.png").stat().st_size > 10_000
    assert not (folder / "odds.csv.checkpoint").exists()
    status, _, error = run(capsys, *CALIBRATED)
    assert status == 2 and "--force" in error


def test_it_goes_on_from_where_it_was_interrupted(folder, capsys, monkeypatch):
    run(capsys, *CALIBRATED)
    whole = (folder / "odds.csv").read_bytes()
    asked, grid_of = [], evidences.grid_of

    def interrupting(*arguments):
        asked.append(arguments)
        if len(asked) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return grid_of(*arguments)

    monkeypatch.setattr(evidences, "grid_of", interrupting)
    status, text, _ = run(capsys, *CALIBRATED, "--force")
    assert status == 130 and "--resume" in text and len(asked) == 6
    assert (folder / "odds.csv").read_bytes() == whole
    status, _, error = run(capsys, *CALIBRATED, "--resume", "--seed", 1)
    assert status == 2 and "odds.csv.checkpoint was made with" in error
    assert run(capsys, *CALIBRATED, "--resume")[0] == 0
    assert len(asked) == 2 * 26
    assert (folder / "odds.csv").read_bytes() == whole


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--emulators", "few.h5"], "--emulators of at least 2"),
        (["--emulators", "few.h5", "few.h5"], "in different files"),
        (["--emulators", "few.h5", "moving.h5"], "same features"),
        (["--held-out", "few_maps.h5"], "one --held-out catalogue for each"),
        (["--held-out", "few_maps.h5", "observed.h5"], "at least 10 held-out boxes in observed.h5"),
        (["--resume"], "to resume from, found none"),
        (["--probes", "1"], "--probes of at least 2"),
    ],
)
def test_it_says_what_is_amiss(folder, capsys, options, words):
    catalogue = maps(2, 5, 40, 0)
    velocity = np.ones_like(catalogue.position)
    moving = replace(catalogue, velocity=velocity)
    untrained(moving).save("moving.h5")
    status, _, error = run(capsys, *COMPARE, "--out", "odds.csv", *options)
    assert status == 2 and words in error and error.count("\n") == 1
    assert not (folder / "odds.csv").exists()


def test_a_checkpoint_of_something_else_is_refused(folder, capsys):
    (folder / "odds.csv.checkpoint").write_text("[]")
    status, _, error = run(capsys, *COMPARE, "--out", "odds.csv", "--resume")
    assert status == 2 and "found something else" in error
