"""The prior, cut to the region that a posterior believes in.

Deistler, Gonçalves & Macke 2022 (arXiv:2210.04815), section 3 and appendix 6.3.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.errors import InputError
from physgen.inference.priors import Prior

AT_ONCE = 10_000  # draws
LOWEST_SHARE = 0.01  # of the prior inside the region, for draws of it to be sorted out
CANDIDATES = 32  # draws of the posterior, of which one is kept


def truncated_prior(
    key: PRNGKeyArray, prior: Prior, posterior: Any, observation: ArrayLike, epsilon: float = 1e-4
) -> tuple[Prior, float]:
    """The prior where the posterior's density is above its `epsilon` quantile, and its share of it.

    Draws are those of the prior that lie in the region; where that is less than 1% of the prior,
    they are draws of the posterior in the region, resampled with weights prior / posterior
    (Rubin 1988). Its log-density is not normalised.

    Args:
        posterior: a density of parameters given observations, such as a `Posterior`.

    Raises:
        InputError: for an epsilon outside of [0, 1).
    """
    if not 0 <= epsilon < 1:
        raise InputError(f"expected an epsilon in [0, 1), got {epsilon}")
    posterior_key, prior_key = jax.random.split(key)
    x = jnp.asarray(observation, jnp.float32)
    believed = posterior.sample(posterior_key, AT_ONCE, x)
    threshold = float(np.quantile(posterior.log_prob(believed, x), epsilon))

    def inside(theta: Array) -> np.ndarray:
        return np.asarray(posterior.log_prob(theta, x)) >= threshold

    def reject(key: PRNGKeyArray, n: int) -> Array:
        kept, found = [], 0
        while found < n:
            key, draw_key = jax.random.split(key)
            theta = prior.sample(draw_key, AT_ONCE)
            kept.append(theta[inside(theta)])
            found += len(kept[-1])
        return jnp.concatenate(kept)[:n]

    def resample(key: PRNGKeyArray, n: int) -> Array:
        draw_key, choice_key = jax.random.split(key)
        theta = posterior.sample(draw_key, n * CANDIDATES, x)
        log_q = np.asarray(posterior.log_prob(theta, x))
        log_weights = np.where(log_q >= threshold, prior.log_prob(theta) - log_q, -np.inf)
        chosen = jax.random.categorical(choice_key, log_weights.reshape(n, CANDIDATES))
        return theta.reshape(n, CANDIDATES, -1)[jnp.arange(n), chosen]

    def log_density(theta: Array) -> Array:
        within = posterior._log_prob(theta, x) >= threshold
        return jnp.where(within, prior.log_density(theta), -jnp.inf)

    share = float(inside(prior.sample(prior_key, AT_ONCE)).mean())
    draw = reject if share >= LOWEST_SHARE else resample
    return Prior(draw, log_density, prior.support, prior.names, prior.units), share
