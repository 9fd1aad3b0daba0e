"""Flow matching against closed forms: a Gaussian moved to a Gaussian, an assignment, a torus.

With independent pairing of x_0 ~ N(0, 1) and x_1 ~ N(m, s^2), x_t is N(t m, (1-t)^2 + t^2 s^2) and

    v(t, x) = m + (t s^2 - (1 - t)) / ((1-t)^2 + t^2 s^2) (x - t m),

whose flow is the map x_0 -> m + s x_0.
"""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.optimize import linear_sum_assignment

from physgen import InputError
from physgen.densities import (
    Adaptive,
    Clock,
    FixedSteps,
    Gaussian,
    Independent,
    OptimalTransport,
    Transport,
    Uniform,
)
from physgen.geometry import Euclidean, Torus
from physgen.nets import VelocityMLP
from physgen.train import FitSettings, OptimizerSettings, Silent, fit, gradient_step

KEY = jax.random.key(11)
MEAN, SCALE = 1.5, 0.4


class ExactVelocity(nnx.Module):
    def __call__(self, time, x, context, mask):
        variance = (1 - time) ** 2 + time**2 * SCALE**2
        slope = (time * SCALE**2 - (1 - time)) / variance
        return MEAN + slope * (x - time * MEAN)


def exact(solver, warp=1.0):
    return Transport(ExactVelocity(), Gaussian(), (3,), clock=Clock(warp), solver=solver)


@pytest.mark.parametrize("warp", [1.0, 3.0])
@pytest.mark.parametrize(
    ("solver", "tolerance"),
    [
        (FixedSteps(2000, diffrax.Euler()), 4e-3),
        (FixedSteps(200, diffrax.Midpoint()), 2e-3),
        (FixedSteps(200, diffrax.Heun()), 2e-3),
        (Adaptive(1e-6, 1e-6), 1e-4),
    ],
)
def test_gaussian_to_gaussian_is_the_affine_map(solver, tolerance, warp):
    x0 = jax.random.normal(jax.random.key(0), (16, 3))
    x1 = jax.vmap(exact(solver, warp).transport)(x0)
    np.testing.assert_allclose(x1, MEAN + SCALE * x0, atol=tolerance)


@pytest.mark.parametrize(("method", "order"), [(diffrax.Euler(), 1), (diffrax.Heun(), 2)])
def test_error_falls_with_the_order_of_the_method(method, order):
    x0 = jnp.array([0.3, -1.0, 2.0])
    truth = MEAN + SCALE * x0
    stages = FixedSteps(2, method).stages
    errors = [
        jnp.max(jnp.abs(exact(FixedSteps(steps * stages, method)).transport(x0) - truth))
        for steps in (40, 80)
    ]
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.3)


def test_the_way_back_undoes_the_way_there():
    density = exact(Adaptive(1e-6, 1e-6))
    x0 = jax.random.normal(jax.random.key(1), (3,))
    np.testing.assert_allclose(
        density.transport(density.transport(x0), reverse=True), x0, atol=1e-4
    )


def test_log_prob_is_that_of_the_target():
    x = MEAN + SCALE * jax.random.normal(jax.random.key(2), (8, 3))
    expected = jax.scipy.stats.norm.logpdf(x, MEAN, SCALE).sum(-1)
    np.testing.assert_allclose(exact(Adaptive(1e-6, 1e-6)).log_prob(x), expected, atol=2e-4)


@pytest.mark.parametrize("what", ["sample", "log_prob", "log_prob_estimate"])
def test_a_tolerance_that_is_not_met(what):
    density, x = exact(Adaptive(1e-6, 1e-6, max_steps=2)), jnp.zeros((2, 3))
    calls = {
        "sample": lambda: density.sample(jax.random.key(0), 2),
        "log_prob": lambda: density.log_prob(x),
        "log_prob_estimate": lambda: density.log_prob_estimate(jax.random.key(0), x),
    }
    with pytest.raises(InputError, match="in 2 steps, got NaN for .*loosen the tolerance"):
        calls[what]()


def test_the_exact_velocity_minimises_the_loss():
    """The gradient of the loss by a shift of the velocity vanishes at the closed form."""
    density = exact(FixedSteps())
    keys = jax.random.split(jax.random.key(3), 20_000)
    x1 = MEAN + SCALE * jax.random.normal(jax.random.key(4), (20_000, 3))

    class Shifted(nnx.Module):
        def __init__(self, shift):
            self.shift = nnx.data(shift)

        def __call__(self, time, x, context, mask):
            return ExactVelocity()(time, x, context, mask) + self.shift

    def loss(shift):
        moved = Transport(Shifted(shift), Gaussian(), (3,))
        return jax.vmap(moved.loss)(keys, x1)

    gradients = jax.jacfwd(loss)(0.0)
    error = jnp.std(gradients) / jnp.sqrt(len(keys))
    assert jnp.abs(jnp.mean(gradients)) < 4 * error
    assert jnp.mean(loss(0.3)) > jnp.mean(jax.vmap(density.loss)(keys, x1))


def test_masked_points_do_not_enter_the_loss():
    class Zero(nnx.Module):
        def __call__(self, time, x, context, mask):
            return jnp.zeros_like(x)

    density = Transport(Zero(), Uniform(), (6, 3), geometry=Torus(1.0))
    mask = jnp.arange(6) < 4
    x1 = jax.random.uniform(jax.random.key(0), (6, 3))
    far = x1.at[4:].set(0.123)
    key = jax.random.key(1)
    assert density.loss(key, x1, mask=mask) == density.loss(key, far, mask=mask)


def test_optimal_transport_is_scipy_s_assignment():
    torus = Torus(1.0)
    x0, x1 = jax.random.uniform(jax.random.key(5), (2, 40, 3))
    paired = jax.jit(lambda a, b: OptimalTransport().pair(KEY, torus, a, b))(x0, x1)
    cost = np.sum(np.asarray(torus.displacement(x0[:, None], x1[None])) ** 2, axis=-1)
    best = cost[linear_sum_assignment(cost)].sum()
    assert np.sum(np.asarray(torus.displacement(paired, x1)) ** 2) == pytest.approx(best, rel=1e-5)
    np.testing.assert_array_equal(np.sort(paired, axis=0), np.sort(x0, axis=0))


def test_optimal_transport_keeps_padding_apart():
    mask = jnp.arange(12) < 7
    x0, x1 = jax.random.normal(jax.random.key(6), (2, 12, 3))
    paired = OptimalTransport().pair(KEY, Euclidean(), x0, x1, mask)
    np.testing.assert_array_equal(np.sort(paired[:7], axis=0), np.sort(x0[:7], axis=0))


def test_blurred_assignments_are_of_what_is_larger_than_the_blur():
    """Without noise the least costly pairs, with much more than the box any pairs."""
    torus = Torus(1.0)
    x0, x1 = jax.random.uniform(jax.random.key(8), (2, 60, 3))
    costs = []
    for noise in (0.0, 0.03, 0.1, 5.0):
        paired = OptimalTransport(noise).pair(KEY, torus, x0, x1)
        np.testing.assert_array_equal(np.sort(paired, axis=0), np.sort(x0, axis=0))
        costs.append(float(jnp.mean(torus.displacement(paired, x1) ** 2)))
    assert costs == sorted(costs)
    assert costs[-1] == pytest.approx(1 / 12, rel=0.2)  # of independent pairs on the torus
    assert costs[0] < costs[-1] / 3


def test_noise_that_is_none_is_refused():
    for noise in (-0.1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="noise of zero or more"):
            OptimalTransport(noise)


def test_independent_coupling_leaves_the_base_alone():
    x0, x1 = jax.random.normal(jax.random.key(7), (2, 5, 3))
    np.testing.assert_array_equal(Independent().pair(KEY, Euclidean(), x0, x1), x0)


def test_interpolant_on_the_torus_takes_the_minimum_image():
    density = Transport(ExactVelocity(), Uniform(), (1,), geometry=Torus(1.0))
    point = density.bridges.between(jnp.array([0.9]), jnp.array([0.1]), None, jnp.array(0.75))
    np.testing.assert_allclose(point.velocity, [0.2], atol=1e-6)
    np.testing.assert_allclose(point.x, [0.05], atol=1e-6)


@pytest.mark.parametrize("value", [-1e-9, 1.0, 0.0, 127.99999, -128.0, 1e4])
def test_wrapped_positions_are_inside_the_box(value):
    wrapped = Torus(128.0).wrap(jnp.float32(value))
    assert 0 <= wrapped < 128


@pytest.mark.parametrize("warp", [1.0, 2.5])
def test_clock_runs_from_zero_to_one_at_its_rate(warp):
    clock = Clock(warp)
    u = jnp.linspace(0, 1, 11)[1:-1]
    assert clock.time(jnp.array(0.0)) == 0 and clock.time(jnp.array(1.0)) == 1
    np.testing.assert_allclose(clock.rate(u), jax.vmap(jax.grad(clock.time))(u), rtol=1e-5)


@pytest.mark.parametrize("evaluations", [0, -2, 3])
def test_evaluations_must_fit_the_method(evaluations):
    with pytest.raises(InputError, match=r"positive multiple of 2, those of one step \(Midpoint\)"):
        FixedSteps(evaluations)


@pytest.mark.slow
def test_learning_a_conditional_gaussian():
    """x ~ N(c, diag(0.3, 1)^2), learned from pairs (c, x) with c in [-1, 1]^2."""
    spread = np.array([0.3, 1.0], np.float32)
    rng = np.random.default_rng(0)
    context = rng.uniform(-1, 1, (4096, 2)).astype(np.float32)
    data = {"x": context + spread * rng.normal(size=(4096, 2)).astype(np.float32), "c": context}
    network = VelocityMLP(2, 2, 64, 2, rngs=nnx.Rngs(0))
    graph, parameters, rest = nnx.split(Transport(network, Gaussian(), (2,), (2,)), nnx.Param, ...)

    def loss(parameters, key, batch):
        model = nnx.merge(graph, parameters, rest)
        keys = jax.random.split(key, len(batch["x"]))
        return jnp.mean(jax.vmap(model.loss)(keys, batch["x"], batch["c"]))

    step = gradient_step(parameters, loss, OptimizerSettings(learning_rate=5e-3))
    settings = FitSettings(batch_size=256, steps=1500, steps_per_dispatch=100)
    run = fit(
        jax.random.key(0), step.step, step.state, data, settings,
        on_total_steps=step.on_total_steps, report=Silent(),
    )  # fmt: skip
    model = nnx.merge(graph, step.unravel(run.state.ema), rest)
    for centre in ([0.5, -0.5], [-0.8, 0.2]):
        samples = model.sample(jax.random.key(1), 4000, jnp.array(centre))
        np.testing.assert_allclose(samples.mean(0), centre, atol=0.1)
        np.testing.assert_allclose(samples.std(0), spread, rtol=0.12)
