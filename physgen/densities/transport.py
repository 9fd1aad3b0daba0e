"""Transport of a base to data along a learned velocity: flow matching, diffusion, and between.

Lipman et al. 2023 (arXiv:2210.02747), Liu et al. 2023 (arXiv:2209.03003); on the torus as in
Chen & Lipman 2024 (arXiv:2302.03660). A point moves from base to data on a bridge,

    x_t = a(t) x_0 + b(t) x_1,

by default a straight line, and the network learns the mean velocity of all bridges through x_t, or
something that gives it. Integrating that velocity turns samples of the base into samples of the
data, and gives their density. Where noise is Gaussian the same network gives the score, and random
paths with the same law at all times.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.densities.base import Base, Uniform, WrappedGaussian
from physgen.densities.coupling import Coupling, Independent
from physgen.densities.fields import SumOfPairs, VelocityField
from physgen.densities.interpolants import (
    Bridges,
    Interpolant,
    LatentNoise,
    Linear,
    VarianceExploding,
)
from physgen.densities.likelihood import LikelihoodEstimate
from physgen.densities.prediction import Means, Prediction
from physgen.densities.solvers import (
    AncestralSteps,
    ChurnedSteps,
    Clock,
    FixedSteps,
    OrdinarySolver,
    Solver,
    StochasticSteps,
    VectorField,
    require_solved,
)
from physgen.densities.trace import Exact, Hutchinson, Trace
from physgen.density import Density, Shape, leading_shape, map_leading
from physgen.errors import InputError
from physgen.geometry import Euclidean, Geometry, Torus


class Transport(Density):
    """p(x | context) as the image of `base` under the flow of `network`.

    Args:
        network: any nnx module with the signature of `VelocityField`.
        base: where paths start.
        event_shape: (d,) for vectors, (N, d) for sets of N points.
        context_shape: None if unconditional.
        geometry: Euclidean space or a torus; the base must live on it.
        coupling: pairing of base and data points during training.
        clock: where training looks and the solver steps; warp > 1 favours times near the data.
        solver: of the flow, for samples and densities.
        interpolant: the bridges.
        prediction: what the network's output stands for; other than velocities only where the base
            is Gaussian, and the loss is then in those terms.
        latent: noise added along the bridges; `denoiser`, a second network of the same signature,
            learns its mean, and with it the score of any base.

    Raises:
        InputError: for bridges that a torus does not have, and predictions without Gaussian noise.
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
        solver: OrdinarySolver = FixedSteps(),
        interpolant: Interpolant = Linear(),
        prediction: Prediction = Prediction.VELOCITY,
        latent: LatentNoise | None = None,
        denoiser: VelocityField | None = None,
    ):
        scale = None if isinstance(base, Uniform) else base.scale
        bridges = Bridges(geometry, interpolant, scale, latent)
        _require_possible(base, bridges, coupling, prediction, denoiser)
        self.network = network
        self.base = base
        self.event_shape = event_shape
        self.context_shape = context_shape
        self.geometry = geometry
        self.coupling = coupling
        self.clock = clock
        self.solver = solver
        self.bridges = bridges
        self.prediction = prediction
        self.denoiser = denoiser

    def loss(
        self,
        key: PRNGKeyArray,
        x1: Array,
        context: Any = None,
        mask: Bool[Array, " n"] | None = None,
    ) -> Float[Array, ""]:
        """Squared error of the prediction of one event at one random time, mean over coordinates.

        Its minimum is the variance of the bridges through a point, not zero: compare losses only
        between models with the same base, coupling, bridges, prediction and clock. That of a
        denoiser is added; errors of a score are multiplied by the deviation of the noise.
        """
        key_base, key_time, key_latent, key_pair = jax.random.split(key, 4)
        x0 = self.base.sample(key_base, x1.shape)
        x0 = self.coupling.pair(key_pair, self.geometry, x0, x1, mask)
        time = self._time(jax.random.uniform(key_time))
        z = jax.random.normal(key_latent, x1.shape, x1.dtype)
        x, velocity, noise = self.bridges.between(x0, x1, z, time)
        if self.prediction is Prediction.VELOCITY:
            target, weight = velocity, 1.0
        else:
            bridge = self.bridges.at(time)
            target = self.prediction.target(bridge, Means(noise / bridge.noise, x1))
            weight = bridge.noise if self.prediction is Prediction.SCORE else 1.0
        error = (weight * (self.network(time, x, context, mask) - target)) ** 2
        if self.denoiser is not None:
            error += (self.denoiser(time, x, context, mask) - z) ** 2
        if mask is None:
            return jnp.mean(error)
        return jnp.sum(error * mask[:, None]) / (x1.shape[-1] * jnp.maximum(jnp.sum(mask), 1))

    def velocity(
        self, time: Array, x: Array, context: Any = None, mask: Bool[Array, " n"] | None = None
    ) -> Array:
        """The velocity of the flow at x, whatever the network predicts."""
        time = self._clipped(time)
        value = self.network(time, x, context, mask)
        if self.prediction is Prediction.VELOCITY:
            return value
        bridge = self.bridges.at(time)
        return self.prediction.means(bridge, x, value).velocity(bridge)

    def means(
        self, time: Array, x: Array, context: Any = None, mask: Bool[Array, " n"] | None = None
    ) -> Means:
        """The means of noise (of unit variance) and data, given x at one time.

        Raises:
            InputError: unless the base is Gaussian.
        """
        time = self._clipped(time)
        value = self.network(time, x, context, mask)
        return self.prediction.means(self.bridges.at(time), x, value)

    def score(
        self, time: Array, x: Array, context: Any = None, mask: Bool[Array, " n"] | None = None
    ) -> Array:
        """The gradient of the log-density of x at one time, infinite where there is no noise.

        Raises:
            InputError: without both a Gaussian base and a denoiser.
        """
        level, _ = self._noise_size(time)
        return -self._noise(time, x, context, mask) / level

    def transport(
        self,
        x0: Array,
        context: Any = None,
        mask: Bool[Array, " n"] | None = None,
        *,
        solver: OrdinarySolver | None = None,
        reverse: bool = False,
    ) -> Array:
        """The event at the end of the path that starts at x0 (at its start, if reverse)."""
        field = self._by_clock(context, mask)
        end = (solver or self.solver).solve(field, x0, self.network, reverse=reverse)
        return self.geometry.wrap(end)

    def draw(
        self,
        key: PRNGKeyArray,
        shape: Shape,
        context: Any = None,
        mask: Bool[Array, " n"] | None = None,
        *,
        solver: Solver | None = None,
    ) -> Array:
        """One event of the given shape, by any solver.

        Raises:
            InputError: for random paths without a score, see `score`.
        """
        x0 = self.geometry.wrap(self.base.sample(key, shape))
        solver = solver or self.solver
        if isinstance(solver, StochasticSteps):
            return self._wander(jax.random.fold_in(key, 2), x0, context, mask, solver)
        if isinstance(solver, AncestralSteps):
            return self._descend(jax.random.fold_in(key, 2), x0, context, mask, solver)
        if isinstance(solver, ChurnedSteps):
            return self._churn(jax.random.fold_in(key, 2), x0, context, mask, solver)
        return self.transport(x0, context, mask, solver=solver)

    def sample(self, key: PRNGKeyArray, n: int, context: ArrayLike | None = None) -> Array:
        """See `Density.sample` and `require_solved`."""
        return require_solved(super().sample(key, n, context), self.solver)

    def log_prob(self, x: ArrayLike, context: ArrayLike | None = None) -> Float[Array, "..."]:
        """See `Density.log_prob` and `require_solved`."""
        return require_solved(super().log_prob(x, context), self.solver)

    def log_prob_estimate(
        self,
        key: PRNGKeyArray,
        x: ArrayLike,
        context: ArrayLike | None = None,
        *,
        trace: Trace = Hutchinson(),
        solver: OrdinarySolver | None = None,
    ) -> LikelihoodEstimate:
        """The log-density of each event, with its errors; shapes as for `log_prob`.

        All events and contexts share probes and steps. A second, coarser solution measures the
        error of the solver.

        Raises:
            InputError: if a shape does not end in the event or context shape.
        """
        x = jnp.asarray(x)
        lead = leading_shape("x", x.shape, self.event_shape)
        contexts, context_lead = self._checked_context(context)
        given = (x,) if contexts is None else (x, contexts)
        leads = (lead,) if contexts is None else (lead, context_lead)
        solver = solver or self.solver
        fine, coarse = (
            require_solved(_all_draws(self, key, given, leads, trace, each), each)
            for each in (solver, solver.coarser)
        )
        return LikelihoodEstimate(fine, jnp.mean(coarse, axis=-1))

    def log_prob_draws(
        self,
        key: PRNGKeyArray,
        x: Array,
        context: Any = None,
        mask: Bool[Array, " n"] | None = None,
        *,
        trace: Trace = Hutchinson(),
        solver: OrdinarySolver | None = None,
    ) -> Float[Array, " k"]:
        """Estimates of the log-density of one event, one for each probe.

        Instantaneous change of variables, Chen et al. 2018 (arXiv:1806.07366), eq. 8.
        """
        probes = trace.probes(key, x.shape).astype(x.dtype)
        if mask is not None:
            probes = probes * mask[None, :, None]
        pairs = None if isinstance(trace, Exact) else self._sum_of_pairs()

        def field(u, state, network):
            position, _ = state
            time, rate = self.clock.time(u), self.clock.rate(u)

            def velocity(features_at):
                """And what is known of its divergence; the rest is by way of the features."""
                by_pairs = None
                if pairs is not None:
                    end = self._clipped(time)
                    by_pairs = pairs.pair_sum(end, features_at, position, context, mask)
                return by_pairs or (self.velocity(time, features_at, context, mask), 0.0)

            value, product, known = jax.linearize(velocity, position, has_aux=True)
            return rate * value, rate * (known + trace.estimates(product, probes))

        start = (x, jnp.zeros(trace.estimates(lambda v: v, probes).shape, x.dtype))
        solver = solver or self.solver
        x0, change = solver.solve(field, start, self.network, reverse=True)
        return self.base.log_prob(self.geometry.wrap(x0), mask) + change

    def _sample(self, key, context):
        return self.draw(key, self.event_shape, context)

    def _log_prob(self, x, context: Any):
        return self.log_prob_draws(jax.random.key(0), x, context, trace=Exact())[0]

    def _sum_of_pairs(self) -> SumOfPairs | None:
        """The network, where it is one and gives velocities."""
        if self.prediction is Prediction.VELOCITY and isinstance(self.network, SumOfPairs):
            return self.network
        return None

    def _noise(self, time, x, context, mask) -> Array:
        """The mean of the noise in x, of unit variance: latent if there is a denoiser."""
        if self.denoiser is not None:
            return self.denoiser(self._clipped(time), x, context, mask)
        return self.means(time, x, context, mask).noise

    def _noise_size(self, time) -> tuple[Array, float]:
        """The deviation of that noise, and the scale of it."""
        time, latent = self._clipped(time), self.bridges.latent
        if self.denoiser is not None and latent is not None:
            return latent.level(time), latent.scale
        return self.bridges.noise_level(time), self.bridges.gaussian_scale

    def _wander(self, key, x0, context, mask, solver: StochasticSteps):
        def drift(u, x, network):
            time = self.clock.time(u)
            _, scale = self._noise_size(time)
            velocity = self.velocity(time, x, context, mask)
            change = velocity - solver.churn * scale * self._noise(time, x, context, mask)
            return self.clock.rate(u) * change

        def diffusion(u):
            level, scale = self._noise_size(self.clock.time(u))
            return jnp.sqrt(2 * solver.churn * scale * level * self.clock.rate(u))

        return self.geometry.wrap(solver.solve(key, drift, diffusion, x0, self.network))

    def _descend(self, key, x0, context, mask, solver: AncestralSteps):
        def step(key, u, u_next, x, network):
            here, there = (self.bridges.at(self._time(u)) for u in (u, u_next))
            noise, data = self.means(self.clock.time(u), x, context, mask)
            ratio = here.data / there.data
            spread = jnp.sqrt(jnp.maximum(here.noise**2 - (ratio * there.noise) ** 2, 0.0))
            fresh = solver.churn * there.noise / here.noise * spread
            kept = jnp.sqrt(jnp.maximum(there.noise**2 - fresh**2, 0.0))
            z = jax.random.normal(key, x.shape, x.dtype)
            return self.geometry.wrap(there.data * data + kept * noise + fresh * z)

        return solver.solve(key, step, x0, self.network)

    def _churn(self, key, x0, context, mask, solver: ChurnedSteps):
        def noisier(key, u, earlier, x):
            here, there = (self.bridges.at(self._time(u)) for u in (u, earlier))
            kept = jnp.where(u > 0, there.data / jnp.where(u > 0, here.data, 1.0), 1.0)
            spread = jnp.sqrt(jnp.maximum(there.noise**2 - (kept * here.noise) ** 2, 0.0))
            return kept * x + spread * jax.random.normal(key, x.shape, x.dtype)

        field = self._by_clock(context, mask)
        return self.geometry.wrap(solver.solve(key, noisier, field, x0, self.network))

    def _by_clock(self, context, mask) -> VectorField:
        """The velocity in u."""

        def field(u, x, network):
            return self.clock.rate(u) * self.velocity(self.clock.time(u), x, context, mask)

        return field

    def _time(self, u):
        return self._clipped(self.clock.time(u))

    def _clipped(self, time):
        ends = (self.bridges.ends, self.prediction.ends)
        first, last = max(low for low, _ in ends), min(high for _, high in ends)
        return time if (first, last) == (0.0, 1.0) else jnp.clip(time, first, last)


@partial(jax.jit, static_argnames=("leads", "trace", "solver"))
def _all_draws(transport, key, given, leads, trace, solver):
    def one(x, context=None):
        return transport.log_prob_draws(key, x, context, trace=trace, solver=solver)

    return map_leading(one, *zip(given, leads, strict=True))


def _require_possible(
    base: Base,
    bridges: Bridges,
    coupling: Coupling,
    prediction: Prediction,
    denoiser: VelocityField | None,
) -> None:
    if isinstance(bridges.geometry, Torus):
        possible = (Uniform, Linear), (WrappedGaussian, VarianceExploding)
        if (type(base), type(bridges.interpolant)) not in possible:
            raise InputError(
                "expected on a torus a Uniform base with Linear bridges, or a WrappedGaussian one "
                f"with VarianceExploding ones, got {base} and {bridges.interpolant}"
            )
    if bridges.scale is None and prediction is not Prediction.VELOCITY:
        raise InputError(
            f"expected predictions of the velocity with the base {base}, got {prediction.value}; "
            "other predictions need Gaussian noise"
        )
    if isinstance(base, WrappedGaussian) and coupling != Independent():
        raise InputError(
            "expected independent pairing of noise and data, got "
            f"{coupling}; noise that is added has no other"
        )
    if denoiser is not None and bridges.latent is None:
        raise InputError("expected latent noise for the denoiser, got none; pass latent=...")
