"""Summary statistics: points in, curves out. Float64 NumPy whatever JAX's settings are."""

from physgen.stats.ensemble import over_clouds
from physgen.stats.knn import knn_distances, poisson_knn_cdf
from physgen.stats.pairs import (
    pair_counts,
    pair_separation_histogram,
    spherical_shell_volumes,
    two_point_correlation,
)
from physgen.stats.profile import radial_profile
from physgen.stats.velocity import mean_relative_velocity

__all__ = [
    "knn_distances",
    "mean_relative_velocity",
    "over_clouds",
    "pair_counts",
    "pair_separation_histogram",
    "poisson_knn_cdf",
    "radial_profile",
    "spherical_shell_volumes",
    "two_point_correlation",
]
