"""Planar flow: the plane across one direction is pushed along another.

Rezende & Mohamed 2015 (arXiv:1505.05770), eq. 10, with parameters free or given by the context:

    x = z + u tanh(a),  a = w.z + b,  |det dx/dz| = 1 + u.w (1 - tanh(a)^2).

Data to base there is no closed form, but only the scalar a is unknown: the product with w gives

    a + u.w tanh(a) = w.x + b,

monotone in a since u.w > -1. It is solved by bisection, to rounding, and differentiated by the
implicit function theorem, so that the log-density of data is exact.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from physgen.densities.layers import Layer
from physgen.nets.mlp import MLP

# u.w stays above -1 by this much, and a plane is squeezed at most by this factor.
MARGIN = 1e-3


class Planar(Layer):
    """One planar layer.

    Args:
        size: entries of an event.
        context_size: entries of the context, 0 if there is none.
        width, depth: of the MLP that gives the parameters from the context.
    """

    def __init__(
        self,
        size: int,
        context_size: int = 0,
        width: int = 32,
        depth: int = 2,
        *,
        rngs: nnx.Rngs,
    ):
        self.size = size
        self.offset = nnx.Param(jax.random.normal(rngs.params(), (2 * size + 1,)) / jnp.sqrt(size))
        sizes = (context_size, *[width] * depth, 2 * size + 1)
        self.network = nnx.data(MLP(sizes, rngs=rngs) if context_size else None)

    def forward(self, z, context=None):
        plane = self._plane(context)
        a = plane.normal @ z + plane.bias
        x = z + plane.push * jnp.tanh(a)
        return x, _log_slope(a, plane.strength)

    def inverse(self, x, context=None):
        plane = self._plane(context)
        a = _solve(plane.normal @ x + plane.bias, plane.strength)
        z = x - plane.push * jnp.tanh(a)
        return z, -_log_slope(a, plane.strength)

    def _plane(self, context: Array | None) -> "_Plane":
        raw = self.offset[...]
        if self.network is not None:
            assert context is not None
            raw = raw + self.network(context)
        push, normal, bias = raw[: self.size], raw[self.size : -1], raw[-1]
        given = push @ normal
        strength = (1 - MARGIN) * jax.nn.elu(given / (1 - MARGIN))
        squared = jnp.maximum(normal @ normal, 1e-12)
        return _Plane(push + (strength - given) / squared * normal, normal, bias, strength)


class _Plane(NamedTuple):
    """u, w, b and u.w, which is bounded below.

    As in the appendix of the paper, but by the exponential linear unit, which leaves u alone where
    u.w > 0 and is regular at w = 0.
    """

    push: Float[Array, " d"]
    normal: Float[Array, " d"]
    bias: Float[Array, ""]
    strength: Float[Array, ""]


def _log_slope(a: Float[Array, ""], strength: Float[Array, ""]) -> Float[Array, ""]:
    return jnp.log1p(strength * (1 - jnp.tanh(a) ** 2))


def _solve(value: Float[Array, ""], strength: Float[Array, ""]) -> Float[Array, ""]:
    """a with a + strength tanh(a) = value."""

    def excess(a):
        return a + strength * jnp.tanh(a) - value

    def bisect(function, _):
        def halve(_, ends):
            low, high = ends
            middle = (low + high) / 2
            above = function(middle) > 0
            return jnp.where(above, low, middle), jnp.where(above, middle, high)

        reach = jnp.abs(strength)
        steps = jnp.finfo(value.dtype).nmant + 8
        low, high = jax.lax.fori_loop(0, steps, halve, (value - reach, value + reach))
        return (low + high) / 2

    def tangent(linear, y):
        return y / linear(jnp.ones_like(y))

    return jax.lax.custom_root(excess, value, bisect, tangent)
