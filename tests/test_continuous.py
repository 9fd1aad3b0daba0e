"""Maximum likelihood of a flow that is integrated, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats

from physgen.densities import Adaptive, Clock, FixedSteps, Gaussian, Transport
from physgen.densities.continuous import maximum_likelihood_loss
from physgen.nets import VelocityMLP
from physgen.train import FitSettings, OptimizerSettings, Silent, fit, gradient_step


class Linear(nnx.Module):
    """v = a x + c, which makes N(0, 1) into N(c (e^a - 1) / a, e^2a)."""

    def __init__(self, rate):
        self.rate = nnx.Param(jnp.array(rate))

    def __call__(self, time, x, context, mask):
        shift = 0.0 if context is None else context
        return self.rate[...] * x + shift


@pytest.mark.parametrize(("solver", "warp"), [(FixedSteps(32), 2.0), (Adaptive(1e-5, 1e-6), 1.0)])
def test_loss_and_gradient_of_a_linear_flow(solver, warp):
    a, c, x = 0.6, 0.5, np.array([0.8, -1.7])
    transport = Transport(Linear(a), Gaussian(), (2,), (2,), clock=Clock(warp), solver=solver)
    graph, params = nnx.split(transport)

    def loss(params, context):
        return maximum_likelihood_loss(
            nnx.merge(graph, params), jnp.asarray(x, jnp.float32), context
        )

    value, (gradients, by_context) = jax.jit(jax.value_and_grad(loss, (0, 1)))(
        params, jnp.full(2, c)
    )

    def closed_form(a, c):
        return -stats.norm.logpdf(x, c * np.expm1(a) / a, np.exp(a)).sum()

    h = 1e-6
    by_a = (closed_form(a + h, c) - closed_form(a - h, c)) / (2 * h)
    by_c = (closed_form(a, c + h) - closed_form(a, c - h)) / (2 * h)
    assert value == pytest.approx(closed_form(a, c), abs=2e-3)
    assert gradients["network"]["rate"][...] == pytest.approx(by_a, abs=5e-3)
    assert jnp.sum(by_context) == pytest.approx(by_c, abs=5e-3)


def test_memory_of_the_gradient_follows_the_root_of_the_steps():
    x = jnp.zeros((4096, 2))

    def memory(steps):
        transport = Transport(Linear(0.5), Gaussian(), (2,), solver=FixedSteps(2 * steps))
        graph, params = nnx.split(transport)

        def loss(params):
            model = nnx.merge(graph, params)
            return jnp.mean(jax.vmap(lambda event: maximum_likelihood_loss(model, event))(x))

        compiled = jax.jit(jax.grad(loss)).lower(params).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert memory(320) < 8 * memory(10)


BEND, WIDTH = 0.7, 0.4
ENTROPY = np.log(2 * np.pi * np.e * WIDTH)


def banana(rng, n):
    """x ~ N(0, 1), y ~ N(BEND (x^2 - 1), WIDTH^2): a sheared Gaussian, whose entropy it has."""
    x, noise = rng.normal(size=(2, n))
    return np.stack([x, BEND * (x**2 - 1) + WIDTH * noise], axis=1).astype(np.float32)


def banana_log_prob(points):
    x, y = np.moveaxis(points.astype(np.float64), -1, 0)
    return stats.norm.logpdf(x) + stats.norm.logpdf(y, BEND * (x**2 - 1), WIDTH)


def test_maximum_likelihood_reaches_the_entropy():
    rng = np.random.default_rng(0)
    data, held_out = banana(rng, 8192), banana(rng, 4096)
    network = VelocityMLP(2, 0, 32, 2, rngs=nnx.Rngs(0))
    transport = Transport(network, Gaussian(), (2,), solver=FixedSteps(12))
    graph, params, rest = nnx.split(transport, nnx.Param, ...)

    def loss(params, key, batch):
        model = nnx.merge(graph, params, rest)
        return jnp.mean(jax.vmap(lambda x: maximum_likelihood_loss(model, x))(batch))

    step = gradient_step(params, loss, OptimizerSettings(learning_rate=1e-2))
    settings = FitSettings(batch_size=128, steps=300, steps_per_dispatch=100)
    run = fit(
        jax.random.key(0), step.step, step.state, data, settings,
        on_total_steps=step.on_total_steps, report=Silent(),
    )  # fmt: skip
    trained = nnx.merge(graph, step.unravel(run.state.ema), rest)
    trained.solver = FixedSteps(48)
    log_prob = jax.jit(trained.log_prob)

    truth = banana_log_prob(held_out)
    assert -truth.mean() == pytest.approx(ENTROPY, abs=4 * truth.std() / np.sqrt(len(truth)))
    divergence = np.mean(truth - log_prob(held_out))
    assert -0.01 < divergence < 0.05
    axis = np.linspace(-8, 8, 161)
    density = np.exp(log_prob(np.stack(np.meshgrid(axis, axis), axis=-1).astype(np.float32)))
    assert density.sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=5e-3)
