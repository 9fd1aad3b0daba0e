"""What galaxies have besides positions, as curves: motions, masses, any further column."""

import numpy as np

from physgen.galaxies.catalogue import Catalogue
from physgen.galaxies.redshift_space import redshift_space
from physgen.stats import (
    correlation_multipoles,
    mass_function,
    over_clouds,
    pair_counts,
    pairwise_velocities,
)
from physgen.validation import Statistic

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_MASS_BINS = 8
_COSINES = np.linspace(0, 1, 11)
_HEAVIEST = 0.995  # of the galaxies are below the last bin


def mass_bins(catalogue: Catalogue) -> tuple[float, ...] | None:
    """Edges of equal bins in log mass, from the least; None without masses, or where all equal."""
    if catalogue.log_mass is None:
        return None
    masses = catalogue.log_mass[catalogue.mask]
    low, high = float(masses.min()), float(np.quantile(masses, _HEAVIEST))
    if not low < high:
        return None
    edges = np.linspace(low, high, _MASS_BINS + 1)
    edges[0] -= 1e-3 * (high - low)  # bins are open below
    return tuple(edges.tolist())


def feature_statistics(
    catalogue: Catalogue, edges: np.ndarray, mass_edges: tuple[float, ...] | None
) -> list[Statistic]:
    """One curve a box for each, NaN where a box has too few galaxies.

    With velocities: mean and dispersion of the relative velocities of pairs in bins of separation
    `edges`, quantiles of the speed and, in a periodic box in Mpc/h, the monopole and quadrupole of
    the correlation in redshift space, along z, as at z = 0. With masses: the mass function in bins
    `mass_edges`, where the box has a volume, quantiles, and the correlation of the masses of
    neighbours. Of a column: quantiles.
    """
    mask, result = catalogue.mask, []
    if catalogue.velocity is not None:
        result += _motions(catalogue, edges)
    if catalogue.log_mass is not None:
        result += _masses(catalogue, edges, mass_edges)
    for column in catalogue.columns:
        result.append(_quantiles(column.name, column.name, column.unit, mask, column.values))
    return result


def _motions(catalogue, edges):
    pairs = pairwise_velocities(
        catalogue.position,
        catalogue.velocity,
        edges,
        box_size=catalogue.box_size,
        mask=catalogue.mask,
    )
    unit = catalogue.velocity_unit
    shifted = _multipoles(catalogue, edges) if _has_redshift_space(catalogue) else []
    speed = np.linalg.norm(catalogue.velocity, axis=-1)
    return [
        _of_pairs(catalogue, "v12", "mean relative velocity v12", unit, pairs.v12, edges),
        _of_pairs(
            catalogue, "sigma12", "dispersion of relative velocities", unit, pairs.sigma12, edges
        ),
        *shifted,
        _quantiles("speeds", "speed", unit, catalogue.mask, speed),
    ]


def _has_redshift_space(catalogue):
    units = catalogue.position_unit, catalogue.velocity_unit
    return catalogue.box_size is not None and units == ("Mpc/h", "km/s")


def _multipoles(catalogue, edges):
    seen = redshift_space(catalogue)
    both = over_clouds(
        lambda x: correlation_multipoles(
            x, edges, _COSINES, ells=(0, 2), box_size=catalogue.box_size
        ).ravel(),
        catalogue.mask,
        seen.position,
    )
    return [
        _of_pairs(
            catalogue, f"redshift-space xi{ell}", f"redshift space ξ{ell}(s)", "", part, edges
        )
        for ell, part in zip((0, 2), np.split(both, 2, axis=1), strict=True)
    ]


def _masses(catalogue, edges, mass_edges):
    mask, log_mass, unit = catalogue.mask, catalogue.log_mass, catalogue.log_mass_unit
    result = []
    if mass_edges is not None and catalogue.box_size is not None:
        volume = catalogue.box_size**3
        values = mass_function(log_mass, np.array(mass_edges), volume, mask=mask)
        result.append(
            Statistic(
                "mass function",
                "dn / dlog10 M",
                f"({catalogue.position_unit})^-3",
                "log mass",
                unit,
                values,
                edges=np.array(mass_edges),
            )
        )
    result.append(_quantiles("log masses", "log mass", unit, mask, log_mass))
    together = over_clouds(
        lambda x, m: _mass_correlation(x, m, edges, catalogue.box_size),
        mask,
        catalogue.position,
        log_mass,
    )
    label = "log-mass correlation of pairs"
    result.append(_of_pairs(catalogue, "mass correlation", label, "", together, edges))
    return result


def _of_pairs(catalogue, name, label, unit, values, edges):
    apart = catalogue.position_unit
    return Statistic(name, label, unit, "separation r", apart, values, edges=edges)


def _quantiles(name, label, unit, mask, values):
    levels = over_clouds(lambda v: np.quantile(v, _QUANTILES), mask, values, minimum=1)
    names = tuple(f"{100 * q:.0f}%" for q in _QUANTILES)
    return Statistic(name, label, unit, "quantile", "", levels, bin_names=names)


def _mass_correlation(points, log_mass, edges, box_size):
    """Mean product of the standardised log masses of pairs; NaN without pairs or scatter."""
    pairs = pair_counts(points, edges, box_size=box_size)
    scatter = log_mass.std()
    if scatter == 0:
        return np.full(len(pairs), np.nan)
    mark = (log_mass - log_mass.mean()) / scatter
    products = pair_counts(points, edges, box_size=box_size, weights=mark)
    return np.divide(products, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
