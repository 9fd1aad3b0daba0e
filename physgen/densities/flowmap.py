"""Few-step samples of a transport: its flow map, learned from its velocity field.

Boffi, Albergo & Vanden-Eijnden 2024 (arXiv:2406.07507), by Lagrangian distillation: X(s, t, x) is
where the path that is at x at time s will be at time t, so that

    X(s, s, x) = x,    dX/dt (s, t, x) = velocity(t, X(s, t, x)).

One evaluation of X goes from base to data; a few, one after the other, come closer. s and t are
times of the transport's warped clock.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from physgen.densities.transport import Transport
from physgen.density import Density
from physgen.errors import InputError
from physgen.nets.pairs import radial_basis
from physgen.nets.residual import ResidualMLP

_TIME_FEATURES = 8


class FlowMap(Density):
    """A transport of vectors that is sampled in `evaluations` steps; its log-density is exact.

    For data of zero mean and unit variance the map before any training is that of normal data.

    Args:
        transport: from a standard normal on R^d, on straight lines; not to be trained any more.
        evaluations: of the map, for one sample.
        width, depth: of its `ResidualMLP`.
    """

    def __init__(self, transport: Transport, evaluations: int, width: int, depth: int, *, rngs):
        """Raises InputError for less than one evaluation."""
        if evaluations < 1:
            raise InputError(f"expected at least one evaluation, got {evaluations}")
        self.event_shape = transport.event_shape
        self.context_shape = transport.context_shape
        self.transport = transport
        self.evaluations = evaluations
        (size,), context = self.event_shape, self.context_shape or (0,)
        self.network = ResidualMLP(
            size + context[0] + 2 * _TIME_FEATURES, size, width, depth, rngs=rngs
        )

    def __call__(
        self, s: Float[Array, ""], t: Float[Array, ""], x: Float[Array, " d"], context: Array | None
    ) -> Float[Array, " d"]:
        """X(s, t, x)."""
        start, end = (self._deviation(u) for u in (s, t))
        given = [] if context is None else [context]
        times = [radial_basis(u, 0.0, 1.0, _TIME_FEATURES) for u in (s, t)]
        correction = self.network(jnp.concatenate([x / start, *times, *given]))
        return end / start * x + (t - s) * correction

    def loss(
        self, key: PRNGKeyArray, x1: Float[Array, " d"], context: Array | None = None
    ) -> Float[Array, ""]:
        """Squared error of dX/dt at one pair of times, on the paths through one event (eq. 3.7)."""
        key_base, key_times = jax.random.split(key)
        s, t = jnp.sort(jax.random.uniform(key_times, (2,)))
        clock = self.transport.clock
        x0 = self.transport.base.sample(key_base, x1.shape)
        x = self.transport.bridges.between(x0, x1, None, clock.time(s)).x
        moved, rate = jax.jvp(lambda t: self(s, t, x, context), (t,), (jnp.ones_like(t),))
        velocity = self.transport.velocity(clock.time(t), moved, context)
        return jnp.mean((rate - clock.rate(t) * velocity) ** 2)

    def _deviation(self, u: Float[Array, ""]) -> Float[Array, ""]:
        """Of x at clock time u, for data of unit variance."""
        time = self.transport.clock.time(u)
        return jnp.sqrt(time**2 + (1 - time) ** 2)

    def _sample(self, key, context):
        x = self.transport.base.sample(key, self.event_shape)
        for s, t in itertools.pairwise(np.linspace(0, 1, self.evaluations + 1)):
            x = self(jnp.asarray(s, x.dtype), jnp.asarray(t, x.dtype), x, context)
        return x

    def _log_prob(self, x, context):
        return self.transport._log_prob(x, context)
