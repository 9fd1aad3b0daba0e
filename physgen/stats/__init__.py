"""Summary statistics: points in, curves out. Float64 whatever JAX's settings are."""

from physgen.stats.correlation import (
    pair_separation_histogram,
    spherical_shell_volumes,
    two_point_correlation,
)
from physgen.stats.ensemble import over_clouds
from physgen.stats.jackknife import jackknife_correlation, jackknife_covariance
from physgen.stats.knn import knn_distances, poisson_knn_cdf
from physgen.stats.pairs import pair_counts
from physgen.stats.plane import pair_counts_rp_pi, pair_counts_s_mu
from physgen.stats.profile import radial_profile
from physgen.stats.redshift import (
    correlation_multipoles,
    projected_correlation,
    sky_to_cartesian,
)
from physgen.stats.velocity import (
    PairwiseVelocities,
    mean_relative_velocity,
    pairwise_velocities,
)

__all__ = [
    "PairwiseVelocities",
    "correlation_multipoles",
    "jackknife_correlation",
    "jackknife_covariance",
    "knn_distances",
    "mean_relative_velocity",
    "over_clouds",
    "pair_counts",
    "pair_counts_rp_pi",
    "pair_counts_s_mu",
    "pair_separation_histogram",
    "pairwise_velocities",
    "poisson_knn_cdf",
    "projected_correlation",
    "radial_profile",
    "sky_to_cartesian",
    "spherical_shell_volumes",
    "two_point_correlation",
]
