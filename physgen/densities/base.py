"""Distributions that a transport starts from: events of any shape with independent entries."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from physgen.density import Shape

Mask = Bool[Array, " n"] | None


@dataclass(frozen=True)
class Gaussian:
    """Independent standard normals times `scale`."""

    scale: float = 1.0

    def sample(self, key: PRNGKeyArray, shape: Shape) -> Array:
        """One event of the given shape."""
        return self.scale * jax.random.normal(key, shape)

    def log_prob(self, x: Array, mask: Mask = None) -> Float[Array, ""]:
        """Log-density of one event, of the points in the mask where it is a set."""
        return _sum(jax.scipy.stats.norm.logpdf(x, scale=self.scale), mask)


@dataclass(frozen=True)
class Uniform:
    """Independent entries uniform in [0, box_size): for points in a box, a Poisson process."""

    box_size: float = 1.0

    def sample(self, key: PRNGKeyArray, shape: Shape) -> Array:
        """One event of the given shape."""
        return jax.random.uniform(key, shape, maxval=self.box_size)

    def log_prob(self, x: Array, mask: Mask = None) -> Float[Array, ""]:
        """Log-density of one event inside the box."""
        return _sum(jnp.full(x.shape, -jnp.log(self.box_size)), mask)


@dataclass(frozen=True)
class WrappedGaussian:
    """Normals times `scale` on a torus of side `box_size`, around its origin.

    Samples are not wrapped: they are what a bridge adds to data. A scale of 0.7 sides is uniform
    to one part in 8000.
    """

    scale: float = 0.7
    box_size: float = 1.0

    def sample(self, key: PRNGKeyArray, shape: Shape) -> Array:
        """One event of the given shape."""
        return self.scale * jax.random.normal(key, shape)

    def log_prob(self, x: Array, mask: Mask = None) -> Float[Array, ""]:
        """Log-density of one event on the torus, over as many images as matter."""
        reach = 1 + math.ceil(6 * self.scale / self.box_size)
        images = self.box_size * jnp.arange(-reach, reach + 1)
        densities = jax.vmap(
            lambda image: jax.scipy.stats.norm.logpdf(x + image, scale=self.scale)
        )(images)
        return _sum(jax.nn.logsumexp(densities, axis=0), mask)


Base = Gaussian | Uniform | WrappedGaussian


def _sum(log_densities: Array, mask: Mask) -> Float[Array, ""]:
    if mask is None:
        return jnp.sum(log_densities)
    return jnp.sum(jnp.where(mask[:, None], log_densities, 0.0))
