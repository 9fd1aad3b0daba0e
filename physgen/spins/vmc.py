"""`ground_state`: variational Monte Carlo with exact samples, through the common training loop."""

import os
import time
import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray

from physgen.devices import over_devices
from physgen.errors import InputError
from physgen.nets.autoregressive import Recurrent
from physgen.nets.stacked import built
from physgen.spins.ansatz import Ansatz
from physgen.spins.estimates import Energy, energy, v_score
from physgen.spins.hamiltonians import Hamiltonian
from physgen.spins.local import local_values
from physgen.spins.operators import PauliSum
from physgen.spins.optimisers import Optimiser, Problem, StochasticReconfiguration
from physgen.spins.progress import energy_line
from physgen.spins.symmetry import may_be_positive, require_symmetries
from physgen.spins.wavefunction import Wavefunction
from physgen.train import FitResult, FitSettings, Report, fit
from physgen.words import counted, duration

JACOBIAN_BYTES = 64 * 2**20  # of the gradients of single samples that are computed at once


@dataclass(frozen=True)
class GroundState:
    """What a run of `ground_state` found.

    energy: from fresh samples of the last wavefunction, never the lowest of a trace.
    history: `step`, and the mean of each scalar over every dispatch: `energy` (a site), `sigma` (of
        a step's mean, a site), `v_score`.
    """

    wavefunction: Wavefunction
    energy: Energy
    history: dict[str, np.ndarray]
    steps: int
    seconds: float
    seconds_per_step: float
    compile_seconds: float
    interrupted: bool

    def __repr__(self) -> str:
        e = self.energy
        return (
            f"<GroundState: energy {e.energy:.8g} +- {e.error:.2g}, V-score {e.v_score:.2g}, "
            f"{counted(self.steps, 'step')} in {duration(self.seconds)}; {self.wavefunction}>"
        )


class VMCState(NamedTuple):
    """What recurs from step to step."""

    parameters: Float[Array, " p"]
    optimiser: Any
    step: Int[Array, ""]
    total_steps: Int[Array, ""]


def require_reach(wavefunction: Wavefunction, reach: int | None) -> None:
    """InputError unless the local energies of this wavefunction can be of so many sites."""
    if reach is not None and not (reach > 0 and isinstance(wavefunction.network, Recurrent)):
        raise InputError(
            f"expected a reach of at least 1 and a recurrent network, got {reach} and "
            f"{type(wavefunction.network).__name__}; leave reach out"
        )


def ground_state(
    key: PRNGKeyArray,
    hamiltonian: Hamiltonian | PauliSum,
    ansatz: Ansatz | Wavefunction,
    *,
    steps: int = 300,
    samples: int = 200,
    optimiser: Optimiser = StochasticReconfiguration(),
    temperature: float = 0.0,
    reach: int | None = None,
    energy_samples: int = 8192,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    steps_per_dispatch: int = 10,
    report: Report | None = None,
) -> GroundState:
    """Minimise <psi|H|psi> over the parameters of a wavefunction.

    Hibat-Allah et al. 2020 (arXiv:2002.02973): the gradient of the energy is the covariance of the
    local energy with the gradient of log psi, over independent samples of |psi|^2.

    Args:
        ansatz: of a new wavefunction, or a trained one to go on with.
        steps: of the optimiser, rounded up to whole dispatches.
        samples: a step.
        temperature: T at the start of <H> - T S, S being the entropy of |psi|^2; it falls to zero
            over the first half of the steps (variational neural annealing, arXiv:2101.10154).
        reach: sites after a change that local energies evaluate in training; what follows is added
            in linear order (`physgen.spins.variants`), with which a step takes a time proportional
            to n and not to n^2. For recurrent networks and chains of hundreds of sites; 32 is
            enough for those that were tried. None for all sites, as in the final energy.
        energy_samples: of the final energy.
        checkpoint, resume, report: see `physgen.train.fit`.

    Raises:
        InputError: for a sector or a symmetry that the Hamiltonian does not conserve, and for a
            reach of a network that is not recurrent.
        NonFiniteError: for an energy that is not finite.
    """
    key_init, key_fit, key_energy = jax.random.split(key, 3)
    if isinstance(ansatz, Wavefunction):
        wavefunction = ansatz
    else:
        lattice = hamiltonian.geometry if isinstance(hamiltonian, Hamiltonian) else hamiltonian.n
        wavefunction = built(lambda rngs: ansatz.build(lattice, rngs=rngs), key_init)
    operator = hamiltonian.operator if isinstance(hamiltonian, Hamiltonian) else hamiltonian
    _require_fitting(wavefunction, operator)
    require_reach(wavefunction, reach)
    wavefunction, run = minimise(
        key_fit,
        wavefunction,
        operator,
        FitSettings(batch_size=samples, steps=steps, steps_per_dispatch=steps_per_dispatch),
        optimiser,
        temperature=temperature,
        reach=reach,
        checkpoint=checkpoint,
        resume=resume,
        report=report,
    )
    started = time.monotonic()
    found = energy(key_energy, wavefunction, operator, energy_samples)
    return GroundState(
        wavefunction,
        found,
        run.history,
        run.steps,
        run.seconds + time.monotonic() - started,
        (run.seconds - run.compile_seconds) / max(run.steps, 1),
        run.compile_seconds,
        run.interrupted,
    )


def minimise(
    key: PRNGKeyArray,
    wavefunction: Wavefunction,
    operator: PauliSum,
    settings: FitSettings,
    optimiser: Optimiser,
    *,
    temperature: float = 0.0,
    reach: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> tuple[Wavefunction, FitResult]:
    """The wavefunction after a run of the optimiser, and how the run went."""
    graph, parameters, rest = nnx.split(wavefunction, nnx.Param, ...)
    vector, unravel = ravel_pytree(parameters)

    def at(vector: Array) -> Wavefunction:
        return nnx.merge(graph, unravel(vector), rest)

    def step(key: Array, state: VMCState, batch: None) -> tuple[VMCState, dict[str, Array]]:
        progress = state.step / state.total_steps
        heat = temperature * jnp.maximum(1 - 2 * progress, 0)
        problem, info = sampled_problem(
            key, state.parameters, at, operator, settings.batch_size, heat, reach
        )
        change, memory = optimiser.update(state.optimiser, problem, progress)
        parameters = state.parameters + change
        return VMCState(parameters, memory, state.step + 1, state.total_steps), info

    def on_total_steps(state: VMCState, total: int) -> VMCState:
        return state._replace(total_steps=jnp.full((), total, jnp.int32))

    zero = jnp.zeros((), jnp.int32)
    run = fit(
        key,
        step,
        VMCState(vector, optimiser.init(vector), zero, zero + 1),
        None,
        settings,
        checkpoint=checkpoint,
        resume=resume,
        on_total_steps=on_total_steps,
        identity=(operator.strings(), wavefunction.made_of, optimiser, temperature, reach),
        report=energy_line() if report is None else report,
    )
    return at(run.state.parameters), run


def sampled_problem(
    key: PRNGKeyArray,
    parameters: Float[Array, " p"],
    at: Any,
    operator: PauliSum,
    samples: int,
    temperature: Any = 0.0,
    reach: int | None = None,
) -> tuple[Problem, dict[str, Array]]:
    """Samples of the wavefunction `at` the parameters, and what their local energies ask for."""
    wavefunction = at(parameters)

    def sampled(keys):
        configurations = wavefunction.at_keys(keys)
        return configurations, *local_values(wavefunction, operator, configurations, reach)

    configurations, energies, parts = over_devices(sampled, jax.random.split(key, samples))
    mean = energies.real.mean()
    variance = jnp.mean(jnp.abs(energies - energies.mean()) ** 2)
    free = energies.real + temperature * 2 * parts[:, 0]
    costs = [free - free.mean()]
    if wavefunction.phase:
        costs.append(energies.imag - energies.imag.mean())
    costs = jnp.stack(costs, axis=1) / operator.scale

    def parts_at(parameters: Array, configuration: Array) -> Float[Array, " c"]:
        return at(parameters).parts(configuration)[: costs.shape[1]]

    def gradient() -> Float[Array, " p"]:
        def surrogate(parameters):
            rows = over_devices(jax.vmap(partial(parts_at, parameters)), configurations)
            return 2 * jnp.sum(costs * rows) / samples

        return jax.grad(surrogate)(parameters)

    def jacobian() -> Float[Array, "b c p"]:
        at_once = max(JACOBIAN_BYTES // (4 * costs.shape[1] * parameters.size), 1)
        row = partial(jax.jacrev(parts_at), parameters)

        def rows(configurations):
            return jax.lax.map(row, configurations, batch_size=min(at_once, len(configurations)))

        return over_devices(rows, configurations)

    n = operator.n
    info = {
        "loss": free.mean() / n,
        "energy": mean / n,
        "sigma": jnp.sqrt(variance / samples) / n,
        "v_score": v_score(n, mean, variance, operator.trace),
    }
    return Problem(costs, gradient, jacobian), info


def _require_fitting(wavefunction: Wavefunction, operator: PauliSum) -> None:
    if wavefunction.n != operator.n or wavefunction.local_dimension != operator.local_dimension:
        raise InputError(
            f"expected a wavefunction of {operator.n} sites with {operator.local_dimension} states "
            f"each, as the Hamiltonian has, got {wavefunction.n} with "
            f"{wavefunction.local_dimension}; build it for this Hamiltonian, or grow it"
        )
    require_symmetries(wavefunction, operator)
    if not wavefunction.phase and not may_be_positive(operator, wavefunction.signs):
        warnings.warn(
            "the ground state of this Hamiltonian may have signs that the wavefunction cannot "
            "have: try phase=True, or marshall=True for an antiferromagnet",
            stacklevel=3,
        )
