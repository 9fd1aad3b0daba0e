"""Summary statistics: points in, curves out. Float64 whatever JAX's settings are."""

from physgen.stats.correlation import (
    pair_separation_histogram,
    spherical_shell_volumes,
    two_point_correlation,
)
from physgen.stats.ensemble import over_clouds
from physgen.stats.knn import knn_distances, poisson_knn_cdf
from physgen.stats.pairs import pair_counts
from physgen.stats.profile import radial_profile
from physgen.stats.velocity import (
    PairwiseVelocities,
    mean_relative_velocity,
    pairwise_velocities,
)

__all__ = [
    "PairwiseVelocities",
    "knn_distances",
    "mean_relative_velocity",
    "over_clouds",
    "pair_counts",
    "pair_separation_histogram",
    "pairwise_velocities",
    "poisson_knn_cdf",
    "radial_profile",
    "spherical_shell_volumes",
    "two_point_correlation",
]
