"""Exact ground states that samples and variational energies are held against.

Any sum of Pauli strings on few sites (`diagonalisation`), chains of free fermions (`free_fermions`)
and the Heisenberg ring (`bethe`) on a thousand. Float64 NumPy whatever JAX's settings are.
"""

from physgen.spins.exact.bethe import bethe_rapidities, heisenberg_chain_energy
from physgen.spins.exact.diagonalisation import (
    Eigenstate,
    expectation,
    ground_state,
    pauli_matrix,
    renyi_2_entropy,
    sector_basis,
    von_neumann_entropy,
)
from physgen.spins.exact.free_fermions import GaussianState, ising_chain, xy_chain

__all__ = [
    "Eigenstate",
    "GaussianState",
    "bethe_rapidities",
    "expectation",
    "ground_state",
    "heisenberg_chain_energy",
    "ising_chain",
    "pauli_matrix",
    "renyi_2_entropy",
    "sector_basis",
    "von_neumann_entropy",
    "xy_chain",
]
