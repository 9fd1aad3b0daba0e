"""How paths are integrated: ordinary equations by fixed steps or to a tolerance, and random paths.

Time runs along a warped clock u in [0, 1] with t(u) = 1 - (1 - u)^warp: equal steps in u are finer
near the data, where small-scale structure forms. warp = 1 is the plain clock.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import lineax
from jax.core import Tracer
from jaxtyping import Array, PRNGKeyArray

from physgen.errors import InputError

VectorField = Callable[[Any, Any, Any], Any]


@dataclass(frozen=True)
class Clock:
    """t(u) = 1 - (1 - u)^warp."""

    warp: float = 1.0

    def time(self, u: Array) -> Array:
        """t at u."""
        return 1.0 - (1.0 - u) ** self.warp

    def inverse(self, time: Array) -> Array:
        """u at t."""
        return 1.0 - (1.0 - time) ** (1.0 / self.warp)

    def rate(self, u: Array) -> Array:
        """dt/du at u."""
        return self.warp * (1.0 - u) ** (self.warp - 1.0)


@dataclass(frozen=True)
class FixedSteps:
    """Euler, midpoint, Heun or another explicit Runge-Kutta method with equal steps in u."""

    evaluations: int = 32
    method: diffrax.Euler | diffrax.AbstractERK = diffrax.Midpoint()

    def __post_init__(self):
        stages = self.stages
        if self.evaluations < stages or self.evaluations % stages:
            name = type(self.method).__name__
            raise InputError(
                f"expected evaluations that are a positive multiple of {stages}, those of one step "
                f"({name}), got {self.evaluations}; take "
                f"{max(stages, -(-self.evaluations // stages) * stages)}"
            )

    @property
    def stages(self) -> int:
        """Evaluations of the velocity a step, but for one more in the first of some methods."""
        tableau = getattr(self.method, "tableau", None)
        if not isinstance(tableau, diffrax.ButcherTableau):
            return 1
        return tableau.num_stages - tableau.fsal  # the first of a step may be the last before it

    @property
    def coarser(self) -> "FixedSteps":
        """Half the steps, one at least."""
        return replace(self, evaluations=max(1, self.evaluations // self.stages // 2) * self.stages)

    def solve(self, field: VectorField, y0: Any, args: Any, *, reverse: bool = False) -> Any:
        """y at the other end of u in [0, 1], for dy/du = field(u, y, args)."""
        steps = self.evaluations // self.stages
        start, end = _ends(reverse)
        controller = diffrax.StepTo(jnp.linspace(start, end, steps + 1))
        term = diffrax.ODETerm(field)
        return _integrate(term, y0, args, self.method, controller, steps, reverse)


@dataclass(frozen=True)
class Adaptive:
    """Tsit5 (Tsitouras 2011) with steps chosen to a tolerance, in the units of the events.

    Paths that `max_steps` do not bring to their end are NaN, see `require_solved`.
    """

    rtol: float = 1e-4
    atol: float = 1e-5
    max_steps: int = 4096

    @property
    def coarser(self) -> "Adaptive":
        """Ten times the tolerance."""
        return replace(self, rtol=10 * self.rtol, atol=10 * self.atol)

    def solve(self, field: VectorField, y0: Any, args: Any, *, reverse: bool = False) -> Any:
        """y at the other end of u in [0, 1], for dy/du = field(u, y, args)."""
        controller = diffrax.PIDController(rtol=self.rtol, atol=self.atol)
        term = diffrax.ODETerm(field)
        return _integrate(term, y0, args, diffrax.Tsit5(), controller, self.max_steps, reverse)


@dataclass(frozen=True)
class StochasticSteps:
    """A stochastic equation with the same law at all times as the ordinary one, in equal steps.

    dx = (v + g^2 score / 2) dt + g dW with g^2 = 2 churn sigma(t) s, s the scale of the noise: what
    noise is added, the score takes away (Song et al. 2021, arXiv:2011.13456; the choice of g is
    that of Ma et al. 2024, arXiv:2401.08740). With `VarianceExploding` and churn 1 it is the
    reverse of the diffusion.
    """

    evaluations: int = 64
    churn: float = 1.0

    def __post_init__(self):
        _require_random(self)

    def solve(
        self,
        key: PRNGKeyArray,
        drift: VectorField,
        diffusion: Callable[[Array], Array],
        y0: Array,
        args: Any,
    ) -> Array:
        """y at u = 1 by Euler and Maruyama, for dy = drift du + diffusion(u) dW; y0 an array."""

        def spread(u, y, args):
            return lineax.DiagonalLinearOperator(jnp.full(y0.shape, diffusion(u), y0.dtype))

        form = jax.ShapeDtypeStruct(y0.shape, y0.dtype)
        noise = diffrax.ControlTerm(spread, diffrax.UnsafeBrownianPath(form, key))
        terms = diffrax.MultiTerm(diffrax.ODETerm(drift), noise)
        controller = diffrax.StepTo(jnp.linspace(0.0, 1.0, self.evaluations + 1))
        adjoint = diffrax.DirectAdjoint()  # the only one for noise that is not stored
        return _integrate(
            terms, y0, args, diffrax.Euler(), controller, self.evaluations, adjoint=adjoint
        )


@dataclass(frozen=True)
class AncestralSteps:
    """Steps that draw from the Gaussian of an earlier time given a later one and the data.

    churn 1: DDPM's ancestral sampling (Ho et al. 2020, arXiv:2006.11239); churn 0: DDIM, without
    noise (Song, Meng & Ermon 2021, arXiv:2010.02502).
    """

    evaluations: int = 64
    churn: float = 1.0

    def __post_init__(self):
        _require_random(self)
        if self.churn > 1:
            raise InputError(f"expected a churn of at most 1 for ancestral steps, got {self.churn}")

    def solve(
        self,
        key: PRNGKeyArray,
        step: Callable[[PRNGKeyArray, Array, Array, Array, Any], Array],
        y0: Array,
        args: Any,
    ) -> Array:
        """y after step(key, u, next u, y, args) from 0 to 1."""
        u = jnp.linspace(0.0, 1.0, self.evaluations + 1, dtype=y0.dtype)
        keys = jax.random.split(key, self.evaluations)

        def one(y, inputs):
            key, start, end = inputs
            return step(key, start, end, y, args), None

        return jax.lax.scan(one, y0, (keys, u[:-1], u[1:]))[0]


@dataclass(frozen=True)
class ChurnedSteps:
    """Steps that first add noise and so go back, then follow the ordinary equation forward.

    A step starts `churn` lengths of a step earlier than the last one ended, where its noise says it
    is (Karras et al. 2022, arXiv:2206.00364, algorithm 2; Xu et al. 2023, arXiv:2306.14878). The
    noise is exact and the equation as smooth as without it: few steps are enough where
    `StochasticSteps`, whose paths these become as steps get shorter, needs many.
    """

    evaluations: int = 32
    churn: float = 1.0
    method: diffrax.Euler | diffrax.AbstractERK = diffrax.Midpoint()

    def __post_init__(self):
        FixedSteps(self.evaluations, self.method)
        _require_random(self)

    def solve(
        self,
        key: PRNGKeyArray,
        noisier: Callable[[PRNGKeyArray, Array, Array, Array], Array],
        field: VectorField,
        y0: Array,
        args: Any,
    ) -> Array:
        """y at u = 1, for dy/du = field(u, y, args) and noisier(key, u, earlier u, y)."""
        steps = self.evaluations // FixedSteps(self.evaluations, self.method).stages
        u = jnp.linspace(0.0, 1.0, steps + 1, dtype=y0.dtype)
        term = diffrax.ODETerm(field)

        def one(y, inputs):
            key, start, end = inputs
            earlier = jnp.maximum(start - self.churn * (end - start), 0.0)
            y = noisier(key, start, earlier, y)
            state: Any = self.method.init(term, earlier, end, y, args)
            return self.method.step(term, earlier, end, y, args, state, made_jump=False)[0], None

        return jax.lax.scan(one, y0, (jax.random.split(key, steps), u[:-1], u[1:]))[0]


def _require_random(steps: StochasticSteps | AncestralSteps | ChurnedSteps) -> None:
    if steps.evaluations < 1 or not steps.churn >= 0:
        raise InputError(
            "expected at least one evaluation and a churn of zero or more, got "
            f"{steps.evaluations} and {steps.churn}"
        )


def _ends(reverse: bool) -> tuple[float, float]:
    return (1.0, 0.0) if reverse else (0.0, 1.0)


def _integrate(
    terms: diffrax.AbstractTerm,
    y0: Any,
    args: Any,
    method: diffrax.AbstractSolver,
    controller: diffrax.AbstractStepSizeController,
    max_steps: int,
    reverse: bool = False,
    adjoint: diffrax.AbstractAdjoint = diffrax.RecursiveCheckpointAdjoint(),
) -> Any:
    solution = diffrax.diffeqsolve(
        terms,
        method,
        *_ends(reverse),
        None,
        y0,
        args,
        saveat=diffrax.SaveAt(t1=True),
        stepsize_controller=controller,
        max_steps=max_steps,
        adjoint=adjoint,
        throw=False,
    )
    solved = solution.result == diffrax.RESULTS.successful
    return jax.tree.map(lambda leaf: jnp.where(solved, leaf[-1], jnp.nan), solution.ys)


OrdinarySolver = FixedSteps | Adaptive
Solver = OrdinarySolver | StochasticSteps | AncestralSteps | ChurnedSteps


def require_solved(values: Array, solver: Solver) -> Array:
    """The values, which came from paths by the solver; unchecked while jax traces.

    Raises:
        InputError: if an adaptive solver did not reach the end of a path within its tolerance.
    """
    if isinstance(solver, Adaptive) and not isinstance(values, Tracer):
        failed = int(jnp.sum(jnp.isnan(values)))
        if failed:
            raise InputError(
                f"expected paths that rtol {solver.rtol:g} and atol {solver.atol:g} describe in "
                f"{solver.max_steps} steps, got NaN for {failed} of {values.size} numbers; loosen "
                "the tolerance, raise max_steps or take FixedSteps"
            )
    return values
