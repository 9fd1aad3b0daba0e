"""Posterior draws from a likelihood: tempered particles, then many short chains side by side.

The particles find every mode, and give the chains their starts and their metric. A step of a chain
is one of the No-U-Turn sampler (Hoffman & Gelman 2014, arXiv:1111.4246) and then a jump along the
difference of two particles, which may lead to another mode.
"""

import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.adaptation.step_size import dual_averaging_adaptation
from blackjax.diagnostics import effective_sample_size, potential_scale_reduction
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.density import Shape, leading_shape
from physgen.errors import InputError
from physgen.inference.priors import as_prior
from physgen.inference.tempering import (
    LogLikelihood,
    Target,
    Tempering,
    Walker,
    differential_move,
    tempered_particles,
)

CONVERGED = 1.05
AT_ONCE = 50


@dataclass(frozen=True)
class Sampler:
    """How much work the draws are worth.

    Args:
        tempering: of the particles.
        chains: side by side.
        warmup: steps of each chain in which the step size is found, and which are left out.
        steps: at least so many of each chain are kept.
        doublings: of a trajectory, at most: 2^doublings gradients a step.
    """

    tempering: Tempering = Tempering(particles=2000, moves=10, rounds=2)
    chains: int = 64
    warmup: int = 50
    steps: int = 100
    doublings: int = 6


class Draws(NamedTuple):
    """Draws, and how well the chains that made them agree.

    r_hat: of each parameter, the split potential scale reduction (Gelman & Rubin 1992; Vehtari et
    al. 2021, arXiv:1903.08008, eq. 3), 1 where chains agree.
    effective_sample_size: of each parameter, of all draws that were made.
    """

    samples: Float[Array, "n d"]
    r_hat: Float[np.ndarray, " d"]
    effective_sample_size: Float[np.ndarray, " d"]


@runtime_checkable
class HasLikelihood(Protocol):
    """A likelihood of one observation of shape `x_shape`, up to a factor that only x knows."""

    x_shape: Shape

    def log_likelihood(self, theta: Any, x: Any) -> Any: ...


@dataclass(frozen=True, eq=False)
class LikelihoodPosterior:
    """The posterior of a likelihood (or ratio) and a prior; it is drawn from by Monte Carlo.

    Args:
        likelihood: a `Likelihood`, a `Ratio`, or any flax module with their `log_likelihood`.
        prior: what `as_prior` accepts; it need not be the one that the simulations came from.
    """

    likelihood: HasLikelihood
    prior: Any
    sampler: Sampler = Sampler()

    def __post_init__(self):
        object.__setattr__(self, "prior", as_prior(self.prior))

    @property
    def event_shape(self) -> Shape:
        """Of the parameters, (d,)."""
        return self.prior.event_shape

    @property
    def context_shape(self) -> Shape:
        """Of an observation."""
        return self.likelihood.x_shape

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters."""
        return self.prior.names

    @property
    def units(self) -> tuple[str, ...]:
        """Of the parameters, empty where they have none."""
        return self.prior.units

    @property
    def low(self) -> Float[np.ndarray, " d"]:
        """The lower end of each parameter."""
        return self.prior.low

    @property
    def high(self) -> Float[np.ndarray, " d"]:
        """The upper end of each parameter."""
        return self.prior.high

    def sample(self, key: PRNGKeyArray, n: int, context: ArrayLike) -> Float[Array, "n d"]:
        """n draws given one observation; see `draw` for how far to trust them.

        Raises:
            InputError: as `draw`.
        """
        return self.draw(key, n, context).samples

    def sample_each(
        self, key: PRNGKeyArray, n: int, observations: ArrayLike
    ) -> Float[Array, "m n d"]:
        """n draws for each of m observations, one after the other."""
        observations = np.asarray(observations)
        keys = jax.random.split(key, len(observations))
        pairs = zip(keys, observations, strict=True)
        return jnp.stack([self.sample(k, n, x) for k, x in pairs])

    def draw(self, key: PRNGKeyArray, n: int, observation: ArrayLike) -> Draws:
        """n draws given one observation, and their diagnostics; it warns where chains disagree.

        Raises:
            InputError: for an observation of another shape, or one that no parameters explain.
        """
        x = jnp.asarray(observation, jnp.float32)
        if leading_shape("observation", x.shape, self.context_shape):
            raise InputError(
                f"expected one observation of shape {self.context_shape}, got {x.shape}; "
                "sample_each takes several"
            )
        target = Target(self.prior, LogLikelihood(_of_module, self.likelihood, x))
        return draw(key, n, target, self.sampler)


def draw(key: PRNGKeyArray, n: int, target: Target, sampler: Sampler = Sampler()) -> Draws:
    """n draws of the posterior `target`, in its parameters; it warns where chains disagree.

    Raises:
        InputError: if the likelihood is zero at all draws of the prior.
    """
    key, probe_key, particle_key, start_key, chain_key, choice_key = jax.random.split(key, 6)
    _require_explained(probe_key, target, sampler.tempering.particles)
    pool = tempered_particles(particle_key, sampler.tempering.particles, target, sampler.tempering)
    steps = max(-(-n // sampler.chains), sampler.steps)
    start = jax.random.choice(start_key, pool, (sampler.chains,), replace=False)
    chains = _run_chains(chain_key, target, start, pool, sampler, steps)
    r_hat, effective = (np.atleast_1d(values) for values in _diagnose(chains))
    worst = int(np.argmax(r_hat))
    if not r_hat[worst] <= CONVERGED:
        warnings.warn(
            f"the chains disagree about {target.prior.names[worst]}, R-hat is "
            f"{r_hat[worst]:.2f}: draw with more particles or steps (Sampler)",
            stacklevel=3,
        )
    z = jax.random.choice(choice_key, chains.reshape(-1, chains.shape[-1]), (n,), replace=False)
    return Draws(jax.vmap(target.prior.support.constrain)(z)[0], r_hat, effective)


def _of_module(likelihood, x, theta):
    return likelihood.log_likelihood(theta, x)


def _require_explained(key: PRNGKeyArray, target: Target, n: int) -> None:
    theta = target.prior.sample(key, n)
    if not np.isfinite(_log_likelihoods(target, theta)).any():
        raise InputError(
            f"expected an observation that some parameters explain, got a likelihood of 0 at all "
            f"of {n} draws of the prior; compare it with the simulations"
        )


@jax.jit
def _log_likelihoods(target, theta):
    return jax.vmap(target.log_likelihood)(theta)


def _run_chains(key, target, start, pool, sampler, steps) -> Float[Array, "chains steps d"]:
    """Chains in R^d after their warm-up, in calls of `AT_ONCE` steps."""
    init, _, _ = dual_averaging_adaptation(0.8)
    scale = jnp.linalg.cholesky(jnp.cov(pool.T).reshape(pool.shape[1], -1))
    state = start, jax.tree.map(lambda v: jnp.asarray(v, start.dtype), init(0.5))
    kept = []
    for call in range(-(-sampler.warmup // AT_ONCE) + -(-steps // AT_ONCE)):
        adapting = call < -(-sampler.warmup // AT_ONCE)
        state, positions = _walk(
            jax.random.fold_in(key, call), target, state, pool, scale, adapting, sampler.doublings
        )
        if not adapting:
            kept.append(positions)
    return jnp.swapaxes(jnp.concatenate(kept), 0, 1)[:, -steps:]


@partial(jax.jit, static_argnames="doublings")
def _walk(key, target, state, pool, scale, adapting, doublings):
    """`AT_ONCE` steps of all chains, in coordinates w in which the pool has unit covariance."""
    solve = partial(jax.scipy.linalg.solve_triangular, scale, lower=True)
    log_density = lambda w: target.log_density(scale @ w)  # noqa: E731
    jumps = solve(pool.T).T
    kernel = blackjax.nuts.build_kernel()
    _, update, _ = dual_averaging_adaptation(0.8)
    mass = jnp.ones(pool.shape[1])

    def one(key, w, step_size):
        nuts_key, jump_key = jax.random.split(key)
        chain = blackjax.nuts.init(w, log_density)
        chain, info = kernel(
            nuts_key, chain, log_density, step_size, mass, max_num_doublings=doublings
        )
        walker = Walker(chain.position, chain.logdensity)
        walker, _ = differential_move(jump_key, walker, log_density, jumps)
        return walker.position, info.acceptance_rate

    def step(carry, key):
        w, adaptation = carry
        log_size = jnp.where(adapting, adaptation.log_step_size, adaptation.log_step_size_avg)
        keys = jax.random.split(key, len(w))
        w, rates = jax.vmap(one, (0, 0, None))(keys, w, jnp.exp(log_size))
        learned = update(adaptation, jnp.mean(jnp.nan_to_num(rates)))
        adaptation = jax.tree.map(partial(jnp.where, adapting), learned, adaptation)
        return (w, adaptation), w

    positions, adaptation = state
    carry = solve(positions.T).T, adaptation
    (w, adaptation), path = jax.lax.scan(step, carry, jax.random.split(key, AT_ONCE))
    back = lambda w: w @ scale.T  # noqa: E731
    return (back(w), adaptation), back(path)


@jax.jit
def _diagnose(chains: Float[Array, "chains steps d"]) -> tuple[Array, Array]:
    half = chains.shape[1] // 2
    halves = jnp.concatenate([chains[:, :half], chains[:, -half:]])
    return potential_scale_reduction(halves), effective_sample_size(chains)
