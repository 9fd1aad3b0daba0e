"""From measured bit strings to a quantum state."""

from physgen.spins.tomography.bootstrap import Bootstrap, bootstrap, interval_of
from physgen.spins.tomography.born import amplitudes_of
from physgen.spins.tomography.pure import Reconstruction, TomographySettings, reconstruct
from physgen.spins.tomography.readers import (
    control_columns,
    counts_as_shots,
    read_amplitudes,
    read_shots,
    read_shots_and_controls,
    save_amplitudes,
    save_shots,
    varying,
)
from physgen.spins.tomography.readout import Readout
from physgen.spins.tomography.shots import Shots
from physgen.spins.tomography.sweep import Sweep, fit_sweep
from physgen.spins.tomography.sweep_density import SweepDensity, save_sweep
from physgen.spins.tomography.sweep_observables import SweepObservables, sweep_observables

__all__ = [
    "Bootstrap",
    "Readout",
    "Reconstruction",
    "Shots",
    "Sweep",
    "SweepDensity",
    "SweepObservables",
    "TomographySettings",
    "amplitudes_of",
    "bootstrap",
    "control_columns",
    "counts_as_shots",
    "fit_sweep",
    "interval_of",
    "read_amplitudes",
    "read_shots",
    "read_shots_and_controls",
    "reconstruct",
    "save_amplitudes",
    "save_shots",
    "save_sweep",
    "sweep_observables",
    "varying",
]
