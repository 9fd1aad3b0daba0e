"""The commands on posteriors as a user types them: what they print, write and refuse."""

import json

import h5py
import jax
import numpy as np
import pytest
from interrupting import Stop
from test_cli import refused, run

import physgen
from physgen.cli.maps import LOG_MASS_ORIGIN, VELOCITY_UNIT, clouds_of
from physgen.errors import InputError
from physgen.galaxies import Catalogue, write_catalogue
from physgen.inference.benchmark import BenchmarkResult
from physgen.inference.observed import read_observation
from physgen.inference.results import PosteriorSamples
from physgen.inference.store import Simulations

LOW, HIGH = [-1.0, -1.0], [1.0, 1.0]


def pairs(n=250, seed=0):
    rng = np.random.default_rng(seed)
    theta = rng.uniform(LOW, HIGH, (n, 2))
    return theta, theta @ [[1.0, 0.5, 0.0], [0.0, 1.0, 0.3]] + 0.2 * rng.normal(size=(n, 3))


@pytest.fixture
def files(tmp_path):
    """Simulations with everything known, and an observation."""
    named = Simulations.from_arrays(
        *pairs(), names=("slip", "depth"), units=("mm/yr", "km"), low=LOW, high=HIGH
    )
    named.save(tmp_path / "simulations.h5")
    np.savetxt(tmp_path / "observed.txt", [[0.1, -0.2, 0.3]])
    return tmp_path


def infer(folder, *more, out="posterior.h5"):
    return [
        "infer", folder / "simulations.h5", "--observation", folder / "observed.txt",
        "--out", folder / out, "--density", "maf", "--steps", 200, "--samples", 300, *more,
    ]  # fmt: skip


@pytest.mark.slow
def test_the_path_of_a_user(capsys, files, monkeypatch):
    status, out, err = run(capsys, *infer(files), "--check", files / "check", "--json")
    assert status == 0 and "warning" not in err, err
    figures = json.loads(out)
    assert figures["simulations"] == 250 and 0 < figures["steps"] <= 200
    assert figures["density"] == "maf" and figures["chosen"].startswith("AffineFlow(")
    assert figures["units"] == {"slip": "mm/yr", "depth": "km"}
    assert isinstance(figures["check"]["calibrated"], bool)
    assert "<svg" in (page := (files / "check" / "report.html").read_text()) or "base64" in page
    assert (files / "posterior.png").stat().st_size > 10_000
    assert not (files / "posterior.h5.checkpoint").exists()

    samples = PosteriorSamples.load(files / "posterior_samples.h5")
    assert samples.names == ("slip", "depth") and samples.units == ("mm/yr", "km")
    assert (samples.samples >= LOW).all() and (samples.samples <= HIGH).all()
    for name, numbers in samples.statistics().items():
        assert figures["statistics"][name] == pytest.approx(numbers)
    posterior = physgen.load(files / "posterior.h5")
    key = jax.random.split(jax.random.key(0), 3)[1]
    again = np.asarray(posterior.sample(key, 300, np.float32([0.1, -0.2, 0.3])))
    np.testing.assert_array_equal(samples.samples, again)
    assert (
        "validation_loss"
        in json.loads(run(capsys, "info", files / "posterior.h5", "--json")[1])["metadata"][
            "training"
        ]
    )

    assert "exists already" in refused(capsys, *infer(files))
    stopped = files / "stopped.h5"
    with monkeypatch.context() as patched:
        patched.setattr("physgen.train.loop.ProgressLine", Stop)
        status, out, _ = run(capsys, *infer(files, out=stopped.name))
    assert status == 130 and "--resume goes on" in out
    assert (files / "stopped.h5.checkpoint").exists()
    status, out, _ = run(capsys, *infer(files, "--resume", out=stopped.name))
    assert status == 0 and "mm/yr" in out and "interrupted" not in out
    assert not (files / "stopped.h5.checkpoint").exists()
    resumed = PosteriorSamples.load(files / "stopped_samples.h5")
    np.testing.assert_array_equal(resumed.samples, samples.samples)


@pytest.mark.slow
def test_a_foreign_file_and_an_observation_from_elsewhere(capsys, tmp_path):
    theta, x = pairs(400)
    x[:3, 1] = np.nan
    with h5py.File(tmp_path / "simulations.h5", "w") as file:
        file["theta"], file["x"] = theta, x
    np.savetxt(tmp_path / "observed.txt", [50.0, -80.0, 90.0])
    status, out, err = run(capsys, *infer(tmp_path, "--seed", 3))
    assert status == 0 and "theta_1" in out and "theta_2" in out
    assert "note: left out: 3 simulations without finite result" in err
    assert "no bounds of theta_1, theta_2" in err
    assert "warning: the observation is unlike the simulations" in err
    assert np.isfinite(PosteriorSamples.load(tmp_path / "posterior_samples.h5").samples).all()


def without(name):
    return lambda folder: (folder / name).unlink()


def observe(*values):
    return lambda folder: np.savetxt(folder / "observed.txt", values)


def few(folder):
    Simulations.from_arrays(*pairs(40)).save(folder / "simulations.h5", overwrite=True)


def foreign(folder):
    with h5py.File(folder / "simulations.h5", "w") as file:
        file["numbers"] = np.zeros((3, 3))


def keep(folder):
    return None


def take(name):
    return lambda folder: (folder / name).write_text("precious")


@pytest.mark.parametrize(
    ("prepare", "more", "message"),
    [
        (without("simulations.h5"), [], "does not exist"),
        (without("observed.txt"), [], "does not exist"),
        (foreign, [], "expected a dataset parameters or theta"),
        (few, [], "at least 50 simulations, got 40"),
        (few, ["--check", "report"], "at least 250 simulations for --check, got 40"),
        (observe(1.0, 2.0), [], "observation of shape (3,)"),
        (observe(1.0, np.nan, 3.0), [], "expected finite numbers, got 1 of 3"),
        (keep, ["--prior-low", "0,0", "--prior-high", "1,1"], "inside the prior"),
        (keep, ["--prior-low", "0,0"], "together"),
        (keep, ["--prior-low", "0", "--prior-high", "1"], "a number for each of slip, depth"),
        (keep, ["--prior-low", "a,b", "--prior-high", "1,1"], "a number for each of slip, depth"),
        (keep, ["--resume"], "leave out --resume"),
        (keep, ["--members", 0], "--members of at least 1"),
        (keep, ["--samples", 1], "--samples of at least 2"),
        (take("posterior.h5"), [], "exists already"),
        (take("posterior_samples.h5"), [], "exists already"),
        (take("posterior.png"), [], "exists already"),
    ],
)
def test_bad_input_is_refused_in_one_line(capsys, files, prepare, more, message):
    prepare(files)
    before = {path: path.read_bytes() for path in files.iterdir()}
    assert message in refused(capsys, *infer(files, *more))
    assert {path: path.read_bytes() for path in files.iterdir()} == before


def test_a_folder_for_the_check_that_is_not_empty(capsys, files):
    (files / "notes").mkdir()
    (files / "notes" / "precious.txt").write_text("mine")
    assert "not empty" in refused(capsys, *infer(files, "--check", files / "notes"))


X = np.float32([1.5, -2.0, 3e5])


@pytest.mark.parametrize("name", ["observation", "observations", "x", "data", "anything", "x/obs"])
@pytest.mark.parametrize("array", [X, X[None]])
def test_observations_in_hdf5(tmp_path, name, array):
    with h5py.File(tmp_path / "o.h5", "w") as file:
        file[name] = array
    np.testing.assert_array_equal(read_observation(tmp_path / "o.h5", (3,)), X)


@pytest.mark.parametrize(
    "text", ["1.5 -2 3e5", "1.5,-2,3e5\n", "1.5, -2, 300000", "1.5\n-2\n3e5\n", "# x\n1.5\t-2 3e5"]
)
def test_observations_in_text(tmp_path, text):
    (tmp_path / "o.csv").write_text(text)
    np.testing.assert_array_equal(read_observation(tmp_path / "o.csv", (3,)), X)


def test_observations_in_npy_and_of_two_axes(tmp_path):
    image = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "o.npy", image[None])
    np.testing.assert_array_equal(read_observation(tmp_path / "o.npy", (2, 3)), image)
    np.savetxt(tmp_path / "o.txt", image)
    np.testing.assert_array_equal(read_observation(tmp_path / "o.txt", (2, 3)), image)
    np.save(tmp_path / "one.npy", 4.0)
    np.testing.assert_array_equal(read_observation(tmp_path / "one.npy", (1,)), [4.0])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("o.txt", b"1 2 x", "not a table of numbers"),
        ("o.txt", b"1 2\n3", "not a table of numbers"),
        ("o.txt", b"\xff\xfe\x00", "not a table of numbers"),
        ("o.txt", b"", "shape (3,)"),
        ("o.txt", b"1 2 3\n4 5 6", "one observation of that shape"),
        ("o.npy", b"1 2 3", "not an array of numbers"),
        ("o.h5", b"1 2 3", "not an HDF5 file"),
    ],
)
def test_files_that_hold_no_observation(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_observation(tmp_path / name, (3,))
    assert message in str(caught.value)


def test_two_arrays_that_may_both_be_the_observation(tmp_path):
    with h5py.File(tmp_path / "o.h5", "w") as file:
        file["first"], file["second"] = X, X
    with pytest.raises(InputError, match="expected an array observation or .* rename it"):
        read_observation(tmp_path / "o.h5", (3,))


BENCHMARK = ["infer", "benchmark", "two_moons"]


@pytest.mark.slow
def test_benchmark(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PHYSGEN_SHARED", str(tmp_path))
    small = ["--simulations", 60, "--samples", 60, "--density", "maf", "--json"]
    status, out, _ = run(capsys, *BENCHMARK, *small, "--out", "row.json")
    figures = json.loads(out)
    assert json.loads((tmp_path / "row.json").read_text()) == figures
    assert "exists already" in refused(capsys, *BENCHMARK, *small, "--out", "row.json")
    assert status == 0 and figures["reference"] == "own"
    assert figures["task"] == "two_moons" and figures["simulations"] == 60
    assert figures["observation"] == 1 and figures["density"] == "maf"
    assert 0.3 < figures["c2st"] <= 1 and 0.3 < figures["c2st_random_forest"] <= 1
    assert figures["train_seconds"] > figures["compile_seconds"] > 0
    assert figures["samples_per_second"] > 0 and figures["parameters"] > 0
    assert np.isfinite(figures["validation_loss"]) and figures["chosen"].startswith("AffineFlow(")


@pytest.mark.parametrize("stored", [False, True])
def test_a_benchmark_says_where_its_reference_is_from(capsys, tmp_path, monkeypatch, stored):
    monkeypatch.setenv("PHYSGEN_SHARED", str(tmp_path))
    result = BenchmarkResult(
        task="two_moons", simulations=60, observation=1, density="", c2st=0.5,
        c2st_random_forest=0.5, train_seconds=1.0, compile_seconds=1.0, samples_per_second=1.0,
        parameters=1, validation_loss=0.0, members=1, steps=1,
        reference="stored" if stored else "own", chosen="", tried=(),
    )  # fmt: skip
    monkeypatch.setattr("physgen.inference.benchmark.benchmark", lambda *_, **__: result)
    _, out, _ = run(capsys, *BENCHMARK, *(["--references", "there"] if stored else []))
    words = "and its reference posterior from there" if stored else "observation 1 simulated by"
    assert words in out.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["infer", "benchmark", "three_moons"], "expected a task, one of gaussian_linear"),
        ([*BENCHMARK, "--references", "nowhere"], "nowhere/two_moons.npz, found no such"),
        ([*BENCHMARK, "--references", "data/inference", "--observation", 9], "from 1 to 1, got 9"),
        (
            ["infer", "benchmark", "sir", "--references", "data/inference"],
            "draws of (2,) parameters",
        ),
        ([*BENCHMARK, "--simulations", 0], "--simulations of at least 1"),
        ([*BENCHMARK, "--samples", 2], "--samples of at least 10"),
    ],
)
def test_what_a_benchmark_refuses(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "inference").mkdir(parents=True)
    zeros = {"observation": np.zeros((1, 2)), "reference_posterior": np.zeros((1, 20, 2))}
    for name in ("two_moons", "sir"):
        np.savez(tmp_path / "data" / "inference" / f"{name}.npz", **zeros)
    assert message in refused(capsys, *arguments)


@pytest.mark.parametrize("where", ["option", "PHYSGEN_REFERENCES", "PHYSGEN_SHARED", "beside"])
def test_where_references_are_found(capsys, tmp_path, monkeypatch, where):
    """Each place holds one observation: number 7 is refused only if that place was looked at."""
    for name in ("PHYSGEN_REFERENCES", "PHYSGEN_SHARED"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    folder = tmp_path / "shared" / "data" / "inference"
    folder.mkdir(parents=True)
    np.savez(folder / "sir.npz", observation=np.zeros((1, 10)), reference_posterior=[[[1.0, 2.0]]])
    more = ["--references", folder] if where == "option" else []
    if where == "PHYSGEN_REFERENCES":
        monkeypatch.setenv(where, str(folder))
    elif where == "PHYSGEN_SHARED":
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv(where, str(tmp_path / "shared"))
    message = refused(capsys, "infer", "benchmark", "sir", "--observation", 7, *more)
    assert "from 1 to 1, got 7" in message


def mocks(n=60, points=10, seed=0, **changes):
    rng = np.random.default_rng(seed)
    arguments = {
        "position": rng.uniform(0, 50, (n, points, 3)).astype(np.float32),
        "velocity": rng.normal(0, 300, (n, points, 3)).astype(np.float32),
        "parameters": rng.uniform((0.1, 0.6), (0.5, 1.0), (n, 2)).astype(np.float32),
        "parameter_names": ("Omega_m", "sigma_8"),
        "parameter_units": ("", ""),
        "box_size": 50.0,
    }
    return Catalogue(**(arguments | changes))


@pytest.mark.slow
def test_galaxy_maps(capsys, tmp_path):
    write_catalogue(tmp_path / "mocks.h5", mocks(250))
    mask = np.arange(10) < np.array([[7], [10]])
    write_catalogue(tmp_path / "observed.h5", mocks(2, seed=1, mask=mask, velocity=None))
    out = tmp_path / "posterior.h5"
    status, text, _ = run(
        capsys, "galaxies", "infer", tmp_path / "observed.h5", "--simulations",
        tmp_path / "mocks.h5", "--out", out, "--steps", 2, "--samples", 64, "--density", "maf",
        "--check", tmp_path / "check", "--json",
    )  # fmt: skip
    figures = json.loads(text)
    assert status == 0 and len(figures["boxes"]) == 2 and out.with_suffix(".png").exists()
    assert "hardly anything was learned of" in " ".join(figures["check"]["notes"])
    assert (tmp_path / "check" / "report.html").exists()
    theta = mocks(250).parameters.astype(float)
    margin = np.ptp(theta, axis=0) / (len(theta) - 1)
    np.testing.assert_allclose(figures["low"], theta.min(axis=0) - margin, rtol=1e-6)
    np.testing.assert_allclose(figures["high"], theta.max(axis=0) + margin, rtol=1e-6)
    for box in (1, 2):
        drawn = PosteriorSamples.load(tmp_path / f"posterior_samples_{box}.h5")
        assert drawn.names == ("Omega_m", "sigma_8") and drawn.samples.shape == (64, 2)
        assert (drawn.samples >= figures["low"]).all()
        assert (drawn.samples <= figures["high"]).all()
    posterior = physgen.load(out)
    assert posterior.context_shape == (10, 3)


@pytest.mark.slow
@pytest.mark.parametrize("boxes", [1, 2])
def test_maps_unlike_the_simulations_are_named(capsys, tmp_path, boxes):
    """The last of the observed boxes has all its galaxies in one corner."""
    write_catalogue(tmp_path / "mocks.h5", mocks(250, velocity=None))
    observed = mocks(boxes, seed=1, velocity=None)
    observed.position[-1] *= 0.02
    write_catalogue(tmp_path / "observed.h5", observed)
    status, text, err = run(
        capsys, "galaxies", "infer", tmp_path / "observed.h5", "--simulations",
        tmp_path / "mocks.h5", "--out", tmp_path / "posterior.h5", "--steps", 2, "--samples", 64,
        "--density", "maf", "--check", tmp_path / "check", "--json",
    )  # fmt: skip
    figures = json.loads(text)
    assert status == 0 and len(figures["misspecified"]) == boxes
    assert figures["misspecified"][-1] and figures["misspecification_p"][-1] < 0.01
    where = "box 2: " if boxes == 2 else ""
    assert f"warning: {where}the observation is unlike the simulations" in err
    assert "learned feature 1" in err
    told = [text for text in figures["check"]["findings"] if "unlike" in text]
    assert len(told) == (boxes == 1) == (tmp_path / "check" / "observation.png").exists()


NAMELESS = {"parameters": np.zeros((60, 0)), "parameter_names": (), "parameter_units": ()}


@pytest.mark.parametrize(
    ("observed", "simulated", "message"),
    [
        ({}, NAMELESS, "mocks with parameters"),
        ({"box_size": 60.0}, {}, "one periodic box, got sides 60.0 and 50.0"),
        ({"box_size": None}, {"box_size": None}, "one periodic box"),
        ({}, {"parameters": np.full((60, 2), 0.3)}, "expected parameter Omega_m to vary"),
        ({"position_unit": "Mpc"}, {}, "position in one unit"),
        ({"velocity_unit": "cm/s"}, {}, "velocity in one unit"),
    ],
)
def test_catalogues_that_do_not_go_together(capsys, tmp_path, observed, simulated, message):
    write_catalogue(tmp_path / "observed.h5", mocks(1, seed=1, **observed))
    write_catalogue(tmp_path / "mocks.h5", mocks(**simulated))
    command = [
        "galaxies",
        "infer",
        tmp_path / "observed.h5",
        "--simulations",
        tmp_path / "mocks.h5",
    ]
    assert message in refused(capsys, *command, "--out", tmp_path / "posterior.h5")


def test_clouds_are_packed_and_padded():
    catalogue = mocks(
        2, 4, mask=np.array([[1, 0, 1, 0], [1, 1, 1, 1]], bool), log_mass=np.full((2, 4), 12.5)
    )
    clouds = clouds_of(catalogue, 5)
    assert clouds.shape == (2, 5, 7)
    np.testing.assert_array_equal(np.isnan(clouds).all(axis=2).sum(axis=1), [3, 1])
    np.testing.assert_array_equal(np.isnan(clouds).any(axis=2), np.isnan(clouds).all(axis=2))
    np.testing.assert_array_equal(clouds[0, :2, :3], catalogue.position[0, [0, 2]])
    np.testing.assert_allclose(
        clouds[0, 1, 3:6] * VELOCITY_UNIT, catalogue.velocity[0, 2], rtol=1e-6
    )
    np.testing.assert_allclose(clouds[1, :4, 6] + LOG_MASS_ORIGIN, 12.5)
