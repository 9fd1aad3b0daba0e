"""Two crescents.

Lueckmann et al. 2021 (AISTATS, arXiv:2101.04653), appendix T: "Two moons"; first in Greenberg et
al. 2019 (ICML, arXiv:1905.07488).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from physgen.errors import InputError
from physgen.inference.priors import uniform_prior
from physgen.inference.tasks.task import Task

_RADIUS, _WIDTH = 0.1, 0.01
_CENTRE = 0.25
_ROUND = 10_000
_ROUNDS = 1000


def two_moons() -> Task:
    """A crescent of points, moved by |theta_1 + theta_2| and theta_2 - theta_1; theta ~ U(-1, 1)^2.

    With a ~ U(-pi/2, pi/2) and r ~ N(0.1, 0.01^2),

        x_1 = r cos a + 0.25 - |theta_1 + theta_2| / sqrt(2)
        x_2 = r sin a + (theta_2 - theta_1) / sqrt(2)

    The log-likelihood is that of x. It has the term -log r of polar coordinates, which the density
    in the paper's own code leaves out.
    """
    prior = uniform_prior([-1.0, -1.0], [1.0, 1.0])
    return Task("two_moons", prior, _simulate, (2,), _log_likelihood, _reference)


def _simulate(key: PRNGKeyArray, theta: Float[Array, "2"]) -> Float[Array, "2"]:
    return _crescent(key) - _shift(theta)


def _crescent(key: PRNGKeyArray) -> Float[Array, "2"]:
    angle_key, radius_key = jax.random.split(key)
    angle = jax.random.uniform(angle_key, minval=-jnp.pi / 2, maxval=jnp.pi / 2)
    radius = _RADIUS + _WIDTH * jax.random.normal(radius_key)
    return jnp.stack([radius * jnp.cos(angle) + _CENTRE, radius * jnp.sin(angle)])


def _shift(theta: Float[Array, "2"]) -> Float[Array, "2"]:
    first, second = theta
    return jnp.stack([jnp.abs(first + second), first - second]) / jnp.sqrt(2.0)


def _log_likelihood(theta: Float[Array, "2"], x: Float[Array, "2"]) -> Float[Array, ""]:
    along, across = x + _shift(theta) - jnp.array([_CENTRE, 0.0])
    squared = along**2 + across**2
    radius = jnp.sqrt(jnp.where(squared > 0, squared, 1.0))
    polar = jax.scipy.stats.norm.logpdf(radius, _RADIUS, _WIDTH) - jnp.log(jnp.pi * radius)
    return jnp.where((along > 0) & (squared > 0), polar, -jnp.inf)


def _reference(key: PRNGKeyArray, n: int, x: Float[Array, "2"]) -> Float[Array, "n 2"]:
    """Crescents that x can have come from, each solved for one of its two theta."""
    kept, found = [], 0
    for number in range(_ROUNDS):
        drawn, possible = _candidates(jax.random.fold_in(key, number), x)
        kept.append(drawn[possible])
        found += len(kept[-1])
        if found >= n:
            return jnp.concatenate(kept)[:n]
    raise InputError(
        f"expected an x that the simulator can make, got {x.tolist()}, from which it made {found} "
        f"draws in {_ROUNDS * _ROUND} attempts; check the observation"
    )


@jax.jit
def _candidates(key, x):
    crescent_key, sign_key = jax.random.split(key)
    shifts = jax.vmap(_crescent)(jax.random.split(crescent_key, _ROUND)) - x[None]
    size, difference = shifts.T
    total = size * jax.random.rademacher(sign_key, (_ROUND,))
    theta = jnp.stack([total + difference, total - difference], axis=1) / jnp.sqrt(2.0)
    return theta, (size >= 0) & jnp.all(jnp.abs(theta) <= 1, axis=1)
