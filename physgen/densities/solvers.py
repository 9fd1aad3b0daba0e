"""How an ordinary differential equation is solved: fixed steps, or steps to a tolerance.

Time runs along a warped clock u in [0, 1] with t(u) = 1 - (1 - u)^warp: equal steps in u are finer
near the data, where small-scale structure forms. warp = 1 is the plain clock.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array

from physgen.errors import InputError

VectorField = Callable[[Any, Any, Any], Any]


@dataclass(frozen=True)
class Clock:
    """t(u) = 1 - (1 - u)^warp."""

    warp: float = 1.0

    def time(self, u: Array) -> Array:
        """t at u."""
        return 1.0 - (1.0 - u) ** self.warp

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
                f"expected evaluations that are a positive multiple of {stages} for {name}, got "
                f"{self.evaluations}; take {max(stages, -(-self.evaluations // stages) * stages)}"
            )

    @property
    def stages(self) -> int:
        """Evaluations of the velocity a step."""
        tableau = getattr(self.method, "tableau", None)
        return tableau.num_stages if isinstance(tableau, diffrax.ButcherTableau) else 1

    def solve(self, field: VectorField, y0: Any, args: Any, *, reverse: bool = False) -> Any:
        """y at the other end of u in [0, 1], for dy/du = field(u, y, args)."""
        steps = self.evaluations // self.stages
        start, end = _ends(reverse)
        controller = diffrax.StepTo(jnp.linspace(start, end, steps + 1))
        return _integrate(field, y0, args, self.method, controller, steps, reverse)


@dataclass(frozen=True)
class Adaptive:
    """Tsit5 (Tsitouras 2011) with steps chosen to a tolerance, in the units of the events."""

    rtol: float = 1e-4
    atol: float = 1e-5
    max_steps: int = 4096

    def solve(self, field: VectorField, y0: Any, args: Any, *, reverse: bool = False) -> Any:
        """y at the other end of u in [0, 1], for dy/du = field(u, y, args).

        Raises:
            RuntimeError: from diffrax, if `max_steps` do not reach the tolerance.
        """
        controller = diffrax.PIDController(rtol=self.rtol, atol=self.atol)
        return _integrate(field, y0, args, diffrax.Tsit5(), controller, self.max_steps, reverse)


def _ends(reverse: bool) -> tuple[float, float]:
    return (1.0, 0.0) if reverse else (0.0, 1.0)


def _integrate(field, y0, args, method, controller, max_steps, reverse):
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        method,
        *_ends(reverse),
        None,
        y0,
        args,
        saveat=diffrax.SaveAt(t1=True),
        stepsize_controller=controller,
        max_steps=max_steps,
    )
    return jax.tree.map(lambda leaf: leaf[-1], solution.ys)


Solver = FixedSteps | Adaptive
