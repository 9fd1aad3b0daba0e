"""The tasks against closed forms, brute force, SciPy, and the observations of the literature."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from physgen.errors import InputError
from physgen.inference import tasks
from physgen.inference.tasks import epidemic, glm, predators, truncated
from physgen.inference.tasks.reference import Tempering, reference_posterior
from physgen.inference.tasks.slcp import distractors
from physgen.inference.tasks.stored import stored_observation
from physgen.inference.tasks.trajectory import trajectory

ALL = (*tasks.BENCHMARK, tasks.strike_slip_fault)
CLOSED = (
    tasks.gaussian_linear,
    tasks.gaussian_linear_uniform,
    tasks.gaussian_mixture,
    tasks.two_moons,
)
UNLIKELY = 1e-4


def named(functions):
    return pytest.mark.parametrize("make", functions, ids=lambda make: make.__name__)


def simulated(task, theta, n, seed=0):
    keys = jax.random.split(jax.random.key(seed), n)
    return jax.jit(jax.vmap(task.simulator, (0, None)))(keys, jnp.asarray(theta, jnp.float32))


# what every task is


@named((tasks.sir, tasks.lotka_volterra, tasks.strike_slip_fault))
def test_dimensional_parameters_have_units(make):
    assert all(make().prior.units) and len(make().prior.units) == len(make().prior.names)


def test_observations_are_fixed_and_differ():
    task = tasks.two_moons()
    first, again, second = task.observation(1), task.observation(1), task.observation(2)
    for one, same, other in zip(first, again, second, strict=True):
        assert jnp.array_equal(one, same) and not jnp.array_equal(one, other)
    with pytest.raises(InputError, match="at least 1"):
        task.observation(0)


# likelihoods against SciPy

THETA = {
    "gaussian_linear": np.linspace(-0.5, 0.5, 10),
    "slcp": [0.7, -2.9, -1.2, 0.9, 0.6],
    "bernoulli_glm": [0.3, 0.8, -0.5, 1.0, 0.2, -1.0, 0.4, 0.1, -0.3, 0.6],
    "sir": [0.4, 0.13],
    "lotka_volterra": [0.7, 0.06, 0.9, 0.04],
    "strike_slip_fault": [35.0, 12.0],
    "gaussian_mixture": [0.3, -0.4],
}


def test_gaussian_likelihood():
    theta, x = THETA["gaussian_linear"], np.linspace(1.0, -1.0, 10)
    expected = scipy.stats.multivariate_normal(theta, 0.1 * np.eye(10)).logpdf(x)
    for make in (tasks.gaussian_linear, tasks.gaussian_linear_uniform):
        value = make().log_likelihood(jnp.asarray(theta, jnp.float32), jnp.asarray(x, jnp.float32))
        assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "theta", [THETA["slcp"], [0.0, 1.0, 0.0, 2.0, 1.0], [1.0, 2.0, 0.02, -3.0, -3.0]]
)
def test_slcp_likelihood(theta):
    t = np.asarray(theta)
    scales = t[2:4] ** 2
    correlation = np.array([[1, np.tanh(t[4])], [np.tanh(t[4]), 1]])
    normal = scipy.stats.multivariate_normal(
        t[:2], correlation * np.outer(scales, scales) + 1e-6 * np.eye(2)
    )
    points = normal.rvs(4, np.random.default_rng(0))
    value = tasks.slcp().log_likelihood(jnp.asarray(t, jnp.float32), jnp.float32(points.ravel()))
    assert value == pytest.approx(normal.logpdf(points).sum(), rel=1e-3)


def test_count_likelihoods():
    theta = jnp.asarray(THETA["bernoulli_glm"], jnp.float32)
    rate = scipy.special.expit(glm.design_matrix().astype(float) @ np.asarray(theta))
    y = simulated(tasks.bernoulli_glm_raw(), theta, 1)[0]
    expected = scipy.stats.bernoulli(rate).logpmf(y).sum()
    assert tasks.bernoulli_glm_raw().log_likelihood(theta, y) == pytest.approx(expected, rel=1e-5)

    theta = jnp.asarray(THETA["sir"], jnp.float32)
    x = simulated(tasks.sir(), theta, 1)[0]
    share = np.asarray(epidemic.infected(theta), np.float64)
    expected = scipy.stats.binom(1000, share).logpmf(x).sum()
    assert tasks.sir().log_likelihood(theta, x) == pytest.approx(expected, rel=1e-3)


def test_log_normal_likelihood():
    theta = jnp.asarray(THETA["lotka_volterra"], jnp.float32)
    x = simulated(tasks.lotka_volterra(), theta, 1)[0]
    median = np.exp(np.asarray(predators.log_populations(theta), np.float64))
    expected = scipy.stats.lognorm(0.1, scale=median).logpdf(x).sum()
    log_likelihood = jax.jit(tasks.lotka_volterra().log_likelihood)
    assert log_likelihood(theta, x) == pytest.approx(expected, rel=1e-4)
    assert log_likelihood(theta, x.at[3].set(0.0)) == -jnp.inf


def test_spike_sums_are_sufficient():
    raw, sums = tasks.bernoulli_glm_raw(), tasks.bernoulli_glm()
    thetas = sums.prior.sample(jax.random.key(0), 5)
    y = simulated(raw, THETA["bernoulli_glm"], 1)[0]
    full = jax.vmap(raw.log_likelihood, (0, None))(thetas, y)
    reduced = jax.vmap(sums.log_likelihood, (0, None))(thetas, y @ glm.design_matrix())
    assert np.allclose(full, reduced, atol=1e-3) and np.std(full) > 1


def test_fault_likelihood_and_profile():
    task = tasks.strike_slip_fault(
        stations=[2.0, 5.0 + 12.0, 1e7, -1e7 + 10.0], noise=0.5, trace=5.0
    )
    rate, depth = THETA["strike_slip_fault"]
    expected = np.array([np.arctan(-3 / 12) / np.pi, 1 / 4, 1 / 2, -1 / 2]) * rate
    assert np.allclose(np.mean(simulated(task, [rate, depth], 4000), 0), expected, atol=0.05)
    x = expected + [0.4, -0.3, 0.0, 1.0]
    value = task.log_likelihood(jnp.float32([rate, depth]), jnp.float32(x))
    assert value == pytest.approx(scipy.stats.norm(expected, 0.5).logpdf(x).sum(), rel=1e-4)


# simulators against likelihoods

STEP = {
    "gaussian_linear": 0.05,
    "gaussian_linear_uniform": 0.05,
    "gaussian_mixture": 0.03,
    "slcp": 0.05,
    "slcp_distractors": 0.05,
    "bernoulli_glm": 0.1,
    "bernoulli_glm_raw": 0.1,
    "sir": 0.003,
    "lotka_volterra": 0.002,
    "strike_slip_fault": 0.01,
}


@named(ALL)
def test_simulator_agrees_with_likelihood(make):
    """E[p(x | other) / p(x | theta)] = 1 under p(x | theta), if the likelihood is the simulator's.

    The other theta is a small step away, up for every second parameter and down for the rest.
    """
    task, n = make(), 8000
    assert task.name == make.__name__
    keys = jax.random.split(jax.random.key(0), n)
    simulator = jax.jit(jax.vmap(task.simulator))
    log_likelihood = jax.jit(jax.vmap(task.log_likelihood))

    thetas = task.prior.sample(jax.random.key(1), n)
    assert thetas.shape == (n, len(task.prior.names))
    x = simulator(keys, thetas)
    assert x.shape == (n, *task.x_shape) and x.dtype == jnp.float32
    assert np.isfinite(x).all() and np.isfinite(log_likelihood(thetas, x)).all()
    if task.name not in STEP:
        return

    family = task.name.removesuffix("_distractors").removesuffix("_raw").removesuffix("_uniform")
    theta = np.asarray(THETA[family], np.float32)
    step = STEP[task.name] * (-1.0) ** np.arange(1, len(theta) + 1)
    here, up, down = (
        jnp.asarray(np.tile(theta * (1 + sign * step), (n, 1)), jnp.float32) for sign in (0, 1, -1)
    )
    x = simulator(keys, here)
    for other in (up, down):
        ratio = np.exp(log_likelihood(other, x) - log_likelihood(here, x))
        assert 0.05 < ratio.std() < 2
        assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(n)


@pytest.mark.parametrize(
    ("make", "low", "high", "cells"),
    [
        (tasks.two_moons, [0.15, -0.52], [0.35, -0.18], 16),
        (tasks.gaussian_mixture, [-3.7, -4.4], [4.3, 3.6], 16),
    ],
)
def test_density_in_two_dimensions(make, low, high, cells):
    """It integrates to one, and the counts of simulations in cells are as it says."""
    theta = [0.3, -0.4] if make is tasks.gaussian_mixture else [0.3, -0.2]
    task, fine = make(), 40
    edges = [np.linspace(*ends, cells + 1) for ends in zip(low, high, strict=True)]
    points = cells * fine
    axes = [
        a + (b - a) * (np.arange(points) + 0.5) / points for a, b in zip(low, high, strict=True)
    ]
    grid = jnp.asarray(np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2), jnp.float32)
    density = jax.jit(jax.vmap(lambda x: task.log_likelihood(jnp.float32(theta), x)))
    area = np.prod(np.subtract(high, low)) / points**2
    mass = np.exp(np.asarray(density(grid), np.float64)).reshape(cells, fine, cells, fine) * area
    assert mass.sum() == pytest.approx(1.0, abs=2e-3)

    x = np.asarray(simulated(task, theta, 20_000))
    counts = np.histogram2d(*x.T, bins=edges)[0].ravel()
    expected = mass.sum((1, 3)).ravel() / mass.sum() * len(x)
    often = expected > 20
    observed = np.append(counts[often], len(x) - counts[often].sum())
    wanted = np.append(expected[often], len(x) - expected[often].sum())
    assert often.sum() > 20
    assert scipy.stats.chisquare(observed, wanted).pvalue > UNLIKELY


def test_distractors_are_a_mixture_of_student_distributions():
    noise = distractors()
    x = np.asarray(simulated(tasks.slcp_distractors(), THETA["slcp"], 5000), np.float64)
    drawn = np.empty((5000, 100))
    drawn[:, noise.permutation] = x
    direction = np.random.default_rng(0).normal(size=92)
    centres, scales = noise.loc @ direction, np.linalg.norm(direction @ noise.scale_tril, axis=-1)

    def distribution(value):
        return scipy.stats.t(2).cdf((value[:, None] - centres) / scales).mean(-1)

    assert scipy.stats.kstest(drawn[:, 8:] @ direction, distribution).pvalue > UNLIKELY
    plain = np.asarray(simulated(tasks.slcp(), THETA["slcp"], 5000))
    assert min(scipy.stats.ks_2samp(drawn[:, :8], plain).pvalue) > UNLIKELY


# differential equations


def corners(location, scale, n):
    draws = np.random.default_rng(3).normal(size=(n, len(location)))
    extreme = np.array(list(itertools.product([-3.0, 3.0], repeat=len(location))))
    theta = np.exp(location + np.asarray(scale) * np.concatenate([draws, extreme]))
    return theta.astype(np.float32), n


def solved(right, start, times):
    return scipy.integrate.solve_ivp(
        right, (0, times[-1]), start, "DOP853", times, rtol=1e-10, atol=1e-10
    ).y


def test_epidemic_against_scipy():
    thetas, _ = corners(np.log([0.4, 0.125]), [0.5, 0.2], 40)
    ours = np.log(jax.jit(jax.vmap(epidemic.infected))(thetas))
    for (beta, gamma), found in zip(thetas.astype(float), ours, strict=True):

        def right(_, y, beta=beta, gamma=gamma):
            return -beta * np.exp(y[1]), beta * np.exp(y[0]) - gamma

        expected = solved(right, [np.log1p(-1e-6), np.log(1e-6)], 17.0 * np.arange(10))[1]
        assert np.allclose(found, expected, rtol=0, atol=3e-5)


def test_predators_against_scipy():
    thetas, usual = corners(np.array([-0.125, -3.0, -0.125, -3.0]), [0.5] * 4, 40)
    ours = np.asarray(jax.jit(jax.vmap(predators.log_populations))(thetas))
    errors = []
    for (alpha, beta, gamma, delta), found in zip(thetas.astype(float), ours, strict=True):

        def right(_, y, alpha=alpha, beta=beta, gamma=gamma, delta=delta):
            return alpha - beta * np.exp(y[1]), delta * np.exp(y[0]) - gamma

        expected = solved(right, [np.log(30.0), 0.0], 2.1 * np.arange(10))
        bounded = np.clip(expected, np.log(1e-10), np.log(1e4)).ravel()
        errors.append(np.abs(found - bounded).max())
    assert np.quantile(errors[:usual], 0.9) < 1e-4 and max(errors) < 1e-3


def test_solver_gives_up_where_there_is_no_solution():
    def explosion(y):
        return (jnp.exp(y[0]),)

    times = np.array([0.0, 0.5, 2.0])  # y = -log(1 - t) ends at t = 1
    y = jax.jit(lambda: trajectory(explosion, [0.0], times))()[:, 0]
    assert np.allclose(y[:2], [0.0, np.log(2)], atol=1e-5) and np.isnan(y[2])
    assert np.isnan(tasks.sir().simulator(jax.random.key(0), jnp.array([jnp.nan, 0.1]))).any()


# closed-form posteriors


@pytest.mark.parametrize("mean", [0.3, -1.0, 2.5, -4.0])
def test_truncated_normal_against_scipy(mean):
    scale, low, high = 0.5, -1.0, 1.0
    exact = scipy.stats.truncnorm((low - mean) / scale, (high - mean) / scale, mean, scale)
    means = jnp.full(20_000, mean)
    drawn = np.asarray(truncated.truncated_normal(jax.random.key(0), means, scale, low, high))
    assert (drawn >= low).all() and (drawn <= high).all()
    assert scipy.stats.kstest(drawn.astype(float), exact.cdf).pvalue > UNLIKELY
    mass = scipy.stats.norm(mean, scale).cdf([low, high]) @ [-1, 1]
    assert truncated.interval_mass(means[0], scale, low, high) == pytest.approx(mass, rel=1e-4)


def brute_force(task, x, points=1000):
    """Draws of a two-dimensional posterior from a grid over the prior's box."""
    low, high = task.prior.low, task.prior.high
    cell = (high - low) / points
    axes = [a + c * (np.arange(points) + 0.5) for a, c in zip(low, cell, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2).astype(np.float32)
    logs = np.asarray(jax.jit(jax.vmap(lambda t: task.log_likelihood(t, x)))(grid), np.float64)
    weights = np.exp(logs - logs.max())
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(grid), 10_000, p=weights / weights.sum())
    return grid[chosen] + (rng.random((10_000, 2)) - 0.5) * cell


def least_pvalue(one, other):
    """Of the marginals, and of sums and differences of neighbouring parameters."""
    one, other = (
        np.concatenate([z, z[:, 1:] + z[:, :-1], z[:, 1:] - z[:, :-1]], 1) for z in (one, other)
    )
    return min(scipy.stats.ks_2samp(one, other).pvalue)


@pytest.mark.parametrize(
    ("make", "x"),
    [
        (tasks.two_moons, [-0.2, 0.1]),
        (tasks.two_moons, [-0.9, 0.3]),
        (tasks.gaussian_mixture, [9.8, -3.0]),
        (tasks.strike_slip_fault, None),
    ],
)
def test_posterior_against_a_grid(make, x):
    task = make()
    x = task.observation(3)[1] if x is None else jnp.array(x)
    draws = np.asarray(reference_posterior(task, jax.random.key(5), 4000, x))
    assert draws.shape == (4000, 2)
    assert task.prior.log_prob(draws).min() > -jnp.inf
    assert least_pvalue(draws, brute_force(task, x)) > UNLIKELY


def test_posterior_with_impossible_parameters():
    """Three quarters of the prior have likelihood zero."""
    usual = tasks.gaussian_mixture()

    def log_likelihood(theta, x):
        return jnp.where((theta > 0).all(), usual.log_likelihood(theta, x), -jnp.inf)

    task = replace(usual, log_likelihood=log_likelihood, reference=None)
    x = jnp.zeros(2)
    draws = np.asarray(reference_posterior(task, jax.random.key(0), 3000, x, Tempering(3000)))
    exact = np.abs(usual.reference(jax.random.key(1), 10_000, x))
    assert least_pvalue(draws, exact) > UNLIKELY


def test_posterior_refuses():
    key, moons, model = jax.random.key(0), tasks.two_moons(), tasks.slcp()
    with pytest.raises(InputError, match="can make"):
        reference_posterior(moons, key, 10, jnp.array([5.0, 5.0]))
    with pytest.raises(InputError, match="expected x of shape"):
        reference_posterior(model, key, 10, jnp.zeros(7))
    with pytest.raises(InputError, match="log_likelihood"):
        reference_posterior(replace(model, log_likelihood=None), key, 10, jnp.zeros(8))
    impossible = replace(model, log_likelihood=lambda theta, x: jnp.float32(-jnp.inf))
    with pytest.raises(InputError, match="likelihood zero"):
        reference_posterior(impossible, key, 10, jnp.zeros(8))


# the stored observations


@pytest.fixture(scope="module")
def stored(shared_data):
    return shared_data / "inference"


@named(CLOSED)
@pytest.mark.parametrize("number", [1, 4])
def test_closed_forms_against_stored_posteriors(make, number, stored):
    task = make()
    known = stored_observation(stored, task.name, number)
    draws = np.asarray(task.reference(jax.random.key(number), 10_000, jnp.asarray(known.x)))
    assert least_pvalue(draws, known.reference) > UNLIKELY


@pytest.fixture
def optimised():
    """Compiled with all optimisation, for what runs longer than it compiles."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.mark.slow
@named([make for make in tasks.BENCHMARK if make not in CLOSED])
def test_monte_carlo_against_stored_posteriors(make, stored, optimised):
    task = make()
    known = stored_observation(stored, task.name, 2)
    draws = reference_posterior(task, jax.random.key(1), 2000, known.x, Tempering(particles=4000))
    assert least_pvalue(np.asarray(draws), known.reference) > UNLIKELY


def test_stored_observations_are_as_simulated(stored):
    """Standardised residuals of the five observations at the parameters that made them."""

    def residuals(name, mean_and_scale, transform=lambda x: x):
        found = [stored_observation(stored, name, number) for number in range(1, 6)]
        moments = [mean_and_scale(jnp.asarray(one.theta)) for one in found]
        return np.concatenate(
            [
                (transform(one.x) - np.asarray(mean)) / np.asarray(scale)
                for one, (mean, scale) in zip(found, moments, strict=True)
            ]
        )

    def epidemic_moments(theta):
        share = np.asarray(epidemic.infected(theta))[1:]
        return 1000 * share, np.sqrt(1000 * share * (1 - share)) + 1e-6

    design = glm.design_matrix()

    def spike_moments(theta):
        rate = np.asarray(jax.nn.sigmoid(design @ theta))
        return design.T @ rate, np.sqrt((design**2).T @ (rate * (1 - rate)))

    counted = residuals("sir", epidemic_moments, lambda x: x[1:])
    for z in (
        residuals("gaussian_linear", lambda theta: (theta, 0.1**0.5)),
        residuals("gaussian_linear_uniform", lambda theta: (theta, 0.1**0.5)),
        residuals("lotka_volterra", lambda t: (predators.log_populations(t), 0.1), np.log),
        residuals("bernoulli_glm", spike_moments),
        counted[np.abs(counted) < 10],
    ):
        assert len(z) > 35
        assert abs(z.mean()) < 4 / np.sqrt(len(z)) and 0.6 < z.std() < 1.4


def test_stored_distractors_and_spikes(stored):
    packed = np.load(stored / "slcp_distractors_noise.npz")
    noise = distractors()
    for name in ("loc", "scale_tril"):
        assert np.array_equal(getattr(noise, name), packed[name])
    assert np.array_equal(noise.permutation, packed["permutation"])
    assert np.array_equal(
        glm.design_matrix(), np.load(stored / "bernoulli_glm_design.npz")["design_matrix"]
    )
    thetas = tasks.slcp().prior.sample(jax.random.key(0), 50)
    for number in range(1, 6):
        plain = stored_observation(stored, "slcp", number)
        hidden = stored_observation(stored, "slcp_distractors", number)
        assert np.array_equal(plain.reference, hidden.reference)
        values = [
            jax.vmap(task.log_likelihood, (0, None))(thetas, jnp.asarray(one.x))
            for task, one in ((tasks.slcp(), plain), (tasks.slcp_distractors(), hidden))
        ]
        assert np.array_equal(*values)
        sums = stored_observation(stored, "bernoulli_glm", number)
        raw = stored_observation(stored, "bernoulli_glm_raw", number)
        assert np.allclose(raw.x @ glm.design_matrix(), sums.x, atol=1e-4)
        assert np.array_equal(raw.reference, sums.reference)


def test_priors_are_those_of_the_literature():
    spread = np.asarray(tasks.bernoulli_glm().prior.sample(jax.random.key(0), 20_000)).std(0)
    expected = [1.41, 1.00, 1.68, 1.83, 1.55, 1.22, 1.10, 1.07, 0.98, 0.88]
    assert np.allclose(spread, expected, rtol=0.03)
    logs = np.log(tasks.lotka_volterra().prior.sample(jax.random.key(0), 20_000))
    assert np.allclose(logs.mean(0), [-0.125, -3, -0.125, -3], atol=0.02)
    assert np.allclose(logs.std(0), 0.5, atol=0.02)
    logs = np.log(tasks.sir().prior.sample(jax.random.key(0), 20_000))
    assert np.allclose(logs.mean(0), np.log([0.4, 0.125]), atol=0.02)
    assert np.allclose(logs.std(0), [0.5, 0.2], atol=0.02)
    assert np.std(tasks.gaussian_linear().prior.sample(jax.random.key(0), 9000)) == (
        pytest.approx(0.1**0.5, rel=0.01)
    )


# files


def write(path, **arrays):
    full = {
        "observation": np.arange(6.0).reshape(2, 3),
        "true_parameters": np.ones((2, 4)),
        "reference_posterior": np.arange(80.0).reshape(2, 10, 4),
    }
    np.savez(path, **{k: v for k, v in (full | arrays).items() if v is not None})


def test_reads_an_observation(tmp_path):
    write(tmp_path / "mine.npz")
    x, reference, theta = stored_observation(tmp_path, "mine", 2)
    assert x.tolist() == [3.0, 4.0, 5.0] and theta.tolist() == [1.0] * 4
    assert reference.shape == (10, 4) and reference[0, 0] == 40.0
    write(tmp_path / "mine.npz", true_parameters=None)
    assert stored_observation(tmp_path, "mine", 1).theta is None


@pytest.mark.parametrize(
    ("arrays", "number", "message"),
    [
        ({}, 3, "from 1 to 2, got 3"),
        ({}, 0, "from 1 to 2, got 0"),
        ({"reference_posterior": None}, 1, "expected an array reference_posterior"),
        ({"observation": np.array([["a"], ["b"]])}, 1, "to be numbers"),
        ({"observation": np.array([[None], [{}]])}, 1, "Python objects"),
        ({"reference_posterior": np.zeros((2, 10, 5))}, 1, "expected a reference_posterior"),
    ],
)
def test_refuses_other_files(arrays, number, message, tmp_path):
    write(tmp_path / "mine.npz", **arrays)
    with pytest.raises(InputError, match=message):
        stored_observation(tmp_path, "mine", number)


def test_refuses_missing_and_damaged_files(tmp_path):
    with pytest.raises(InputError, match="found no such file"):
        stored_observation(tmp_path, "mine", 1)
    (tmp_path / "mine.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InputError, match="cannot be read"):
        stored_observation(tmp_path, "mine", 1)
    with (tmp_path / "mine.npz").open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(InputError, match="one array"):
        stored_observation(tmp_path, "mine", 1)


@pytest.mark.parametrize(
    "settings",
    [
        {"stations": []},
        {"stations": [1.0, np.nan]},
        {"noise": 0.0},
        {"locking_depth": (-1.0, 10.0)},
        {"trace": np.inf},
        {"slip_rate": (60.0, 0.0)},
    ],
)
def test_fault_refuses(settings):
    with pytest.raises(InputError):
        tasks.strike_slip_fault(**settings)
