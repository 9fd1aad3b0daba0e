"""Monotone maps of one number, with parameters that a network supplies.

Each map turns a row of `size` unconstrained numbers a coordinate into an increasing function; a
row of zeros is the identity. `forward` goes from base to data. Values and gradients are finite
for any finite float32 input: large inputs meet a linear function.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Row = Float[Array, "d size"]
Event = Float[Array, " d"]


@dataclass(frozen=True)
class Affine:
    """x = shift + scale z (Dinh et al. 2017, arXiv:1605.08803), |log scale| < `log_range`."""

    log_range: float = 5.0

    @property
    def size(self) -> int:
        """Parameters a coordinate."""
        return 2

    def forward(self, z: Event, row: Row) -> tuple[Event, Event]:
        """x and log dx/dz, each coordinate by itself."""
        shift, log_scale = self._unpack(row)
        return shift + jnp.exp(log_scale) * z, log_scale

    def inverse(self, x: Event, row: Row) -> tuple[Event, Event]:
        """z and log dz/dx."""
        shift, log_scale = self._unpack(row)
        return (x - shift) * jnp.exp(-log_scale), -log_scale

    def _unpack(self, row: Row) -> tuple[Event, Event]:
        return row[:, 0], self.log_range * jnp.tanh(row[:, 1] / self.log_range)


@dataclass(frozen=True)
class Spline:
    """A rational-quadratic spline on [-bound, bound], the identity outside.

    Durkan et al. 2019 (arXiv:1906.04032), eqs. 4-8. Bins are at least `smallest_bin` of the
    interval wide and high and slopes at least `smallest_slope`, so that float32 inverts it.
    """

    bins: int = 10
    bound: float = 4.0
    smallest_bin: float = 1e-2
    smallest_slope: float = 1e-2

    @property
    def size(self) -> int:
        """Parameters a coordinate: widths, heights and the slopes at the inner knots."""
        return 3 * self.bins - 1

    def forward(self, z: Event, row: Row) -> tuple[Event, Event]:
        """x and log dx/dz, each coordinate by itself."""
        inside = jnp.clip(z, -self.bound, self.bound)
        x_knots, y_knots, slopes = self._knots(row)
        left, right = _bin_edges(inside, x_knots, (x_knots, y_knots, slopes))
        width, height = right[0] - left[0], right[1] - left[1]
        mean_slope = height / width
        t = (inside - left[0]) / width
        y, log_slope = _evaluate(t, left[1], height, mean_slope, left[2], right[2])
        within = jnp.abs(z) < self.bound
        return jnp.where(within, y, z), jnp.where(within, log_slope, 0.0)

    def inverse(self, x: Event, row: Row) -> tuple[Event, Event]:
        """z and log dz/dx."""
        inside = jnp.clip(x, -self.bound, self.bound)
        x_knots, y_knots, slopes = self._knots(row)
        left, right = _bin_edges(inside, y_knots, (x_knots, y_knots, slopes))
        width, height = right[0] - left[0], right[1] - left[1]
        mean_slope = height / width
        # The quadratic of their eq. 6-8 for t, in the form that does not cancel.
        rise = (inside - left[1]) / height
        curvature = left[2] + right[2] - 2 * mean_slope
        a = mean_slope - left[2] + rise * curvature
        b = left[2] - rise * curvature
        c = -mean_slope * rise
        t = -2 * c / (b + jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 1e-20)))
        t = jnp.clip(t, 0.0, 1.0)
        _, log_slope = _evaluate(t, left[1], height, mean_slope, left[2], right[2])
        within = jnp.abs(x) < self.bound
        return jnp.where(within, left[0] + t * width, x), jnp.where(within, -log_slope, 0.0)

    def _knots(self, row: Row) -> tuple[Array, Array, Array]:
        """Abscissae, ordinates and slopes at the knots, each (d, bins + 1)."""
        widths, heights, slopes = jnp.split(row, (self.bins, 2 * self.bins), axis=-1)
        # softplus(zero_slope) = 1 - smallest_slope: parameters of zero give slope one.
        zero_slope = math.log(math.expm1(1.0 - self.smallest_slope))
        inner = self.smallest_slope + jax.nn.softplus(slopes + zero_slope)
        one = jnp.ones((row.shape[0], 1), row.dtype)
        return (
            self._cumulative(widths),
            self._cumulative(heights),
            jnp.concatenate([one, inner, one], axis=-1),
        )

    def _cumulative(self, logits: Array) -> Array:
        sizes = self.smallest_bin + (1 - self.bins * self.smallest_bin) * jax.nn.softmax(logits)
        inner = self.bound * (2 * jnp.cumsum(sizes, axis=-1)[:, :-1] - 1)
        end = jnp.full((logits.shape[0], 1), self.bound, logits.dtype)
        return jnp.concatenate([-end, inner, end], axis=-1)


Elementwise = Affine | Spline


def _bin_edges(x: Event, knots: Array, values: tuple[Array, ...]):
    """Each of `values` (d, bins + 1) at the left and at the right edge of the bin that holds x."""
    at = jnp.sum(x[:, None] >= knots[:, 1:-1], axis=-1, keepdims=True)

    def edge(at):
        return tuple(jnp.take_along_axis(v, at, axis=-1)[:, 0] for v in values)

    return edge(at), edge(at + 1)


def _evaluate(t, bottom, height, mean_slope, slope_left, slope_right):
    """The spline and the logarithm of its slope at the fraction t of a bin (eqs. 4 and 5)."""
    s = 1 - t
    denominator = mean_slope + (slope_left + slope_right - 2 * mean_slope) * t * s
    y = bottom + height * (mean_slope * t**2 + slope_left * t * s) / denominator
    slope = slope_right * t**2 + 2 * mean_slope * t * s + slope_left * s**2
    return y, 2 * jnp.log(mean_slope) + jnp.log(slope) - 2 * jnp.log(denominator)
