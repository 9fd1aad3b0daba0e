"""An ordinary differential equation at given times, for very many parameters side by side.

An explicit Runge-Kutta pair of orders 5 and 4 (Tsitouras 2011, Comput. Math. Appl. 62, 770) with
steps of any size that end at each of the times, so that nothing is interpolated. Under `jax.vmap`
the integrations go on until the slowest is through: they should not be too unlike.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

State = tuple[Array, ...]

_STAGES = [row.tolist() for row in diffrax.Tsit5.tableau.a_lower]
_ERROR = diffrax.Tsit5.tableau.b_error.tolist()
_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 5.0


class _Walk(NamedTuple):
    y: State
    lost: State  # what rounding has added to y too much
    slope: State
    elapsed: Array  # since the last of the times
    step: Array
    passed: Array  # how many of the intervals between the times
    attempts: Array
    saved: State


def trajectory(
    field: Callable[[State], State],
    start: Sequence[float],
    times: Sequence[float] | np.ndarray,
    tolerance: float = 3e-7,
    max_steps: int = 4096,
) -> Float[Array, "times d"]:
    """y at each of `times`, where y = `start` at the first and dy/dt = field(y) on.

    y is a tuple of d scalars, all of size one or so: populations enter by their logarithms. The
    steps are such that the root mean square of the error of each is estimated at `tolerance` at
    most, and y is accumulated with compensation (Kahan 1965), so that single precision suffices.
    NaN from where `max_steps` attempts do not suffice, or the field is not finite.
    """
    gaps = jnp.asarray(np.diff(times), float)
    y = tuple(jnp.asarray(value, float) for value in start)
    first = jnp.arange(len(times)) == 0
    walk = _Walk(
        y=y,
        lost=tuple(jnp.zeros_like(value) for value in y),
        slope=field(y),
        elapsed=jnp.zeros(()),
        step=gaps[0] / 100,
        passed=jnp.zeros((), int),
        attempts=jnp.zeros((), int),
        saved=tuple(jnp.where(first, value, jnp.nan) for value in y),
    )

    def unfinished(walk: _Walk) -> Array:
        return (walk.passed < len(gaps)) & (walk.attempts < max_steps)

    def attempt(walk: _Walk) -> _Walk:
        left = gaps[walk.passed] - walk.elapsed
        arrives = walk.step >= left
        step = jnp.where(arrives, left, walk.step)
        end, lost, slope, error = _stride(field, walk, step)

        relative = [e / jnp.maximum(1.0, jnp.abs(y)) for e, y in zip(error, end, strict=True)]
        size = jnp.sqrt(sum(e**2 for e in relative) / len(relative)) / tolerance
        accepted = size <= 1
        factor = jnp.clip(_SAFETY * jnp.maximum(size, 1e-10) ** -0.2, _SHRINK, _GROW)
        proposed = step * jnp.where(jnp.isfinite(size), factor, _SHRINK)
        arrived = accepted & arrives
        passed = walk.passed + arrived
        here = arrived & (jnp.arange(len(times)) == passed)
        y, lost, slope = (
            tuple(jnp.where(accepted, new, old) for new, old in zip(*pair, strict=True))
            for pair in ((end, walk.y), (lost, walk.lost), (slope, walk.slope))
        )
        return _Walk(
            y=y,
            lost=lost,
            slope=slope,
            elapsed=jnp.where(arrived, 0.0, walk.elapsed + jnp.where(accepted, step, 0.0)),
            step=jnp.where(arrived, jnp.maximum(walk.step, proposed), proposed),
            passed=passed,
            attempts=walk.attempts + 1,
            saved=tuple(jnp.where(here, new, old) for new, old in zip(y, walk.saved, strict=True)),
        )

    return jnp.stack(jax.lax.while_loop(unfinished, attempt, walk).saved, axis=1)


def _stride(field, walk, step):
    """One step: its end, what is lost there, the slope there, and the error of each component."""
    slopes = [walk.slope]
    for row in _STAGES:  # the last stage is the end of the step
        increment = [
            step * _weighted(row, component) - lost
            for component, lost in zip(zip(*slopes, strict=True), walk.lost, strict=True)
        ]
        end = tuple(y + change for y, change in zip(walk.y, increment, strict=True))
        slopes.append(field(end))
    lost = tuple((new - y) - change for new, y, change in zip(end, walk.y, increment, strict=True))
    error = [step * _weighted(_ERROR, component) for component in zip(*slopes, strict=True)]
    return end, lost, slopes[-1], error


def _weighted(weights, values):
    return sum(weight * value for weight, value in zip(weights, values, strict=True) if weight)
