"""Spin Hamiltonians, in Pauli matrices X, Y, Z unless S is written (S = sigma / 2).

Couplings and fields are numbers, or sequences with one entry for each bond or site, in the order of
`lattice.bonds()` and of the sites. Energies are in the units of the couplings.
"""

import abc
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from physgen.errors import InputError
from physgen.spins.lattice import Chain, Lattice, as_lattice
from physgen.spins.operators import PauliString, PauliSum

Couplings = float | tuple[float, ...]


@dataclass(frozen=True)
class Hamiltonian(abc.ABC):
    """A named Hamiltonian: `lattice` is a number of sites in a chain, or a lattice.

    `operator` is what acts on configurations.
    """

    lattice: int | Lattice
    periodic: bool = False

    @abc.abstractmethod
    def _strings(self) -> Iterator[PauliString]: ...

    @cached_property
    def geometry(self) -> Lattice:
        """The lattice, where only a number of sites was given too."""
        return as_lattice(self.lattice, self.periodic)

    @property
    def n(self) -> int:
        """Sites."""
        return self.geometry.n

    @cached_property
    def operator(self) -> PauliSum:
        """The same as a sum of Pauli strings."""
        return PauliSum(self.n, tuple(self._strings()))

    def strings(self) -> tuple[PauliString, ...]:
        """Coefficient, letters and sites of each term."""
        return self.operator.strings()


@dataclass(frozen=True)
class TransverseFieldIsing(Hamiltonian):
    """H = - sum_<ij> J_ij Z_i Z_j - sum_i h_i X_i - sum_i g_i Z_i, critical at h = J.

    field: h. coupling: J. longitudinal: g.
    """

    field: Couplings = 1.0
    coupling: Couplings = 1.0
    longitudinal: Couplings = 0.0

    def _strings(self):
        yield from _pairs("ZZ", self.geometry.bonds(), self.coupling, -1.0)
        yield from _sites("X", self.n, self.field, -1.0)
        yield from _sites("Z", self.n, self.longitudinal, -1.0)


@dataclass(frozen=True)
class XXZ(Hamiltonian):
    """H = sum_<ij> J_ij (Sx_i Sx_j + Sy_i Sy_j + Delta Sz_i Sz_j) - sum_i h_i Sz_i, with spins S.

    anisotropy: Delta; 1 is the Heisenberg, 0 the XX model. J > 0 is antiferromagnetic.
    """

    anisotropy: float = 1.0
    coupling: Couplings = 1.0
    field: Couplings = 0.0

    def _strings(self):
        yield from _exchange(self.geometry.bonds(), self.coupling, self.anisotropy)
        yield from _sites("Z", self.n, self.field, -0.5)


@dataclass(frozen=True)
class Heisenberg(Hamiltonian):
    """H = sum_<ij> J1 S_i . S_j + sum_<<ij>> J2 S_i . S_j, with spins S = sigma / 2.

    j2: between second neighbours; at J2 = J1 / 2 an open or periodic chain of even length has the
    dimer state (Majumdar & Ghosh 1969) as exact ground state.
    """

    j2: Couplings = 0.0
    coupling: Couplings = 1.0

    def _strings(self):
        yield from _exchange(self.geometry.bonds(), self.coupling, 1.0)
        if np.any(np.asarray(self.j2)):
            yield from _exchange(self.geometry.bonds(2), self.j2, 1.0)


@dataclass(frozen=True)
class XY(Hamiltonian):
    """H = - sum_<ij> J_ij [(1 + g) / 2 X_i X_j + (1 - g) / 2 Y_i Y_j] - sum_i h_i Z_i.

    anisotropy: g; 1 is the Ising chain in a transverse field, with axes renamed.
    """

    anisotropy: float = 0.5
    field: Couplings = 0.0
    coupling: Couplings = 1.0

    def _strings(self):
        bonds = self.geometry.bonds()
        yield from _pairs("XX", bonds, self.coupling, -(1 + self.anisotropy) / 2)
        yield from _pairs("YY", bonds, self.coupling, -(1 - self.anisotropy) / 2)
        yield from _sites("Z", self.n, self.field, -1.0)


@dataclass(frozen=True)
class ClusterIsing(Hamiltonian):
    """H = - K sum_i X_(i-1) Z_i X_(i+1) - J sum_i Z_i Z_(i+1) - h sum_i Z_i, on a chain.

    Smacchia et al. 2011 (arXiv:1105.0853), axes renamed. At J = h = 0 the cluster state, of energy
    -K for each term, is a symmetry-protected topological phase.
    """

    cluster: Couplings = 1.0
    coupling: Couplings = 0.0
    field: Couplings = 0.0

    def _strings(self):
        if not isinstance(self.geometry, Chain):
            raise InputError(f"expected a chain for a cluster of three, got {self.geometry}")
        bonds = self.geometry.bonds()
        ends = range(self.n) if _is_ring(self.geometry) else range(1, self.n - 1)
        values = _spread(self.cluster, len(ends), "bond")
        for i, value in zip(ends, values, strict=True):
            yield -value, "XZX", ((i - 1) % self.n, i, (i + 1) % self.n)
        yield from _pairs("ZZ", bonds, self.coupling, -1.0)
        yield from _sites("Z", self.n, self.field, -1.0)


@dataclass(frozen=True)
class Rydberg(Hamiltonian):
    """H = Omega / 2 sum_i X_i - Delta sum_i n_i + sum_(i<j) V / r_ij^6 n_i n_j.

    A row of neutral atoms one spacing apart, with the whole van der Waals tail. The Rydberg state
    is 1 (down): n_i = (1 - Z_i) / 2.

    rabi: Omega. detuning: Delta. interaction: V between neighbours, (R_b / a)^6 Omega.
    """

    rabi: Couplings = 1.0
    detuning: Couplings = 0.0
    interaction: float = 1.0

    def _strings(self):
        yield from _sites("X", self.n, self.rabi, 0.5)
        detuning = _spread(self.detuning, self.n, "site")
        fields, constant = np.array(detuning) / 2, -sum(detuning) / 2
        for i, j, r in _distances(self.geometry):
            quarter = self.interaction / r**6 / 4
            yield quarter, "ZZ", (i, j)
            fields[[i, j]] -= quarter
            constant += quarter
        yield from _sites("Z", self.n, tuple(fields.tolist()), 1.0)
        yield float(constant), "", ()


@dataclass(frozen=True)
class LongRangeIsing(Hamiltonian):
    """H = - sum_(i<j) J / r_ij^alpha Z_i Z_j - sum_i h_i X_i.

    exponent: alpha. coupling: J, negative for an antiferromagnet (trapped ions). A ring or a torus
    has the shorter way round as its distance.
    """

    exponent: float = 2.0
    field: Couplings = 1.0
    coupling: float = 1.0

    def _strings(self):
        for i, j, r in _distances(self.geometry):
            yield -self.coupling / r**self.exponent, "ZZ", (i, j)
        yield from _sites("X", self.n, self.field, -1.0)


@dataclass(frozen=True)
class CustomHamiltonian(Hamiltonian):
    """H = sum of coefficient x Pauli string: terms of a coefficient, letters and sites."""

    terms: tuple[PauliString, ...] = ()

    def _strings(self):
        yield from self.terms


def _pairs(letters: str, bonds, values: Couplings, factor: float) -> Iterator[PauliString]:
    for bond, value in zip(bonds, _spread(values, len(bonds), "bond"), strict=True):
        if value * factor:
            yield value * factor, letters, bond


def _sites(letter: str, n: int, values: Couplings, factor: float) -> Iterator[PauliString]:
    for site, value in enumerate(_spread(values, n, "site")):
        if value * factor:
            yield value * factor, letter, (site,)


def _exchange(bonds, values: Couplings, anisotropy: float) -> Iterator[PauliString]:
    for letters, factor in (("XX", 1.0), ("YY", 1.0), ("ZZ", anisotropy)):
        yield from _pairs(letters, bonds, values, factor / 4)


def _spread(values: Couplings, count: int, what: str) -> tuple[float, ...]:
    given = np.ravel(np.asarray(values, float))
    if given.size not in (1, count) or not np.isfinite(given).all():
        raise InputError(
            f"expected one finite number, or one for each {what} ({count}), got {given.size}; "
            "repeat or cut them"
        )
    return tuple(np.broadcast_to(given, count).tolist())


def _is_ring(lattice: Lattice) -> bool:
    if lattice.periodic:
        lattice.bonds(1)
    return lattice.periodic


def _distances(lattice: Lattice) -> Iterator[tuple[int, int, float]]:
    """Every pair, and how far apart it is in units of the spacing."""
    distances = lattice.distances()
    for i, j in zip(*np.triu_indices(lattice.n, 1), strict=True):
        yield int(i), int(j), float(distances[i, j])
