"""Flow matching: a density made by transporting a base along a learned velocity field.

Lipman et al. 2023 (arXiv:2210.02747), Liu et al. 2023 (arXiv:2209.03003); on the torus as in
Chen & Lipman 2024 (arXiv:2302.03660). A point moves from base to data on a straight line,

    x_t = x_0 + t (x_1 - x_0),

on the torus along the minimum image, and the network learns the mean velocity of all lines
through x_t. Integrating that velocity turns samples of the base into samples of the data.
"""

from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from physgen.densities.base import Base
from physgen.densities.coupling import Coupling, Independent
from physgen.densities.solvers import Clock, FixedSteps, Solver
from physgen.density import Density, Shape
from physgen.geometry import Euclidean, Geometry


@runtime_checkable
class VelocityField(Protocol):
    """What a network must be: v(time, x, context, mask), shape of x, unbatched.

    time is in [0, 1], from base to data; context is an array, or whatever else `loss` and
    `transport` are given, None where unconditional; `mask` marks the real points of a padded set
    (True) and is None for events that are not sets.
    """

    def __call__(
        self,
        time: Float[Array, ""],
        x: Array,
        context: Any,
        mask: Bool[Array, " n"] | None,
    ) -> Array: ...


class Transport(Density):
    """p(x | context) as the image of `base` under the flow of `network`.

    Args:
        network: the velocity field; any nnx module with the signature of `VelocityField`.
        base: where paths start.
        event_shape: (d,) for vectors, (N, d) for sets of N points.
        context_shape: None if unconditional.
        geometry: Euclidean space or a torus; the base must live on it.
        coupling: pairing of base and data points during training.
        clock: where training looks and the solver steps; warp > 1 favours times near the data.
    """

    def __init__(
        self,
        network: VelocityField,
        base: Base,
        event_shape: Shape,
        context_shape: Shape | None = None,
        *,
        geometry: Geometry = Euclidean(),
        coupling: Coupling = Independent(),
        clock: Clock = Clock(),
        solver: Solver = FixedSteps(),
    ):
        self.network = network
        self.base = base
        self.event_shape = event_shape
        self.context_shape = context_shape
        self.geometry = geometry
        self.coupling = coupling
        self.clock = clock
        self.solver = solver

    def interpolant(self, x0: Array, x1: Array, time: Array) -> tuple[Array, Array]:
        """x_t and its velocity on the straight line from x0 to x1; both of x1's shape."""
        displacement = self.geometry.displacement(x0, x1)
        return self.geometry.wrap(x0 + time * displacement), displacement

    def loss(
        self,
        key: PRNGKeyArray,
        x1: Array,
        context: Any = None,
        mask: Bool[Array, " n"] | None = None,
    ) -> Float[Array, ""]:
        """Squared error of the velocity of one event at one random time, mean over coordinates.

        Its minimum is the variance of the lines through a point, not zero: compare losses only
        between models with the same base, coupling and clock.
        """
        key_base, key_time = jax.random.split(key)
        x0 = self.base.sample(key_base, x1.shape)
        x0 = self.coupling.pair(self.geometry, x0, x1, mask)
        time = self.clock.time(jax.random.uniform(key_time))
        x, velocity = self.interpolant(x0, x1, time)
        error = (self.network(time, x, context, mask) - velocity) ** 2
        if mask is None:
            return jnp.mean(error)
        return jnp.sum(error * mask[:, None]) / (x1.shape[-1] * jnp.maximum(jnp.sum(mask), 1))

    def transport(
        self,
        x0: Array,
        context: Any = None,
        mask: Bool[Array, " n"] | None = None,
        *,
        solver: Solver | None = None,
        reverse: bool = False,
    ) -> Array:
        """The event at the end of the path that starts at x0 (at its start, if reverse)."""

        def field(u, x, network):
            return self.clock.rate(u) * network(self.clock.time(u), x, context, mask)

        end = (solver or self.solver).solve(field, x0, self.network, reverse=reverse)
        return self.geometry.wrap(end)

    def _sample(self, key, context):
        return self.transport(self.base.sample(key, self.event_shape), context)

    def _log_prob(self, x, context: Any):
        """Exact: the trace of the Jacobian costs as many products as the event has entries.

        Instantaneous change of variables, Chen et al. 2018 (arXiv:1806.07366), eq. 8.
        """
        shape, size = x.shape, x.size
        basis = jnp.eye(size, dtype=x.dtype)

        def field(u, state, network):
            position, _ = state
            time, rate = self.clock.time(u), self.clock.rate(u)

            def velocity(flat):
                return network(time, flat.reshape(shape), context, None).reshape(-1)

            value, push = jax.linearize(velocity, position.reshape(-1))
            trace = jnp.trace(jax.vmap(push)(basis))
            return rate * value.reshape(shape), rate * trace

        x0, change = self.solver.solve(
            field, (x, jnp.zeros((), x.dtype)), self.network, reverse=True
        )
        return self.base.log_prob(self.geometry.wrap(x0)) + change
