"""Autoregressive wavefunctions of spin lattices, and what they are proved against."""

from physgen.spins.ansatz import (
    Ansatz,
    FVSBNWavefunction,
    GRUWavefunction,
    MADEWavefunction,
    MinGRUWavefunction,
    NADEWavefunction,
    TensorizedWavefunction,
    TransformerWavefunction,
)
from physgen.spins.entropy import entropy_profile, renyi_2_entropy, swap
from physgen.spins.estimates import Energy, Estimate, energy
from physgen.spins.files import grown, save_wavefunction
from physgen.spins.hamiltonians import (
    XXZ,
    XY,
    ClusterIsing,
    CustomHamiltonian,
    Hamiltonian,
    Heisenberg,
    LongRangeIsing,
    Rydberg,
    TransverseFieldIsing,
)
from physgen.spins.lattice import Chain, Square
from physgen.spins.observables import (
    DiagonalObservables,
    diagonal_observables,
    expectations,
    fidelity,
    pair_spins,
    single_spins,
)
from physgen.spins.operators import PauliSum
from physgen.spins.optimisers import Adam, HandOver, StochasticReconfiguration
from physgen.spins.reference import Reference, reference_energy
from physgen.spins.selfcheck import SelfCheck, self_check
from physgen.spins.vmc import GroundState, ground_state
from physgen.spins.wavefunction import Wavefunction

__all__ = [
    "XXZ",
    "XY",
    "Adam",
    "Ansatz",
    "Chain",
    "ClusterIsing",
    "CustomHamiltonian",
    "DiagonalObservables",
    "Energy",
    "Estimate",
    "FVSBNWavefunction",
    "GRUWavefunction",
    "GroundState",
    "Hamiltonian",
    "HandOver",
    "Heisenberg",
    "LongRangeIsing",
    "MADEWavefunction",
    "MinGRUWavefunction",
    "NADEWavefunction",
    "PauliSum",
    "Reference",
    "Rydberg",
    "SelfCheck",
    "Square",
    "StochasticReconfiguration",
    "TensorizedWavefunction",
    "TransformerWavefunction",
    "TransverseFieldIsing",
    "Wavefunction",
    "diagonal_observables",
    "energy",
    "entropy_profile",
    "expectations",
    "fidelity",
    "grown",
    "pair_spins",
    "reference_energy",
    "renyi_2_entropy",
    "ground_state",
    "save_wavefunction",
    "self_check",
    "single_spins",
    "swap",
]
