import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import assert_same, linear, regression, run, sgd, squared_error

from physgen.errors import InputError
from physgen.train import (
    FitSettings,
    NonFiniteError,
    OptimizerSettings,
    Silent,
    fit,
    gradient_step,
)


def test_a_stopped_run_resumes_exactly(tmp_path):
    """Every place where a run can stop leads to the same end, with patience and a best state."""
    parts = gradient_step(linear(), squared_error, OptimizerSettings(learning_rate=0.3))
    settings = FitSettings(
        batch_size=16, steps=120, steps_per_dispatch=4, validate_every=8, patience=6,
        checkpoint_every=4,
    )  # fmt: skip
    options = {
        "evaluate": parts.evaluate,
        "validation_data": regression(30, 1),
        "on_total_steps": parts.on_total_steps,
    }
    straight = run(settings, parts.step, parts.state, **options)

    class Stop(Silent):
        def __init__(self, step):
            self.step = step

        def status(self, status):
            if status.step >= self.step:
                raise RuntimeError("stopped from outside")

    path = tmp_path / "run.h5"
    for stop in (4, 12, 60):
        with pytest.raises(RuntimeError):
            run(
                settings, parts.step, parts.state, checkpoint=path, resume=True,
                report=Stop(stop), **options,
            )  # fmt: skip
    resumed = run(settings, parts.step, parts.state, checkpoint=path, resume=True, **options)
    assert_same(resumed.state, straight.state)
    assert_same(resumed.history, straight.history)
    assert (resumed.steps, resumed.best_step) == (straight.steps, straight.best_step)
    finished = run(settings, parts.step, parts.state, checkpoint=path, resume=True, **options)
    assert_same(finished.state, straight.state)


PROGRAM = """
import os, sys
import jax, numpy as np
from physgen.train import FitSettings, OptimizerSettings, Silent, fit, gradient_step
sys.path.insert(0, {tests!r})
from training import KEY, linear, regression, squared_error

class Kill(Silent):
    def status(self, status):
        print(status.step, flush=True)
        if status.step == {kill}:
            os.kill(os.getpid(), {signal})

parts = gradient_step(linear(), squared_error, OptimizerSettings(learning_rate=0.3))
settings = FitSettings(batch_size=16, steps=60, steps_per_dispatch=5, checkpoint_every=10)
result = fit(KEY, parts.step, parts.state, regression(), settings,
             on_total_steps=parts.on_total_steps, checkpoint={path!r}, resume=True, report=Kill())
print("interrupted" if result.interrupted else "finished", result.steps)
np.save({path!r} + ".npy", np.concatenate([np.ravel(x) for x in jax.tree.leaves(result.state)]))
"""


def program(path, kill=-1, number=signal.SIGKILL):
    text = PROGRAM.format(
        tests=str(Path(__file__).parent), path=str(path), kill=kill, signal=int(number)
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    return done.returncode, done.stdout.split("\n"), done.stderr


def test_a_killed_process_resumes_exactly(tmp_path):
    code, lines, _ = program(tmp_path / "killed.h5", kill=35)
    assert code == -signal.SIGKILL and "35" in lines
    with h5py.File(tmp_path / "killed.h5") as file:
        assert json.loads(file["record"][()])["step"] == 30
    code, lines, errors = program(tmp_path / "killed.h5")
    assert code == 0, errors
    assert lines[0] == "35" and "finished 60" in lines
    parts = gradient_step(linear(), squared_error, OptimizerSettings(learning_rate=0.3))
    straight = run(
        FitSettings(batch_size=16, steps=60, steps_per_dispatch=5),
        parts.step,
        parts.state,
        on_total_steps=parts.on_total_steps,
    )
    leaves = [np.ravel(leaf) for leaf in jax.tree.leaves(straight.state)]
    np.testing.assert_array_equal(np.load(tmp_path / "killed.h5.npy"), np.concatenate(leaves))
    assert sorted(os.listdir(tmp_path)) == ["killed.h5", "killed.h5.npy"]


class Interrupt(Silent):
    """Presses Ctrl-C after a given step."""

    def __init__(self, step):
        self.step = step

    def status(self, status):
        if status.step == self.step:
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_finishes_the_dispatch_and_leaves_a_checkpoint(tmp_path):
    settings = FitSettings(batch_size=16, steps=100, steps_per_dispatch=10)
    path = tmp_path / "run.h5"
    before = signal.getsignal(signal.SIGINT)
    first = run(settings, checkpoint=path, report=Interrupt(30))
    assert first.interrupted and first.steps == 40
    assert signal.getsignal(signal.SIGINT) is before
    resumed = run(settings, checkpoint=path, resume=True)
    assert resumed.steps == 100 and not resumed.interrupted
    assert_same(resumed.state, run(settings).state)


def test_a_second_ctrl_c_aborts():
    class Impatient(Interrupt):
        def status(self, status):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(FitSettings(batch_size=16, steps=100, steps_per_dispatch=10), report=Impatient(10))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    settings, longer = FitSettings(batch_size=16, steps=20), FitSettings(batch_size=16, steps=40)
    path = tmp_path / "run.h5"
    run(settings, checkpoint=path, identity={"layers": 2})
    with pytest.raises(InputError, match="exists"):
        run(settings, checkpoint=path)
    again = {"checkpoint": path, "resume": True, "identity": {"layers": 2}}
    changed = regression()
    changed["x"][5, 1] += 1e-3
    for word, call in [
        ("settings .*steps 20 before, 40 now", lambda: run(longer, **again)),
        ("data", lambda: run(settings, data=changed, **again)),
        ("identity", lambda: run(settings, **(again | {"identity": {"layers": 3}}))),
        ("--seed", lambda: fit(jax.random.key(8), sgd, linear(), changed, settings, **again)),
        ("'c'", lambda: run(settings, state=linear() | {"c": jnp.zeros(1)}, **again)),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=word) as error:
            call()
        assert "\n" not in str(error.value)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    settings = FitSettings(batch_size=16, steps=20)
    path = tmp_path / "run.h5"
    run(settings, checkpoint=path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        run(settings, checkpoint=path, resume=True)


def test_the_folder_of_the_checkpoint_must_exist(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        run(FitSettings(steps=10), checkpoint=tmp_path / "missing" / "run.h5")


@pytest.mark.parametrize("name", ["loss", "norm"])
def test_a_nan_stops_and_keeps_the_checkpoint(tmp_path, name):
    def explode(key, state, batch):
        value = jnp.where(state == 23, jnp.nan, 1.0)
        return state + 1, {"loss": 1.0, name: value}

    path = tmp_path / "run.h5"
    settings = FitSettings(batch_size=4, steps=100, steps_per_dispatch=10, checkpoint_every=10)
    with pytest.raises(NonFiniteError, match=f"{name} is nan at step 23.*run.h5") as error:
        run(settings, explode, jnp.zeros((), jnp.int32), checkpoint=path)
    assert "\n" not in str(error.value)
    with h5py.File(path) as file:
        assert file["state/value"][()] == 20
