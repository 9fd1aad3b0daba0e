"""Two ensembles in, a verdict in words out. Names no model and no pillar."""

from physgen.validation.agreement import Agreement, agreement_test
from physgen.validation.arrays import Kind, read_array, validate_arrays
from physgen.validation.calibration import (
    Calibration,
    Coverage,
    highest_density_coverage,
    simulation_based_calibration,
    tarp,
)
from physgen.validation.cells import pqmass
from physgen.validation.classifier import C2ST, NeuralNetwork, RandomForest, c2st
from physgen.validation.clouds import c2st_clouds
from physgen.validation.earth_mover import WassersteinDistances, wasserstein_distances
from physgen.validation.fields import field_statistics
from physgen.validation.folder import write_report
from physgen.validation.frechet import FrechetDistance, frechet_distance
from physgen.validation.groups import Group, Grouping, match_groups
from physgen.validation.judge import validate
from physgen.validation.kernels import covariance_test, kpd
from physgen.validation.means import hotelling
from physgen.validation.memorisation import Memorisation, memorisation_test
from physgen.validation.report import Report, StatisticResult
from physgen.validation.statistic import Statistic
from physgen.validation.two_sample import TwoSampleTest
from physgen.validation.uniformity import RankTest
from physgen.validation.verdict import Grade

__all__ = [
    "C2ST",
    "Agreement",
    "Calibration",
    "Coverage",
    "FrechetDistance",
    "Grade",
    "Group",
    "Grouping",
    "Kind",
    "Memorisation",
    "NeuralNetwork",
    "RandomForest",
    "RankTest",
    "Report",
    "Statistic",
    "StatisticResult",
    "TwoSampleTest",
    "WassersteinDistances",
    "agreement_test",
    "c2st",
    "c2st_clouds",
    "covariance_test",
    "field_statistics",
    "frechet_distance",
    "highest_density_coverage",
    "hotelling",
    "kpd",
    "match_groups",
    "memorisation_test",
    "pqmass",
    "read_array",
    "simulation_based_calibration",
    "tarp",
    "validate",
    "validate_arrays",
    "wasserstein_distances",
    "write_report",
]
