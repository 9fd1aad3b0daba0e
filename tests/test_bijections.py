import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from physgen.densities import bijections
from physgen.densities.bijections import Support, support_of
from physgen.errors import InputError

INF = np.inf
LOW = np.array([0.0, -1.0, 0.3, 0.0, 2.0, -INF, -INF, 1e-9])
HIGH = np.array([1.0, 1.0, 0.9, INF, INF, 5.0, INF, 3e-9])
ALL = Support(LOW, HIGH)
CONSTRAIN = jax.jit(ALL.constrain)
UNCONSTRAIN = jax.jit(ALL.unconstrain)
GRADIENTS = jax.jit(lambda v: (jax.jacobian(ALL.constrain)(v), jax.jacobian(ALL.unconstrain)(v)))

float32s = st.floats(allow_nan=False, allow_infinity=False, width=32)
moderate = st.floats(-4.0, 4.0, width=32)


def vector(*values):
    return jnp.asarray(np.resize(np.array(values, np.float32), len(LOW)))


def constrain(support, z):
    return jax.jit(support.constrain)(jnp.asarray(z, jnp.float32))


def unconstrain(support, theta):
    return jax.jit(support.unconstrain)(jnp.asarray(theta, jnp.float32))


def slope(function, value):
    """d function / d value of a map of one parameter."""
    return float(jax.jit(jax.jacobian(function))(jnp.array([value]))[0][0, 0])


def all_finite(tree):
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


@given(st.lists(float32s, min_size=8, max_size=8))
def test_everything_is_finite_for_every_finite_number(values):
    given = jnp.asarray(np.array(values, np.float32))
    assert all_finite([CONSTRAIN(given), UNCONSTRAIN(given), GRADIENTS(given)])
    theta = np.asarray(CONSTRAIN(given)[0], np.float64)
    assert ((theta > LOW) & (theta < HIGH)).all()


@pytest.mark.parametrize("value", [0.0, 1e6, -1e6, 3.4e38, -3.4e38, 1e-45, 0.5, 40.0, -40.0])
def test_extremes_are_finite_and_inside(value):
    given = vector(value)
    assert all_finite([CONSTRAIN(given), UNCONSTRAIN(given), GRADIENTS(given)])
    theta = np.asarray(CONSTRAIN(given)[0], np.float64)
    assert ((theta > LOW) & (theta < HIGH)).all()


@pytest.mark.parametrize("end", [LOW, HIGH])
@pytest.mark.parametrize("beyond", [0.0, 1e-3, 10.0])
def test_theta_on_and_outside_an_end_is_finite(end, beyond):
    outward = -beyond if end is LOW else beyond
    theta = jnp.asarray(np.where(np.isfinite(end), end + outward, 1.0), jnp.float32)
    assert all_finite([UNCONSTRAIN(theta), GRADIENTS(theta)[1]])


@given(st.lists(moderate, min_size=8, max_size=8))
def test_log_determinants_are_those_of_the_jacobians(values):
    z = jnp.asarray(np.array(values, np.float32))
    theta, log_det = CONSTRAIN(z)
    (forward, _), _ = GRADIENTS(z)
    assert np.count_nonzero(forward - np.diag(np.diag(forward))) == 0
    expected = np.log(np.abs(np.diag(forward))).sum()
    np.testing.assert_allclose(log_det, expected, rtol=2e-5, atol=2e-5)

    back, inverse_log_det = UNCONSTRAIN(theta)
    inverse = np.diag(GRADIENTS(theta)[1][0])
    np.testing.assert_allclose(inverse_log_det, np.log(np.abs(inverse)).sum(), rtol=2e-5, atol=2e-5)
    # float32 numbers near an end other than 0 are as far apart as the round trip is exact
    ulp = np.spacing(np.abs(np.asarray(theta, np.float32)))
    np.testing.assert_array_less(np.abs(back - z), 1e-5 + 2 * ulp * np.abs(inverse))


def test_log_determinants_of_decreasing_maps():
    support = Support([-INF], [5.0])
    theta, log_det = constrain(support, [0.7])
    falling = slope(support.constrain, 0.7)
    assert falling < 0
    np.testing.assert_allclose(log_det, np.log(-falling), rtol=1e-6)
    np.testing.assert_allclose(theta, 5 - np.exp([0.7]), rtol=1e-6)


def test_maps_are_the_textbook_ones_far_into_the_tails():
    u = np.array([1e-34, 1e-20, 1e-8, 0.1, 0.5, 0.9])
    z, _ = unconstrain(Support(np.zeros(6), np.ones(6)), u)
    np.testing.assert_allclose(z, scipy.special.ndtri(np.float32(u).astype(float)), atol=3e-6)

    deviates = np.array([-12.0, -8.0, -5.0, 0.0, 3.0])
    theta, _ = constrain(Support(np.zeros(5), np.full(5, 2.0)), deviates)
    np.testing.assert_allclose(theta, 2 * scipy.special.ndtr(deviates), rtol=2e-5)

    z, _ = unconstrain(Support([-1.0, 0.0], [0.0, INF]), [-1e-20, 1e-30])
    np.testing.assert_allclose(z, [-scipy.special.ndtri(1e-20), np.log(1e-30)], rtol=1e-6)


def test_the_middle_has_its_slope():
    """Where both tails meet, the branches must not cancel."""
    support = Support([-1.0], [1.0])
    middle = 2 * scipy.stats.norm.pdf(0)
    np.testing.assert_allclose(slope(support.constrain, 0.0), middle, rtol=1e-6)
    np.testing.assert_allclose(slope(support.unconstrain, 0.0), 1 / middle, rtol=1e-6)


def test_a_uniform_variable_becomes_standard_normal():
    support = Support(np.full(101, -3.0), np.full(101, 7.0))
    z, log_det = unconstrain(support, np.linspace(-2.999, 6.999, 101))
    density = scipy.stats.norm.logpdf(np.asarray(z)).sum() + log_det
    np.testing.assert_allclose(density / 101, np.log(1 / 10), atol=1e-5)


def test_prior_density_is_finite_wherever_constrain_goes():
    z = np.array([-1e6, -200.0, -20.0, -5.0, 0.0, 5.0, 20.0, 200.0, 1e6])
    for distribution in (
        bijections.Uniform(0.1, 0.3),
        bijections.Beta(0.3, 4.0),
        bijections.Gamma(0.5, 1.0),
        bijections.log_normal(0.0, 1.0),
        bijections.log_uniform(1e-10, 1.0),
    ):
        low, high = support_of(distribution)
        support = Support(np.full(9, low), np.full(9, high))
        assert np.isfinite(distribution.log_prob(constrain(support, z)[0])).all()
    theta = np.asarray(constrain(Support(np.zeros(9), np.ones(9)), z)[0], np.float64)
    assert np.isfinite(scipy.stats.beta(0.3, 4.0).logpdf(theta)).all()


def test_far_outside_the_log_determinant_leads_back():
    support = Support([0.0, 0.0], [1.0, INF])
    values = [float(constrain(support, [z, z])[1]) for z in (90.0, 200.0, 1e6, 1e12)]
    assert values == sorted(values, reverse=True) and len(set(values)) == 4


def test_ends_hold_in_double_precision_too():
    """float32(0.9) > 0.9: the last float32 inside is another one."""
    low, high = np.array([0.3, 0.1]), np.array([0.9, 0.7])
    for z in (-1e3, 1e3):
        theta = np.asarray(constrain(Support(low, high), [z, z])[0], np.float64)
        assert ((theta > low) & (theta < high)).all()
        assert np.abs(theta - (low if z < 0 else high)).max() < 1e-7


def test_contains_includes_the_ends():
    support = Support([0.1, 0.0], [0.9, INF])
    for theta, inside in (
        ([0.1, 0.0], True),
        ([0.9, 1e30], True),
        ([0.5, -1e-30], False),
        ([0.91, 1.0], False),
        ([np.nan, 1.0], False),
    ):
        assert bool(support.contains(jnp.array(theta, jnp.float32))) is inside


def test_supports_are_equal_by_value_and_hashable():
    assert Support([0, 1], [1, 2]) == Support(np.array([0.0, 1.0]), (1.0, 2.0))
    assert len({Support([0], [1]), Support([0], [1]), Support([0], [2])}) == 2


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        ([1.0], [0.0], "low < high"),
        ([0.0, 1.0], [1.0, 1.0], "parameter 2"),
        ([np.nan], [1.0], "low < high"),
        ([INF], [INF], "low < high"),
        ([0.0], [1.0, 2.0], "one shape"),
        ([], [], "one shape"),
        ([[0.0]], [[1.0]], "one shape"),
        ([1e9], [1e9 + 1], "room for float32"),
        ([0.0], [1e300], "room for float32"),
    ],
)
def test_impossible_supports_are_refused(low, high, message):
    with pytest.raises(InputError, match=message) as error:
        Support(low, high)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("distribution", "oracle"),
    [
        (lambda: bijections.Uniform(jnp.zeros(2), 2.0), scipy.stats.uniform([0, 0], 2)),
        (lambda: bijections.Normal(jnp.zeros(2), 1.0), scipy.stats.norm([0, 0], 1)),
        (lambda: bijections.Laplace(jnp.zeros(2), 1.0), scipy.stats.laplace([0, 0], 1)),
        (lambda: bijections.Gamma(jnp.ones(2), 2.0), scipy.stats.gamma([1, 1], scale=0.5)),
        (lambda: bijections.Beta(jnp.ones(2), 2.0), scipy.stats.beta([1, 1], 2)),
        (
            lambda: bijections.log_normal([0.0, 1.0], [1.0, 0.5]),
            scipy.stats.lognorm([1, 0.5], scale=np.exp([0, 1])),
        ),
        (
            lambda: bijections.log_uniform([0.5, 1.0], [2.0, 4.0]),
            scipy.stats.loguniform([0.5, 1.0], [2.0, 4.0]),
        ),
    ],
)
def test_supports_and_densities_are_those_of_scipy(distribution, oracle):
    ours = distribution()
    low, high = support_of(ours)
    expected_low, expected_high = oracle.support()
    np.testing.assert_allclose(low, np.broadcast_to(expected_low, 2), rtol=1e-6)
    np.testing.assert_allclose(high, np.broadcast_to(expected_high, 2), rtol=1e-6)
    x = jnp.asarray([0.6, 1.5] if np.max(high) > 1 else [0.6, 0.7])
    np.testing.assert_allclose(ours.log_prob(x), oracle.logpdf(np.asarray(x)), rtol=1e-4)


def test_supports_of_composed_distributions():
    uniform = bijections.Uniform(jnp.array([0.0, 1.0]), jnp.array([2.0, 3.0]))
    low, high = support_of(bijections.Independent(uniform, 1))
    np.testing.assert_array_equal([low, high], [[0, 1], [2, 3]])
    mixture = bijections.MixtureSameFamily(bijections.Categorical(jnp.zeros(2)), uniform)
    np.testing.assert_array_equal(np.array(support_of(mixture)), [0, 3])
    full = bijections.MultivariateNormalFullCovariance(jnp.zeros(2), jnp.eye(2))
    np.testing.assert_array_equal(np.array(support_of(full)), [[-INF] * 2, [INF] * 2])


def test_a_distribution_of_unknown_support_is_refused_with_a_remedy():
    with pytest.raises(InputError, match="low=..., high=..."):
        support_of(bijections.Categorical(jnp.zeros(2)))


@pytest.mark.slow
def test_double_precision():
    text = """
import jax; jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp, numpy as np
from physgen.densities.bijections import Support
support = Support([0.0, 2.0, -np.inf], [1.0, np.inf, np.inf])
z = jnp.array([-5.0, 3.0, 2.0])
theta, log_det = support.constrain(z)
back, inverse = support.unconstrain(theta)
assert theta.dtype == jnp.float64
np.testing.assert_allclose(back, z, rtol=1e-12)
np.testing.assert_allclose(inverse, -log_det, rtol=1e-12)
"""
    subprocess.run([sys.executable, "-c", text], check=True)
