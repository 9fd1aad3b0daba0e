"""The exact ground-state energy of a Hamiltonian, by the best method that applies."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from physgen.errors import InputError
from physgen.spins.exact import diagonalisation, heisenberg_chain_energy, ising_chain, xy_chain
from physgen.spins.exact.free_fermions import TIE, GaussianState
from physgen.spins.hamiltonians import XXZ, XY, Hamiltonian, Heisenberg, TransverseFieldIsing
from physgen.spins.lattice import Chain

LARGEST_DIAGONALISATION = 20
LARGEST_CORRELATIONS = 128  # sites, a second

_SAME_SECTOR = 1e-6


@dataclass(frozen=True)
class Reference:
    """An exact ground-state energy, and where it comes from."""

    energy: float
    method: str


def reference_energy(hamiltonian: Hamiltonian, sector: int | None = None) -> Reference | None:
    """The exact energy, in a sector of the total 2 S_z if one is given; None if nothing applies."""
    chain = free_fermions(hamiltonian)
    if chain is not None and sector is None:
        return Reference(chain.energy, "free fermions")
    if isinstance(hamiltonian, Heisenberg | XXZ) and sector in (None, 0):
        found = _heisenberg(hamiltonian)
        if found is not None:
            return found
    if hamiltonian.n <= LARGEST_DIAGONALISATION:
        found = diagonalisation.ground_state(hamiltonian.n, hamiltonian.strings(), two_sz=sector)
        return Reference(found.energy, "exact diagonalisation")
    return None


def free_fermions(hamiltonian: Hamiltonian) -> GaussianState | None:
    """The ground state of a chain that is quadratic in fermions, None for any other."""
    lattice, h = hamiltonian.geometry, hamiltonian
    if not isinstance(lattice, Chain):
        return None
    bonds = len(lattice.bonds())
    ring = lattice.periodic
    if isinstance(h, TransverseFieldIsing) and not np.any(np.asarray(h.longitudinal)):
        return ising_chain(h.n, _each(h.coupling, bonds), _each(h.field, h.n), periodic=ring)
    if isinstance(h, XY):
        j, g = _each(h.coupling, bonds), h.anisotropy
        field = _each(h.field, h.n)
        return xy_chain(h.n, (1 + g) / 2 * j, (1 - g) / 2 * j, field, periodic=ring)
    if isinstance(h, XXZ) and h.anisotropy == 0:
        j = -_each(h.coupling, bonds) / 4
        return xy_chain(h.n, j, j, _each(h.field, h.n) / 2, periodic=ring)
    return None


def exact_observables(
    hamiltonian: Hamiltonian, sector: int | None = None
) -> dict[str, Float[np.ndarray, "..."]]:
    """What `spins observe` estimates, of the ground state of a chain of free fermions.

    By the names that it has there: magnetisations and entropies, and up to 128 sites correlations
    and the structure factor. Nothing of other Hamiltonians, where there are two ground states, or
    where the ground state is not in the sector of total 2 S_z.
    """
    state = free_fermions(hamiltonian)
    if state is None or state.gap <= TIE * abs(state.energy):
        return {}
    n = state.n
    along = state.magnetisation("Z")
    if sector is not None and abs(along.sum() - sector) > _SAME_SECTOR:
        return {}
    found = {f"magnetisation_{axis.lower()}": state.magnetisation(axis) for axis in ("X", "Y", "Z")}
    found["renyi_2_entropy"] = np.array([state.renyi_2_entropy(k) for k in range(1, n)])
    if n <= LARGEST_CORRELATIONS:
        pairs = np.array([[state.correlation("Z", i, j) for j in range(n)] for i in range(n)])
        found["correlations_zz"] = pairs
        ring = hamiltonian.geometry.periodic
        shifted = [np.roll(pairs, -r, axis=1).diagonal() for r in range(n)]
        found["correlation_zz"] = np.array(
            [values.mean() if ring else values[: n - r].mean() for r, values in enumerate(shifted)]
        )
        waves = np.exp(2j * np.pi * np.outer(np.arange(n // 2 + 1), np.arange(n)) / n)
        found["structure_factor"] = np.einsum("ki,ij,kj->k", waves, pairs, waves.conj()).real / n
    return found


def _heisenberg(h: Heisenberg | XXZ) -> Reference | None:
    lattice, j = h.geometry, np.ravel(np.asarray(h.coupling, float))
    if isinstance(h, XXZ):
        j2, isotropic = np.zeros(1), h.anisotropy == 1 and not np.any(np.asarray(h.field))
    else:
        j2, isotropic = np.ravel(np.asarray(h.j2, float)), True
    uniform = np.all(j == j[0]) and np.all(j2 == j2[0]) and j[0] > 0
    if not (isinstance(lattice, Chain) and isotropic and uniform and h.n % 2 == 0 and h.n >= 4):
        return None
    if lattice.periodic and j2[0] == 0:
        return Reference(float(j[0]) * heisenberg_chain_energy(h.n), "Bethe ansatz")
    if j2[0] == j[0] / 2:
        lattice.bonds(2)
        return Reference(-3 / 8 * float(j[0]) * h.n, "dimer state (Majumdar and Ghosh)")
    return None


def _each(values, count: int) -> np.ndarray:
    return np.broadcast_to(np.ravel(np.asarray(values, float)), count)


def require_reference(hamiltonian: Hamiltonian, sector: int | None) -> Reference:
    """The exact energy.

    Raises:
        InputError: if no method applies.
    """
    found = reference_energy(hamiltonian, sector)
    if found is None:
        raise InputError(
            f"expected a chain of free fermions, a Heisenberg ring, or at most "
            f"{LARGEST_DIAGONALISATION} sites for an exact energy, got {hamiltonian.n} sites of "
            f"{type(hamiltonian).__name__}; take fewer sites"
        )
    return found
