"""Density matrices of few qubits: maximum likelihood, linear inversion, and what they say.

Rows and columns are basis states, the first site being the most significant bit. Float64 NumPy
whatever JAX's settings are.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float, Inexact, Int
from numpy.typing import ArrayLike

from physgen.errors import InputError
from physgen.spins.tomography.born import ROTATIONS, configurations, number_of
from physgen.spins.tomography.readout import Readout
from physgen.spins.tomography.shots import LETTERS, Shots

SITES = 8  # a matrix of 4^8 entries, in every basis
PAULIS = {
    "I": np.eye(2, dtype=complex),
    "X": np.array([[0, 1], [1, 0]], complex),
    "Y": np.array([[0, -1j], [1j, 0]], complex),
    "Z": np.array([[1, 0], [0, -1]], complex),
}


@dataclass(frozen=True, eq=False)
class MaximumLikelihood:
    """The density matrix of largest likelihood.

    log_likelihood: the mean over the shots of log p(outcome | basis), in nats. gap: no density
    matrix has a mean log-likelihood larger by more than this.
    """

    rho: Complex[np.ndarray, "d d"]
    log_likelihood: float
    gap: float
    iterations: int


def maximum_likelihood(
    shots: Shots,
    *,
    readout: Readout | None = None,
    tolerance: float = 1e-7,
    iterations: int = 20_000,
) -> MaximumLikelihood:
    """The density matrix of largest likelihood, by iterating R rho R.

    Hradil 1997 (quant-ph/9609012), Rehacek et al. 2007 (quant-ph/0611244). With
    R = sum_k f_k E_k / tr(E_k rho), f the frequencies, the likelihood is concave in rho and no
    state's exceeds that of rho by more than ln(largest eigenvalue of R), which is the gap.

    Args:
        tolerance: of the gap.

    Raises:
        InputError: for more than 8 sites.
    """
    effects, frequencies = _effects(shots, readout)
    d = effects.shape[1]
    rho = np.eye(d, dtype=complex) / d
    gap, done = np.inf, 0
    while done < iterations:
        p = np.einsum("kij,ji->k", effects, rho).real
        r = np.tensordot(frequencies / np.maximum(p, 1e-300), effects, 1)
        gap = float(np.log(np.linalg.eigvalsh(r)[-1]))
        if gap < tolerance:
            break
        rho = r @ rho @ r
        rho = (rho + rho.conj().T) / (2 * np.trace(rho).real)
        done += 1
    p = np.einsum("kij,ji->k", effects, rho).real
    return MaximumLikelihood(rho, float(frequencies @ np.log(p)), gap, done)


def linear_inversion(shots: Shots, *, readout: Readout | None = None) -> Complex[np.ndarray, "d d"]:
    """The Hermitian matrix of trace 1 whose probabilities are closest to the frequencies.

    Least squares over each basis' frequencies, weighted by its shots. Not positive in general;
    `physical` gives the nearest state.

    Raises:
        InputError: for bases that do not determine a state, naming a Pauli string that they leave
            open, and for more than 8 sites.
    """
    require_few(shots)
    n, d = shots.sites, 2**shots.sites
    strings = ["".join("IXYZ"[digit] for digit in row) for row in np.ndindex(*[4] * n)][1:]
    bases, index = shots.distinct()
    weights = np.sqrt(np.bincount(index, minlength=len(bases)))
    frequencies = basis_frequencies(shots)
    rows, values = [], []
    for basis, weight, f in zip(bases, weights, frequencies, strict=True):
        effects = _basis_effects(basis, readout)
        traces = [np.real(np.einsum("kij,ji->k", effects, pauli(s))) / d for s in strings]
        rows.append(weight * np.stack(traces, axis=1))
        flat = np.real(np.einsum("kii->k", effects)) / d
        values.append(weight * (f - flat))
    table = np.concatenate(rows)
    seen = np.abs(table).max(axis=0) > 1e-12
    if not seen.all():
        raise InputError(
            f"expected bases that determine a state, got none for the Pauli string "
            f"{strings[int(np.argmin(seen))]}; measure in all 3^{n} bases of X, Y and Z, or assume "
            "a pure state"
        )
    coefficients = np.linalg.lstsq(table, np.concatenate(values), rcond=None)[0]
    rho = np.eye(d, dtype=complex) / d
    for coefficient, string in zip(coefficients, strings, strict=True):
        rho += coefficient * pauli(string) / d
    return rho


def physical(matrix: Inexact[np.ndarray, "d d"]) -> Inexact[np.ndarray, "d d"]:
    """The nearest density matrix in the Frobenius norm, of one of trace 1.

    Smolin, Gambetta & Smith 2012 (arXiv:1106.5458): the eigenvalues are projected to the simplex.
    """
    values, vectors = np.linalg.eigh(matrix)
    falling = values[::-1]
    excess = (np.cumsum(falling) - 1) / np.arange(1, len(values) + 1)
    kept = np.flatnonzero(falling > excess)[-1]
    clipped = np.maximum(values - excess[kept], 0)
    return (vectors * clipped) @ vectors.conj().T


def state_fidelity(rho: Inexact[np.ndarray, "d d"], amplitudes: ArrayLike) -> float:
    """<target| rho |target> for amplitudes (d,) of any norm."""
    target = np.asarray(amplitudes, complex)
    return float(np.real(target.conj() @ rho @ target) / (np.abs(target) ** 2).sum())


def pauli(letters: str) -> Complex[np.ndarray, "d d"]:
    """The matrix of a string of I, X, Y and Z, one letter for each site."""
    matrix = np.ones((1, 1), complex)
    for letter in letters:
        matrix = np.kron(matrix, PAULIS[letter])
    return matrix


def outcome_probabilities(
    rho: Inexact[np.ndarray, "d d"], basis: str, readout: Readout | None = None
) -> Float[np.ndarray, " d"]:
    """p of each outcome in a basis such as "XZY"."""
    effects = _basis_effects(np.array([LETTERS.index(letter) for letter in basis]), readout)
    return np.einsum("kij,ji->k", effects, rho).real


def basis_frequencies(shots: Shots) -> Float[np.ndarray, "m d"]:
    """How often each outcome came in each of the bases that occur."""
    bases, index = shots.distinct()
    counts = np.zeros((len(bases), 2**shots.sites))
    np.add.at(counts, (index, number_of(shots.outcomes)), 1)
    return counts / counts.sum(axis=1, keepdims=True)


def require_few(shots: Shots) -> None:
    """Refuse what makes a density matrix too large."""
    if shots.sites > SITES:
        raise InputError(
            f"expected at most {SITES} sites for a density matrix, got {shots.sites}; reconstruct "
            "a pure state, or measure fewer"
        )


def _effects(
    shots: Shots, readout: Readout | None
) -> tuple[Complex[np.ndarray, "k d d"], Float[np.ndarray, " k"]]:
    """The effect of each distinct row of shots, and its share of all shots."""
    require_few(shots)
    rows, index = shots.distinct_rows()
    bases, of = rows.distinct()
    per_basis = [_basis_effects(basis, readout) for basis in bases]
    outcomes = number_of(rows.outcomes)
    effects = np.stack([per_basis[b][o] for b, o in zip(of, outcomes, strict=True)])
    return effects, np.bincount(index) / len(index)


def _basis_effects(
    basis: Int[np.ndarray, " n"], readout: Readout | None
) -> Complex[np.ndarray, "d d d"]:
    """E_outcome of all outcomes in a basis: tensor products of a site's two effects."""
    sites = []
    for site, letter in enumerate(basis):
        true = np.stack([np.outer(row.conj(), row) for row in ROTATIONS[letter]])
        sites.append(true if readout is None else np.tensordot(readout.confusion[site], true, 1))
    effects = []
    for outcome in configurations(len(basis)):
        effect = np.ones((1, 1), complex)
        for site, symbol in enumerate(outcome):
            effect = np.kron(effect, sites[site][symbol])
        effects.append(effect)
    return np.stack(effects)
