"""A neuron's spikes under white noise: a logistic regression, and its sufficient statistics.

Lueckmann et al. 2021 (AISTATS, arXiv:2101.04653), appendix T: "Bernoulli GLM", "Bernoulli GLM raw".
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from physgen.inference.priors import Prior, normal_prior
from physgen.inference.tasks.task import Task

_BINS = 100
_LAGS = 9
_BIAS_VARIANCE = 2.0


def bernoulli_glm() -> Task:
    """x = X^T y, shape (10,): the number of spikes and nine spike-triggered sums of the stimulus.

    y_t ~ Bernoulli(sigmoid((X theta)_t)) in 100 time bins; theta is a bias and a filter of nine
    lags, whose Gaussian prior favours smooth filters. x is sufficient for theta.
    """
    design = design_matrix()

    def simulator(key: PRNGKeyArray, theta: Float[Array, "10"]) -> Float[Array, "10"]:
        return _spikes(key, design, theta) @ design

    def log_likelihood(theta: Float[Array, "10"], x: Float[Array, "10"]) -> Float[Array, ""]:
        return x @ theta - jnp.sum(jax.nn.softplus(design @ theta))

    return Task("bernoulli_glm", _prior(), simulator, (1 + _LAGS,), log_likelihood)


def bernoulli_glm_raw() -> Task:
    """`bernoulli_glm` with the spikes themselves: x = y, shape (100,), zeros and ones."""
    design = design_matrix()

    def simulator(key: PRNGKeyArray, theta: Float[Array, "10"]) -> Float[Array, "100"]:
        return _spikes(key, design, theta)

    def log_likelihood(theta: Float[Array, "10"], x: Float[Array, "100"]) -> Float[Array, ""]:
        drive = design @ theta
        return jnp.sum(x * drive - jax.nn.softplus(drive))

    return Task("bernoulli_glm_raw", _prior(), simulator, (_BINS,), log_likelihood)


def design_matrix() -> Float[np.ndarray, "100 10"]:
    """A column of ones, then the stimulus delayed by 0, ..., 8 bins, 0 before it began.

    The stimulus is the one that the paper's code drew, from NumPy's legacy stream of seed 42.
    """
    stimulus = np.random.RandomState(42).randn(_BINS)  # noqa: NPY002
    delayed = [np.pad(stimulus, (lag, 0))[:_BINS] for lag in range(_LAGS)]
    return np.stack([np.ones(_BINS), *delayed], axis=1).astype(np.float32)


def _prior() -> Prior:
    """The precision of the filter is F^T F, with F the second difference and a growing diagonal."""
    difference = np.eye(_LAGS) - np.eye(_LAGS, k=-1)
    smooth = difference @ difference + np.diag(np.sqrt(np.arange(_LAGS) / _LAGS))
    covariance = np.zeros((1 + _LAGS, 1 + _LAGS))
    covariance[0, 0] = _BIAS_VARIANCE
    covariance[1:, 1:] = np.linalg.inv(smooth.T @ smooth)
    names = ["bias", *(f"filter_{lag}" for lag in range(_LAGS))]
    return normal_prior(np.zeros(1 + _LAGS), covariance=covariance, names=names)


def _spikes(
    key: PRNGKeyArray, design: Float[np.ndarray, "100 10"], theta: Float[Array, "10"]
) -> Float[Array, "100"]:
    rate = jax.nn.sigmoid(design @ theta)
    return jax.random.bernoulli(key, rate).astype(rate.dtype)
