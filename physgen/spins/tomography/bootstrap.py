"""Bootstrap intervals: refits to shots drawn again, and what they say of a derived number.

Each member begins where the fit began and is trained as the fit was, for as many steps, on as many
shots, drawn with replacement (Efron 1979). Where few shots stopped the fit early, a third of all
steps is taken: all members would be the start otherwise. The start being shared, the interval holds
the scatter of the shots alone; what an ansatz or a pure state cannot represent is in no interval.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from physgen.data import seed_of
from physgen.errors import InputError
from physgen.nets.stacked import each
from physgen.spins.estimates import Estimate
from physgen.spins.tomography.born import configurations
from physgen.spins.tomography.pure import Model, Reconstruction, maximise, member
from physgen.spins.wavefunction import Wavefunction
from physgen.train import Report
from physgen.train.progress import Silent


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Refits, side by side in one module."""

    models: Any
    members: int

    def wavefunctions(self) -> list[Wavefunction]:
        """Each refit by itself."""
        return [member(self.models, i).wavefunction for i in range(self.members)]

    def interval(
        self,
        value: Float[np.ndarray, "*event"] | float | Estimate,
        function: Callable[[Wavefunction], Any],
    ) -> tuple[Any, Any]:
        """The 95% interval of function(wavefunction), whose value of the fit is `value`.

        Numbers, arrays or `Estimate`s, whose errors the interval takes in.
        """
        found = [function(wavefunction) for wavefunction in self.wavefunctions()]
        if isinstance(value, Estimate):
            values = np.stack([np.asarray(one.value, float) for one in found])
            return interval_of(value.value, values, value.error)
        return interval_of(value, np.stack([np.asarray(one, float) for one in found]))

    def fidelities(self, target: Any) -> Float[np.ndarray, " members"]:
        """|<target|psi>|^2 of each member, for normalised amplitudes (2^n,)."""
        n = member(self.models, 0).wavefunction.n

        def of_member(model: Model) -> Any:
            parts = jax.vmap(model.wavefunction.parts)(jnp.asarray(configurations(n)))
            return jnp.exp(parts[:, 0]), parts[:, 1]

        modulus, phase = map(np.asarray, jax.jit(lambda m: each(m, of_member))(self.models))
        psi = modulus * np.exp(1j * phase.astype(float))
        return np.abs(psi @ np.conj(target)) ** 2


def bootstrap(
    key: PRNGKeyArray,
    found: Reconstruction,
    members: int = 10,
    *,
    report: Report | None = None,
) -> Bootstrap:
    """Refit a state to shots drawn again, `members` times, all side by side.

    Raises KeyboardInterrupt after Ctrl-C: half-trained refits say nothing.
    """
    if members < 2:
        raise InputError(f"expected at least 2 members, whose scatter is wanted, got {members}")
    key_draw, key_fit = jax.random.split(key)
    rows, index = found.shots.distinct_rows()
    rng = np.random.default_rng(seed_of(key_draw))
    share = np.bincount(index) / len(index)
    models, run = maximise(
        key_fit,
        jax.tree.map(lambda leaf: jnp.stack([leaf] * members), found.start),
        rows,
        rng.multinomial(len(index), share, size=members).T,
        found.settings,
        None if found.start.errors is not None else found.readout,
        steps=max(found.best_step, -(-found.settings.steps // 3)),
        report=report or Silent(),
    )
    if run.interrupted:
        raise KeyboardInterrupt
    return Bootstrap(models, members)


def interval_of(
    value: Float[np.ndarray, "*event"] | float,
    values: Float[np.ndarray, "members *event"],
    error: Float[np.ndarray, "*event"] | float = 0.0,
) -> tuple[Any, Any]:
    """The 95% interval: the hull of the percentile and of the basic bootstrap interval.

    Refits scatter around the fit as the fit does around the truth, but to one side of it where a
    number has a bound, as a fidelity has: the percentile interval is too low then, and the basic
    one, value - (refit - value), too high. Percentiles are those of a normal distribution of the
    members' mean and deviation, since members are few.

    Args:
        error: standard error of `value` as an estimate from samples of the state, if it is one.
    """
    mean, scatter = values.mean(axis=0), values.std(axis=0, ddof=1)
    low, high = mean - 1.96 * scatter, mean + 1.96 * scatter
    below = value - np.minimum(low, 2 * value - high)
    above = np.maximum(high, 2 * value - low) - value
    return value - np.hypot(below, 1.96 * error), value + np.hypot(above, 1.96 * error)
