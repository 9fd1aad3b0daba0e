"""Tempered sequential Monte Carlo: draws of a posterior whose likelihood can be evaluated.

Del Moral, Doucet & Jasra 2006 (J. R. Statist. Soc. B 68, 411): particles from the prior, to which
the likelihood is applied in small powers, each followed by a resampling and by Markov moves. All
of it happens in R^d, to which `Support` moves the parameters.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import blackjax
import jax
import jax.numpy as jnp
from blackjax.smc.resampling import systematic
from jaxtyping import Array, Float, PRNGKeyArray

from physgen.inference.priors import Prior

LOWEST = -1e30  # a log-likelihood of -inf, that can be multiplied by zero

LogLikelihood = jax.tree_util.Partial


@dataclass(frozen=True)
class Tempering:
    """How much work a posterior is worth.

    Args:
        particles: at least so many, and as many as there are draws to return.
        effective: the effective share of the particles that each power of the likelihood leaves.
        moves: Markov moves of every particle after each power.
        rounds: how often they move again under the full likelihood, `moves` times each.
    """

    particles: int = 10_000
    effective: float = 0.5
    moves: int = 20
    rounds: int = 5


class Target(NamedTuple):
    """A posterior up to a factor: a pytree, so that what was compiled for one serves the next.

    log_likelihood: a jax.tree_util.Partial of theta (d,), traceable.
    """

    prior: Prior
    log_likelihood: LogLikelihood

    def log_prior(self, z: Float[Array, " d"]) -> Float[Array, ""]:
        """Log-density of z in R^d under the prior."""
        theta, log_det = self.prior.support.constrain(z)
        return self.prior.log_prob(theta) + log_det

    def log_likelihood_at(self, z: Float[Array, " d"]) -> Float[Array, ""]:
        """The log-likelihood at z, finite."""
        value = self.log_likelihood(self.prior.support.constrain(z)[0])
        return jnp.nan_to_num(value, nan=LOWEST, neginf=LOWEST)

    def log_density(self, z: Float[Array, " d"]) -> Float[Array, ""]:
        """Log-density of z under the posterior, up to a constant."""
        return self.log_prior(z) + self.log_likelihood_at(z)


class Walker(NamedTuple):
    """Where a Markov chain is."""

    position: Float[Array, " d"]
    log_density: Float[Array, ""]


def tempered_particles(
    key: PRNGKeyArray, n: int, target: Target, tempering: Tempering = Tempering()
) -> Float[Array, "n d"]:
    """n particles in R^d that represent the target."""
    key, prior_key, choice_key = jax.random.split(key, 3)
    drawn = target.prior.sample(prior_key, max(n, tempering.particles))
    state = blackjax.smc.tempered.init(jax.vmap(target.prior.support.unconstrain)(drawn)[0])
    rounds = 0
    while rounds < tempering.rounds:
        rounds += bool(state.tempering_param >= 1)
        key, step_key = jax.random.split(key)
        state = _advance(step_key, state, target, tempering)
    return jax.random.choice(choice_key, jnp.asarray(state.particles), (n,), replace=False)


@partial(jax.jit, static_argnames="tempering")
def _advance(key, state, target, tempering):
    smc = blackjax.adaptive_tempered_smc(
        target.log_prior,
        target.log_likelihood_at,
        partial(differential_move, pool=state.particles),
        lambda position, log_density: Walker(position, log_density(position)),
        {},
        systematic,
        tempering.effective,
        num_mcmc_steps=tempering.moves,
    )
    return smc.step(key, state)[0]


def differential_move(key, walker: Walker, log_density, pool: Float[Array, "m d"]):
    """A Metropolis move along the difference of two members of a pool, and whether it was made.

    ter Braak & Vrugt 2008 (Stat. Comput. 18, 435): the pool has the shape of the posterior, its
    modes included; a whole difference, one time in ten, leads from mode to mode.
    """
    pair_key, size_key, whole_key, accept_key = jax.random.split(key, 4)
    one, other = pool[jax.random.randint(pair_key, (2,), 0, len(pool))]
    usual = 2.38 / jnp.sqrt(2.0 * pool.shape[1]) * jnp.exp(jax.random.normal(size_key) / 2)
    size = jnp.where(jax.random.bernoulli(whole_key, 0.1), 1.0, usual)
    position = walker.position + size * (one - other)
    proposal = Walker(position, log_density(position))
    threshold = jnp.log(jax.random.uniform(accept_key))
    accepted = proposal.log_density - walker.log_density > threshold
    return jax.tree.map(partial(jnp.where, accepted), proposal, walker), accepted
