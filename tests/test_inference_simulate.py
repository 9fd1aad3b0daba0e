import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physgen.errors import InputError
from physgen.inference import (
    CommandSimulator,
    JaxSimulator,
    PythonSimulator,
    SimulationLine,
    Simulations,
    SimulationStatus,
    normal_prior,
    simulate,
    uniform_prior,
)
from physgen.io import describe

KEY = jax.random.key(5)
PRIOR = uniform_prior([0.0, -1.0], [1.0, 1.0], names=["slip", "depth"], units=["mm/yr", "km"])


def quiet(status):
    pass


def run(simulator, n, key=KEY, prior=PRIOR, **options):
    return simulate(key, prior, simulator, n, report=quiet, **options)


def noisy(theta, rng):
    return theta + rng.normal(size=2)


def in_jax(key, theta):
    return theta + jax.random.normal(key, (2,))


def nan_above(theta):
    return np.where(theta[0] > 0.7, np.nan, theta)


def equal(a, b):
    np.testing.assert_array_equal(a.parameters, b.parameters)
    np.testing.assert_array_equal(a.observations, b.observations)
    assert a.failed == b.failed


@pytest.mark.parametrize("simulator", [noisy, in_jax])
def test_simulations_are_pairs_and_say_what_their_parameters_are(simulator):
    simulations = run(simulator, 2500)
    assert len(simulations) == 2500 and simulations.failed == 0
    assert simulations.parameter_names == ("slip", "depth")
    assert simulations.parameter_units == ("mm/yr", "km")
    np.testing.assert_array_equal(simulations.low, [0, -1])
    np.testing.assert_array_equal(simulations.high, [1, 1])
    theta, noise = simulations.parameters, simulations.observations - simulations.parameters
    assert (theta > simulations.low).all() and (theta < simulations.high).all()
    assert len(np.unique(theta, axis=0)) == 2500 and len(np.unique(noise, axis=0)) == 2500
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=5 / np.sqrt(2500))
    np.testing.assert_allclose(np.cov(noise.T), np.eye(2), atol=7 / np.sqrt(2500))
    assert np.abs(np.corrcoef(theta.T, noise.T) - np.eye(4)).max() < 5 / np.sqrt(2500)


@pytest.mark.parametrize("simulator", [noisy, in_jax])
def test_a_simulation_depends_on_the_key_and_its_number_alone(simulator):
    many = run(simulator, 60, chunk=20)
    few = run(simulator, 20, chunk=20)
    np.testing.assert_array_equal(few.parameters, many.parameters[:20])
    np.testing.assert_array_equal(few.observations, many.observations[:20])
    equal(many, run(simulator, 60, chunk=20))
    other = run(simulator, 60, key=jax.random.key(6))
    assert (other.parameters != many.parameters).all()
    assert (other.observations != many.observations).all()


def test_a_function_of_one_argument_and_of_any_output():
    assert run(lambda theta: theta.sum(), 5).observations.shape == (5, 1)
    assert run(lambda theta: np.zeros((3, 4), bool), 5).observations.shape == (5, 3, 4)
    assert run(lambda theta: [1, 2], 5).observations.dtype == np.float64
    assert run(lambda theta, scale=2: scale * theta, 5).observations.shape == (5, 2)
    images = run(lambda key, theta: jnp.zeros((3, 4)), 5)
    assert images.observations.shape == (5, 3, 4)


MODULE = """
import os, signal, time
import numpy as np


def noisy(theta, rng):
    return theta + rng.normal(size=2)


def slow(theta, rng):
    time.sleep(0.01)
    return theta + rng.normal(size=2)


def dies(theta):
    os._exit(3)


def interrupts(theta, rng):
    if rng.uniform() < 0.02:
        os.kill(os.getpid(), signal.SIGINT)
    return theta + rng.normal(size=2)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module `shipped` that other processes can import, in the working directory."""
    (tmp_path / "shipped.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    import shipped  # pyright: ignore[reportMissingImports]

    yield shipped
    del sys.modules["shipped"]


@pytest.mark.slow
def test_workers_give_the_same_numbers(module):
    equal(run(module.noisy, 100, workers=2), run(module.noisy, 100))


@pytest.mark.slow
def test_workers_that_die_are_an_error_with_a_remedy(module):
    with pytest.raises(InputError, match="worker processes died.*workers=1"):
        run(module.dies, 10, workers=2)


def test_a_function_that_cannot_be_sent_is_refused():
    with pytest.raises(InputError, match="top level of a module"):
        run(lambda theta: theta, 10, workers=2)


class Cluster:
    """As much of a dask.distributed.Client as is used; tasks end in reverse order."""

    def __init__(self):
        self.running = []

    def submit(self, function, *args, pure):
        assert pure is False
        outer = self

        class Remote(Future):
            def done(self):
                if outer.running and outer.running[-1] is self:
                    outer.running.pop()
                    try:
                        self.set_result(function(*args))
                    except Exception as error:
                        self.set_exception(error)
                return super().done()

        self.running.append(Remote())
        return self.running[-1]


def test_a_cluster_gives_the_same_numbers_in_any_order():
    equal(run(noisy, 50, client=Cluster()), run(noisy, 50))


def test_what_passes_is_retried_with_the_same_random_numbers():
    calls = []

    def shaky(theta, rng):
        calls.append(1)
        if len(calls) % 3 == 0:
            raise OSError("the disk is full")
        return theta + rng.normal(size=2)

    equal(run(shaky, 50, retries=3), run(noisy, 50))
    assert run(shaky, 50, retries=0).failed > 10


@pytest.mark.parametrize(
    "simulator",
    [nan_above, lambda key, theta: jnp.where(theta[0] > 0.7, jnp.inf, theta)],
)
def test_failures_are_dropped_and_counted(simulator):
    simulations = run(simulator, 400)
    everything = run(lambda theta: theta, 400).parameters
    kept = everything[:, 0] <= 0.7
    assert simulations.failed == (~kept).sum() > 50
    np.testing.assert_array_equal(simulations.parameters, everything[kept])
    np.testing.assert_array_equal(simulations.observations, everything[kept])
    with pytest.raises(InputError, match=r"at most 10% of 400 .* the first at slip=0\.[789]"):
        run(simulator, 400, max_failed_share=0.1)


def test_missing_numbers_are_no_failures_where_they_are_meant(tmp_path):
    def gaps(theta):
        return np.where(theta > 0.5, np.nan, theta)

    store = tmp_path / "s.h5"
    simulations = run(gaps, 100, missing=True, store=store)
    empty = (simulations.parameters > 0.5).all(axis=1)
    assert not empty.any() and simulations.failed > 0 and simulations.missing
    assert np.isnan(simulations.observations).any()
    equal(run(gaps, 100, missing=True, store=store, resume=True), simulations)
    with pytest.raises(InputError, match="another missing"):
        run(gaps, 100, store=store, resume=True)


def test_exceptions_are_failures_with_their_words():
    def picky(theta):
        if theta[0] > 0.7:
            raise ValueError("too steep")
        return theta

    assert 50 < run(picky, 400).failed < 200
    with pytest.raises(InputError, match="ValueError: too steep; mend the simulator"):
        run(picky, 400, max_failed_share=0.01)


def test_a_broken_simulator_is_given_up_early():
    calls = []

    def broken(theta):
        calls.append(1)
        raise TypeError("no such thing")

    with pytest.raises(InputError, match="no such thing"):
        run(broken, 10_000, retries=0)
    assert len(calls) < 30
    with pytest.raises(InputError, match="got 3 of 3"):
        run(broken, 3, retries=0, max_failed_share=1.0)


def test_masked_numbers_are_missing():
    theta = np.linspace(0, 1, 20)
    x = np.ma.masked_less(np.stack([theta, 1 - theta], axis=1), 0.3)
    made = Simulations.from_arrays(theta, x, missing=True)
    np.testing.assert_array_equal(np.isnan(made.observations), x.mask)
    assert Simulations.from_arrays(theta, x, max_failed_share=0.9).failed == x.mask.any(1).sum()
    simulations = run(lambda theta: np.ma.masked_greater(theta, 0.7), 50)
    assert simulations.failed > 0 and simulations.observations.max() <= 0.7


def test_a_simulator_that_was_mended_goes_on(tmp_path):
    """What failed is run again where the run was refused for it, and only there."""
    broken, calls = [True], []

    def shaky(theta):
        calls.append(1)
        if broken[0] and theta[0] > 0.3:
            raise OSError("disk full")
        return theta

    store = tmp_path / "s.h5"
    with pytest.raises(InputError, match="disk full"):
        run(shaky, 40, store=store, retries=0)
    broken[0] = False
    mended = run(shaky, 40, store=store, resume=True)
    assert mended.failed == 0
    equal(mended, run(lambda theta: theta, 40))
    equal(Simulations.load(store), mended)
    calls.clear()
    run(shaky, 40, store=store, resume=True)
    assert not calls


def test_shapes_that_change_are_refused():
    with pytest.raises(InputError, match=r"of shape \(1,\), got shape \(2,\) at slip="):
        run(lambda theta: theta if theta[0] < 0.5 else theta[:1], 50)


@pytest.mark.parametrize(
    ("simulator", "options", "message"),
    [
        (noisy, {"n": 0}, "n of at least 1"),
        (noisy, {"n": 3, "workers": 0}, "workers of at least 1"),
        (in_jax, {"n": 3, "workers": 2}, "in JAX"),
        (in_jax, {"n": 3, "client": Cluster()}, "in JAX"),
        (lambda a, b, c: a, {"n": 3}, r"one of \(a, b, c\)"),
        (lambda key, theta: (theta, theta), {"n": 3}, "an array from .*, got tuple"),
        (lambda key, theta: None, {"n": 3}, "an array from .*, got NoneType"),
        (lambda key, theta: "1.0", {"n": 3}, "an array from .*, got str"),
        (lambda key, theta: np.sin(theta), {"n": 3}, "wrap it as PythonSimulator"),
        (lambda key, theta: theta[:0], {"n": 3}, "numbers in them"),
        (lambda theta: "text", {"n": 3}, "expected real numbers"),
        (lambda theta: None, {"n": 3}, "expected real numbers"),
        (lambda theta: [], {"n": 3}, "without numbers"),
    ],
)
def test_what_cannot_be_simulated_is_told_in_one_line(simulator, options, message):
    with pytest.raises(InputError, match=message) as error:
        run(simulator, **options)
    assert "\n" not in str(error.value)


def test_something_else_than_a_simulator_is_refused():
    from physgen.inference.simulators import as_simulator

    with pytest.raises(InputError, match="CommandSimulator"):
        as_simulator(["./simulator"])
    assert isinstance(as_simulator(in_jax), JaxSimulator)
    assert isinstance(as_simulator(noisy), PythonSimulator)
    assert isinstance(as_simulator(np.sin), PythonSimulator)


ECHO = """
import json, sys
import numpy as np
slip, text, seed, output = sys.argv[1:]
told = json.loads(sys.stdin.read())
assert repr(told["slip"]) == slip and text.split()[0] == slip, sys.argv
noise = np.random.default_rng(int(seed)).normal()
np.save(output, np.array([[told["slip"], told["depth"], noise]]))
"""


def test_a_command_is_told_the_parameters_and_writes_an_array():
    arguments = ["{slip}", "{parameters}", "{seed}", "{output}"]
    command = CommandSimulator([sys.executable, "-c", brace(ECHO), *arguments], stdin="{json}")
    first, again = run(command, 4, workers=2), run(command, 4)
    equal(first, again)
    assert first.observations.shape == (4, 1, 3)
    np.testing.assert_array_equal(first.observations[:, 0, :2], first.parameters)
    assert len(np.unique(first.observations[:, 0, 2])) == 4


def brace(text):
    return text.replace("{", "{{").replace("}", "}}")


def test_a_command_may_be_told_on_its_input_where_to_write():
    text = "import numpy, sys; numpy.save(sys.stdin.read(), numpy.arange(3.0))"
    simulations = run(CommandSimulator([sys.executable, "-c", text], stdin="{output}"), 2)
    np.testing.assert_array_equal(simulations.observations, [[0, 1, 2]] * 2)
    assert not list(Path(tempfile.gettempdir()).glob("physgen-*.npy"))


def test_a_parameter_is_not_called_like_another_placeholder():
    prior = uniform_prior([0.0], [1.0], names=["seed"])
    with pytest.raises(InputError, match="other names than .*, got seed"):
        simulate(KEY, prior, CommandSimulator(["echo", "{seed}"]), 2)


def test_a_command_prints_numbers():
    command = CommandSimulator(["echo", "{slip:.3f}", "2e3", "-1"])
    simulations = run(command, 3)
    np.testing.assert_allclose(
        simulations.observations[:, 0], simulations.parameters[:, 0], atol=6e-4
    )
    np.testing.assert_array_equal(simulations.observations[:, 1:], [[2000, -1]] * 3)


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        (["sh", "-c", "echo it broke >&2; exit 4"], {}, "exit status 4: it broke"),
        (["sleep", "5"], {"timeout": 0.05}, "longer than 0.05 s"),
        (["echo", "one two"], {}, "expected numbers from the program"),
        (["true"], {}, "without numbers"),
        (["true", "{output}"], {}, "wrote no"),
        (["echo", "{speed}"], {}, "placeholders among slip, depth, .* got 'speed'"),
        (["echo", "{}"], {}, "placeholders among"),
    ],
)
def test_commands_that_fail_say_why(command, options, message):
    with pytest.raises(InputError, match=message) as error:
        run(CommandSimulator(command, **options), 2, retries=0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("command", ["echo {slip}", [], ["no-such-program"], ["/etc/passwd"]])
def test_what_is_no_command_is_refused(command):
    with pytest.raises(InputError, match="expected a"):
        CommandSimulator(command)


def test_no_shell_sees_the_command(tmp_path):
    victim = tmp_path / "victim"
    with pytest.raises(InputError, match="expected numbers"):
        run(CommandSimulator(["echo", f"$(touch {victim}); touch {victim}"]), 1)
    assert not victim.exists()


# ---- the file


def some(n=7):
    return Simulations.from_arrays(
        np.arange(2.0 * n).reshape(n, 2),
        np.arange(3.0 * n).reshape(n, 3),
        names=["a", "b"],
        units=["m", ""],
        low=[0.0, -np.inf],
        high=[99.0, np.inf],
        failed=2,
    )


def test_save_and_load_are_exact(tmp_path):
    simulations = some()
    simulations.save(tmp_path / "s.h5")
    back = Simulations.load(tmp_path / "s.h5")
    equal(back, simulations)
    assert back.parameter_names == ("a", "b") and back.parameter_units == ("m", "")
    np.testing.assert_array_equal([back.low, back.high], [simulations.low, simulations.high])
    assert describe(tmp_path / "s.h5")["kind"] == "simulations"
    with pytest.raises(InputError, match="exists already"):
        simulations.save(tmp_path / "s.h5")
    simulations.save(tmp_path / "s.h5", overwrite=True)


@pytest.mark.parametrize(
    ("theta", "x"), [("parameters", "observations"), ("theta", "x"), ("theta", "data")]
)
def test_files_of_others_are_read(tmp_path, theta, x):
    parameters, observations = np.arange(10.0), np.ones((10, 2, 2), int)
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file[theta], file[x] = parameters, observations
    back = Simulations.load(tmp_path / "s.h5")
    assert back.parameters.shape == (10, 1) and back.observations.shape == (10, 2, 2)
    assert back.parameter_names == ("theta_1",) and back.parameter_units == ("",)
    assert (back.low[0], back.high[0]) == (-np.inf, np.inf)


def test_rows_that_are_not_finite_are_left_out_and_counted():
    theta, x = np.arange(20.0).reshape(10, 2), np.ones((10, 3))
    x[3, 1], x[5, 0], theta[7, 0] = np.nan, np.inf, np.nan
    simulations = Simulations.from_arrays(theta, x)
    assert len(simulations) == 7 and simulations.failed == 3
    np.testing.assert_array_equal(simulations.parameters, np.delete(theta, [3, 5, 7], axis=0))
    with pytest.raises(InputError, match=r"3 of 10 .* such as that at \[6\.0, 7\.0\]"):
        Simulations.from_arrays(theta, x, max_failed_share=0.2)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda f: f.update(theta=np.ones((3, 1))), "dataset observations or"),
        (lambda f: f.update(x=np.ones((3, 1))), "dataset parameters or theta, found x"),
        (lambda f: f.update(theta=np.ones((3, 1)), x=np.ones((4, 1))), "one row of each"),
        (lambda f: f.update(theta=np.ones((3, 1)), x=np.full((3, 1), np.nan)), "got 3 of 3"),
        (lambda f: f.update(theta=np.ones((3, 1)), x=np.array([b"a"] * 3)), "real numbers"),
        (lambda f: f.update(theta=np.ones((3, 1, 1)), x=np.ones((3, 1))), r"parameters \(n, d\)"),
        (lambda f: f.attrs.update(kind="catalogue"), "holds a catalogue"),
    ],
)
def test_files_without_simulations_are_refused(tmp_path, write, message):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        write(file)
    with pytest.raises(InputError, match=message) as error:
        Simulations.load(tmp_path / "s.h5")
    assert "\n" not in str(error.value) and "s.h5" in str(error.value)


def test_simulations_must_fit_together():
    with pytest.raises(InputError, match="finite"):
        Simulations(
            np.ones((2, 1)), np.full((2, 1), np.nan), ("a",), ("",), np.zeros(1), np.ones(1)
        )
    with pytest.raises(InputError, match="low of shape"):
        Simulations.from_arrays(np.ones((2, 1)), np.ones((2, 1)), low=[0.0, 0.0])
    with pytest.raises(InputError, match="a name for each"):
        Simulations.from_arrays(np.ones((2, 1)), np.ones((2, 1)), names=["a", "b"])


# ---- the store


class Stop(Exception):
    pass


def stop_at(number):
    def report(status):
        if status.done >= number:
            raise Stop

    return report


@pytest.mark.parametrize("simulator", [noisy, in_jax, nan_above])
def test_a_run_that_was_stopped_ends_with_the_same_numbers(tmp_path, simulator):
    store = tmp_path / "s.h5"
    options = {"store": store, "chunk": 20, "save_seconds": 0.0}
    for number in (20, 60):
        with pytest.raises(Stop):
            simulate(KEY, PRIOR, simulator, 90, resume=True, report=stop_at(number), **options)
        begun = Simulations.load(store)
        assert len(begun) + begun.failed == number
    whole = run(simulator, 90, chunk=20)
    equal(run(simulator, 90, resume=True, **options), whole)
    equal(Simulations.load(store), whole)
    assert [path.name for path in tmp_path.iterdir()] == ["s.h5"]


def test_a_store_of_tiny_parameters_knows_its_prior(tmp_path):
    store = tmp_path / "s.h5"
    simulate(KEY, uniform_prior([1e-12], [2e-12]), noisy, 20, store=store)
    with pytest.raises(InputError, match="the same prior"):
        simulate(KEY, uniform_prior([3e-12], [9e-12]), noisy, 20, store=store, resume=True)


def test_a_finished_store_grows_and_is_never_run_again(tmp_path):
    store = tmp_path / "s.h5"
    run(noisy, 30, store=store)
    grown = run(noisy, 80, store=store, resume=True)
    equal(grown, run(noisy, 80))
    equal(Simulations.load(store), grown)

    def never(theta, rng):
        raise AssertionError

    never.__qualname__, never.__module__ = noisy.__qualname__, noisy.__module__
    equal(run(never, 80, store=store, resume=True), grown)
    equal(run(never, 30, store=store, resume=True), run(noisy, 30))
    equal(Simulations.load(store), grown)


def test_a_store_of_another_run_is_refused(tmp_path):
    store = tmp_path / "s.h5"
    run(noisy, 10, store=store)
    for message, options in (
        ("exists already", {}),
        ("another key", {"resume": True, "key": jax.random.key(9)}),
        ("another simulator.*nan_above now", {"resume": True, "simulator": nan_above}),
        ("the same prior", {"resume": True, "prior": normal_prior([0.0, 0.0], [1.0, 1.0])}),
        ("the same prior", {"resume": True, "prior": normal_prior([0.0], [1.0])}),
    ):
        with pytest.raises(InputError, match=message):
            run(**{"simulator": noisy, "n": 20, "store": store, **options})
    some().save(tmp_path / "other.h5")
    with pytest.raises(InputError, match="not written by simulate"):
        run(noisy, 10, store=tmp_path / "other.h5", resume=True)
    with pytest.raises(InputError, match="does not exist"):
        run(noisy, 10, store=tmp_path / "nowhere" / "s.h5")


SCRIPT = """
import sys
import jax
import shipped
from physgen.inference import simulate, uniform_prior

if __name__ == "__main__":
    prior = uniform_prior([0.0, -1.0], [1.0, 1.0], names=["slip", "depth"], units=["mm/yr", "km"])
    simulate(
        jax.random.key(5), prior, shipped.slow, 100_000,
        store="s.h5", save_seconds=0.0, workers=int(sys.argv[1]),
    )
"""


def begun(folder, workers=1):
    """A process that fills s.h5, after it has written some pieces."""
    (folder / "script.py").write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, "script.py", str(workers)], stderr=subprocess.PIPE, text=True, cwd=folder
    )
    deadline = time.monotonic() + 120
    while len(list(folder.glob("s.h5.parts/part-*.h5"))) < 5:
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.01)
    return process


def test_a_run_that_is_killed_leaves_all_that_was_done(module, tmp_path):
    process = begun(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = Simulations.load(tmp_path / "s.h5")
    whole = run(module.noisy, 200)
    assert 5 <= len(left) < 200
    np.testing.assert_array_equal(left.parameters, whole.parameters[: len(left)])
    np.testing.assert_array_equal(left.observations, whole.observations[: len(left)])
    assert left.parameter_units == ("mm/yr", "km")
    equal(run(module.slow, 200, store=tmp_path / "s.h5", resume=True), whole)
    assert not (tmp_path / "s.h5.parts").exists()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_keeps_what_was_done_and_says_how_to_go_on(module, tmp_path, workers):
    process = begun(tmp_path, workers)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode != 0 and time.monotonic() - started < 20
    last = said.strip().splitlines()[-1]
    found = re.fullmatch(
        r"KeyboardInterrupt: stopped after (\d+) of 100000 simulations; "
        r"s.h5 keeps them, resume=True goes on",
        last,
    )
    assert found, said
    left = Simulations.load(tmp_path / "s.h5")
    assert len(left) == int(found[1])
    whole = run(module.noisy, 400)
    rows = [np.flatnonzero((whole.parameters == row).all(axis=1)) for row in left.parameters]
    np.testing.assert_array_equal(left.observations, whole.observations[np.concatenate(rows)])


class Dropped:
    """Ctrl-C arrives in a destructor, where Python drops the exception."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_is_not_lost_in_a_destructor(tmp_path):
    def simulator(theta, rng):
        if theta[0] > 0.9:
            Dropped()
        return noisy(theta, rng)

    with pytest.raises(KeyboardInterrupt, match="stopped after .* of 1000 simulations"):
        run(simulator, 1000, store=tmp_path / "s.h5")
    assert 0 < len(Simulations.load(tmp_path / "s.h5")) < 1000


# ---- progress


def test_progress_counts_what_is_done_and_what_failed():
    seen = []
    simulate(KEY, PRIOR, nan_above, 50, report=seen.append)
    assert [status.done for status in seen] == list(range(51))
    assert seen[-1] == SimulationStatus(50, 50, run(nan_above, 50).failed)


def test_the_progress_line_off_a_terminal_is_rare():
    stream = io.StringIO()
    line = SimulationLine(stream, interval=1e9)
    for done in range(0, 100, 3):
        line(SimulationStatus(done, 100, 0))
        time.sleep(1e-4)
    line(SimulationStatus(100, 100, 4))
    first, last = stream.getvalue().splitlines()
    assert first == "simulation 0/100"
    assert re.fullmatch(r"simulation 100/100  \S+/s  4 failed", last)


def test_the_progress_line_on_a_terminal_is_one_line():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    line = SimulationLine(stream)
    line(SimulationStatus(0, 10_000, 0))
    time.sleep(0.15)
    line(SimulationStatus(10, 10_000, 0))
    line(SimulationStatus(10_000, 10_000, 0))
    text = stream.getvalue()
    assert text.count("\n") == 1 and text.endswith("\n") and text.startswith("\r")
    assert re.search(r"simulation 10/10000  \S+/s  \d+:\d\d left", text)


def test_progress_goes_to_stderr(capsys):
    simulate(KEY, PRIOR, noisy, 3)
    out, err = capsys.readouterr()
    assert out == "" and "simulation 3/3" in err
