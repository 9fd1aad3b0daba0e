"""Distributions that a transport starts from: events of any shape with independent entries."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from physgen.density import Shape


@dataclass(frozen=True)
class Gaussian:
    """Independent standard normals times `scale`."""

    scale: float = 1.0

    def sample(self, key: PRNGKeyArray, shape: Shape) -> Array:
        """One event of the given shape."""
        return self.scale * jax.random.normal(key, shape)

    def log_prob(self, x: Array) -> Float[Array, ""]:
        """Log-density of one event."""
        return jnp.sum(jax.scipy.stats.norm.logpdf(x, scale=self.scale))


@dataclass(frozen=True)
class Uniform:
    """Independent entries uniform in [0, box_size): for points in a box, a Poisson process."""

    box_size: float = 1.0

    def sample(self, key: PRNGKeyArray, shape: Shape) -> Array:
        """One event of the given shape."""
        return jax.random.uniform(key, shape, maxval=self.box_size)

    def log_prob(self, x: Array) -> Float[Array, ""]:
        """Log-density of one event inside the box."""
        return jnp.asarray(-x.size * jnp.log(self.box_size))


Base = Gaussian | Uniform
