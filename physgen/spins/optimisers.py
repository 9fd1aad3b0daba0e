"""How parameters follow from local energies: Adam, and stochastic reconfiguration."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from physgen.errors import InputError


class Problem(NamedTuple):
    """What an optimiser may ask of a batch of b samples, for p parameters.

    costs: local energies (b, c), real and imaginary part where c is 2, their mean removed, over the
        scale of the operator: optimisers do not see the unit of energy.
    gradient: () -> of the energy, (p,). jacobian: () -> of log psi, (b, c, p).
    """

    costs: Float[Array, "b c"]
    gradient: Callable[[], Float[Array, " p"]]
    jacobian: Callable[[], Float[Array, "b c p"]]


@runtime_checkable
class Optimiser(Protocol):
    """A state from parameters, and from a state and a problem the change of the parameters."""

    def init(self, parameters: Float[Array, " p"]) -> Any: ...

    def update(
        self, state: Any, problem: Problem, progress: Float[Array, ""]
    ) -> tuple[Float[Array, " p"], Any]:
        """progress: the share of all steps that is done."""
        ...


def _require_positive(settings: Any, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if not value > 0:
            raise InputError(f"expected a positive {name}, got {value}")


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2014, arXiv:1412.6980) on the energy, its mean as control variate.

    learning_rate: falls to zero along half a cosine. clip_norm: the largest norm of a gradient.
    """

    learning_rate: float = 5e-3
    second_moment_decay: float = 0.99
    clip_norm: float = 10.0

    def __post_init__(self):
        _require_positive(self, "learning_rate", "clip_norm")

    def _chain(self) -> optax.GradientTransformation:
        return optax.chain(
            optax.clip_by_global_norm(self.clip_norm),
            optax.scale_by_adam(b2=self.second_moment_decay),
        )

    def init(self, parameters: Float[Array, " p"]) -> Any:
        return self._chain().init(parameters)

    def update(
        self, state: Any, problem: Problem, progress: Float[Array, ""]
    ) -> tuple[Float[Array, " p"], Any]:
        direction, state = self._chain().update(problem.gradient(), state)
        return -self.learning_rate * _cosine(progress) * jnp.asarray(direction), state


@dataclass(frozen=True)
class StochasticReconfiguration:
    """Natural gradient of the energy: imaginary time, projected (Sorella 1998).

    The linear system is solved among samples where these are fewer than the parameters (minSR, Chen
    & Heyl 2024, arXiv:2302.01941), in double precision. With momentum it is SPRING (Goldshlager et
    al. 2024, arXiv:2401.10190).

    learning_rate: a step of imaginary time, whose unit is one over that of the costs: excitations
        of energy e decay as exp(-e times the sum of all steps), and long steps blow up. It falls to
        a tenth along half a cosine. shift: added to the diagonal. momentum: of
    the last step, 0 for none. clip_norm: the largest norm of a step, before the learning rate.
    """

    learning_rate: float = 0.25
    shift: float = 1e-3
    momentum: float = 0.9
    clip_norm: float = 3.0

    def __post_init__(self):
        _require_positive(self, "learning_rate", "shift", "clip_norm")
        if not 0 <= self.momentum < 1:
            raise InputError(f"expected momentum in [0, 1), got {self.momentum}")

    def init(self, parameters: Float[Array, " p"]) -> Any:
        return jnp.zeros_like(parameters)

    def update(
        self, state: Any, problem: Problem, progress: Float[Array, ""]
    ) -> tuple[Float[Array, " p"], Any]:
        rows = problem.jacobian()
        scale = rows.shape[0] ** -0.5
        rows = ((rows - rows.mean(axis=0, keepdims=True)) * scale).reshape(-1, rows.shape[-1])
        wanted = (problem.costs * scale).reshape(-1)
        wanted -= rows @ (self.momentum * state)
        direction = natural_direction(rows, wanted, self.shift) + self.momentum * state
        direction *= jnp.minimum(1, self.clip_norm / (jnp.linalg.norm(direction) + 1e-12))
        rate = self.learning_rate * (0.1 + 0.9 * _cosine(progress))
        return -rate * direction, direction


@dataclass(frozen=True)
class HandOver:
    """Adam for the first share of the steps, stochastic reconfiguration from then on."""

    first: Adam = Adam()
    then: StochasticReconfiguration = StochasticReconfiguration()
    share: float = 0.5

    def __post_init__(self):
        if not 0 < self.share < 1:
            raise InputError(f"expected a share of the steps in (0, 1), got {self.share}")

    def init(self, parameters: Float[Array, " p"]) -> Any:
        return self.first.init(parameters), self.then.init(parameters)

    def update(
        self, state: Any, problem: Problem, progress: Float[Array, ""]
    ) -> tuple[Float[Array, " p"], Any]:
        def early():
            change, first = self.first.update(state[0], problem, progress / self.share)
            return change, (first, state[1])

        def late():
            rest = (progress - self.share) / (1 - self.share)
            change, then = self.then.update(state[1], problem, rest)
            return change, (state[0], then)

        return jax.lax.cond(progress < self.share, early, late)


def natural_direction(
    rows: Float[Array, "m p"], wanted: Float[Array, " m"], shift: float
) -> Float[Array, " p"]:
    """(O^T O + shift)^-1 O^T w = O^T (O O^T + shift)^-1 w, by the smaller of the two systems."""
    with jax.enable_x64(True):
        o, w = rows.astype(jnp.float64), wanted.astype(jnp.float64)
        m, p = o.shape
        few = m <= p
        gram = o @ o.T if few else o.T @ o
        gram += shift * jnp.eye(min(m, p), dtype=jnp.float64)
        right = w if few else o.T @ w
        solution = jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(gram), right)
        return (o.T @ solution if few else solution).astype(rows.dtype)


def _cosine(progress: Float[Array, ""]) -> Float[Array, ""]:
    return (1 + jnp.cos(jnp.pi * jnp.clip(progress, 0, 1))) / 2
