"""A transport in a few leaps: a network that learned where the paths of another one go.

Knowledge distillation of an ordinary differential equation (Luhman & Luhman 2021,
arXiv:2101.02388; progressively in Salimans & Ho 2022, arXiv:2202.00512), in several leaps between
fixed times,

    x(t_k+1) = x(t_k) + (t_k+1 - t_k) network(t_k, x(t_k)).

The network has the form of the velocity, starts as it, and becomes its mean along each leap. It is
trained along its own leaps: of those from the true path each errs by little, and all together by
too much.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from physgen.densities.fields import VelocityField
from physgen.densities.solvers import Clock, FixedSteps
from physgen.densities.transport import Transport
from physgen.density import Shape
from physgen.errors import InputError

_CLOCK = Clock(2.0)  # of the leaps: by its equal steps galaxies move about equally well
_EVALUATIONS = 24  # of the transport for a path, at least two a leap


class Leaps(nnx.Module):
    """Samples of a transport by `number` evaluations of `network`, see `VelocityField`."""

    def __init__(self, network: VelocityField, number: int):
        """Raises InputError for less than one."""
        if number < 1:
            raise InputError(f"expected at least one evaluation, got {number}")
        self.network = network
        self.number = number

    @property
    def times(self) -> Float[Array, " k"]:
        """From 0 to 1, where leaps start and end."""
        return _CLOCK.time(jnp.linspace(0.0, 1.0, self.number + 1))

    def path(
        self,
        transport: Transport,
        key: PRNGKeyArray,
        shape: Shape,
        context: Any = None,
        mask: Bool[Array, " n"] | None = None,
    ) -> Float[Array, "k ..."]:
        """Where a path of the transport is at all times; on a torus it may leave the box."""
        clock = transport.clock
        solver = FixedSteps(2 * math.ceil(_EVALUATIONS / 2 / self.number))

        def leap(x, ends):
            start, end = ends

            def field(s, x, network):
                u = start + s * (end - start)
                velocity = transport.velocity(clock.time(u), x, context, mask)
                return (end - start) * clock.rate(u) * velocity

            x = solver.solve(field, x, transport.network)
            return x, x

        u = clock.inverse(self.times)
        x0 = transport.base.sample(key, shape)
        _, path = jax.lax.scan(leap, x0, (u[:-1], u[1:]))
        return jnp.concatenate([x0[None], path])

    def loss(
        self,
        path: Float[Array, "k n d"],
        context: Any = None,
        mask: Bool[Array, " n"] | None = None,
    ) -> Float[Array, ""]:
        """How far leaps from the start of a path are from it, mean of log(1 + d) over leaps.

        d is the squared distance after a leap, over the squared length of that part of the path;
        the logarithm keeps the last parts, which are short, from being all that counts at first.
        Each leap starts where the one before has ended, and learns to mend its errors.
        """
        weight = jnp.ones(path.shape[1]) if mask is None else mask.astype(path.dtype)

        def square(of: Array) -> Array:
            return jnp.sum(weight[:, None] * of**2)

        def leap(x, part):
            start, end, before, after = part
            x = x + self._move(start, end, x, context, mask)
            return x, jnp.log1p(square(x - after) / jnp.maximum(square(after - before), 1e-12))

        times = self.times
        parts = times[:-1], times[1:], path[:-1], path[1:]
        return jnp.mean(jax.lax.scan(leap, path[0], parts)[1])

    def draw(
        self,
        transport: Transport,
        key: PRNGKeyArray,
        shape: Shape,
        context: Any = None,
        mask: Bool[Array, " n"] | None = None,
    ) -> Array:
        """One event, from the base of the transport on."""

        def leap(x, ends):
            start, end = ends
            return x + self._move(start, end, x, context, mask), None

        x0 = transport.base.sample(key, shape)
        times = self.times
        return transport.geometry.wrap(jax.lax.scan(leap, x0, (times[:-1], times[1:]))[0])

    def _move(self, start, end, x, context, mask):
        return (end - start) * self.network(start, x, context, mask)
