"""Coordinates of open space against autodiff, scipy and an untrained emulator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.stats import chi, kstest

from physgen import InputError
from physgen.densities import Exact, FixedSteps
from physgen.galaxies import Catalogue, GalaxyEmulator, emulator_settings
from physgen.galaxies.radial import RadialScores
from physgen.nets import PairSettings


def halo(rng, n):
    """Satellites with a density that falls as a power: radii of no scale over two decades."""
    radii = 3.0 * 10 ** rng.uniform(-2, 0, (n, 1))
    directions = rng.normal(size=(n, 3))
    return radii * directions / np.linalg.norm(directions, axis=1, keepdims=True)


POINTS = halo(np.random.default_rng(0), 4000)
FITTED = RadialScores.fit(POINTS)


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def test_scores_are_standard_normal_and_know_directions(double):
    other = jnp.asarray(halo(np.random.default_rng(1), 4000))
    scores = np.asarray(FITTED.apply(other))
    assert kstest(np.linalg.norm(scores, axis=1), chi(3).cdf).pvalue > 1e-3
    assert all(kstest(column, "norm").pvalue > 1e-3 for column in scores.T)
    cosines = np.sum(scores * np.asarray(other), axis=1)
    cosines /= np.linalg.norm(scores, axis=1) * np.linalg.norm(other, axis=1)
    np.testing.assert_allclose(cosines, 1.0, rtol=1e-12)


@pytest.mark.parametrize("reach", [1e-3, 1.0, 1e3])
def test_they_can_be_inverted_anywhere(double, reach):
    x = jnp.asarray(reach * POINTS[:50]).at[0].set(0.0)
    np.testing.assert_allclose(FITTED.invert(FITTED.apply(x)), x, rtol=1e-9, atol=1e-15)


def test_the_jacobian_is_that_of_autodiff(double):
    x = jnp.asarray(np.concatenate([POINTS[:30], 40 * POINTS[:3], 1e-3 * POINTS[:3]]))
    each = jax.vmap(jax.jacobian(lambda one: FITTED.apply(one[None])[0]))(x)
    _, expected = np.linalg.slogdet(np.asarray(each))
    np.testing.assert_allclose(FITTED.log_slope(x), expected, rtol=1e-9)
    at_origin = jnp.zeros((1, 3))
    assert np.isfinite(jax.grad(lambda x: FITTED.log_slope(x).sum())(at_origin)).all()


def test_galaxies_at_the_origin():
    with pytest.raises(InputError, match="all of them on it"):
        RadialScores.fit(np.zeros((5, 3)))
    centrals = POINTS.copy()
    centrals[:400] = 0.0  # a tenth, as centrals of haloes are
    fitted = RadialScores.fit(centrals)
    assert (np.diff(fitted.knots) > 0).all()
    back = fitted.invert(fitted.apply(jnp.asarray(centrals)))
    np.testing.assert_allclose(back, centrals, atol=1e-5)


def test_an_untrained_emulator_has_the_radial_profile_of_its_catalogue():
    position = POINTS.reshape(400, 10, 3).astype(np.float32)
    settings = emulator_settings(
        Catalogue(position=position), network=PairSettings(0, 4, 1, 2, 2, anchored=True)
    )
    emulator = GalaxyEmulator(settings, rngs=nnx.Rngs(0))
    solver = FixedSteps(2)
    drawn = np.asarray(emulator.sample(jax.random.key(0), 300, jnp.zeros(0), solver=solver))
    radii = np.linalg.norm(drawn.reshape(-1, 3), axis=1)
    assert kstest(np.log10(radii / 3.0), "uniform", args=(-2, 2)).pvalue > 1e-3
    cloud = jnp.asarray(position[0])
    found = emulator.log_prob_estimate(
        jax.random.key(1), cloud, jnp.zeros(0), trace=Exact(), solver=solver
    ).value
    scores = emulator.domain.radial
    assert scores is not None
    z = np.asarray(scores.apply(jnp.asarray(cloud)))
    expected = -0.5 * np.sum(z**2) - 15 * np.log(2 * np.pi) + np.sum(scores.log_slope(cloud))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_parameters_far_out_are_drawn_in():
    parameters = np.zeros((2000, 1), np.float32)
    parameters[:, 0] = np.random.default_rng(2).normal(5.0, 2.0, 2000)
    parameters[0] = 60.0
    clouds = Catalogue(
        position=POINTS.reshape(2000, 2, 3),
        parameters=parameters,
        parameter_names=("mass",),
    )
    domain = emulator_settings(clouds).domain
    mean, scale = parameters.mean(), parameters.std()
    found = np.asarray(domain.standard_parameters(jnp.asarray(parameters)))[:, 0]
    z = (parameters[:, 0] - mean) / scale
    near = np.abs(z) < 3
    np.testing.assert_allclose(found[near], z[near], atol=1e-5)
    assert z[0] > 10 and 3.9 < found[0] <= 4
    ends = jnp.linspace(mean + 2.9 * scale, mean + 4 * scale, 100)[:, None]
    assert (np.diff(np.asarray(domain.standard_parameters(ends))[:, 0]) > 0).all()
