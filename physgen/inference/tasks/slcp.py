"""Simple likelihood, complex posterior; alone, and hidden among distractors.

Lueckmann et al. 2021 (AISTATS, arXiv:2101.04653), appendix T: "SLCP", "SLCP with distractors";
first in Papamakarios et al. 2019 (AISTATS, arXiv:1805.07226).
"""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from physgen.inference.priors import uniform_prior
from physgen.inference.tasks.task import Task

_POINTS = 4
_DISTRACTORS = 92
_COMPONENTS = 20
_FREEDOM = 2
_RIDGE = 1e-6


def slcp() -> Task:
    """Four points of a bivariate normal whose five parameters are known up to signs.

    theta ~ U(-3, 3)^5: the mean is (theta_1, theta_2), the standard deviations theta_3^2 and
    theta_4^2, the correlation tanh theta_5. x, shape (8,), is one point after the other.
    """
    return Task("slcp", _prior(), _simulate, (2 * _POINTS,), _log_likelihood)


def slcp_distractors() -> Task:
    """`slcp` with 92 numbers that say nothing of theta, all 100 shuffled once and for all.

    The distractors are a mixture of 20 multivariate Student distributions with two degrees of
    freedom: their variance is infinite. `log_likelihood` leaves out their density.
    """
    noise = distractors()
    place = np.argsort(noise.permutation)[: 2 * _POINTS]

    def simulator(key: PRNGKeyArray, theta: Float[Array, "5"]) -> Float[Array, "100"]:
        point_key, noise_key = jax.random.split(key)
        x = jnp.concatenate([_simulate(point_key, theta), _distract(noise_key, noise)])
        return x[noise.permutation]

    def log_likelihood(theta: Float[Array, "5"], x: Float[Array, "100"]) -> Float[Array, ""]:
        return _log_likelihood(theta, x[place])

    x_shape = (2 * _POINTS + _DISTRACTORS,)
    return Task("slcp_distractors", _prior(), simulator, x_shape, log_likelihood)


class Distractors(NamedTuple):
    """Centres, lower-triangular scales, and where each of the 100 numbers of x comes from."""

    loc: Float[np.ndarray, "20 92"]
    scale_tril: Float[np.ndarray, "20 92 92"]
    permutation: Int[np.ndarray, "100"]


@cache
def distractors() -> Distractors:
    """The numbers that the paper's code drew once, from NumPy's legacy stream of seed 42."""
    stream = np.random.RandomState(42)  # noqa: NPY002
    loc = [15 * stream.normal(size=_DISTRACTORS) for _ in range(_COMPONENTS)]
    scale_tril = []
    for _ in range(_COMPONENTS):
        lower = np.tril(stream.normal(size=(_DISTRACTORS, _DISTRACTORS)))
        scale_tril.append(3 * (lower + np.diag(np.exp(stream.normal(size=_DISTRACTORS)))))
    permutation = stream.permutation(2 * _POINTS + _DISTRACTORS)
    return Distractors(
        np.array(loc, np.float32), np.array(scale_tril, np.float32), np.array(permutation)
    )


def _prior():
    return uniform_prior([-3.0] * 5, [3.0] * 5)


class _Cholesky(NamedTuple):
    """[[first, 0], [slope, second]], whose square is the covariance of a point."""

    first: Array
    slope: Array
    second: Array


def _cholesky(theta: Float[Array, "5"]) -> _Cholesky:
    a, b = theta[2] ** 2, theta[3] ** 2
    first = jnp.sqrt(a**2 + _RIDGE)
    free = a * b / jnp.cosh(theta[4])  # free^2 is the determinant without the ridge
    determinant = free**2 + _RIDGE * (a**2 + b**2 + _RIDGE)
    return _Cholesky(first, jnp.tanh(theta[4]) * a * b / first, jnp.sqrt(determinant) / first)


def _simulate(key: PRNGKeyArray, theta: Float[Array, "5"]) -> Float[Array, "8"]:
    factor = _cholesky(theta)
    z, w = jax.random.normal(key, (2, _POINTS))
    points = [theta[0] + factor.first * z, theta[1] + factor.slope * z + factor.second * w]
    return jnp.stack(points, axis=1).ravel()


def _log_likelihood(theta: Float[Array, "5"], x: Float[Array, "8"]) -> Float[Array, ""]:
    factor = _cholesky(theta)
    first, second = x.reshape(_POINTS, 2).T
    z = (first - theta[0]) / factor.first
    w = (second - theta[1] - factor.slope * z) / factor.second
    volume = _POINTS * jnp.log(2 * jnp.pi * factor.first * factor.second)
    return -jnp.sum(z**2 + w**2) / 2 - volume


def _distract(key: PRNGKeyArray, noise: Distractors) -> Float[Array, "92"]:
    """One draw of the mixture.

    A product with every component's matrix, of which one is kept: simulations side by side are
    then one matrix product a component, and need no matrix each.
    """
    component_key, normal_key, chi_key = jax.random.split(key, 3)
    component = jax.random.randint(component_key, (), 0, _COMPONENTS)
    z = jax.random.normal(normal_key, (_DISTRACTORS,))

    def scaled(kept: Array, item: tuple[Array, Array]) -> tuple[Array, None]:
        number, scale_tril = item
        return jnp.where(number == component, scale_tril @ z, kept), None

    items = jnp.arange(_COMPONENTS), jnp.asarray(noise.scale_tril)
    normal, _ = jax.lax.scan(scaled, jnp.zeros(_DISTRACTORS), items)
    chi = jnp.linalg.norm(jax.random.normal(chi_key, (_FREEDOM,)))
    return jnp.asarray(noise.loc)[component] + normal * jnp.sqrt(float(_FREEDOM)) / chi
