import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import KEY, assert_same, linear, regression, run, sgd, squared_error

from physgen.data import batch_indices, seed_of
from physgen.errors import InputError
from physgen.train import (
    FitSettings,
    NonFiniteError,
    Silent,
    fit,
)


def test_fit_is_a_plain_loop():
    result = run(FitSettings(batch_size=16, steps=37, steps_per_dispatch=10))
    state, data, losses = linear(), regression(), []
    assert result.steps == 40
    for i in range(result.steps):
        rows = batch_indices(seed_of(KEY), i, 1, 16, 200)[0]
        batch = {name: values[rows] for name, values in data.items()}
        state, info = sgd(jax.random.fold_in(KEY, i), state, batch)
        losses.append(float(info["loss"]))
    for name in state:
        np.testing.assert_allclose(result.state[name], state[name], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(result.history["step"], [10, 20, 30, 40])
    np.testing.assert_allclose(
        result.history["loss"], np.reshape(losses, (4, 10)).mean(1), rtol=1e-4
    )


def test_a_step_that_does_not_fit_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr("physgen.train.dispatch.memory_of", lambda device: 2**10)
    with pytest.raises(InputError, match=r"fits the 9.54e-07 GiB .* needs \S+ GiB"):
        run(FitSettings(batch_size=16, steps=10))


def test_dispatch_length_does_not_change_the_numbers():
    results = [
        run(FitSettings(batch_size=16, steps=24, steps_per_dispatch=n)) for n in (1, 8, 24, 1000)
    ]
    assert [r.steps for r in results] == [24] * 4
    for other in results[1:]:
        for name in other.state:
            np.testing.assert_allclose(other.state[name], results[0].state[name], rtol=1e-5)


def test_step_is_traced_once_and_the_initial_state_survives():
    traces, initial = [], linear()

    def counted(key, state, batch):
        traces.append(1)
        return sgd(key, state, batch)

    settings = FitSettings(batch_size=16, steps=100, steps_per_dispatch=7, validate_every=10)
    options = {"evaluate": lambda key, state, batch: squared_error(state, key, batch)}
    run(settings, counted, initial, validation_data=regression(50, 1), **options)
    assert len(traces) == 1
    assert_same(initial, linear())


class Energies(NamedTuple):
    loss: jax.Array
    variance: jax.Array


class Walkers(NamedTuple):
    positions: jax.Array
    key: jax.Array
    count: jax.Array


def test_a_step_may_have_no_data_any_state_and_a_named_tuple_of_scalars(tmp_path):
    def walk(key, state, batch):
        assert batch is None
        jump = jax.random.normal(key, state.positions.shape)
        inner = jax.random.split(state.key)[0]
        positions = state.positions + jump
        moments = Energies(jnp.mean(positions**2), jnp.var(positions))
        return Walkers(positions, inner, state.count + 1), moments

    state = Walkers(jnp.zeros((50, 3)), jax.random.key(3), 0)
    settings = FitSettings(steps=30, steps_per_dispatch=10)
    result = fit(KEY, walk, state, None, settings, report=Silent(), checkpoint=tmp_path / "walk.h5")
    expected = sum(jax.random.normal(jax.random.fold_in(KEY, i), (50, 3)) for i in range(30))
    np.testing.assert_allclose(result.state.positions, expected, rtol=1e-4, atol=1e-4)
    assert result.state.count == 30
    assert set(result.history) == {"step", "loss", "variance"}
    again = fit(
        KEY, walk, state, None, settings, report=Silent(), checkpoint=tmp_path / "walk.h5",
        resume=True,
    )  # fmt: skip
    np.testing.assert_array_equal(
        jax.random.key_data(again.state.key), jax.random.key_data(result.state.key)
    )


@pytest.mark.parametrize("n", [1, 30, 32, 71])
def test_validation_is_the_mean_over_all_items(n):
    held_out = regression(n, 1)
    settings = FitSettings(batch_size=32, steps=10, steps_per_dispatch=10)
    result = run(
        settings,
        evaluate=lambda key, state, batch: squared_error(state, key, batch),
        validation_data=held_out,
    )
    expected = squared_error(result.state, KEY, held_out)
    np.testing.assert_allclose(result.history["validation_loss"], [expected], rtol=1e-5)
    assert result.best_step == 10


def test_validation_draws_the_same_numbers_every_time():
    settings = FitSettings(batch_size=8, steps=40, steps_per_dispatch=10, validate_every=10)
    result = run(
        settings,
        evaluate=lambda key, state, batch: jax.random.normal(key),
        validation_data=regression(20),
    )
    assert len(set(result.history["validation_loss"])) == 1
    assert len(result.history["validation_loss"]) == 4


def test_patience_stops_and_keeps_the_best_state():
    def count(key, state, batch):
        return state + 1, {"loss": state}

    settings = FitSettings(
        batch_size=4, steps=1000, steps_per_dispatch=5, validate_every=10, patience=3
    )
    result = run(
        settings,
        count,
        jnp.zeros(()),
        evaluate=lambda key, state, batch: (state - 42) ** 2,
        validation_data=regression(10),
    )
    # Validated at 10, 20, ... 70: 40 is nearest to 42, and three more validations are waited for.
    assert result.stopped_early and not result.interrupted
    assert (result.steps, result.best_step, result.best_validation_loss) == (70, 40, 4.0)
    assert result.state == 40


def test_without_patience_the_last_state_is_returned():
    result = run(
        FitSettings(batch_size=4, steps=60, steps_per_dispatch=10, validate_every=10),
        lambda key, state, batch: (state + 1, {"loss": state}),
        jnp.zeros(()),
        evaluate=lambda key, state, batch: (state - 20) ** 2,
        validation_data=regression(10),
    )
    assert (result.state, result.best_step, result.stopped_early) == (60, 20, False)


def test_minutes_become_a_number_of_steps_once(tmp_path):
    told = []

    def slow(key, state, batch):
        jax.debug.callback(lambda: time.sleep(0.01), ordered=True)
        return state, {"loss": state["n"] * 0.0}

    def on_total_steps(state, n):
        told.append(n)
        return state | {"n": jnp.asarray(n, jnp.int32)}

    budget, path = 1.5, tmp_path / "run.h5"
    result = fit(
        KEY,
        slow,
        {"n": jnp.zeros((), jnp.int32)},
        None,
        FitSettings(minutes=budget / 60, steps_per_dispatch=5),
        report=Silent(),
        on_total_steps=on_total_steps,
        checkpoint=path,
    )
    assert told == [result.steps] == [result.state["n"]]
    assert result.steps % 5 == 0
    # No step takes less than 10 ms, and four dispatches pass before the number is settled.
    assert 25 <= result.steps <= budget / 0.01
    with h5py.File(path) as file:
        assert json.loads(file["record"][()])["total_steps"] == result.steps


def test_fit_works_in_another_thread():
    results = []
    settings = FitSettings(batch_size=16, steps=10)
    thread = threading.Thread(target=lambda: results.append(run(settings)))
    thread.start()
    thread.join()
    assert_same(results[0].state, run(settings).state)


def test_a_nan_in_validation_stops():
    with pytest.raises(NonFiniteError, match="validation_loss"):
        run(
            FitSettings(batch_size=4, steps=10),
            evaluate=lambda key, state, batch: jnp.nan,
            validation_data=regression(5),
        )


DEVICES = """
import sys
import jax, numpy as np
from physgen.train import FitSettings, OptimizerSettings, Silent, fit, gradient_step, loop
from physgen.train.dispatch import mesh_for
sys.path.insert(0, {tests!r})
from training import KEY, linear, regression, squared_error

class Notes(Silent):
    def note(self, text):
        print(text)

def noisy(params, key, batch):
    return squared_error(params, key, batch) + 0.1 * jax.random.normal(key, batch["y"].shape).mean()

def curve(batch_size):
    parts = gradient_step(linear(), noisy, OptimizerSettings(learning_rate=0.05))
    settings = FitSettings(
        batch_size=batch_size, steps=60, steps_per_dispatch=10, validate_every=20
    )
    result = fit(KEY, parts.step, parts.state, regression(), settings, report=Notes(),
                 evaluate=parts.evaluate, validation_data=regression(50, 1),
                 on_total_steps=parts.on_total_steps)
    assert len(result.state.params.devices()) == 1
    return np.concatenate([result.history["loss"], result.history["validation_loss"]])

assert (mesh_for(32).size, mesh_for(6).size, mesh_for(7).size) == (4, 3, 1)
shared, uneven = curve(32), curve(6)
loop.mesh_for = lambda batch_size: mesh_for(1)
np.testing.assert_allclose(shared, curve(32), rtol=1e-4)
np.testing.assert_allclose(uneven, curve(6), rtol=1e-4)
"""


def test_devices_share_the_batch_and_change_nothing():
    done = subprocess.run(
        [sys.executable, "-c", DEVICES.format(tests=str(Path(__file__).parent))],
        env=os.environ
        | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = [line.split(" devices")[0] for line in done.stdout.splitlines()]
    compiling = "compiling the training step"
    uneven, one = ["using 3 of 4", compiling], ["using 1 of 4", compiling]
    assert told == [compiling, *uneven, *one, *one]


@pytest.mark.parametrize(
    "values, word",
    [
        ({}, "exactly one"),
        ({"steps": 10, "minutes": 1.0}, "exactly one"),
        ({"steps": 0}, "steps"),
        ({"minutes": float("nan")}, "minutes"),
        ({"steps": 10, "batch_size": -1}, "batch_size"),
        ({"steps": 10, "patience": 0}, "patience"),
    ],
)
def test_settings_are_checked(values, word):
    with pytest.raises(InputError, match=word):
        FitSettings(**values)


def test_unusable_data_is_refused():
    settings = FitSettings(steps=10)
    ragged = {"x": np.zeros((3, 2)), "y": np.zeros(4)}
    for data in (ragged, {"x": np.zeros((0, 2))}, {"x": np.float32(1)}):
        with pytest.raises(InputError, match="leading axis"):
            run(settings, data=data)
    with pytest.raises(InputError, match="both or neither"):
        run(settings, validation_data=regression())
    with pytest.raises(InputError, match="patience"):
        run(FitSettings(steps=10, patience=2))
