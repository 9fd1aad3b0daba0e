"""Galaxies: catalogues, a simulator, emulators of p(galaxies | parameters), and their judge."""

from physgen.galaxies.catalogue import Catalogue, read_catalogue, write_catalogue
from physgen.galaxies.column import Column
from physgen.galaxies.domain import Domain
from physgen.galaxies.emulator import EmulatorSettings, GalaxyEmulator
from physgen.galaxies.generate import OutsideTrainingRange, generate
from physgen.galaxies.measure import Measurement, measure, write_measurement
from physgen.galaxies.simulate import SimulationSettings, simulate, sobol_parameters
from physgen.galaxies.summaries import SummarySettings, choose_settings, summaries
from physgen.galaxies.training import (
    TrainedEmulator,
    TrainingSettings,
    emulator_settings,
    train_emulator,
)
from physgen.galaxies.validate import validate_catalogues

__all__ = [
    "Catalogue",
    "Column",
    "Domain",
    "EmulatorSettings",
    "GalaxyEmulator",
    "Measurement",
    "OutsideTrainingRange",
    "SimulationSettings",
    "SummarySettings",
    "TrainedEmulator",
    "TrainingSettings",
    "choose_settings",
    "emulator_settings",
    "generate",
    "measure",
    "read_catalogue",
    "simulate",
    "sobol_parameters",
    "summaries",
    "train_emulator",
    "validate_catalogues",
    "write_catalogue",
    "write_measurement",
]
