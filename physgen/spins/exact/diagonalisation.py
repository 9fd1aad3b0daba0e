"""Exact diagonalisation: sums of Pauli strings as sparse matrices, their ground states, entropies.

Site 0 is the most significant bit of a basis index; bit 0 is spin up (Z = +1), bit 1 spin down. A
string is (coefficient, letters, sites), such as (-1.0, "ZZ", (0, 1)) or (0.5, "X", (3,)); no
letters make a constant. Float64 NumPy whatever JAX's settings are.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Inexact, Int
from scipy.linalg import eigh
from scipy.sparse import csr_array
from scipy.sparse.linalg import eigsh

from physgen.errors import InputError

PauliStrings: TypeAlias = Sequence[tuple[float, str, tuple[int, ...]]]

MAX_SITES = 20
DENSE = 512  # dimension up to which all eigenvalues cost less than Lanczos vectors do
KRYLOV = 24  # vectors that eigsh holds at once, its own copies included
LEAK = 1e-12


class Term(NamedTuple):
    """One string as bits: it maps |b> to factor * (-1)^popcount(b & signs) |b ^ flips>."""

    factor: complex
    flips: int
    signs: int


class Eigenstate(NamedTuple):
    """An energy and its normalised state vector (2^n,)."""

    energy: float
    state: Inexact[np.ndarray, " dimension"]


def sector_basis(n: int, two_sz: int | None = None) -> Int[np.ndarray, " dimension"]:
    """Indices of the basis states of n spins, ascending; all 2^n, or those of one total S_z.

    Args:
        two_sz: twice the total S_z, the sum of all Z: number of spins up minus spins down.

    Raises:
        InputError: unless 1 <= n <= 20, and for a total that n spins cannot have.
    """
    if not 1 <= n <= MAX_SITES:
        raise InputError(
            f"expected 1 to {MAX_SITES} sites, got {n}; a vector of 2^n numbers must fit in memory"
        )
    states = np.arange(2**n, dtype=np.int32)
    if two_sz is None:
        return states
    if abs(two_sz) > n or (n - two_sz) % 2:
        raise InputError(
            f"expected a total 2 S_z among {-n}, {-n + 2}, ..., {n} for {n} sites, got {two_sz}; "
            "it is the number of spins up minus spins down"
        )
    return states[np.bitwise_count(states) == (n - two_sz) // 2]


def pauli_matrix(
    n: int, strings: PauliStrings, two_sz: int | None = None, max_gigabytes: float = 8.0
) -> csr_array:
    """The matrix of a sum of Pauli strings, in the basis of `sector_basis`, compressed by rows.

    Real (float64) where each string has an even number of Y, else complex128.

    Args:
        max_gigabytes: what the matrix, while it is built, may take.

    Raises:
        InputError: for strings that do not fit n sites, a sum that leaves the sector `two_sz`, and
            a matrix too large.
    """
    states = sector_basis(n, two_sz)
    terms = _terms(n, strings)
    dtype = _dtype(terms)
    by_flips: dict[int, list[Term]] = {}
    for term in terms:
        by_flips.setdefault(term.flips, []).append(term)
    shape = (len(states), max(len(by_flips), 1))
    _require_memory(shape[0] * shape[1] * (dtype.itemsize + 4), max_gigabytes)

    values = np.zeros(shape, dtype)
    columns = np.zeros(shape, np.int32)
    position = np.full(2**n, -1, np.int32)
    position[states] = np.arange(len(states))
    scale = sum(abs(term.factor) for term in terms)
    for k, (flips, group) in enumerate(by_flips.items()):
        sources = states ^ flips
        value = sum(_values(term, sources, dtype) for term in group)
        column = position[sources]
        inside = column >= 0
        if np.abs(np.where(inside, 0, value)).max() > LEAK * scale:
            raise InputError(
                f"expected an operator that conserves the total S_z, got one that leaves "
                f"two_sz={two_sz} by flipping {[i for i in range(n) if flips >> (n - 1 - i) & 1]}; "
                "use two_sz=None"
            )
        values[:, k] = np.where(inside, value, 0)
        columns[:, k] = np.where(inside, column, 0)
    pointers = np.arange(0, values.size + 1, shape[1])
    matrix = csr_array((values.ravel(), columns.ravel(), pointers), shape=(len(states),) * 2)
    matrix.eliminate_zeros()
    return matrix


def ground_state(
    n: int, strings: PauliStrings, two_sz: int | None = None, max_gigabytes: float = 8.0
) -> Eigenstate:
    """The lowest energy of a sum of Pauli strings, and its state among all 2^n.

    By LAPACK up to dimension 512, else by Lanczos to machine precision from a fixed random start.
    Where the lowest level is degenerate, the state is one of many.

    Args:
        two_sz: look in one sector of the total S_z only; the state is zero outside of it.
        max_gigabytes: what the matrix may take, and what the Lanczos vectors may.

    Raises:
        InputError: as `pauli_matrix`.
    """
    states = sector_basis(n, two_sz)
    _require_memory(len(states) * KRYLOV * _dtype(_terms(n, strings)).itemsize, max_gigabytes)
    matrix = pauli_matrix(n, strings, two_sz, max_gigabytes)
    if len(states) <= DENSE:
        energies, vectors = eigh(matrix.toarray(), subset_by_index=(0, 0))
    elif not matrix.nnz:  # ARPACK refuses zero
        energies, vectors = np.zeros(1), np.eye(len(states), 1)
    else:
        start = np.random.default_rng(0).standard_normal(len(states)).astype(matrix.dtype)
        energies, vectors = eigsh(matrix, k=1, which="SA", v0=start)
    state = np.zeros(2**n, matrix.dtype)
    state[states] = vectors[:, 0]
    return Eigenstate(float(energies[0]), state)


def expectation(n: int, strings: PauliStrings, state: Inexact[np.ndarray, " dimension"]) -> float:
    """<state| sum of Pauli strings |state> of a normalised state vector (2^n,).

    Raises:
        InputError: for strings or a state that do not fit n sites.
    """
    _require_state(state, 2**n)
    states = sector_basis(n)
    total = 0.0
    for term in _terms(n, strings):
        image = _values(term, states, np.dtype(np.complex128)) * state
        total += np.vdot(state[states ^ term.flips], image).real
    return float(total)


def renyi_2_entropy(state: Inexact[np.ndarray, " dimension"], k: int) -> float:
    """-ln tr rho^2, in nats, of the first k sites of a normalised state vector (2^n,).

    Raises:
        InputError: unless 1 <= k < n.
    """
    return float(-np.log((_schmidt_weights(state, k) ** 2).sum()))


def von_neumann_entropy(state: Inexact[np.ndarray, " dimension"], k: int) -> float:
    """-tr rho ln rho, in nats, of the first k sites of a normalised state vector (2^n,).

    Raises:
        InputError: unless 1 <= k < n.
    """
    weights = _schmidt_weights(state, k)
    weights = weights[weights > 0]
    return float(-(weights * np.log(weights)).sum())


def _schmidt_weights(state, k):
    n = int(state.size).bit_length() - 1
    _require_state(state, 2**n)
    if not 1 <= k < n:
        raise InputError(
            f"expected a cut after 1 to {n - 1} sites, got k={k}; cut the chain in two"
        )
    return np.linalg.svd(state.reshape(2**k, -1), compute_uv=False) ** 2


def _terms(n: int, strings: PauliStrings) -> list[Term]:
    return [_term(n, *string) for string in strings]


def _term(n, coefficient, letters, sites) -> Term:
    fits = len(letters) == len(sites) == len(set(sites)) and set(letters) <= set("XYZ")
    if not fits or not all(0 <= site < n for site in sites):
        raise InputError(
            f"expected letters X, Y, Z on as many different sites from 0 to {n - 1}, got "
            f"{letters!r} on {tuple(sites)}; give one site for each letter"
        )
    bits = [(letter, 1 << (n - 1 - site)) for letter, site in zip(letters, sites, strict=True)]
    return Term(
        factor=coefficient * 1j ** letters.count("Y"),
        flips=sum(bit for letter, bit in bits if letter in "XY"),
        signs=sum(bit for letter, bit in bits if letter in "YZ"),
    )


def _dtype(terms: Sequence[Term]) -> np.dtype:
    real = all(complex(term.factor).imag == 0 for term in terms)
    return np.dtype(np.float64 if real else np.complex128)


def _values(term: Term, sources: np.ndarray, dtype: np.dtype) -> np.ndarray:
    factor = term.factor if dtype.kind == "c" else complex(term.factor).real
    return np.where(np.bitwise_count(sources & term.signs) % 2, -factor, factor)


def _require_state(state: np.ndarray, dimension: int) -> None:
    if state.shape != (dimension,):
        raise InputError(
            f"expected a state vector of shape ({dimension},), got {state.shape}; give 2^n numbers"
        )


def _require_memory(needed: int, max_gigabytes: float) -> None:
    if needed > max_gigabytes * 1e9:
        raise InputError(
            f"expected to need at most {max_gigabytes:g} GB, got {needed / 1e9:.1f} GB; "
            "take fewer sites, a sector two_sz, or a larger max_gigabytes"
        )
