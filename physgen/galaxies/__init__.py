"""Galaxies: catalogues, a simulator, emulators of p(galaxies | parameters), and their judge."""

from physgen.galaxies.anomaly import AnomalyDetector, MapScores, score_maps
from physgen.galaxies.build import Selection, build_catalogue, find_simulations, match_rows
from physgen.galaxies.catalogue import Catalogue, read_catalogue, write_catalogue
from physgen.galaxies.clustering import measure_survey
from physgen.galaxies.column import Column
from physgen.galaxies.distillation import distil
from physgen.galaxies.domain import Domain
from physgen.galaxies.emulator import EmulatorSettings, GalaxyEmulator
from physgen.galaxies.generate import OutsideTrainingRange, generate
from physgen.galaxies.likelihood import MapLikelihood, log_likelihoods
from physgen.galaxies.measure import Measurement, measure, write_measurement
from physgen.galaxies.readers import ParameterTable, Survey, read_parameters, read_survey
from physgen.galaxies.redshift_space import redshift_space
from physgen.galaxies.simulate import SimulationSettings, simulate, sobol_parameters
from physgen.galaxies.subboxes import cut, tile
from physgen.galaxies.summaries import SummarySettings, choose_settings, summaries
from physgen.galaxies.training import (
    TrainedEmulator,
    TrainingSettings,
    emulator_settings,
    train_emulator,
)
from physgen.galaxies.validate import validate_catalogues

__all__ = [
    "AnomalyDetector",
    "Catalogue",
    "Column",
    "Domain",
    "EmulatorSettings",
    "GalaxyEmulator",
    "MapLikelihood",
    "MapScores",
    "Measurement",
    "OutsideTrainingRange",
    "ParameterTable",
    "Selection",
    "SimulationSettings",
    "SummarySettings",
    "Survey",
    "TrainedEmulator",
    "TrainingSettings",
    "build_catalogue",
    "choose_settings",
    "cut",
    "distil",
    "emulator_settings",
    "find_simulations",
    "generate",
    "log_likelihoods",
    "match_rows",
    "measure",
    "measure_survey",
    "read_catalogue",
    "read_parameters",
    "read_survey",
    "redshift_space",
    "score_maps",
    "simulate",
    "sobol_parameters",
    "summaries",
    "tile",
    "train_emulator",
    "validate_catalogues",
    "write_catalogue",
    "write_measurement",
]
