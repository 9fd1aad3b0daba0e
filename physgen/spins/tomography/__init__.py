"""From measured bit strings to a quantum state."""

from physgen.spins.tomography.bootstrap import Bootstrap, bootstrap, interval_of
from physgen.spins.tomography.born import amplitudes_of
from physgen.spins.tomography.pure import Reconstruction, TomographySettings, reconstruct
from physgen.spins.tomography.readers import (
    counts_as_shots,
    read_amplitudes,
    read_shots,
    save_amplitudes,
    save_shots,
)
from physgen.spins.tomography.readout import Readout
from physgen.spins.tomography.shots import Shots

__all__ = [
    "Bootstrap",
    "Readout",
    "Reconstruction",
    "Shots",
    "TomographySettings",
    "amplitudes_of",
    "bootstrap",
    "counts_as_shots",
    "interval_of",
    "read_amplitudes",
    "read_shots",
    "reconstruct",
    "save_amplitudes",
    "save_shots",
]
