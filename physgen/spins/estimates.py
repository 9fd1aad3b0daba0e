"""Expectation values from samples, with their standard errors."""

from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
from jaxtyping import Array, Float, Inexact, PRNGKeyArray

from physgen.spins.hamiltonians import Hamiltonian
from physgen.spins.local import local_values
from physgen.spins.operators import PauliSum
from physgen.spins.wavefunction import Wavefunction

AT_ONCE = 1024


@dataclass(frozen=True)
class Estimate:
    """A mean over independent samples and its standard error, of shape (...)."""

    value: Float[np.ndarray, "..."] | float
    error: Float[np.ndarray, "..."] | float


@dataclass(frozen=True)
class Energy:
    """<H> of a wavefunction, from fresh samples.

    energy, error: the mean of the local energies and its standard error. variance: of the local
    energies, an estimate of <H^2> - <H>^2. v_score: n variance / (energy - Tr H / 2^n)^2, zero for
    an eigenstate (Wu et al. 2024, arXiv:2302.04919).
    """

    energy: float
    error: float
    variance: float
    v_score: float
    samples: int


def energy(
    key: PRNGKeyArray,
    wavefunction: Wavefunction,
    hamiltonian: Hamiltonian | PauliSum,
    samples: int = 8192,
) -> Energy:
    """The energy of a wavefunction from independent samples, rounded up to whole portions."""
    operator = hamiltonian.operator if isinstance(hamiltonian, Hamiltonian) else hamiltonian
    values = np.concatenate(_in_portions(key, wavefunction, operator, samples))
    real = np.real(values)
    mean = float(real.mean())
    variance = float((np.abs(values - values.mean()) ** 2).sum() / (len(values) - 1))
    return Energy(
        energy=mean,
        error=float(np.sqrt(real.var(ddof=1) / len(values))),
        variance=variance,
        v_score=v_score(operator.n, mean, variance, operator.trace),
        samples=len(values),
    )


def v_score(n: int, energy: float, variance: float, energy_at_infinity: float) -> float:
    """n variance / (energy - energy at infinite temperature)^2."""
    return n * variance / (energy - energy_at_infinity) ** 2


def mean_of(values: Inexact[np.ndarray, "samples ..."]) -> Estimate:
    """The mean over the first axis."""
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return Estimate(values.mean(axis=0), error)


def _in_portions(
    key: PRNGKeyArray, wavefunction: Wavefunction, operator: PauliSum, samples: int
) -> list[np.ndarray]:
    size = min(AT_ONCE, samples)
    run = jax.jit(partial(_local_energies, operator=operator, count=size))
    keys = jax.random.split(key, -(-samples // size))
    found = [np.asarray(run(k, wavefunction)) for k in keys]
    return [f.astype(np.complex128 if np.iscomplexobj(f) else np.float64) for f in found]


def _local_energies(
    key: PRNGKeyArray, wavefunction: Wavefunction, *, operator: PauliSum, count: int
) -> Inexact[Array, " count"]:
    configurations = jax.vmap(lambda k: wavefunction._sample(k, None))(jax.random.split(key, count))
    return local_values(wavefunction, operator, configurations)[0]
