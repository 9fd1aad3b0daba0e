"""Posterior draws from a likelihood: tempered particles, then many short chains side by side.

The particles find every mode, and give the chains their starts and their metric. A step of a chain
is one of the No-U-Turn sampler (Hoffman & Gelman 2014, arXiv:1111.4246) and then a few jumps along
the difference of two particles, which may lead to another mode.
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

from physgen.densities.bijections import Support
from physgen.density import Shape, leading_shape
from physgen.errors import InputError
from physgen.inference.posterior import to_compile
from physgen.inference.priors import Prior, as_prior
from physgen.inference.tempering import LogLikelihood, Particle, Target, Tempering, move, tempered

CONVERGED = 1.05
ACCEPTED = 0.8  # on average, by the step size
AT_ONCE = 50
JUMPS = 10  # after each step


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

    tempering: Tempering = Tempering(particles=2000, most=200)
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

    @property
    def x_shape(self) -> Shape: ...

    def log_likelihood(self, theta: Any, x: Any) -> Any: ...


@dataclass(frozen=True, eq=False)
class LikelihoodPosterior:
    """The posterior of a likelihood (or ratio) and a prior; it is drawn from by Monte Carlo.

    Args:
        likelihood: a `Likelihood`, a `Ratio`, or any flax module with their `log_likelihood`.
        prior: what `as_prior` accepts; it need not be the one that the simulations came from, but
            must lie within the box of theirs.

    Raises:
        InputError: for a prior that reaches where nothing was simulated.
    """

    likelihood: HasLikelihood
    prior: Any
    sampler: Sampler = Sampler()

    def __post_init__(self):
        object.__setattr__(self, "prior", as_prior(self.prior))
        support = getattr(self.likelihood, "support", None)
        if isinstance(support, Support):
            _require_within(self.prior, support)

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
        target = Target(self.prior, LogLikelihood(_of_module, to_compile(self.likelihood), x))
        return draw(key, n, target, self.sampler)


def draw(key: PRNGKeyArray, n: int, target: Target, sampler: Sampler = Sampler()) -> Draws:
    """n draws of the posterior `target`, in its parameters; it warns where chains disagree.

    Raises:
        InputError: if the likelihood is zero at all draws of the prior.
    """
    particle_key, chain_key, choice_key = jax.random.split(key, 3)
    particles = max(sampler.tempering.particles, sampler.chains)
    pool = tempered(particle_key, particles, target, sampler.tempering)
    steps = max(-(-n // sampler.chains), sampler.steps)
    chains = _run_chains(chain_key, target, pool, sampler, steps)
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


def _run_chains(
    key: PRNGKeyArray, target: Target, pool: Float[Array, "m d"], sampler: Sampler, steps: int
) -> Float[Array, "chains steps d"]:
    """Chains on R^d after their warm-up, in calls of `AT_ONCE` steps."""
    init, _, _ = dual_averaging_adaptation(ACCEPTED)
    z = pool[: sampler.chains]
    state = z, jax.tree.map(lambda v: jnp.asarray(v, z.dtype), init(0.5))
    kept = []
    for call in range(-(-sampler.warmup // AT_ONCE) + -(-steps // AT_ONCE)):
        adapting = call * AT_ONCE < sampler.warmup
        call_key = jax.random.fold_in(key, call)
        state, path = _walk(call_key, target, state, pool, adapting, sampler.doublings)
        if not adapting:
            kept.append(path)
    return jnp.swapaxes(jnp.concatenate(kept), 0, 1)[:, -steps:]


@partial(jax.jit, static_argnames="doublings")
def _walk(key, target, state, pool, adapting, doublings):
    """`AT_ONCE` steps of all chains; their positions (steps, chains, d)."""
    kernel = blackjax.nuts.build_kernel()
    _, update, _ = dual_averaging_adaptation(ACCEPTED)
    covariance = jnp.cov(pool.T).reshape(pool.shape[1], pool.shape[1])

    def log_density(z):
        particle = target.at(z)
        return particle.log_prior + particle.log_likelihood

    def jump(particle, key):
        return move(key, particle, target, 1.0, pool), None

    def one(key, z, step_size):
        nuts_key, jump_key = jax.random.split(key)
        chain = blackjax.nuts.init(z, log_density)
        chain, info = kernel(nuts_key, chain, log_density, step_size, covariance, doublings)
        start = Particle(chain.position, jnp.zeros_like(chain.logdensity), chain.logdensity)
        end, _ = jax.lax.scan(jump, start, jax.random.split(jump_key, JUMPS))
        return end.z, info.acceptance_rate

    def step(state, key):
        z, adaptation = state
        log_size = jnp.where(adapting, adaptation.log_step_size, adaptation.log_step_size_avg)
        keys = jax.random.split(key, len(z))
        z, rates = jax.vmap(one, (0, 0, None))(keys, z, jnp.exp(log_size))
        learned = update(adaptation, jnp.mean(jnp.nan_to_num(rates)))
        adaptation = jax.tree.map(partial(jnp.where, adapting), learned, adaptation)
        return (z, adaptation), z

    return jax.lax.scan(step, state, jax.random.split(key, AT_ONCE))


@jax.jit
def _diagnose(chains: Float[Array, "chains steps d"]) -> tuple[Array, Array]:
    half = chains.shape[1] // 2
    halves = jnp.concatenate([chains[:, :half], chains[:, -half:]])
    return potential_scale_reduction(halves), effective_sample_size(chains)


def _require_within(prior: Prior, support: Support) -> None:
    low, high = np.array(support.low), np.array(support.high)
    slack = 1e-6 * np.where(np.isfinite(high - low), high - low, 0.0)
    beyond = (prior.low < low - slack) | (prior.high > high + slack)
    if beyond.any():
        i = int(np.flatnonzero(beyond)[0])
        raise InputError(
            f"expected a prior of {prior.names[i]} within {low[i]:g} to {high[i]:g}, where there "
            f"were simulations, got {prior.low[i]:g} to {prior.high[i]:g}; cut it, or simulate "
            "from it"
        )
