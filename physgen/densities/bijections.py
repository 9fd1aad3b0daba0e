"""Distributions with a known support, and the map between that support and the real line.

The only importer of distrax: the distributions that serve as priors come from here. Densities of
bounded parameters are learned on R^d and moved to the box of the prior by `Support`, so that no
sample ever leaves it.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from distrax import (
    Beta,
    Categorical,
    Distribution,
    Gamma,
    Gumbel,
    Independent,
    Lambda,
    Laplace,
    Logistic,
    MixtureSameFamily,
    MultivariateNormalDiag,
    MultivariateNormalFromBijector,
    MultivariateNormalFullCovariance,
    Normal,
    Transformed,
    Uniform,
)
from jaxtyping import Array, Bool, Float
from numpy.typing import ArrayLike

from physgen.errors import InputError

__all__ = [
    "Beta",
    "Categorical",
    "Distribution",
    "Gamma",
    "Gumbel",
    "Independent",
    "Laplace",
    "Logistic",
    "MixtureSameFamily",
    "MultivariateNormalDiag",
    "MultivariateNormalFullCovariance",
    "Normal",
    "Support",
    "Transformed",
    "Uniform",
    "log_normal",
    "log_uniform",
    "support_of",
]

_UNBOUNDED = Normal, Laplace, Logistic, Gumbel, MultivariateNormalFromBijector
_LONGEST = 80.0  # of a log distance: e^80 and e^-80 leave float32 room for gradients
_FARTHEST = 1e18  # of z in a log-determinant: its square is finite in float32


def log_normal(location: ArrayLike, scale: ArrayLike) -> Transformed:
    """exp of a normal variable of mean `location` and standard deviation `scale`."""
    return _exponential(Normal(jnp.asarray(location, float), jnp.asarray(scale, float)))


def log_uniform(low: ArrayLike, high: ArrayLike) -> Transformed:
    """Density proportional to 1 / theta between low > 0 and high."""
    return _exponential(Uniform(jnp.log(jnp.asarray(low)), jnp.log(jnp.asarray(high))))


def _exponential(distribution: Distribution) -> Transformed:
    bijector = Lambda(
        forward=jnp.exp,
        inverse=jnp.log,
        forward_log_det_jacobian=lambda x: x,
        inverse_log_det_jacobian=lambda y: -jnp.log(y),
        event_ndims_in=0,
    )
    return Transformed(distribution, bijector)


def support_of(distribution: Distribution) -> tuple[np.ndarray, np.ndarray]:
    """The smallest box that holds all events: low and high, batch shape + event shape.

    Raises:
        InputError: for a distribution whose support is not known here.
    """
    shape = distribution.batch_shape + distribution.event_shape
    match distribution:
        case Uniform():
            return _filled(shape, distribution.low, distribution.high)
        case Gamma():
            return _filled(shape, 0.0, np.inf)
        case Beta():
            return _filled(shape, 0.0, 1.0)
        case Independent():
            return support_of(distribution.distribution)
        case MixtureSameFamily():
            low, high = support_of(distribution.components_distribution)
            components = -1 - len(distribution.event_shape)
            return _filled(shape, low.min(axis=components), high.max(axis=components))
        case _ if isinstance(distribution, _UNBOUNDED):
            return _filled(shape, -np.inf, np.inf)
        case Transformed() if distribution.bijector.event_ndims_in == 0:
            ends = support_of(distribution.distribution)
            a, b = (np.asarray(distribution.bijector.forward(jnp.asarray(e, float))) for e in ends)
            return _filled(shape, np.minimum(a, b), np.maximum(a, b))
    raise InputError(
        f"expected a distribution of known support, got {type(distribution).__name__}; "
        "say where it is: as_prior(distribution, low=..., high=...)"
    )


def _filled(shape, low, high):
    low, high = (np.array(np.broadcast_to(end, shape), np.float64) for end in (low, high))
    return low, high


@dataclass(frozen=True)
class Support:
    """A box of d parameters, any of its ends infinite, and an elementwise map from it to R^d.

    Each parameter is mapped by its own interval:

        both ends finite    z = Phi^-1((theta - low) / (high - low)), Phi the normal distribution
                            function, by which a uniform variable becomes standard normal
        one end finite      z = log |theta - end|
        none                z = theta

    Values and gradients are finite for all finite input. `low` and `high`, shape (d,), are kept
    as tuples of float; the map works in the precision of its argument.

    Raises:
        InputError: for ends of different shapes, out of order, or so close together that no
            float32 number is between them.
    """

    low: ArrayLike | tuple[float, ...]
    high: ArrayLike | tuple[float, ...]

    def __post_init__(self):
        low, high = (np.atleast_1d(np.asarray(end, np.float64)) for end in (self.low, self.high))
        if low.ndim != 1 or low.shape != high.shape or low.size == 0:
            raise InputError(
                f"expected low and high of one shape (d,), got {low.shape} and {high.shape}; "
                "give each parameter both ends, -inf and inf where there is none"
            )
        _require_room(low, high)
        object.__setattr__(self, "low", tuple(low.tolist()))
        object.__setattr__(self, "high", tuple(high.tolist()))

    def contains(self, theta: Float[Array, " d"]) -> Bool[Array, ""]:
        """Whether theta is in the box, its ends included."""
        low, high = self._ends(theta.dtype)
        return jnp.all((theta >= low) & (theta <= high))

    def inside(self, theta: Float[Array, " d"]) -> Float[Array, " d"]:
        """theta, or the nearest point of the same precision strictly inside the box."""
        return jnp.clip(theta, *_inner_ends(*self._ends(theta.dtype)))

    def unconstrain(self, theta: Float[Array, " d"]) -> tuple[Float[Array, " d"], Float[Array, ""]]:
        """z and log |det dz/dtheta|; outside the box those of `inside(theta)`."""
        theta = self.inside(theta)
        interval, ray = self._kinds()
        z_interval, slope = _probit(jnp.where(interval, theta, 0.5), *self._interval(theta.dtype))
        end, sign = self._ray(theta.dtype)
        z_ray = jnp.log(jnp.where(ray, sign * (theta - end), 1.0))
        z = jnp.where(interval, z_interval, jnp.where(ray, z_ray, theta))
        return z, jnp.sum(jnp.where(interval, slope, jnp.where(ray, -z_ray, 0.0)))

    def constrain(self, z: Float[Array, " d"]) -> tuple[Float[Array, " d"], Float[Array, ""]]:
        """theta, always strictly inside the box, and log |det dtheta/dz|.

        Where theta has come to its last number before an end, and stays there, the log-determinant
        goes on to fall with |z|: a walker in z is led back.
        """
        interval, ray = self._kinds()
        start, stop = self._interval(z.dtype)
        finite = jnp.clip(z, -_FARTHEST, _FARTHEST)
        inner = jnp.where(interval, finite, 0.0)
        tail = (stop - start) * jax.scipy.special.ndtr(jnp.where(inner < 0, inner, -inner))
        theta_interval = jnp.where(inner < 0, start + tail, stop - tail)
        slope = jnp.log(stop - start) + jax.scipy.stats.norm.logpdf(inner)

        end, sign = self._ray(z.dtype)
        z_ray = jnp.where(ray, finite, 0.0)
        length = jnp.clip(z_ray, -_LONGEST, _LONGEST)
        theta_ray = end + sign * jnp.exp(length)
        slope_ray = length - jnp.abs(z_ray - length)

        theta = jnp.where(interval, theta_interval, jnp.where(ray, theta_ray, z))
        log_det = jnp.sum(jnp.where(interval, slope, jnp.where(ray, slope_ray, 0.0)))
        return self.inside(theta), log_det

    def _ends(self, dtype) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(self.low, dtype), np.asarray(self.high, dtype)

    def _kinds(self) -> tuple[np.ndarray, np.ndarray]:
        below, above = np.isfinite(self.low), np.isfinite(self.high)
        return below & above, below ^ above

    def _interval(self, dtype) -> tuple[np.ndarray, np.ndarray]:
        """Both ends; 0 and 1 where they are not both finite, so that arithmetic is safe."""
        interval, _ = self._kinds()
        low, high = self._ends(dtype)
        return np.where(interval, low, dtype.type(0)), np.where(interval, high, dtype.type(1))

    def _ray(self, dtype) -> tuple[np.ndarray, np.ndarray]:
        """The only finite end, 0 elsewhere, and the direction (1 or -1) that goes inside."""
        _, ray = self._kinds()
        low, high = self._ends(dtype)
        upward = np.isfinite(low)
        end = np.where(ray, np.where(upward, low, high), dtype.type(0))
        return end, np.where(upward, dtype.type(1), dtype.type(-1))


def _probit(theta, low, high):
    """z and log dz/dtheta, from the distance to the nearer end: exact in both tails."""
    upper = theta - low > high - theta
    tail = jax.scipy.special.ndtri(jnp.where(upper, high - theta, theta - low) / (high - low))
    z = jnp.where(upper, -tail, tail)
    return z, -jnp.log(high - low) - jax.scipy.stats.norm.logpdf(z)


def _inner_ends(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last number strictly between two ends, at least e^-80 away from them."""
    largest = np.finfo(low.dtype).max
    near, far = np.exp(np.array([-_LONGEST, _LONGEST], low.dtype))
    lowest = np.maximum(np.nextafter(low, high), low + near)
    highest = np.minimum(np.nextafter(high, low), high - near)
    lowest = np.where(np.isinf(low), np.where(np.isinf(high), -largest, high - far), lowest)
    highest = np.where(np.isinf(high), np.where(np.isinf(low), largest, low + far), highest)
    return lowest, highest


def _require_room(low: np.ndarray, high: np.ndarray) -> None:
    for i, (a, b) in enumerate(zip(low.tolist(), high.tolist(), strict=True), start=1):
        if not a < b:
            raise InputError(
                f"expected low < high, got low {a:g} and high {b:g} for parameter {i}; "
                "give the smaller end first"
            )
        ends = np.array([a]), np.array([b])
        with np.errstate(over="ignore"):
            first, last = _inner_ends(*(end.astype(np.float32) for end in ends))
            too_large = [x for x in (a, b) if np.isfinite(x) and abs(x) > 1e38]
        if too_large or not first[0] < last[0]:
            raise InputError(
                f"expected an interval with room for float32 numbers, got ({a!r}, {b!r}) for "
                f"parameter {i}; change its unit or its origin"
            )
