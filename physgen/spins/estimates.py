"""Expectation values from samples, with their standard errors."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Inexact, Key, PRNGKeyArray

from physgen.devices import over_devices
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
    of = partial(_local_energies, operator=operator)
    values = over_samples(key, wavefunction, samples, of)
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


def v_score(n: int, energy: Any, variance: Any, energy_at_infinity: float) -> Any:
    """n variance / (energy - energy at infinite temperature)^2."""
    return n * variance / (energy - energy_at_infinity) ** 2


def mean_of(values: Inexact[np.ndarray, "samples ..."]) -> Estimate:
    """The mean over the first axis."""
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return Estimate(values.mean(axis=0), error)


def over_samples(
    key: PRNGKeyArray,
    wavefunction: Wavefunction,
    samples: int,
    of: Callable[[Wavefunction, Key[Array, " b"]], Inexact[Array, "b ..."]],
) -> Inexact[np.ndarray, "samples ..."]:
    """of(wavefunction, keys), a row for each key, in double precision.

    It runs on portions of keys that are all of one size, each shared out over the devices.
    """
    size = min(AT_ONCE, samples)
    run = jax.jit(lambda wavefunction, keys: over_devices(partial(of, wavefunction), keys))
    keys = jax.random.split(key, (-(-samples // size), size))
    found = [np.asarray(run(wavefunction, k)) for k in keys]
    return np.concatenate(found).astype(np.result_type(found[0].dtype, np.float64))


def _local_energies(
    wavefunction: Wavefunction, keys: Key[Array, " b"], *, operator: PauliSum
) -> Inexact[Array, " b"]:
    return local_values(wavefunction, operator, wavefunction.at_keys(keys))[0]
