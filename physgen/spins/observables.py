"""What a wavefunction says of spins, from independent samples, with standard errors.

Z, X and Y are Pauli matrices; configurations are integers, 0 for up (z = +1).
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from physgen.errors import InputError
from physgen.spins.estimates import AT_ONCE, Estimate, mean_of, over_samples
from physgen.spins.local import in_portions, local_terms, portion
from physgen.spins.operators import Operator, PauliSum
from physgen.spins.wavefunction import Wavefunction


@dataclass(frozen=True)
class DiagonalObservables:
    """Of samples in the z basis.

    magnetisation: <Z_i>, (n,). correlations: <Z_i Z_j>, (n, n). correlation: <Z_i Z_(i+r)>, the
    mean over all i, for r = 0 ... n - 1, the sites being in a row, or in a ring if periodic.
    structure_factor: <|sum_j Z_j exp(i k j)|^2> / n at the wave numbers k, (n // 2 + 1,).
    string_order: <prod Z_j> over the r + 1 sites from i to i + r in the middle of the chain.
    histogram: how many samples have each total of 2 S_z in `totals`.
    """

    magnetisation: Estimate
    correlation: Estimate
    correlations: Estimate
    wave_numbers: Float[np.ndarray, " k"]
    structure_factor: Estimate
    string_order: Estimate
    totals: Int[np.ndarray, " m"]
    histogram: Int[np.ndarray, " m"]
    samples: int


def diagonal_observables(
    configurations: Int[Array | np.ndarray, "b n"], *, periodic: bool = False
) -> DiagonalObservables:
    """Of independent configurations of spins 1/2, from a wavefunction or from an experiment."""
    z = 1.0 - 2.0 * np.asarray(configurations)
    b, n = z.shape
    products = z.T @ z / b
    transform = np.fft.rfft(z, axis=1)
    power = np.abs(transform) ** 2 / n
    length = n if periodic else 2 * n
    pairs = np.fft.irfft(np.abs(np.fft.rfft(z, length, axis=1)) ** 2, length, axis=1)[:, :n]
    pairs /= n if periodic else n - np.arange(n)
    middle = [((n - r - 1) // 2, (n - r - 1) // 2 + r + 1) for r in range(n)]
    strings = np.stack([z[:, start:stop].prod(axis=1) for start, stop in middle], axis=1)
    totals, histogram = np.unique(z.sum(axis=1).astype(int), return_counts=True)
    return DiagonalObservables(
        magnetisation=mean_of(z),
        correlation=mean_of(pairs),
        correlations=Estimate(products, np.sqrt(np.clip(1 - products**2, 0, None) / b)),
        wave_numbers=2 * np.pi * np.arange(n // 2 + 1) / n,
        structure_factor=mean_of(power),
        string_order=mean_of(strings),
        totals=totals,
        histogram=histogram,
        samples=b,
    )


def expectations(
    key: PRNGKeyArray, wavefunction: Wavefunction, operator: Operator, samples: int = 8192
) -> Estimate:
    """What each group of terms that flips the same sites adds to <O>; the diagonal comes first.

    Returns:
        Real values and errors, (1 + k,); `operator.changes` says which sites each group flips.
    """

    def of(wavefunction, keys):
        def terms(configurations):
            diagonal, others, _ = local_terms(wavefunction, operator, configurations)
            return jnp.concatenate([diagonal[:, None].real, others.real], axis=1)

        at_once = portion(wavefunction, operator.changes)
        return in_portions(terms, wavefunction.at_keys(keys), at_once)

    return mean_of(over_samples(key, wavefunction, samples, of))


def single_spins(
    key: PRNGKeyArray, wavefunction: Wavefunction, letter: str, samples: int = 8192
) -> Estimate:
    """<X_i> or <Y_i> of each site, (n,)."""
    if letter not in ("X", "Y"):
        raise InputError(f'expected letter "X" or "Y", got {letter!r}; see diagonal_observables')
    n = wavefunction.n
    operator = PauliSum(n, [(1.0, letter, (site,)) for site in range(n)])
    found = expectations(key, wavefunction, operator, samples)
    return Estimate(np.asarray(found.value)[1:], np.asarray(found.error)[1:])


def pair_spins(
    key: PRNGKeyArray, wavefunction: Wavefunction, letter: str, site: int, samples: int = 8192
) -> Estimate:
    """<P_site P_j> for P = X or Y and all other sites j in ascending order, (n - 1,)."""
    n = wavefunction.n
    strings = [(1.0, 2 * letter, (site, j)) for j in range(n) if j != site]
    found = expectations(key, wavefunction, PauliSum(n, strings), samples)
    return Estimate(np.asarray(found.value)[1:], np.asarray(found.error)[1:])


def fidelity(wavefunction: Wavefunction, amplitudes: Array | np.ndarray) -> float:
    """|<target|psi>|^2 by enumeration, with the first site as the most significant bit.

    Args:
        amplitudes: of the target, (2^n,), of any norm.

    Raises:
        InputError: for another number of amplitudes, or more than 20 sites.
    """
    n = wavefunction.n
    if n > 20 or np.shape(amplitudes) != (2**n,):
        raise InputError(
            f"expected 2^{n} amplitudes for {n} sites, at most 20, got shape "
            f"{np.shape(amplitudes)}; give one for each basis state"
        )
    target = np.asarray(amplitudes, complex)
    overlap = 0.0 + 0.0j
    for start in range(0, 2**n, AT_ONCE):
        numbers = np.arange(start, min(start + AT_ONCE, 2**n))
        configurations = (numbers[:, None] >> np.arange(n)[::-1]) & 1
        psi = np.exp(np.asarray(wavefunction.log_psi(configurations), complex))
        overlap += target[numbers].conj() @ psi
    return float(abs(overlap) ** 2 / (abs(target) ** 2).sum())
