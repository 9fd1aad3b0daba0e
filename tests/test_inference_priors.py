import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from physgen.densities import bijections
from physgen.density import Density
from physgen.errors import InputError
from physgen.inference import (
    Prior,
    as_prior,
    log_normal_prior,
    normal_prior,
    product_prior,
    uniform_prior,
)

KEY = jax.random.key(3)
INF = np.inf


class Triangle:
    """Uniform below the diagonal of the unit square, in NumPy only."""

    names = ("a", "b")
    low, high = np.zeros(2), np.ones(2)

    def sample(self, rng, n):
        return np.sort(rng.uniform(size=(n, 2)))[:, ::-1]

    def log_prob(self, theta):
        return np.log(2.0) if theta[0] >= theta[1] else -np.inf


class ByKey:
    def sample(self, key, n):
        return jax.random.normal(key, (n, 2))

    def log_prob(self, theta):
        return jax.scipy.stats.norm.logpdf(theta)  # one for each: independent


class BySampleShape(ByKey):
    def sample(self, key, sample_shape=()):
        return jax.random.normal(key, (*sample_shape, 2))


class BySeed(ByKey):
    def sample(self, sample_shape=(), seed=None):
        return jax.random.normal(seed, (*sample_shape, 2))


class Scalar(ByKey):
    def sample(self, key, n):
        return jax.random.normal(key, (n,))


def correlated():
    covariance = np.array([[1.0, 0.6], [0.6, 2.0]])
    return normal_prior([1.0, -1.0], covariance=covariance), scipy.stats.multivariate_normal(
        [1.0, -1.0], covariance
    )


def log_prob_of(prior, theta):
    return jax.jit(prior.log_prob)(jnp.asarray(theta, jnp.float32))


def column(frozen):
    """A scipy distribution of vectors as one whose log-densities are summed."""
    return lambda theta: frozen.logpdf(theta).sum(axis=1)


@pytest.mark.parametrize(
    ("prior", "log_prob"),
    [
        (uniform_prior([0.0, -2.0], [3.0, 2.0]), column(scipy.stats.uniform([0, -2], [3, 4]))),
        (normal_prior([0.0, 1.0], [1.0, 2.0]), column(scipy.stats.norm([0, 1], [1, 2]))),
        (correlated()[0], correlated()[1].logpdf),
        (
            log_normal_prior([0.0, 1.0], [1.0, 0.5]),
            column(scipy.stats.lognorm([1, 0.5], scale=np.exp([0, 1]))),
        ),
        (as_prior(ByKey()), column(scipy.stats.norm([0, 0], 1))),
        (as_prior(BySampleShape()), column(scipy.stats.norm([0, 0], 1))),
        (as_prior(BySeed()), column(scipy.stats.norm([0, 0], 1))),
        (as_prior(Scalar()), column(scipy.stats.norm([0], 1))),
        (as_prior(bijections.Uniform(jnp.zeros(2), 3.0)), column(scipy.stats.uniform([0, 0], 3))),
    ],
)
def test_densities_and_samples_are_those_of_scipy(prior, log_prob):
    assert isinstance(prior, Density)
    theta = np.asarray(prior.sample(KEY, 500))
    assert theta.shape == (500, len(prior.names)) and theta.dtype == np.float32
    np.testing.assert_allclose(log_prob_of(prior, theta), log_prob(theta), rtol=1e-3, atol=1e-5)


def test_samples_have_the_moments_of_the_distribution():
    prior, oracle = correlated()
    theta = np.asarray(prior.sample(KEY, 20_000))
    error = 5 / np.sqrt(20_000)
    np.testing.assert_allclose(theta.mean(axis=0), oracle.mean, atol=1.5 * error)
    np.testing.assert_allclose(np.cov(theta.T), oracle.cov, atol=3 * error)
    theta = np.asarray(uniform_prior([2.0], [4.0]).sample(KEY, 5000))
    assert scipy.stats.kstest(theta[:, 0], scipy.stats.uniform(2, 2).cdf).pvalue > 1e-4


def test_outside_the_box_there_is_nothing_and_gradients_are_finite():
    box = product_prior(
        uniform_prior([0.1], [0.3]), bijections.Gamma(2.0, 1.0), bijections.Beta(0.5, 0.5)
    )
    both = jax.jit(jax.value_and_grad(box.log_prob))
    for theta in ([0.2, -1.0, 0.5], [0.4, 1.0, 0.5], [0.2, 1.0, 1.5], [0.0, -1.0, -1.0]):
        value, gradient = both(jnp.array(theta))
        assert value == -INF and np.isfinite(gradient).all()
    for theta in ([0.1, 0.0, 0.0], [0.3, 1.0, 1.0]):  # on the ends
        assert np.isfinite(both(jnp.array(theta))[0])


def test_samples_are_inside_the_box_in_double_precision():
    """Beta(0.01, 0.01) falls on 0 and 1 in float32; 0.1 is not a float32 number."""
    prior = product_prior(uniform_prior([0.1], [0.1000001]), bijections.Beta(0.01, 0.01))
    theta = np.asarray(prior.sample(KEY, 5000), np.float64)
    assert ((theta > prior.low) & (theta < prior.high)).all()
    assert np.isfinite(log_prob_of(prior, theta)).all()


def test_a_prior_in_numpy_works_everywhere_but_for_sampling_under_jit():
    prior = as_prior(Triangle(), units=("km", "s"))
    assert (prior.names, prior.units) == (("a", "b"), ("km", "s"))
    theta = prior.sample(KEY, 50)
    assert (theta[:, 0] >= theta[:, 1]).all()
    np.testing.assert_array_equal(theta, prior.sample(KEY, 50))
    assert (prior.sample(jax.random.key(4), 50) != theta).any()
    flipped = theta[:, ::-1]
    np.testing.assert_allclose(prior.log_prob(theta), np.log(2.0), rtol=1e-6)
    np.testing.assert_array_equal(jax.jit(prior.log_prob)(flipped), np.full(50, -INF))


def test_priors_are_arguments_of_jit():
    prior = product_prior(uniform_prior([0.0], [1.0]), normal_prior([0.0], [2.0]))
    theta = prior.sample(KEY, 4)
    jitted = jax.jit(lambda p, t: p.log_prob(t))
    np.testing.assert_allclose(jitted(prior, theta), prior.log_prob(theta), rtol=1e-6)
    sampled = jax.jit(lambda p, k: p.sample(k, 4))(prior, KEY)
    np.testing.assert_allclose(sampled, theta, rtol=1e-6)


def test_a_product_is_the_sum_of_its_parts_side_by_side():
    parts = (
        uniform_prior([0.0], [1.0], names=["x"], units=["m"]),
        normal_prior([0.0, 1.0], [1.0, 1.0]),
        bijections.log_normal(0.0, 1.0),
    )
    prior = product_prior(*parts)
    assert prior.names == ("x", "theta_2", "theta_3", "theta_4")
    assert prior.units == ("m", "", "", "")
    np.testing.assert_array_equal(prior.low, [0, -INF, -INF, 0])
    np.testing.assert_array_equal(prior.high, [1, INF, INF, INF])
    theta = prior.sample(KEY, 200)
    expected = scipy.stats.norm([0, 1], 1).logpdf(theta[:, 1:3]).sum(axis=1)
    expected += scipy.stats.lognorm(1).logpdf(theta[:, 3])
    np.testing.assert_allclose(log_prob_of(prior, theta), expected, rtol=1e-4, atol=1e-5)
    assert np.abs(np.corrcoef(np.asarray(theta).T) - np.eye(4)).max() < 0.4
    assert product_prior(*parts, names=list("abcd")).names == tuple("abcd")


def test_a_prior_is_left_as_it_is_or_renamed():
    prior = uniform_prior([0.0, 1.0], [1.0, 2.0])
    assert as_prior(prior) is prior
    renamed = as_prior(prior, names=["a", "b"])
    assert renamed.names == ("a", "b")
    np.testing.assert_array_equal(renamed.high, [1, 2])
    np.testing.assert_array_equal(renamed.sample(KEY, 3), prior.sample(KEY, 3))


def test_a_prior_can_be_wrapped():
    """As truncation does it: reject draws, and leave the density alone up to a constant."""
    prior = uniform_prior([-1.0], [1.0])

    def draw(key, n):
        drawn = prior.sample(key, 20 * n)
        return drawn[drawn[:, 0] > 0][:n]

    positive = Prior(draw, prior.log_density, bijections.Support([0.0], prior.high), ["x"])
    assert (np.asarray(positive.sample(KEY, 100)) > 0).all()
    assert positive.log_prob([-0.5]) == -INF


def test_the_common_names_are_given_by_number():
    prior = uniform_prior(np.zeros(3), np.ones(3))
    assert prior.names == ("theta_1", "theta_2", "theta_3")
    assert prior.units == ("", "", "")


class Lopsided(ByKey):
    def sample(self, key, n):
        return jnp.zeros((n, 2, 2))


class Wrong(ByKey):
    def log_prob(self, theta):
        return jnp.log(-jnp.ones(()))


class Keyless(ByKey):
    def sample(self, n):
        return jnp.zeros((n, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: uniform_prior([1.0], [0.0]), "low < high"),
        (lambda: uniform_prior([0.0], [INF]), "finite high"),
        (lambda: uniform_prior([np.nan], [1.0]), "finite low"),
        (lambda: uniform_prior([0.0, 0.0], [1.0]), r"low and high of one shape \(d,\)"),
        (lambda: uniform_prior([[0.0]], [[1.0]]), "one shape"),
        (lambda: uniform_prior([0.0, 0.0], [1.0, 1.0], names=["a"]), "name for each of 2"),
        (lambda: uniform_prior([0.0, 0.0], [1.0, 1.0], names=["a", "a"]), "name of its own"),
        (lambda: uniform_prior([0.0], [1.0], units=["m", "s"]), "unit for each of 1"),
        (lambda: normal_prior([0.0], [0.0]), "positive scale"),
        (lambda: normal_prior([0.0]), "either scale or covariance"),
        (lambda: normal_prior([0.0], [1.0], covariance=[[1.0]]), "either scale or covariance"),
        (lambda: normal_prior([0.0, 0.0], covariance=[[1.0, 2.0], [2.0, 1.0]]), "definite"),
        (lambda: normal_prior([0.0, 0.0], covariance=[[1.0]]), r"shape \(2, 2\)"),
        (lambda: log_normal_prior([0.0], [-1.0]), "positive scale"),
        (lambda: product_prior(), "at least one prior"),
        (lambda: product_prior(*[normal_prior([0.0], [1.0], names=["a"])] * 2), "of its own"),
        (lambda: as_prior(3.0), "sample and log_prob, got float"),
        (lambda: as_prior(scipy.stats.norm(0, 1)), "by rvs"),
        (lambda: as_prior(Keyless()), r"sample\(key, n\), got sample\(n\)"),
        (lambda: as_prior(Lopsided()), r"\(100, d\)"),
        (lambda: as_prior(Wrong()), "disagree"),
        (lambda: as_prior(ByKey(), low=[0.0, 0.0]), "samples between low"),
        (lambda: as_prior(bijections.Normal(jnp.zeros((2, 2)), 1.0)), "flatten"),
    ],
)
def test_what_is_no_prior_is_told_in_one_line(make, message):
    with pytest.raises(InputError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_samples_of_another_shape_are_refused():
    class Fickle(ByKey):
        def sample(self, key, n):
            return jnp.zeros((min(n, 100), 2))

    with pytest.raises(InputError, match=r"expected samples of shape \(200, 2\)"):
        as_prior(Fickle()).sample(KEY, 200)
    with pytest.raises(InputError, match="no context"):
        uniform_prior([0.0], [1.0]).sample(KEY, 2, jnp.zeros(1))
