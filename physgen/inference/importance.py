"""Importance sampling: a learned posterior made exact where the likelihood is known.

Draws of the learned posterior q get weights prior x likelihood / q. The largest are smoothed by a
generalised Pareto distribution, whose shape says whether the weights can be trusted (Vehtari,
Simpson, Gelman, Yao & Gabry 2024, arXiv:1507.02646).
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from physgen.errors import InputError
from physgen.inference.priors import as_prior

TRUSTED = 0.7  # the largest shape at which averages converge at a useful rate


@dataclass(frozen=True, eq=False)
class WeightedSamples:
    """n draws (n, d) and the logarithms of their weights (n,), which add up to one.

    pareto_k: the shape of the tail of the weights; above 0.7 they cannot be trusted.
    log_evidence: the logarithm of the mean of prior x likelihood / q: of the probability of the
        observation, if the likelihood is normalised.
    """

    samples: Float[Array, "n d"]
    log_weights: Float[np.ndarray, " n"]
    pareto_k: float
    log_evidence: float

    @property
    def weights(self) -> Float[np.ndarray, " n"]:
        """They add up to one."""
        return np.exp(self.log_weights)

    @property
    def effective_sample_size(self) -> float:
        """Kish's: one over the sum of the squared weights."""
        return float(1 / np.sum(self.weights**2))

    def mean(self) -> Float[np.ndarray, " d"]:
        """The weighted mean of the parameters."""
        return self.weights @ np.asarray(self.samples, np.float64)

    def covariance(self) -> Float[np.ndarray, "d d"]:
        """The weighted covariance of the parameters."""
        return np.atleast_2d(np.cov(np.asarray(self.samples, np.float64).T, aweights=self.weights))

    def resample(self, key: PRNGKeyArray, n: int) -> Float[Array, "n d"]:
        """n draws with equal weights: systematic resampling, in random order."""
        offset_key, order_key = jax.random.split(key)
        points = (np.arange(n) + float(jax.random.uniform(offset_key))) / n
        chosen = np.searchsorted(np.cumsum(self.weights), points).clip(max=len(self.samples) - 1)
        return self.samples[jax.random.permutation(order_key, chosen)]


def correct(
    key: PRNGKeyArray,
    posterior: Any,
    prior: Any,
    log_likelihood: Callable[[Array, Array], Array],
    observation: ArrayLike,
    n: int,
) -> WeightedSamples:
    """n draws of a learned posterior, weighted to be draws of the exact one.

    It warns where the learned posterior misses so much of the exact one that no weights can help.

    Args:
        posterior: with `sample(key, n, observation)` and `log_prob(theta, observation)`.
        prior: what `as_prior` accepts.
        log_likelihood: (theta (d,), x) -> log p(x | theta), traceable by jax.

    Raises:
        InputError: if the weights of all draws are zero.
    """
    prior, x = as_prior(prior), jnp.asarray(observation, float)
    samples = posterior.sample(key, n, x)
    exact = jax.jit(jax.vmap(lambda theta: prior.log_prob(theta) + log_likelihood(theta, x)))
    raw = np.asarray(exact(samples), np.float64)
    raw = raw - np.asarray(posterior.log_prob(samples, x), np.float64)
    weighted = weigh(samples, raw)
    if not weighted.pareto_k <= TRUSTED:
        warnings.warn(
            f"the weights cannot be trusted, their Pareto shape is {weighted.pareto_k:.2f} > "
            f"{TRUSTED}: draw more, or learn the posterior from more simulations",
            stacklevel=2,
        )
    return weighted


def weigh(samples: Float[Array, "n d"], log_weights: Float[np.ndarray, " n"]) -> WeightedSamples:
    """Draws of one density with weights, another / the first, that need not be normalised.

    Raises:
        InputError: if all weights are zero.
    """
    raw = np.where(np.isnan(log_weights), -np.inf, log_weights)
    if not np.isfinite(raw.max()):
        raise InputError(
            f"expected draws of finite likelihood, got {raw.max():g} as the largest of {len(raw)} "
            "log-weights; the learned posterior is elsewhere than the exact one"
        )
    smoothed, shape = pareto_smoothed(raw)
    evidence = float(logsumexp(raw) - np.log(len(raw)))
    return WeightedSamples(samples, smoothed - logsumexp(smoothed), shape, evidence)


def pareto_smoothed(
    log_weights: Float[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, " n"], float]:
    """Log-weights whose tail is replaced by its expected order statistics, and the tail's shape.

    Vehtari et al., section 2; the shape is infinite for fewer than 25 weights.
    """
    n = len(log_weights)
    tail = int(min(n / 5, 3 * np.sqrt(n)))
    if tail < 5:
        return log_weights, np.inf
    scaled = log_weights - log_weights.max()
    order = np.argsort(scaled)
    last = order[-tail:]
    cut = np.exp(scaled[order[-tail - 1]])
    excess = np.exp(scaled[last]) - cut
    above = excess > 0  # others tie with the cut
    if not above.any():
        return log_weights, 0.0
    last, excess, tail = last[above], excess[above], int(above.sum())
    if tail < 5:
        return log_weights, np.inf
    shape, scale = generalised_pareto(excess)
    ranks = (np.arange(tail) + 0.5) / tail
    quantiles = cut + scale * np.expm1(-shape * np.log1p(-ranks)) / shape
    smoothed = scaled.copy()
    smoothed[last] = np.minimum(np.log(quantiles), 0.0)
    return smoothed + log_weights.max(), shape


def generalised_pareto(x: Float[np.ndarray, " m"]) -> tuple[float, float]:
    """Shape and scale of sorted, positive x.

    Zhang & Stephens 2009 (Technometrics 51, 316), the shape drawn towards 0.5 as by Vehtari et al.,
    appendix C.
    """
    m = len(x)
    grid = 30 + int(np.sqrt(m))
    b = 1 / x[-1] + (1 - np.sqrt(grid / (np.arange(grid) + 0.5))) / (3 * x[int(m / 4 + 0.5) - 1])
    k = np.log1p(-b[:, None] * x).mean(axis=1)
    log_profile = m * (np.log(-b / k) - k - 1)
    mean_b = np.exp(log_profile - logsumexp(log_profile)) @ b
    shape = float(np.log1p(-mean_b * x).mean())
    return (m * shape + 5) / (m + 10), -shape / float(mean_b)
