"""Summary statistics: points in, curves out. Float64 whatever JAX's settings are."""

from physgen.stats.bispectrum import field_bispectrum
from physgen.stats.correlation import (
    pair_separation_histogram,
    spherical_shell_volumes,
    two_point_correlation,
)
from physgen.stats.ensemble import over_clouds
from physgen.stats.fields import field_pdf, minkowski_functionals, peak_counts
from physgen.stats.functions import mass_function, spanning_tree_lengths
from physgen.stats.jackknife import jackknife_correlation, jackknife_covariance
from physgen.stats.knn import knn_cdf, knn_distances, poisson_knn_cdf, void_probability
from physgen.stats.mesh import counts_in_cells
from physgen.stats.pairs import pair_counts
from physgen.stats.plane import pair_counts_rp_pi, pair_counts_s_mu
from physgen.stats.profile import radial_profile
from physgen.stats.redshift import (
    correlation_multipoles,
    projected_correlation,
    sky_to_cartesian,
)
from physgen.stats.soft import soft_pair_counts
from physgen.stats.spectrum import PowerSpectrum, field_power_spectrum, power_spectrum
from physgen.stats.velocity import (
    PairwiseVelocities,
    mean_relative_velocity,
    pairwise_velocities,
)

__all__ = [
    "PairwiseVelocities",
    "PowerSpectrum",
    "correlation_multipoles",
    "counts_in_cells",
    "field_bispectrum",
    "field_pdf",
    "field_power_spectrum",
    "jackknife_correlation",
    "jackknife_covariance",
    "knn_cdf",
    "knn_distances",
    "mass_function",
    "mean_relative_velocity",
    "minkowski_functionals",
    "over_clouds",
    "pair_counts",
    "pair_counts_rp_pi",
    "pair_counts_s_mu",
    "pair_separation_histogram",
    "pairwise_velocities",
    "peak_counts",
    "poisson_knn_cdf",
    "power_spectrum",
    "projected_correlation",
    "radial_profile",
    "sky_to_cartesian",
    "soft_pair_counts",
    "spanning_tree_lengths",
    "spherical_shell_volumes",
    "two_point_correlation",
    "void_probability",
]
