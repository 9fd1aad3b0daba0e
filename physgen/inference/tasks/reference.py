"""Reference posteriors where there is no closed form: tempered sequential Monte Carlo.

Del Moral, Doucet & Jasra 2006 (J. R. Statist. Soc. B 68, 411): particles from the prior, to which
the likelihood is applied in small powers, each followed by resampling and by Markov moves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Float, Int, PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.data import seed_of
from physgen.errors import InputError
from physgen.inference.tasks.task import Task

_IMPOSSIBLE = -1e30  # a log-likelihood of -inf that can be multiplied by zero
_WHOLE = 0.3


@dataclass(frozen=True)
class Tempering:
    """How much work a reference posterior is worth.

    Args:
        particles: at least so many, and as many as there are draws to return.
        effective: the effective share of the particles that each power of the likelihood leaves.
        memory: after each power the particles move until no parameter's correlation with where it
            was is above this; under the full likelihood, until it is above a tenth of it.
        block: Markov moves between two looks at the correlation.
        most: Markov moves after which the next power is applied in any case.
    """

    particles: int = 10_000
    effective: float = 0.5
    memory: float = 0.4
    block: int = 10
    most: int = 1000


class _Chain(NamedTuple):
    z: Array
    log_prior: Array
    log_likelihood: Array


Target = Callable[[Array], _Chain]


def reference_posterior(
    task: Task, key: PRNGKeyArray, n: int, x: ArrayLike, tempering: Tempering = Tempering()
) -> Float[Array, "n d"]:
    """n draws of the posterior of a task at x: exact where the task has a closed form.

    Raises:
        InputError: for a task without likelihood, an x of another shape, or one of likelihood zero
            at all draws of the prior.
    """
    x = jnp.asarray(x, float)
    if x.shape != task.x_shape:
        raise InputError(f"expected x of shape {task.x_shape}, got {x.shape}; give one observation")
    if task.reference is not None:
        return task.reference(key, n, x)
    log_likelihood = task.log_likelihood
    if log_likelihood is None:
        raise InputError(f"expected a task with a log_likelihood, got {task.name}; give it one")
    support = task.prior.support

    def target(z: Array) -> _Chain:
        theta, log_det = support.constrain(z)
        value = jnp.nan_to_num(log_likelihood(theta, x), nan=_IMPOSSIBLE, neginf=_IMPOSSIBLE)
        return _Chain(z, task.prior.log_prob(theta) + log_det, value)

    prior_key, walk_key = jax.random.split(key)
    drawn = task.prior.sample(prior_key, max(n, tempering.particles))
    chains = _temper(walk_key, target, jax.vmap(support.unconstrain)(drawn)[0], tempering)
    return jax.vmap(support.constrain)(chains.z[:n])[0]


def _temper(key: PRNGKeyArray, target: Target, z: Float[Array, "m d"], tempering: Tempering):
    """Particles of the prior in, particles of the posterior out, in random order."""
    rng = np.random.default_rng(seed_of(key))

    @jax.jit
    def wander(key: PRNGKeyArray, chains: _Chain, power: Array) -> _Chain:
        def move(chains, key):
            keys = jax.random.split(key, len(chains.z))
            return jax.vmap(_move, (0, 0, None, None, None))(
                keys, chains, target, power, pool
            ), None

        pool = chains.z
        return jax.lax.scan(move, chains, jax.random.split(key, tempering.block))[0]

    chains, power = jax.jit(jax.vmap(target))(z), 0.0
    while power < 1:
        log_likelihood = np.asarray(chains.log_likelihood, np.float64)
        increment = _increment(log_likelihood, 1 - power, tempering.effective)
        kept = _resample(rng, increment * log_likelihood)
        power = min(power + increment, 1.0)
        chains = jax.tree.map(lambda leaf, kept=kept: leaf[kept], chains)

        start, memory = chains.z, tempering.memory if power < 1 else tempering.memory / 10
        for _ in range(-(-tempering.most // tempering.block)):
            key, block_key = jax.random.split(key)
            chains = wander(block_key, chains, power)
            if _correlation(start, chains.z) < memory:
                break
    return chains


def _move(key, chain: _Chain, target: Target, power, pool: Float[Array, "m d"]) -> _Chain:
    """A Metropolis move along the difference of two other particles.

    ter Braak & Vrugt 2008 (Stat. Comput. 18, 435): differences have the shape of the posterior, and
    a whole one, which every third move is about, leads from mode to mode.
    """
    pair_key, size_key, accept_key = jax.random.split(key, 3)
    one, other = pool[jax.random.randint(pair_key, (2,), 0, len(pool))]
    usual = 2.38 / np.sqrt(2 * pool.shape[1])
    size = jnp.where(jax.random.bernoulli(size_key, _WHOLE), 1.0, usual)
    proposal = target(chain.z + size * (one - other))
    log_ratio = proposal.log_prior - chain.log_prior
    log_ratio += power * (proposal.log_likelihood - chain.log_likelihood)
    accepted = jnp.log(jax.random.uniform(accept_key)) < log_ratio
    return jax.tree.map(lambda new, old: jnp.where(accepted, new, old), proposal, chain)


def _increment(log_likelihood: Float[np.ndarray, " m"], rest: float, effective: float) -> float:
    """The power, `rest` at most, whose weights are worth a given share of the particles.

    The share is of those with any likelihood at all.
    """
    possible = log_likelihood[log_likelihood > _IMPOSSIBLE]
    if not len(possible):
        raise InputError(
            f"expected an x that the simulator can make, got one of likelihood zero at all of "
            f"{len(log_likelihood)} draws of the prior; check the observation"
        )
    possible = possible - possible.max()

    def excess(increment: float) -> float:
        weights = np.exp(increment * possible)
        return weights.sum() ** 2 / (weights @ weights) / len(possible) - effective

    if excess(rest) >= 0:
        return rest
    return float(scipy.optimize.brentq(excess, 0.0, rest, xtol=1e-12))  # pyright: ignore


def _resample(
    rng: np.random.Generator, log_weights: Float[np.ndarray, " m"]
) -> Int[np.ndarray, " m"]:
    """Systematic resampling: indices of particles, shuffled, each within one of its expectation."""
    m = len(log_weights)
    cumulative = np.cumsum(np.exp(log_weights - log_weights.max()))
    levels = (np.arange(m) + rng.random()) / m * cumulative[-1]
    return rng.permutation(np.minimum(np.searchsorted(cumulative, levels), m - 1))


def _correlation(one: Float[Array, "m d"], other: Float[Array, "m d"]) -> float:
    """The largest correlation of a parameter with itself."""
    one, other = ((z - z.mean(0, keepdims=True)) / z.std(0, keepdims=True) for z in (one, other))
    return float(jnp.max((one * other).mean(0)))
