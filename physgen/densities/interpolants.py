"""Bridges between base and data: x_t = a(t) x_0 + b(t) x_1, and a latent noise on the way.

With a Gaussian base these are the diffusions: Ho et al. 2020 (arXiv:2006.11239) and Song et al.
2021 (arXiv:2011.13456) keep the variance or let it explode. With any base they are the stochastic
interpolants of Albergo, Boffi & Vanden-Eijnden 2023 (arXiv:2303.08797). Time runs from base (0) to
data (1) everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from physgen.densities.prediction import Bridge
from physgen.errors import InputError
from physgen.geometry import Geometry


@dataclass(frozen=True)
class Linear:
    """a = 1 - t, b = t: straight lines, on a torus along the minimum image."""

    ends = (0.0, 1.0)

    def base(self, time: Array) -> Array:
        """a(t)."""
        return 1.0 - time

    def data(self, time: Array) -> Array:
        """b(t)."""
        return time


@dataclass(frozen=True)
class Trigonometric:
    """a = cos(pi t / 2), b = sin(pi t / 2): a circle, and the cosine schedule of diffusions."""

    ends = (0.0, 1.0)

    def base(self, time: Array) -> Array:
        """a(t)."""
        return jnp.cos(jnp.pi / 2 * time)

    def data(self, time: Array) -> Array:
        """b(t)."""
        return jnp.sin(jnp.pi / 2 * time)


@dataclass(frozen=True)
class VariancePreserving:
    """The diffusion of DDPM: b = exp(-B / 2), a = sqrt(1 - b^2), B the integral of the noise rate.

    The rate falls linearly from `fastest` at the base to `slowest` at the data (Song et al. 2021,
    eq. 33). What is left of the data at the base is b(0) = exp(-(slowest + fastest) / 4), which a
    transport leaves out: `log_prob` is the density of its samples.
    """

    slowest: float = 0.1
    fastest: float = 20.0

    ends = (0.0, 1.0 - 1e-5)  # a has no finite rate where it vanishes

    def _integral(self, time: Array) -> Array:
        left = 1.0 - time
        return self.slowest * left + (self.fastest - self.slowest) * left**2 / 2

    def base(self, time: Array) -> Array:
        """a(t)."""
        return jnp.sqrt(-jnp.expm1(-self._integral(time)))

    def data(self, time: Array) -> Array:
        """b(t)."""
        return jnp.exp(-self._integral(time) / 2)


@dataclass(frozen=True)
class VarianceExploding:
    """a = 1 - t, b = 1: noise is added to the data, which stay where they are.

    The base must be so wide that the data no longer matter, since paths start without them. The
    one diffusion that a torus has, with the base `WrappedGaussian`.
    """

    ends = (0.0, 1.0)

    def base(self, time: Array) -> Array:
        """a(t)."""
        return 1.0 - time

    def data(self, time: Array) -> Array:
        """b(t)."""
        return jnp.ones_like(time)


Interpolant = Linear | Trigonometric | VariancePreserving | VarianceExploding


@dataclass(frozen=True)
class LatentNoise:
    """Noise gamma(t) z that is added on the way: gamma = scale (4 t (1 - t))^power, z normal.

    power 1/2 is a Brownian bridge. It gives any base a score, see `Transport`.
    """

    scale: float
    power: float = 1.0

    ends = (1e-5, 1.0 - 1e-5)  # beyond, gamma vanishes, or has no finite rate

    def __post_init__(self):
        if not (self.scale > 0 and self.power > 0):
            raise InputError(
                f"expected a scale and a power above zero, got {self.scale} and {self.power}"
            )

    def level(self, time: Array) -> Array:
        """gamma(t)."""
        return self.scale * (4.0 * time * (1.0 - time)) ** self.power


@dataclass(frozen=True)
class Bridges:
    """All bridges of a transport: between any x_0 and x_1, at any time.

    scale: of the base where it is Gaussian noise, None where it is not.
    """

    geometry: Geometry
    interpolant: Interpolant
    scale: float | None
    latent: LatentNoise | None

    @property
    def ends(self) -> tuple[float, float]:
        """Times between which all rates are finite."""
        ends = self.interpolant.ends
        if self.latent is None:
            return ends
        return max(ends[0], self.latent.ends[0]), min(ends[1], self.latent.ends[1])

    @property
    def gaussian_scale(self) -> float:
        """`scale`, where there is one.

        Raises:
            InputError: if the base is not Gaussian.
        """
        if self.scale is None:
            raise InputError(
                "expected Gaussian noise for scores and random paths, got a uniform base; take "
                "WrappedGaussian with VarianceExploding bridges, or latent noise and a denoiser"
            )
        return self.scale

    def between(self, x0: Array, x1: Array, z: Array | None, time: Array) -> "Point":
        """The bridge from x0 to x1 with latent noise z, at one time."""
        if isinstance(self.interpolant, Linear):
            velocity = self.geometry.displacement(x0, x1)
            x, noise = x0 + time * velocity, (1.0 - time) * x0
        else:
            a, a_rate = _with_rate(self.interpolant.base, time)
            b, b_rate = _with_rate(self.interpolant.data, time)
            x, velocity, noise = a * x0 + b * x1, a_rate * x0 + b_rate * x1, a * x0
        if self.latent is not None and z is not None:
            level, rate = _with_rate(self.latent.level, time)
            x, velocity, noise = x + level * z, velocity + rate * z, noise + level * z
        return Point(self.geometry.wrap(x), velocity, noise)

    def noise_level(self, time: Array) -> Array:
        """sigma(t), of base and latent noise together.

        Raises:
            InputError: if the base is not Gaussian.
        """
        level = self.gaussian_scale * self.interpolant.base(time)
        return level if self.latent is None else jnp.hypot(level, self.latent.level(time))

    def at(self, time: Array) -> Bridge:
        """x = sigma e + b x_1 at one time.

        Raises:
            InputError: if the base is not Gaussian.
        """
        sigma, sigma_rate = _with_rate(self.noise_level, time)
        b, b_rate = _with_rate(self.interpolant.data, time)
        return Bridge(sigma, b, sigma_rate, b_rate)


class Point(NamedTuple):
    """Where a bridge is, how fast it moves, and how much of x is base and latent noise."""

    x: Array
    velocity: Array
    noise: Array


def _with_rate(function: Callable[[Array], Array], time: Array) -> tuple[Array, Array]:
    return jax.jvp(function, (time,), (jnp.ones_like(time),))
