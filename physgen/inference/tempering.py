"""Tempered sequential Monte Carlo: draws of a posterior whose likelihood can be evaluated.

Del Moral, Doucet & Jasra 2006 (J. R. Statist. Soc. B 68, 411): particles from the prior, to which
the likelihood is applied in small powers, each followed by resampling and by Markov moves. All of
it happens on R^d, to which `Support` moves the parameters.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Float, Int, PRNGKeyArray

from physgen.data import seed_of
from physgen.errors import InputError
from physgen.inference.priors import Prior

IMPOSSIBLE = -1e30  # a log-likelihood of -inf that can be multiplied by zero
_WHOLE = 0.3

LogLikelihood = jax.tree_util.Partial


@dataclass(frozen=True)
class Tempering:
    """How much work the particles are worth.

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


class Particle(NamedTuple):
    """A point of R^d, with the two parts of its log-density."""

    z: Array
    log_prior: Array
    log_likelihood: Array


class Target(NamedTuple):
    """A posterior up to a factor: a pytree, so that what was compiled for one serves the next.

    log_likelihood: of theta (d,), traceable.
    """

    prior: Prior
    log_likelihood: LogLikelihood

    def at(self, z: Float[Array, " d"]) -> Particle:
        """The particle at z."""
        theta, log_det = self.prior.support.constrain(z)
        value = jnp.nan_to_num(self.log_likelihood(theta), nan=IMPOSSIBLE, neginf=IMPOSSIBLE)
        return Particle(z, self.prior.log_prob(theta) + log_det, value)


def tempered(
    key: PRNGKeyArray, n: int, target: Target, tempering: Tempering = Tempering()
) -> Float[Array, "n d"]:
    """n draws of the target on R^d, in random order.

    Raises:
        InputError: if the likelihood is zero at all draws of the prior.
    """
    prior_key, walk_key = jax.random.split(key)
    drawn = target.prior.sample(prior_key, max(n, tempering.particles))
    z = jax.vmap(target.prior.support.unconstrain)(drawn)[0]
    return _temper(walk_key, target, z, tempering).z[:n]


def move(
    key: PRNGKeyArray, particle: Particle, target: Target, power, pool: Float[Array, "m d"]
) -> Particle:
    """A Metropolis move along the difference of two particles of a pool.

    ter Braak & Vrugt 2008 (Stat. Comput. 18, 435): differences have the shape of the posterior, and
    a whole one, which every third move is about, leads from mode to mode.
    """
    pair_key, size_key, accept_key = jax.random.split(key, 3)
    one, other = pool[jax.random.randint(pair_key, (2,), 0, len(pool))]
    usual = 2.38 / np.sqrt(2 * pool.shape[1])
    size = jnp.where(jax.random.bernoulli(size_key, _WHOLE), 1.0, usual)
    proposal = target.at(particle.z + size * (one - other))
    log_ratio = proposal.log_prior - particle.log_prior
    log_ratio += power * (proposal.log_likelihood - particle.log_likelihood)
    accepted = jnp.log(jax.random.uniform(accept_key)) < log_ratio
    return jax.tree.map(lambda new, old: jnp.where(accepted, new, old), proposal, particle)


def _temper(
    key: PRNGKeyArray, target: Target, z: Float[Array, "m d"], tempering: Tempering
) -> Particle:
    """Particles of the prior in, particles of the posterior out, in random order."""
    rng = np.random.default_rng(seed_of(key))
    particles, power = _look(target, z), 0.0
    while power < 1:
        log_likelihood = np.asarray(particles.log_likelihood, np.float64)
        increment = _increment(log_likelihood, 1 - power, tempering.effective)
        kept = _resample(rng, increment * log_likelihood)
        power = min(power + increment, 1.0)
        particles = jax.tree.map(lambda leaf, kept=kept: leaf[kept], particles)

        start, memory = particles.z, tempering.memory if power < 1 else tempering.memory / 10
        for _ in range(-(-tempering.most // tempering.block)):
            key, block_key = jax.random.split(key)
            particles = _wander(block_key, particles, target, power, tempering.block)
            if _correlation(start, particles.z) < memory:
                break
    return particles


@jax.jit
def _look(target: Target, z: Array) -> Particle:
    return jax.vmap(target.at)(z)


@partial(jax.jit, static_argnames="block")
def _wander(key: PRNGKeyArray, particles: Particle, target: Target, power, block: int) -> Particle:
    pool = particles.z

    def step(particles, key):
        keys = jax.random.split(key, len(pool))
        return jax.vmap(lambda k, p: move(k, p, target, power, pool))(keys, particles), None

    return jax.lax.scan(step, particles, jax.random.split(key, block))[0]


def _increment(log_likelihood: Float[np.ndarray, " m"], rest: float, effective: float) -> float:
    """The power, `rest` at most, whose weights are worth a given share of the particles.

    The share is of those with any likelihood at all.
    """
    possible = log_likelihood[log_likelihood > IMPOSSIBLE]
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
