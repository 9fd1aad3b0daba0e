"""Log-densities of transports: traces against matrices, flows against their Jacobians."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from randomised import randomised

from physgen import InputError
from physgen.densities import (
    Adaptive,
    Exact,
    FixedSteps,
    Gaussian,
    Hutchinson,
    HutchPlusPlus,
    LikelihoodEstimate,
    Transport,
    Uniform,
)
from physgen.galaxies import Catalogue, Column, GalaxyEmulator, emulator_settings
from physgen.geometry import Euclidean, Torus
from physgen.nets import PairNetwork, PairSettings, VelocityMLP

BOX = 50.0


def matrix(size, rank=None, seed=0):
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(2, size, rank or size))
    return jnp.asarray(left @ right.T, jnp.float32)


def test_the_exact_trace_is_numpy_s():
    a = matrix(12)
    probes = Exact().probes(jax.random.key(0), (4, 3))
    found = Exact().estimates(lambda v: (a @ v.reshape(-1)).reshape(4, 3), probes)
    np.testing.assert_allclose(found, [np.trace(a)], rtol=1e-5)


@pytest.mark.parametrize("trace", [Hutchinson(4), HutchPlusPlus(4, 3)])
def test_estimates_are_unbiased_and_know_their_scatter(trace):
    a = matrix(12, 9)
    keys = jax.random.split(jax.random.key(1), 4000)

    def one(key):
        probes = trace.probes(key, (12,))
        return trace.estimates(lambda v: a @ v, probes)

    found = np.asarray(jax.vmap(one)(keys), np.float64)
    assert found.shape == (4000, 4)
    means = found.mean(1)
    error = means.std() / np.sqrt(len(means))
    assert abs(means.mean() - np.trace(a)) < 4 * error
    if isinstance(trace, Hutchinson):  # with random signs the variance is known
        symmetric = np.asarray(a + a.T) / 2
        variance = 2 * (np.sum(symmetric**2) - np.sum(np.diag(symmetric) ** 2))
        assert found.var() == pytest.approx(variance, rel=0.1)


def test_hutch_plus_plus_is_exact_where_the_sketch_holds_all():
    a = matrix(12, 3)
    probes = HutchPlusPlus(2, 4).probes(jax.random.key(2), (12,))
    found = HutchPlusPlus(2, 4).estimates(lambda v: a @ v, probes)
    np.testing.assert_allclose(found, np.full(2, np.trace(a)), atol=1e-4 * np.abs(a).max() * 12)


def vectors():
    return randomised(lambda rngs: VelocityMLP(3, 2, 16, 2, rngs=rngs), scale=0.5)


def flow(solver=FixedSteps(64)):
    return Transport(vectors(), Gaussian(), (3,), (2,), solver=solver)


def test_log_prob_is_the_jacobian_of_the_flow():
    density = flow()
    x, context = jnp.array([0.3, -0.7, 1.1]), jnp.array([0.5, -0.5])
    jacobian = jax.jacobian(lambda x: density.transport(x, context, reverse=True))(x)
    x0 = density.transport(x, context, reverse=True)
    expected = density.base.log_prob(x0) + jnp.linalg.slogdet(jacobian)[1]
    np.testing.assert_allclose(density.log_prob(x, context), expected, atol=2e-3)


def test_an_estimate_has_both_errors_and_the_axes_of_log_prob():
    density = flow(FixedSteps(32))
    x = jax.random.normal(jax.random.key(3), (5, 3))
    contexts = jax.random.normal(jax.random.key(4), (4, 1, 2))
    exact = density.log_prob(x, contexts)
    found = density.log_prob_estimate(jax.random.key(5), x, contexts, trace=Hutchinson(32))
    assert found.value.shape == exact.shape == (4, 5)
    off = np.abs(found.value - exact)
    assert (off < 5 * found.standard_error + 1e-4).all()
    assert off.max() > 0  # it is an estimate
    with_exact = density.log_prob_estimate(jax.random.key(5), x, contexts, trace=Exact())
    np.testing.assert_allclose(with_exact.value, exact, rtol=1e-5)
    np.testing.assert_array_equal(with_exact.standard_error, np.zeros((4, 5)))
    fine = flow(FixedSteps(512)).log_prob(x, contexts)
    assert (np.abs(exact - fine) < with_exact.solver_error + 1e-4).all()
    np.testing.assert_allclose(
        found.error, np.hypot(found.standard_error, found.solver_error), rtol=1e-6
    )


def test_common_probes_sharpen_differences():
    density = flow(FixedSteps(16))
    x = jnp.array([0.3, -0.7, 1.1])
    contexts = jnp.array([[0.5, -0.5], [0.52, -0.5]])
    found = density.log_prob_estimate(jax.random.key(6), x, contexts)
    difference = LikelihoodEstimate(found.draws[0], found.coarse[0]) - LikelihoodEstimate(
        found.draws[1], found.coarse[1]
    )
    exact = density.log_prob(x, contexts)
    assert difference.standard_error < 0.1 * found.standard_error[0]
    assert abs(difference.value - (exact[0] - exact[1])) < 5 * difference.standard_error + 1e-5


def test_coarser_solvers():
    assert FixedSteps(32).coarser == FixedSteps(16)
    assert FixedSteps(2).coarser == FixedSteps(2)
    assert Adaptive(1e-4, 1e-5).coarser.rtol == pytest.approx(1e-3)


@pytest.mark.parametrize("make", [lambda: Hutchinson(1), lambda: HutchPlusPlus(1, 4)])
def test_one_probe_has_no_error(make):
    with pytest.raises(InputError, match="two probes"):
        make()


def test_a_sketch_larger_than_the_event_is_refused():
    with pytest.raises(InputError, match="sketch of at most the 3"):
        flow().log_prob_estimate(
            jax.random.key(0), jnp.zeros(3), jnp.zeros(2), trace=HutchPlusPlus(2, 4)
        )


def catalogue(n=20, points=4):
    rng = np.random.default_rng(0)
    mask = np.arange(points) < rng.integers(2, points + 1, n)[:, None]
    mask[0] = True
    return Catalogue(
        position=rng.uniform(0, BOX, (n, points, 3)).astype(np.float32),
        mask=mask,
        velocity=rng.normal(0, 200, (n, points, 3)).astype(np.float32),
        log_mass=(13.5 + rng.exponential(0.3, (n, points))).astype(np.float32),
        columns=(Column("spin", rng.lognormal(-3, 0.3, (n, points))),),
        parameters=rng.uniform(0.1, 0.5, (n, 1)).astype(np.float32),
        parameter_names=("Omega_m",),
        box_size=BOX,
    )


@pytest.fixture(scope="module")
def emulator():
    boxes = catalogue()
    network = PairSettings(1, width=4, layers=1, heads=2, filters=2, radial=6)
    carried = PairSettings(1, width=4, layers=1, heads=2, filters=2, radial=6, vectors=1, scalars=2)
    settings = emulator_settings(boxes, network=network, carried=carried, evaluations=8)
    return randomised(lambda rngs: GalaxyEmulator(settings, rngs=rngs), scale=0.1)


@pytest.fixture(scope="module")
def clouds(emulator):
    return jnp.asarray(emulator.domain.features.events(catalogue()))


def test_padding_changes_no_density(emulator, clouds):
    """The density of three galaxies is that of an array of three, with any padding."""
    parameters, key, steps = jnp.array([0.3]), jax.random.key(0), FixedSteps(2)

    @jax.jit
    def parts(x, mask):
        return emulator.contributions(key, x, parameters, mask, trace=Exact(), solver=steps)

    alone = parts(clouds[0, :3], jnp.ones(3, bool))
    padded = parts(clouds[0].at[3].set(jnp.nan), jnp.array([True, True, True, False]))
    for part, other in zip(alone, padded, strict=True):
        np.testing.assert_allclose(part, other, rtol=2e-5, atol=2e-5)


def test_the_density_of_the_set_has_all_orders_and_the_number(emulator, clouds):
    key, parameters = jax.random.key(1), jnp.array([[0.2], [0.4]])
    ordered = emulator.log_prob_estimate(key, clouds[0], parameters, trace=Hutchinson(16))
    of_set = emulator.set_log_prob_estimate(key, clouds[0], parameters, trace=Hutchinson(16))
    given = emulator.domain.standard_parameters(parameters)
    expected = np.log(24.0) + emulator.counts.log_prob(jnp.array(4.0), given)
    np.testing.assert_allclose(of_set.value - ordered.value, expected, atol=1e-4)
    order = jnp.array([2, 0, 3, 1])
    exact = emulator.log_prob(clouds[0], parameters)
    np.testing.assert_allclose(emulator.log_prob(clouds[0][order], parameters), exact, rtol=1e-5)
    assert (np.abs(ordered.value - exact) < 5 * ordered.standard_error + 1e-3).all()


def test_densities_of_the_emulator_are_jacobians(emulator, clouds):
    """Positions and features, from the determinants of both flows."""
    parameters = jnp.array([0.3])
    given = emulator.domain.standard_parameters(parameters)
    position, carried = emulator._standard(clouds[0])
    solver = FixedSteps(64)
    mask = jnp.ones(4, bool)

    def determinant(transport, x, context):
        def back(flat):
            start = transport.transport(
                flat.reshape(x.shape), context, mask, solver=solver, reverse=True
            )
            return start.reshape(-1)

        start = back(x.reshape(-1)).reshape(x.shape)
        change = jnp.linalg.slogdet(jax.jacobian(back)(x.reshape(-1)))[1]
        return transport.base.log_prob(start) + change

    parts = emulator.contributions(
        jax.random.key(0), clouds[0], parameters, trace=Exact(), solver=solver
    )
    positions = determinant(emulator.transport, position, given) - 12 * np.log(BOX)
    np.testing.assert_allclose(parts.positions, [positions], atol=5e-3)
    features = determinant(emulator.carried, carried, (given, position))
    features += emulator.domain.features.log_slope(clouds[0, :, 3:], mask)
    np.testing.assert_allclose(parts.features, [features], atol=5e-3)


def test_clouds_of_other_features_are_refused(emulator, clouds):
    with pytest.raises(InputError, match="position, velocity, log_mass, spin"):
        emulator.log_prob_estimate(jax.random.key(0), clouds[..., :3], jnp.array([0.3]))
    with pytest.raises(InputError, match="mask of shape"):
        emulator.log_prob_estimate(
            jax.random.key(0), clouds[0], jnp.array([0.3]), jnp.ones(3, bool)
        )


def test_uniform_bases_count_the_points_in_the_mask():
    mask = jnp.array([True, False])
    x = jnp.zeros((2, 3))
    assert Uniform(2.0).log_prob(x, mask) == pytest.approx(-3 * np.log(2))
    half = jax.scipy.stats.norm.logpdf(0.0) * 3
    assert Gaussian().log_prob(x, mask) == pytest.approx(float(half))


def test_a_transport_on_the_torus_starts_inside():
    density = Transport(vectors(), Uniform(), (3,), (2,), geometry=Torus(1.0))
    found = density.log_prob_estimate(jax.random.key(0), jnp.full((3,), 0.5), jnp.zeros(2))
    assert jnp.isfinite(found.value) and found.draws.shape == (8,)


class WithoutPairs(nnx.Module):
    """A velocity field that hides what it is made of."""

    def __init__(self, network):
        self.network = network

    def __call__(self, time, x, context, mask):
        return self.network(time, x, context, mask)


@pytest.mark.parametrize(
    ("geometry", "more"),
    [(Torus(1.0), {}), (Torus(1.0), {"waves": 3}), (Euclidean(), {"anchored": True})],
)
def test_probes_of_a_sum_of_pairs_have_only_the_rest_to_estimate(geometry, more):
    settings = PairSettings(2, width=8, layers=2, heads=2, filters=2, radial=6, **more)
    network = randomised(lambda rngs: PairNetwork(geometry, settings, rngs=rngs), scale=0.2)
    base = Uniform() if geometry == Torus(1.0) else Gaussian()
    x, context = jax.random.uniform(jax.random.key(3), (6, 3)), jnp.array([0.3, -0.5])
    mask = jnp.array([True] * 5 + [False])
    time = jnp.array(0.4)
    velocity, known = network.pair_sum(time, x, x, context, mask)
    np.testing.assert_allclose(velocity, network(time, x, context, mask), atol=2e-5)

    def held(moved):
        return network.pair_sum(time, x, moved, context, mask)[0]

    np.testing.assert_allclose(known, np.einsum("iaia", jax.jacobian(held)(x)), rtol=1e-4)

    def draws(network, trace):
        density = Transport(network, base, (6, 3), (2,), geometry=geometry, solver=FixedSteps(8))
        run = jax.jit(lambda key: density.log_prob_draws(key, x, context, mask, trace=trace))
        return np.asarray(run(jax.random.key(1)))

    exact = draws(network, Exact())[0]
    whole = draws(network, HutchPlusPlus(2, 15))  # a sketch of all there is
    np.testing.assert_allclose(whole, exact, atol=1e-3)
    estimates, plain = (draws(each, Hutchinson(64)) for each in (network, WithoutPairs(network)))
    assert abs(estimates.mean() - exact) < 5 * estimates.std() / 8
    assert estimates.std() < 0.75 * plain.std()


def test_points_that_carry_more_are_no_sum_of_pairs():
    settings = PairSettings(0, width=8, layers=1, heads=2, filters=2, scalars=1)
    network = randomised(lambda rngs: PairNetwork(Torus(1.0), settings, rngs=rngs))
    points = jnp.zeros((3, 4))
    assert network.pair_sum(jnp.array(0.5), points, points, None, None) is None
