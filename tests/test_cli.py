"""The commands as a user types them: what they print, write and refuse."""

import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import h5py
import jax
import numpy as np
import pytest
from commands import run
from flax import nnx

import physgen
from physgen import InputError
from physgen.cli.options import count_up, progress
from physgen.galaxies import (
    Catalogue,
    GalaxyEmulator,
    demo,
    emulator_settings,
    read_catalogue,
    write_catalogue,
)
from physgen.galaxies.measure import figure, measure
from physgen.io import atomic_path, write_header, write_json
from physgen.nets import PairSettings


def refused(capsys, *arguments):
    """The one line of a command that must end with status 2."""
    status, out, err = run(capsys, *arguments)
    lines = [line for line in err.splitlines() if line.startswith("physgen:")]
    assert status == 2 and out == "" and len(lines) == 1 and "Traceback" not in err
    return lines[0]


def cloud(n=16, points=20, seed=0, velocities=False, **changes):
    rng = np.random.default_rng(seed)
    position = rng.uniform(0, 100, (n, points, 3)).astype(np.float32)
    arguments = {
        "position": position,
        "parameters": np.full((n, 2), (0.3, 0.8), np.float32),
        "parameter_names": ("Omega_m", "sigma_8"),
        "parameter_units": ("", ""),
        "box_size": 100.0,
    }
    if velocities:
        arguments["velocity"] = rng.normal(0, 300, position.shape).astype(np.float32)
    return Catalogue(**(arguments | changes))


@pytest.fixture
def mocks(tmp_path):
    write_catalogue(tmp_path / "mocks.h5", cloud())
    return tmp_path / "mocks.h5"


@pytest.mark.slow
def test_the_path_of_a_user(capsys, tmp_path):
    mocks, emulator = tmp_path / "mocks.h5", tmp_path / "emulator.h5"
    generated, report = tmp_path / "generated.h5", tmp_path / "report"
    simulate = ["galaxies", "simulate", "--n", 20, "--points", 24, "--box", 64, "--grid", 32]
    status, out, _ = run(capsys, *simulate, "--cosmologies", 2, "--out", mocks, "--json")
    assert status == 0 and json.loads(out)["boxes"] == 20
    train = ["galaxies", "train", mocks, "--steps", 4, "--out", emulator]
    status, out, err = run(capsys, *train, "--json")
    assert status == 0 and json.loads(out)["steps"] == 4
    assert json.loads(out)["stopped_early"] is False
    assert not emulator.with_name("emulator.h5.checkpoint").exists()
    sample = ["galaxies", "sample", emulator, "--evaluations", 2]
    assert run(capsys, *sample, "--like", mocks, "--out", generated)[0] == 0
    many = run(capsys, *sample, "--like", mocks, "--n", 10_000, "--out", tmp_path / "x.h5")
    assert many[0] == 2 and "expected --n of at most" in many[2]
    both = run(capsys, *sample, "--like", mocks, "--omega-m", 0.3, "--out", tmp_path / "x.h5")
    assert both[0] == 2 and "parameters or --like" in both[2]
    made = read_catalogue(generated)
    np.testing.assert_array_equal(made.parameters, read_catalogue(mocks).parameters)
    status, out, _ = run(
        capsys, "galaxies", "validate", generated, "--against", mocks, "--train", mocks,
        "--out", report, "--json",
    )  # fmt: skip
    figures = json.loads(out)
    assert status == 0 and figures["grade"] == "fake"
    twice = run(capsys, "galaxies", "validate", generated, "--against", generated)
    assert twice[0] == 2 and "a set is always like itself" in twice[2]
    assert json.loads((report / "summary.json").read_text()) == figures
    assert "data:image/png;base64" in (report / "report.html").read_text()
    status, out, err = run(
        capsys, *sample, "--omega-m", 0.9, "--sigma-8", 0.8, "--n", 2, "--out",
        tmp_path / "far.h5", "--json",
    )  # fmt: skip
    assert status == 0 and "Omega_m = 0.9 is outside the training range" in err
    status, out, _ = run(capsys, "info", emulator, "--json")
    assert json.loads(out)["metadata"]["training"]["steps"] == 4
    assert "box_size: 64\n" in run(capsys, "info", emulator)[1]
    assert "none: leave out --resume" in refused(capsys, *train, "--resume")


def untrained(mocks, diffusion=False):
    """An emulator beside the mocks."""
    network = PairSettings(2, width=4, layers=1, heads=2, filters=2)
    settings = emulator_settings(read_catalogue(mocks), network=network, diffusion=diffusion)
    GalaxyEmulator(settings, rngs=nnx.Rngs(0)).save(mocks.with_name("emulator.h5"))
    return mocks.with_name("emulator.h5")


@pytest.mark.parametrize("diffusion", [True, False])
def test_random_paths_need_a_diffusion(capsys, mocks, tmp_path, diffusion):
    command = [
        "galaxies", "sample", untrained(mocks, diffusion), "--random-paths", "--evaluations", 2,
        "--omega-m", 0.3, "--sigma-8", 0.8, "--n", 2, "--out", tmp_path / "made.h5",
    ]  # fmt: skip
    if diffusion:
        assert run(capsys, *command)[0] == 0
        position = read_catalogue(tmp_path / "made.h5").position
        assert ((position >= 0) & (position < 100)).all()
    else:
        assert "expected a diffusion for --random-paths" in refused(capsys, *command)


def test_same_seed_same_file(capsys, tmp_path):
    arguments = ["galaxies", "simulate", "--n", 2, "--points", 16, "--box", 64, "--grid", 32]
    for name in ("a.h5", "b.h5"):
        assert run(capsys, *arguments, "--seed", 5, "--out", tmp_path / name)[0] == 0
    first, second = (read_catalogue(tmp_path / name) for name in ("a.h5", "b.h5"))
    np.testing.assert_array_equal(first.position, second.position)


def test_a_scatter_over_several_parameters_is_called_that(capsys, tmp_path):
    parameters = np.repeat([[0.2, 0.8], [0.3, 0.8], [0.3, 0.9]], 2, axis=0).astype(np.float32)
    write_catalogue(tmp_path / "mixed.h5", cloud(6, parameters=parameters))
    said = "scatter of all boxes, 3 parameter sets together"
    assert f"+- {said}" in run(capsys, "stats", tmp_path / "mixed.h5")[1]
    drawn = figure(measure(read_catalogue(tmp_path / "mixed.h5"))).axes[0]
    assert said in drawn.get_legend_handles_labels()[1]
    assert measure(cloud(6)).scatter == "single-box scatter"


def test_fixed_cosmology(capsys, tmp_path):
    out = tmp_path / "fixed.h5"
    arguments = ["--n", 2, "--points", 16, "--box", 64, "--grid", 32, "--out", out]
    run(capsys, "galaxies", "simulate", "--omega-m", 0.3, "--sigma-8", 0.8, *arguments)
    np.testing.assert_allclose(read_catalogue(out).parameters, [[0.3, 0.8]] * 2, rtol=1e-6)


def test_stats_of_a_file(capsys, mocks, tmp_path):
    out = tmp_path / "stats.h5"
    status, text, _ = run(capsys, "stats", mocks, "--out", out)
    assert status == 0 and "320 galaxies in 16 boxes" in text
    assert out.with_suffix(".png").stat().st_size > 10_000
    with h5py.File(out) as file:
        assert file["pair_counts/values"].shape[0] == 16
    status, text, _ = run(capsys, "stats", mocks, "--edges", 1, 10, 40, "--json")
    statistics = {s["name"]: s for s in json.loads(text)["statistics"]}
    assert status == 0 and statistics["pair counts"]["edges"] == [1, 10, 40]


def test_stats_of_text_and_of_neighboursspace(capsys, tmp_path):
    path = tmp_path / "galaxies.csv"
    rows = np.random.default_rng(0).normal(size=(200, 3))
    np.savetxt(path, rows, delimiter=",", header="x,y,z", comments="")
    status, text, _ = run(capsys, "stats", path)
    assert status == 0 and "open space" in text
    assert "200" in run(capsys, "info", path)[1]


def test_long_tables_of_a_file_are_summed_up(capsys, tmp_path):
    path = tmp_path / "model.h5"
    settings = {"knots": [[i / 3 for i in range(81)]], "low": [1 / 3, 2.0], "names": ["a", ""]}
    with h5py.File(path, "w") as file:
        write_json(file, "settings", settings)
    text = run(capsys, "info", path)[1]
    assert "knots: [81 numbers from 0 to 26.6667]\n" in text
    assert "low: [0.333333, 2]\n" in text and "names: ['a', '']\n" in text
    assert json.loads(run(capsys, "info", path, "--json")[1])["settings"] == settings


def broken(tmp_path, kind):
    """Files that cannot be a catalogue."""
    path = tmp_path / "bad.h5"
    good = tmp_path / "good.h5"
    write_catalogue(good, cloud())
    if kind == "text":
        path.write_text("x,y,z\n1,2,3\n")
    elif kind == "truncated":
        path.write_bytes(good.read_bytes()[:3000])
    elif kind != "missing":
        path.write_bytes(good.read_bytes())
        with h5py.File(path, "r+") as file:
            if kind == "no position":
                del file["position"]
            elif kind == "nan":
                file["position"][0, 0, 0] = np.nan
            elif kind == "outside":
                file["position"][0, 0, 0] = 101.0
            elif kind == "negative box":
                file.attrs["box_size"] = -1.0
            elif kind == "empty":
                del file["position"], file["mask"], file["parameters"]
                file["position"] = np.zeros((0, 0, 3))
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "does not exist"),
        ("text", "not an HDF5 file"),
        ("truncated", "damaged or incomplete"),
        ("no position", "needs a dataset 'position'"),
        ("nan", "must be finite"),
        ("outside", "outside the box"),
        ("negative box", "box_size must be positive"),
        ("empty", "empty"),
    ],
)
@pytest.mark.parametrize("command", ["stats", "train", "validate"])
def test_bad_files_are_refused_in_one_line(capsys, tmp_path, command, kind, message):
    path = broken(tmp_path, kind)
    out = tmp_path / "out.h5"
    arguments = {
        "stats": ["stats", path, "--out", out],
        "train": ["galaxies", "train", path, "--steps", 1, "--out", out],
        "validate": ["galaxies", "validate", path, "--against", path, "--out", out],
    }[command]
    assert message in refused(capsys, *arguments)
    assert not out.exists() and not list(tmp_path.glob("out*"))


def test_one_galaxy(capsys, tmp_path):
    path = tmp_path / "one.h5"
    write_catalogue(path, cloud(points=1))
    assert "two" in refused(capsys, "stats", path)
    assert "at least 2 galaxies" in refused(
        capsys, "galaxies", "train", path, "--steps", 1, "--out", tmp_path / "e.h5"
    )


def test_what_too_few_galaxies_leave_neighboursis_said_and_not_drawn(capsys, tmp_path):
    """Two galaxies have no second neighbour, and no velocities in bins without a pair."""
    position = np.array([[[10, 10, 10], [60, 60, 60]]], np.float32)
    write_catalogue(tmp_path / "two.h5", cloud(1, 2, velocities=True, position=position))
    status, out, _ = run(capsys, "stats", tmp_path / "two.h5", "--out", tmp_path / "stats.h5")
    assert status == 0 and "nan" not in out
    neighbours, velocities = [line for line in out.splitlines() if "  no value of" in line][:2]
    assert neighbours.startswith("  no value of k=2 25%, ") and "k=1" not in neighbours
    bins = out.split("ordered pairs, by separation r\n")[1].split("\n\n")[0].splitlines()
    assert velocities.startswith("  no value of " + ", ".join(line.split()[0] for line in bins))
    assert velocities.endswith(": too few galaxies or pairs in every box")
    measurement = measure(read_catalogue(tmp_path / "two.h5"))
    drawn = [ax.get_ylabel() for ax in figure(measurement).axes]
    assert any("k-th neighbour" in label for label in drawn)
    assert not any("v12" in label for label in drawn)


def test_boxes_without_pairs_count_in_the_mean(capsys, tmp_path):
    """Four ordered pairs of length 1 and two of length 1.41 in one of three boxes."""
    triangle = [[10, 10, 10], [11, 10, 10], [10, 11, 10]]
    mask = np.array([[True, True, True], [True, False, False], [False, False, False]])
    boxes = cloud(3, 3, position=np.array([triangle] * 3, np.float32), mask=mask)
    write_catalogue(tmp_path / "a.h5", boxes)
    status, out, _ = run(capsys, "stats", tmp_path / "a.h5", "--edges", 0.5, 1.2, 1.5)
    assert status == 0
    lines = out.split("ordered pairs, by separation r")[1].split("\n\n")[0].splitlines()
    assert [line.split()[1] for line in lines if "+-" in line] == ["1.333", "0.6667"]


@pytest.mark.parametrize("seed", ["-1", "1.5", "x"])
def test_a_seed_is_a_whole_number(capsys, tmp_path, seed):
    command = ["galaxies", "simulate", "--n", 1, "--out", tmp_path / "a.h5"]
    status, _, err = run(capsys, *command, f"--seed={seed}")
    assert status == 2 and f"a whole number of at least 0, got '{seed}'" in err


def test_different_features_are_refused_unless_told(capsys, mocks, tmp_path):
    other = tmp_path / "velocities.h5"
    write_catalogue(other, cloud(seed=1, velocities=True))
    validate = ["galaxies", "validate", mocks, "--against", other]
    assert "has velocity" in refused(capsys, *validate)
    assert run(capsys, *validate, "--features", "position")[0] == 0


@pytest.mark.parametrize(
    "command",
    [
        ["sample", "emulator.h5", "--parameter", "omega_M=0.3", "--sigma-8", 0.8],
        ["sample", "emulator.h5", "--like", "other.h5"],
        ["validate", "other.h5", "--against", "mocks.h5"],
        ["redshift-space", "mocks.h5", "--redshift", 1, "--omega-m", "omega_M"],
    ],
)
def test_names_that_differ_in_case_alone_are_spelled_out(capsys, mocks, monkeypatch, command):
    monkeypatch.chdir(mocks.parent)
    untrained(mocks)
    write_catalogue("mocks.h5", cloud(velocities=True), overwrite=True)
    write_catalogue("other.h5", cloud(velocities=True, parameter_names=("omega_M", "sigma_8")))
    message = refused(capsys, "galaxies", *command, "--out", "out.h5")
    assert "write Omega_m, not omega_M" in message


def test_parameters_that_are_no_numbers_are_named(capsys, mocks, tmp_path):
    sample = ["galaxies", "sample", untrained(mocks), "--n", 1, "--out", tmp_path / "out.h5"]
    message = refused(capsys, *sample, "--omega-m", 0.3, "--sigma-8", "inf")
    assert "expected a finite sigma_8, got inf" in message
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize("command", ["simulate", "sample", "stats", "train"])
def test_nothing_is_overwritten_without_force(capsys, mocks, tmp_path, command):
    out = tmp_path / "taken.h5"
    out.write_text("precious")
    arguments = {
        "simulate": ["galaxies", "simulate", "--n", 1],
        "sample": ["galaxies", "sample", untrained(mocks)],
        "stats": ["stats", mocks],
        "train": ["galaxies", "train", mocks],
    }[command]
    assert "exists already" in refused(capsys, *arguments, "--out", out)
    assert out.read_text() == "precious"


def test_a_catalogue_is_no_emulator_whatever_else_is_wrong(capsys, mocks):
    message = refused(capsys, "galaxies", "sample", mocks, "--n", 0, "--out", "out.h5")
    assert "holds a catalogue, not a model" in message


def test_a_catalogue_says_how_it_was_made(capsys, tmp_path):
    out = tmp_path / "a b.h5"
    command = ["galaxies", "simulate", "--n", "1", "--points", "10", "--seed", "7"]
    assert run(capsys, *command, "--out", out)[0] == 0
    status, text, _ = run(capsys, "info", out)
    assert status == 0 and f"physgen {' '.join(command)} --out '{out}'" in text
    assert len(read_catalogue(out)) == 1


@pytest.mark.parametrize(
    "command",
    [
        ["stats", "{mocks}"],
        ["galaxies", "train", "{mocks}"],
        ["galaxies", "sample", "emulator.h5", "--like", "{mocks}"],
        ["galaxies", "compare", "{mocks}", "--emulators", "a.h5", "b.h5"],
        ["galaxies", "compare", "a.h5", "--emulators", "b.h5", "{mocks}"],
    ],
)
def test_no_command_replaces_what_it_reads(capsys, mocks, command):
    before = mocks.read_bytes()
    arguments = [word.format(mocks=mocks) for word in command]
    same = mocks.parent / "." / mocks.name
    message = refused(capsys, *arguments, "--out", same, "--force")
    assert "no file that is read" in message
    assert mocks.read_bytes() == before


def test_numbers_and_their_figure_are_two_files(capsys, mocks, tmp_path):
    assert "where their figure goes" in refused(capsys, "stats", mocks, "--out", "curves.png")
    (tmp_path / "curves.png").write_text("precious")
    message = refused(capsys, "stats", mocks, "--out", tmp_path / "curves.h5")
    assert "curves.png exists already" in message and not (tmp_path / "curves.h5").exists()


def test_catalogues_are_loaded_too(mocks, tmp_path):
    there, again = read_catalogue(mocks), physgen.load(mocks)
    np.testing.assert_array_equal(again.position, there.position)
    with pytest.raises(InputError, match="found 'catalogue'"):
        physgen.load(mocks, network=object())
    with atomic_path(tmp_path / "other.h5") as path, h5py.File(path, "w") as file:
        write_header(file, "observables")
    with pytest.raises(InputError, match="found 'observables'"):
        physgen.load(tmp_path / "other.h5")


def test_training_without_parameters_is_said(capsys, mocks, tmp_path, monkeypatch):
    def stop(*arguments, **settings):
        raise InputError("far enough")

    monkeypatch.setattr("physgen.galaxies.training.train_emulator", stop)
    bare = tmp_path / "bare.h5"
    bare_catalogue = replace(
        read_catalogue(mocks), parameters=np.zeros((16, 0)), parameter_names=(), parameter_units=()
    )
    write_catalogue(bare, bare_catalogue)
    _, _, told = run(capsys, "galaxies", "train", bare, "--out", tmp_path / "emulator.h5")
    assert f"note: no parameters in {bare}" in told and "far enough" in told
    _, _, told = run(capsys, "galaxies", "train", mocks, "--out", tmp_path / "emulator.h5")
    assert "note" not in told and "far enough" in told


def test_an_interrupted_demo_ends(capsys, tmp_path, monkeypatch):
    stopped = SimpleNamespace(run=SimpleNamespace(interrupted=True))
    monkeypatch.setattr(demo, "train_emulator", lambda *arguments: stopped)
    settings = demo.DemoSettings(training_boxes=2, cosmologies=1, boxes_each=2)
    with pytest.raises(KeyboardInterrupt):
        demo.run_demo(jax.random.key(0), tmp_path, settings, say=lambda text: None)
    assert (tmp_path / "mocks.h5").exists() and not (tmp_path / "emulator.h5").exists()
    message = refused(capsys, "demo", "--out", tmp_path, "--force", "--minutes", -1)
    assert "minutes must be positive" in message and (tmp_path / "mocks.h5").exists()


def test_work_of_unknown_length_is_counted(monkeypatch, capsys):
    now = iter((0.0, 1.0, 12.0, 13.0))
    monkeypatch.setattr("physgen.cli.options.time.monotonic", lambda: next(now))
    show = count_up("likelihoods")
    for done in (8, 16, 24):
        show(done)
    assert capsys.readouterr().err == "likelihoods 16\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["simulate", "--n", 0], "at least 1"),
        (["simulate", "--omega-m", 0.3], "together"),
        (["simulate", "--n", 1, "--omega-m", "nan", "--sigma-8", 0.8], "got Omega_m nan and"),
        (["simulate", "--box", -5], "positive"),
        (["simulate", "--n", 10, "--cosmologies", 3], "divides"),
        (["simulate", "--points", 100, "--grid", 8], "at most 64 peaks"),
    ],
)
def test_bad_options(capsys, tmp_path, arguments, message):
    out = tmp_path / "out.h5"
    assert message in refused(capsys, "galaxies", *arguments, "--out", out)
    assert not out.exists()


def test_a_command_line_in_a_process_of_its_own(tmp_path):
    """No traceback and status 2."""
    done = subprocess.run(
        [sys.executable, "-m", "physgen", "stats", str(tmp_path / "none.h5")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.strip().splitlines() == [
        f"physgen: {tmp_path / 'none.h5'} does not exist: check the name"
    ]


def test_the_time_left_leaves_out_the_first_portion(monkeypatch, capsys):
    now = iter((0.0, 30.0, 41.0, 60.0))  # the start, and three reports, compiling before the first
    monkeypatch.setattr("physgen.cli.options.time.monotonic", lambda: next(now))
    show = progress("boxes")
    for done in (10, 65, 120):
        show(done, 120)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["boxes 10/120", "boxes 65/120  5/s  0:11 left", "boxes 120/120  2/s"]
