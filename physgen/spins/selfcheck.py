"""A check of an ansatz on a few sites, against what cannot be wrong, before a long run."""

import time
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.flatten_util import ravel_pytree
from jaxtyping import PRNGKeyArray

from physgen.errors import InputError
from physgen.nets.stacked import QUICKLY, built
from physgen.spins.ansatz import Ansatz
from physgen.spins.exact import pauli_matrix
from physgen.spins.lattice import Chain
from physgen.spins.local import local_values
from physgen.spins.operators import PauliSum

SITES = 5
TOLERANCE = 1e-6


@dataclass(frozen=True)
class SelfCheck:
    """Largest relative errors, in double precision.

    normalisation: of sum p = 1. sampler: of log p as drawn against as evaluated. local_energy:
    against the dense matrix. gradient: of the energy against finite differences.
    """

    normalisation: float
    sampler: float
    local_energy: float
    gradient: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"self-check on {SITES} sites: sum p = 1 to {self.normalisation:.0e}, sampler = "
            f"evaluator to {self.sampler:.0e}, local energies = dense matrix to "
            f"{self.local_energy:.0e}, gradient = finite differences to {self.gradient:.0e} "
            f"({self.seconds:.1f} s)"
        )


def self_check(key: PRNGKeyArray, ansatz: Ansatz, hamiltonian: PauliSum) -> SelfCheck:
    """The ansatz on the first few sites, with the terms of the Hamiltonian that act on them alone.

    Raises:
        InputError: if an error is not that of rounding.
    """
    started = time.monotonic()
    with jax.enable_x64(True):
        errors = _errors(key, ansatz, hamiltonian)
    check = SelfCheck(*errors, seconds=time.monotonic() - started)
    if not max(errors) < TOLERANCE:
        raise InputError(f"expected exact agreement, got {check}; do not trust this wavefunction")
    return check


def _errors(
    key: PRNGKeyArray, ansatz: Ansatz, hamiltonian: PauliSum
) -> tuple[float, float, float, float]:
    n = min(SITES, hamiltonian.n)
    strings = [string for string in hamiltonian.strings() if all(s < n for s in string[2])]
    operator = PauliSum(n, strings)
    if ansatz.sector is not None:
        ansatz = replace(ansatz, sector=n % 2, spin_flip=ansatz.spin_flip and n % 2 == 0)
    key_init, key_direction, key_draw = jax.random.split(key, 3)
    lattice = Chain(n, ansatz.translation)
    wavefunction = built(lambda rngs: ansatz.build(lattice, rngs=rngs), key_init)
    graph, parameters, rest = nnx.split(wavefunction, nnx.Param, ...)
    vector, unravel = ravel_pytree(jax.tree.map(lambda a: a.astype(jnp.float64), parameters))
    direction = jax.random.normal(key_direction, vector.shape, jnp.float64)
    vector = vector + 0.3 * jax.random.normal(key_init, vector.shape, jnp.float64)
    configurations = (np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1
    if ansatz.sector is not None:
        configurations = configurations[(1 - 2 * configurations).sum(axis=1) == ansatz.sector]
    keys = jax.random.split(key_draw, 16)

    @partial(jax.jit, compiler_options=QUICKLY)
    def evaluate(vector):
        psi = nnx.merge(graph, unravel(vector), rest)
        local, parts = local_values(psi, operator, jnp.asarray(configurations))
        plain = jax.vmap(psi.parts)(jnp.asarray(configurations))

        def energy_cost(vector):
            moved = nnx.merge(graph, unravel(vector), rest)
            rows = jax.vmap(moved.parts)(jnp.asarray(configurations))
            p = jnp.exp(2 * parts[:, 0])
            costs = local - (p * local).sum()
            return 2 * jnp.sum(p * (costs.real * rows[:, 0] + costs.imag * rows[:, 1]))

        slope = jax.grad(energy_cost)(vector) @ direction
        drawn, log_p = jax.vmap(psi.draw)(keys)
        own = jax.vmap(psi.network_log_prob)(drawn)
        return local, plain, slope, log_p, own

    local, plain, slope, log_p, own = map(np.asarray, evaluate(vector))
    psi = np.exp(plain[:, 0] + 1j * plain[:, 1])
    index = configurations @ (1 << np.arange(n)[::-1])
    matrix = pauli_matrix(n, operator.strings())[index][:, index]
    wanted = (matrix @ psi) / psi
    scale = abs(matrix).sum(axis=1).max() + 1e-300
    step = 1e-5

    def energy(vector):
        found, plain, *_ = map(np.asarray, evaluate(vector))
        return (np.exp(2 * plain[:, 0]) * np.real(found)).sum()

    difference = (energy(vector + step * direction) - energy(vector - step * direction)) / 2 / step
    return (
        float(abs((abs(psi) ** 2).sum() - 1)),
        float(np.max(abs(log_p - own) / np.maximum(abs(own), 1))),
        float(np.max(abs(psi) * abs(local - wanted)) / scale),
        float(abs(difference - slope) / scale),
    )
