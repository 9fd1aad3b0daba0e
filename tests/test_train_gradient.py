from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from training import KEY, linear, regression, run, squared_error

from physgen.errors import InputError
from physgen.train import (
    FitSettings,
    OptimizerSettings,
    gradient_step,
)
from physgen.train.gradient import learning_rate


def test_gradient_step_with_fit_is_traced_once():
    traces = []

    def loss(params, key, batch):
        traces.append(1)
        return squared_error(params, key, batch)

    parts = gradient_step(linear(), loss, OptimizerSettings())
    settings = FitSettings(batch_size=16, minutes=0.005, steps_per_dispatch=5)
    run(settings, parts.step, parts.state, on_total_steps=parts.on_total_steps)
    assert len(traces) == 1


def test_steps_are_announced_before_the_first_step():
    parts = gradient_step(
        linear(), squared_error, OptimizerSettings(learning_rate=0.1, warmup_fraction=0.2)
    )
    result = run(
        FitSettings(batch_size=16, steps=20, steps_per_dispatch=1),
        parts.step,
        parts.state,
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
    parts = gradient_step(
        linear(), lambda p, k, b: (squared_error(p, k, b), {"size": 1.0}), settings
    )
    step, state = jax.jit(parts.step), parts.on_total_steps(parts.state, total)
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
        np.testing.assert_allclose(parts.unravel(state.params)[name], params[name], rtol=1e-4)
        np.testing.assert_allclose(parts.unravel(state.ema)[name], ema[name], rtol=1e-4)
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
        parts = gradient_step(linear(), loss, OptimizerSettings(), microbatch=size)
        outcomes.append(jax.jit(parts.step)(KEY, parts.state, data))
    for state, info in outcomes[1:]:
        for name, value in info.items():
            np.testing.assert_allclose(value, outcomes[0][1][name], rtol=1e-5)
        np.testing.assert_allclose(state.params, outcomes[0][0].params, rtol=1e-5)
    parts = gradient_step(linear(), loss, OptimizerSettings(), microbatch=7)
    with pytest.raises(InputError, match="divides"):
        parts.step(KEY, parts.state, data)


def test_only_matrices_decay():
    start = {"m": jnp.ones((2, 2)), "v": jnp.ones(2)}
    settings = OptimizerSettings(weight_decay=0.5)
    parts = gradient_step(start, lambda p, k, b: 0.0 * p["m"].sum(), settings)
    state, _ = parts.step(KEY, parts.on_total_steps(parts.state, 100), None)
    params = parts.unravel(state.params)
    assert np.all(np.asarray(params["m"]) < 1)
    np.testing.assert_array_equal(params["v"], 1)


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

    parts = gradient_step(params, loss, OptimizerSettings(learning_rate=0.05))
    result = run(
        FitSettings(batch_size=32, steps=400),
        parts.step,
        parts.state,
        on_total_steps=parts.on_total_steps,
    )
    model = nnx.merge(graph, parts.unravel(result.state.params), rest)
    np.testing.assert_allclose(model.linear.kernel[...][:, 0], [1, -2, 3], atol=1e-2)
    np.testing.assert_allclose(model.linear.bias[...], [0.0], atol=1e-2)
    assert model.shift[...] == 0.5


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
