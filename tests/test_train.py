import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from physgen.data import batch_indices, seed_of
from physgen.errors import InputError
from physgen.train import (
    FitSettings,
    NonFiniteError,
    OptimizerSettings,
    ProgressLine,
    Silent,
    Status,
    fit,
    gradient_step,
)
from physgen.train.gradient import learning_rate

KEY = jax.random.key(7)


def regression(n=200, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    return {"x": x, "y": x @ np.array([1.0, -2.0, 3.0], np.float32) + 0.5}


def linear():
    return {"w": jnp.zeros(3), "b": jnp.zeros(())}


def squared_error(params, key, batch):
    del key
    return jnp.mean((batch["x"] @ params["w"] + params["b"] - batch["y"]) ** 2)


def sgd(key, state, batch):
    """Stochastic gradient descent with noise, so that every key matters."""
    loss, gradient = jax.value_and_grad(squared_error)(state, key, batch)
    noise = 1e-3 * jax.random.normal(key, (3,))
    state = jax.tree.map(lambda p, g: p - 0.05 * g, state, gradient)
    return {**state, "w": state["w"] + noise}, {"loss": loss}


def run(settings, step=sgd, state=None, data=None, **options):
    options = {"report": Silent()} | options
    return fit(
        KEY, step, linear() if state is None else state, data or regression(), settings, **options
    )


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


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


def test_gradient_step_with_fit_is_traced_once():
    traces = []

    def loss(params, key, batch):
        traces.append(1)
        return squared_error(params, key, batch)

    parts = gradient_step(loss, OptimizerSettings())
    settings = FitSettings(batch_size=16, minutes=0.005, steps_per_dispatch=5)
    run(settings, parts.step, parts.init(linear()), on_total_steps=parts.on_total_steps)
    assert len(traces) == 1


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


def test_steps_are_announced_before_the_first_step():
    parts = gradient_step(squared_error, OptimizerSettings(learning_rate=0.1, warmup_fraction=0.2))
    result = run(
        FitSettings(batch_size=16, steps=20, steps_per_dispatch=1),
        parts.step,
        parts.init(linear()),
        on_total_steps=parts.on_total_steps,
    )
    peak = 0.1 * np.concatenate([np.arange(1, 5) / 4, (1 + np.cos(np.pi * np.arange(16) / 16)) / 2])
    np.testing.assert_allclose(result.history["learning_rate"], peak, rtol=1e-5)
    assert (result.state.step, result.state.total_steps) == (20, 20)


def test_learning_rate_ends_at_zero_for_any_length():
    rates = jax.jit(jax.vmap(partial(learning_rate, OptimizerSettings()), in_axes=(0, None)))
    for total in (1, 2, 7, 1000):
        values = rates(jnp.arange(1001), jnp.asarray(total))
        assert np.all(values[total:] == 0.0)
        assert np.all((values >= 0) & (values <= 1e-3))


def test_gradient_step_agrees_with_optax():
    total, data = 40, regression()
    settings = OptimizerSettings(
        learning_rate=0.1, warmup_fraction=0.25, weight_decay=0.1, clip_norm=0.5, ema_decay=0.9
    )
    parts = gradient_step(lambda p, k, b: (squared_error(p, k, b), {"size": 1.0}), settings)
    step, state = jax.jit(parts.step), parts.on_total_steps(parts.init(linear()), total)
    schedule = optax.join_schedules(
        [lambda i: 0.1 * (i + 1) / 10, optax.cosine_decay_schedule(0.1, 30)], [10]
    )
    reference = optax.chain(
        optax.clip_by_global_norm(0.5),
        optax.adamw(schedule, weight_decay=0.1, mask={"w": False, "b": False}),
    )

    @jax.jit
    def reference_step(params, moments, ema, i):
        gradient = jax.grad(squared_error)(params, KEY, data)
        updates, moments = reference.update(gradient, moments, params)
        params = optax.apply_updates(params, updates)
        decay = jnp.minimum(0.9, (1 + i) / (10 + i))
        ema = jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, ema, params)
        return params, moments, ema, gradient

    params, moments, ema = linear(), reference.init(linear()), linear()
    for i in range(total):
        params, moments, ema, gradient = reference_step(params, moments, ema, i)
        state, info = step(KEY, state, data)
    for name in params:
        np.testing.assert_allclose(state.params[name], params[name], rtol=1e-4)
        np.testing.assert_allclose(state.ema[name], ema[name], rtol=1e-4)
    assert set(info) == {"loss", "gradient_norm", "learning_rate", "size"}
    np.testing.assert_allclose(info["gradient_norm"], optax.tree.norm(gradient), rtol=1e-3)
    np.testing.assert_allclose(
        parts.evaluate(KEY, state, data), squared_error(ema, KEY, data), rtol=1e-3
    )


def test_microbatches_add_up_to_the_batch():
    def loss(params, key, batch):
        value = squared_error(params, key, batch)
        return value, {"twice": 2 * value}

    data, outcomes = regression(24), []
    for size in (None, 6, 24, 100):
        parts = gradient_step(loss, OptimizerSettings(), microbatch=size)
        outcomes.append(jax.jit(parts.step)(KEY, parts.init(linear()), data))
    for state, info in outcomes[1:]:
        for name, value in info.items():
            np.testing.assert_allclose(value, outcomes[0][1][name], rtol=1e-5)
        for name, value in state.params.items():
            np.testing.assert_allclose(value, outcomes[0][0].params[name], rtol=1e-5)
    parts = gradient_step(loss, OptimizerSettings(), microbatch=7)
    with pytest.raises(InputError, match="divides"):
        parts.step(KEY, parts.init(linear()), data)


def test_only_matrices_decay():
    parts = gradient_step(lambda p, k, b: 0.0 * p["m"].sum(), OptimizerSettings(weight_decay=0.5))
    state = parts.on_total_steps(parts.init({"m": jnp.ones((2, 2)), "v": jnp.ones(2)}), 100)
    state, _ = parts.step(KEY, state, None)
    assert np.all(np.asarray(state.params["m"]) < 1)
    np.testing.assert_array_equal(state.params["v"], 1)


def test_a_module_is_trained_and_its_buffers_are_not():
    class Buffer(nnx.Variable):
        pass

    class Model(nnx.Module):
        def __init__(self):
            self.linear = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
            self.shift = Buffer(jnp.asarray(0.5))

        def __call__(self, x):
            return self.linear(x)[..., 0] + self.shift[...]

    graph, params, rest = nnx.split(Model(), nnx.Param, ...)

    def loss(params, key, batch):
        model = nnx.merge(graph, params, rest)
        return jnp.mean((model(batch["x"]) - batch["y"]) ** 2)

    parts = gradient_step(loss, OptimizerSettings(learning_rate=0.05))
    result = run(
        FitSettings(batch_size=32, steps=400),
        parts.step,
        parts.init(params),
        on_total_steps=parts.on_total_steps,
    )
    model = nnx.merge(graph, result.state.params, rest)
    np.testing.assert_allclose(model.linear.kernel[...][:, 0], [1, -2, 3], atol=1e-2)
    np.testing.assert_allclose(model.linear.bias[...], [0.0], atol=1e-2)
    assert model.shift[...] == 0.5


def test_a_stopped_run_resumes_exactly(tmp_path):
    """Every place where a run can stop leads to the same end, with patience and a best state."""
    parts = gradient_step(squared_error, OptimizerSettings(learning_rate=0.3))
    settings = FitSettings(
        batch_size=16, steps=120, steps_per_dispatch=4, validate_every=8, patience=6,
        checkpoint_every=4,
    )  # fmt: skip
    options = {
        "evaluate": parts.evaluate,
        "validation_data": regression(30, 1),
        "on_total_steps": parts.on_total_steps,
    }
    straight = run(settings, parts.step, parts.init(linear()), **options)

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
                settings, parts.step, parts.init(linear()), checkpoint=path, resume=True,
                report=Stop(stop), **options,
            )  # fmt: skip
    resumed = run(
        settings, parts.step, parts.init(linear()), checkpoint=path, resume=True, **options
    )
    assert_same(resumed.state, straight.state)
    assert_same(resumed.history, straight.history)
    assert (resumed.steps, resumed.best_step) == (straight.steps, straight.best_step)
    finished = run(
        settings, parts.step, parts.init(linear()), checkpoint=path, resume=True, **options
    )
    assert_same(finished.state, straight.state)


PROGRAM = """
import os, sys
import jax, numpy as np
from physgen.train import FitSettings, OptimizerSettings, Silent, fit, gradient_step
sys.path.insert(0, {tests!r})
from test_train import KEY, linear, regression, squared_error

class Kill(Silent):
    def status(self, status):
        print(status.step, flush=True)
        if status.step == {kill}:
            os.kill(os.getpid(), {signal})

parts = gradient_step(squared_error, OptimizerSettings(learning_rate=0.3))
settings = FitSettings(batch_size=16, steps=60, steps_per_dispatch=5, checkpoint_every=10)
result = fit(KEY, parts.step, parts.init(linear()), regression(), settings,
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
    parts = gradient_step(squared_error, OptimizerSettings(learning_rate=0.3))
    straight = run(
        FitSettings(batch_size=16, steps=60, steps_per_dispatch=5),
        parts.step,
        parts.init(linear()),
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


def test_fit_works_in_another_thread():
    results = []
    settings = FitSettings(batch_size=16, steps=10)
    thread = threading.Thread(target=lambda: results.append(run(settings)))
    thread.start()
    thread.join()
    assert_same(results[0].state, run(settings).state)


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
        ("key", lambda: fit(jax.random.key(8), sgd, linear(), regression(), settings, **again)),
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
from physgen.train import FitSettings, OptimizerSettings, Silent, fit, gradient_step
sys.path.insert(0, {tests!r})
from test_train import KEY, linear, regression, squared_error

class Notes(Silent):
    def note(self, text):
        print(text)

def noisy(params, key, batch):
    return squared_error(params, key, batch) + 0.1 * jax.random.normal(key, batch["y"].shape).mean()

for batch_size in (32, 6):
    parts = gradient_step(noisy, OptimizerSettings(learning_rate=0.05))
    settings = FitSettings(
        batch_size=batch_size, steps=60, steps_per_dispatch=10, validate_every=20
    )
    result = fit(KEY, parts.step, parts.init(linear()), regression(), settings, report=Notes(),
                 evaluate=parts.evaluate, validation_data=regression(50, 1),
                 on_total_steps=parts.on_total_steps)
    assert len(result.state.params["w"].devices()) == 1
    curve = np.concatenate([result.history["loss"], result.history["validation_loss"]])
    np.save(f"{out}-{{batch_size}}.npy", curve)
"""


def test_devices_share_the_batch_and_change_nothing(tmp_path):
    for count in (1, 4):
        text = DEVICES.format(tests=str(Path(__file__).parent), out=tmp_path / f"{count}")
        flags = f"--xla_force_host_platform_device_count={count}"
        done = subprocess.run(
            [sys.executable, "-c", text],
            env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        # A batch of 32 divides among four devices, a batch of 6 among three of them.
        assert done.stdout.count("using") == (count == 4)
        assert ("using 3 of 4 devices" in done.stdout) == (count == 4)
    for batch_size in (32, 6):
        one, four = (np.load(tmp_path / f"{count}-{batch_size}.npy") for count in (1, 4))
        np.testing.assert_allclose(one, four, rtol=1e-4)


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


@pytest.mark.parametrize(
    "values",
    [
        {"learning_rate": 0.0},
        {"clip_norm": -1.0},
        {"warmup_fraction": 1.0},
        {"ema_decay": 1.0},
        {"second_moment_decay": 1.0},
        {"weight_decay": -1.0},
    ],
)
def test_optimizer_settings_are_checked(values):
    with pytest.raises(InputError, match=next(iter(values))):
        OptimizerSettings(**values)


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


def test_progress_off_a_terminal_is_a_line_now_and_then():
    stream = io.StringIO()
    line = ProgressLine(stream, interval=1e9)
    for step in range(1, 100):
        line.status(Status(step, None if step < 5 else 100, 2.0, None, False))
        time.sleep(1e-4)
    line.status(Status(100, 100, 2.0, 0.5, True))
    line.note("by the way")
    first, last, note = stream.getvalue().splitlines()
    assert first == "step 1/?  loss 2"
    assert re.fullmatch(r"step 100/100  loss 2  validation 0\.5  \S+ steps/s", last)
    assert note == "by the way"


def test_progress_on_a_terminal_is_one_line():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    line = ProgressLine(stream)
    line.status(Status(10, 1000, 2.0, None, False))
    time.sleep(0.15)
    line.status(Status(20, 1000, 2.0, None, False))
    line.status(Status(1000, 1000, 2.0, None, True))
    text = stream.getvalue()
    assert text.count("\n") == 1 and text.endswith("\n") and text.startswith("\r")
    assert re.search(r"step 20/1000 .* \d+:\d\d left", text)


def test_progress_smooths_the_loss():
    stream = io.StringIO()
    line = ProgressLine(stream, interval=0.0, smoothing=0.5)
    for step, loss in enumerate([4.0, 2.0]):
        line.status(Status(step, 10, loss, None, False))
    assert "loss 3" in stream.getvalue().splitlines()[-1]
