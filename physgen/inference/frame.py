"""The coordinates in which a posterior is learned.

Each parameter is turned into a variable that would be standard normal if the posterior were the
linear-Gaussian one: theta given x normal around a regression on x and, where the prior is a box,
truncated to it. A linear map then makes the variables uncorrelated. The map back ends inside the
box, whatever happens in between.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from physgen.data import Standardisation
from physgen.densities.bijections import Support
from physgen.densities.truncation import denormalise, normalise
from physgen.density import Buffer
from physgen.inference.regression import ridge, shrunk_cholesky, truncated
from physgen.inference.scaling import Scaling, ScalingSettings

FARTHEST = 10.0  # that networks look: beyond it, one observation is like another
BENT = 4.0  # the same for the latent coordinates of the regression's means
SHARP = 0.2  # of the box: a smaller deviation of the regression says where a parameter is


class Prediction(NamedTuple):
    """What the observation says before any network: what networks see, and the regression's mean.

    Networks see the scaled observation. Where it is a vector longer than the parameters, the
    standardised means of the regression come after it, as a first guess at what matters; and where
    it is a vector and parameters have a box, the latent coordinates of these means: they say how
    the box's ends bend the coordinates. Of parameters that the regression hardly knows they say
    nothing, and are left at zero.
    """

    seen: Array
    mean: Float[Array, " d"]


class Frame(nnx.Module):
    """theta -> latent coordinates of about zero mean and unit variance, given x, and back."""

    def __init__(self, support: Support, scaling: ScalingSettings, x_shape: tuple[int, ...]):
        low, high = np.asarray(support.low), np.asarray(support.high)
        boxed = np.isfinite(low) & np.isfinite(high)
        self.support = support
        self.boxed = tuple(boxed.tolist())
        self.unboxed = Support(np.where(boxed, -np.inf, low), np.where(boxed, np.inf, high))
        self.origin = Buffer(jnp.asarray(np.where(boxed, low, 0.0), jnp.float32))
        self.width = Buffer(jnp.asarray(np.where(boxed, high - low, 1.0), jnp.float32))
        self.scaling = Scaling(scaling)
        d = len(low)
        self.weight = Buffer(jnp.zeros((d, x_shape[0] if len(x_shape) == 1 else 0)))
        self.bias = Buffer(jnp.zeros(d))
        self.deviation = Buffer(jnp.ones(d))
        self.factor = Buffer(jnp.eye(d))
        guessed = self.weight.shape[1] > d
        self.seen_shape = x_shape
        if self.weight.size:
            self.seen_shape = (x_shape[0] + d * guessed + int(boxed.sum()),)
        self.guess_location = Buffer(jnp.zeros(d if guessed else 0))
        self.guess_spread = Buffer(jnp.ones(d if guessed else 0))

    @classmethod
    def fit(
        cls,
        support: Support,
        theta: Float[np.ndarray, "n d"],
        x: Float[np.ndarray, "n *x"],
        *,
        raw: bool = False,
    ) -> "Frame":
        """The frame of n simulations; `raw` leaves the observations as they are."""
        scaling = Scaling.fit(x, raw=raw)
        frame = cls(support, scaling.settings, x.shape[1:])
        frame.scaling = scaling
        scaled = np.zeros((len(x), frame.weight.shape[1]), np.float32)
        if scaled.size:
            scaled = np.asarray(jax.jit(jax.vmap(lambda x: _filled(scaling(x))))(jnp.asarray(x)))
        opened = np.asarray(jax.jit(jax.vmap(lambda t: frame._open(t)[0]))(jnp.asarray(theta)))
        linear = _regression(scaled.astype(np.float64), opened.astype(np.float64), frame.boxed)
        frame.weight = Buffer(jnp.asarray(linear.weight, jnp.float32))
        frame.bias = Buffer(jnp.asarray(linear.bias, jnp.float32))
        frame.deviation = Buffer(jnp.asarray(linear.deviation, jnp.float32))
        means = scaled @ linear.weight.T.astype(np.float32) + linear.bias.astype(np.float32)
        z, _ = jax.jit(jax.vmap(frame._standardise))(jnp.asarray(opened), jnp.asarray(means))
        factor = shrunk_cholesky(np.asarray(z, np.float64))
        frame.factor = Buffer(jnp.asarray(factor, jnp.float32))
        if frame.guess_location.size:
            standard = Standardisation.fit(means)
            frame.guess_location = Buffer(jnp.asarray(standard.mean))
            frame.guess_spread = Buffer(jnp.asarray(standard.scale))
        return frame

    def predict(self, x: Float[Array, "*x"]) -> Prediction:
        """Of one observation."""
        scaled = self.scaling(x)
        if not self.weight.size:
            return Prediction(scaled, self.bias[...])
        mean = self.weight @ _filled(scaled) + self.bias
        seen = [scaled]
        if self.guess_location.size:
            seen.append((mean - self.guess_location) / self.guess_spread)
        if any(self.boxed):
            centre, _ = normalise(jnp.clip(mean, 0.0, 1.0), mean, self.deviation[...])
            known = jnp.where(self.deviation[...] < SHARP, jnp.clip(centre, -BENT, BENT), 0.0)
            seen.append(known[np.flatnonzero(self.boxed)])
        return Prediction(jnp.clip(jnp.concatenate(seen), -FARTHEST, FARTHEST), mean)

    def to_latent(
        self, theta: Float[Array, " d"], prediction: Prediction
    ) -> tuple[Float[Array, " d"], Float[Array, ""]]:
        """Latent coordinates and log |det d latent / d theta|."""
        opened, log_det = self._open(theta)
        z, log_slopes = self._standardise(opened, prediction.mean)
        latent = jax.scipy.linalg.solve_triangular(self.factor[...], z, lower=True)
        return latent, log_det + jnp.sum(log_slopes - jnp.log(jnp.diag(self.factor[...])))

    def to_parameters(
        self, latent: Float[Array, " d"], prediction: Prediction
    ) -> Float[Array, " d"]:
        """theta, always inside the box."""
        z = self.factor @ latent
        opened = prediction.mean + self.deviation * z
        if any(self.boxed):
            inside = denormalise(z, prediction.mean, self.deviation[...])
            opened = jnp.where(self._boxed, inside, opened)
        theta, _ = self.unboxed.constrain(self.origin + self.width * opened)
        return self.support.inside(theta)

    @property
    def _boxed(self) -> np.ndarray:
        return np.array(self.boxed)

    def _open(self, theta: Array) -> tuple[Array, Array]:
        """Boxed parameters as fractions of their box, the others on R, and log |det|."""
        value, log_det = self.unboxed.unconstrain(self.support.inside(theta))
        return (value - self.origin) / self.width, log_det - jnp.sum(jnp.log(self.width[...]))

    def _standardise(self, opened: Array, mean: Array) -> tuple[Array, Array]:
        """What would be normal under the regression, and the logarithms of its slopes."""
        deviation = self.deviation[...]
        free, log_free = (opened - mean) / deviation, -jnp.log(deviation)
        if not any(self.boxed):
            return free, log_free
        z, log_slope = normalise(jnp.where(self._boxed, opened, 0.5), mean, deviation)
        return jnp.where(self._boxed, z, free), jnp.where(self._boxed, log_slope, log_free)


def _filled(scaled: Array) -> Array:
    """Zero, the middle, where the observation is missing."""
    return jnp.where(jnp.isnan(scaled), 0.0, scaled)


def _regression(x, opened, boxed):
    linear = ridge(x, opened)
    chosen = np.array(boxed)
    if chosen.any():
        part = type(linear)(*(values[chosen] for values in linear))
        for values, fitted in zip(linear, truncated(x, opened[:, chosen], part), strict=True):
            values[chosen] = fitted
    return linear
