"""A catalogue as curves: what boxes of galaxies are compared by."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import pdist

from physgen.errors import InputError
from physgen.galaxies.catalogue import Catalogue
from physgen.galaxies.feature_summaries import feature_statistics, mass_bins
from physgen.stats import (
    knn_distances,
    over_clouds,
    pair_separation_histogram,
    power_spectrum,
    radial_profile,
    two_point_correlation,
)
from physgen.validation import Statistic

_EDGES = (2.0, 4.0, 6.0, 9.0, 13.0, 18.0, 25.0, 35.0, 50.0)  # for galaxies 25 Mpc/h apart
_EDGES_SPACING = 25.4
_SEPARATION_BINS = 16
_REACH = 2.53  # mean spacings out to which the fraction of pairs is followed
_SHELLS = (0.5, 1.5, 2.5, 3.5, 4.5, 6.5, 9.5)  # ends of bins of |k|^2, in fundamentals
_BIN_RATIO = 1.25  # of wave numbers beyond
_FINEST = 32  # fundamentals: the last wave number of large catalogues
_OPEN_BINS = 8
_QUARTILES = (0.25, 0.5, 0.75)
LEAST = 4  # galaxies of a cloud that has a fingerprint
_FINGERPRINT_BINS = 32
_FINGERPRINT_NEIGHBOURS = 40  # pairs are compared out to where a galaxy has this many neighbours
_SAMPLE = 64  # clouds from which the bins of open space are chosen
_MOST = 512  # galaxies of one of them


@dataclass(frozen=True)
class SummarySettings:
    """The bins of the summaries, in the unit of the positions.

    correlation_edges: for xi, the relative velocities of pairs and the mass correlation.
    separation_edges: for the fraction of pairs. radial_edges: for the profile around the origin,
    None in a periodic box. neighbours: the orders k of the neighbour distances, none where clouds
    are too small. mass_edges: of log mass, for the mass function. wave_edges: of wave numbers, for
    the power spectrum, None in open space.
    """

    correlation_edges: tuple[float, ...]
    separation_edges: tuple[float, ...]
    radial_edges: tuple[float, ...] | None
    neighbours: tuple[int, ...] = (1, 2, 4, 8)
    mass_edges: tuple[float, ...] | None = None
    wave_edges: tuple[float, ...] | None = None


def choose_settings(catalogue: Catalogue) -> SummarySettings:
    """Bins that suit a catalogue.

    In a periodic box: edges from 2 to 50 Mpc/h as they suit galaxies 25 Mpc/h apart, kept where the
    mean spacing is within a factor of two of that and scaled to it elsewhere, up to half the box;
    separations up to two and a half spacings; wave numbers by the shells of the box, and then in
    equal ratios, up to one wave a mean spacing.
    In open space: eighths of the catalogue's own pair separations and radii.

    Raises InputError where no cloud has two galaxies.
    """
    counts = catalogue.counts
    if counts.max() < 2:
        raise InputError(
            "every cloud holds one galaxy or none: statistics of pairs need at least two in a cloud"
        )
    neighbours = tuple(k for k in (1, 2, 4, 8) if np.mean(counts > k) >= 0.5)
    if catalogue.box_size is None:
        separations, radii = _open_space_sample(catalogue)
        edges = _quantile_edges(separations, _OPEN_BINS)
        radial = _quantile_edges(radii, _OPEN_BINS)
        return SummarySettings(edges, edges, radial, neighbours, mass_bins(catalogue))
    half = catalogue.box_size / 2
    spacing = catalogue.box_size / float(np.mean(counts)) ** (1 / 3)
    scale = spacing / _EDGES_SPACING
    scale = 1.0 if 0.5 <= scale <= 2 else scale
    edges = tuple(e for e in (float(f"{scale * e:.2g}") for e in _EDGES) if e <= half)
    if len(edges) < 3:
        edges = tuple(np.linspace(0, half, 5).tolist())
    separations = np.linspace(0, min(half, _REACH * spacing), _SEPARATION_BINS + 1)
    masses = mass_bins(catalogue)
    waves = wave_edges(catalogue)
    return SummarySettings(edges, tuple(separations.tolist()), None, neighbours, masses, waves)


def wave_edges(catalogue: Catalogue) -> tuple[float, ...] | None:
    """Of bins of the wave number, see `choose_settings`; None in open space."""
    if catalogue.box_size is None:
        return None
    last = min(max(float(np.mean(catalogue.counts)) ** (1 / 3), 2.0), _FINEST)
    edges = [square**0.5 for square in _SHELLS]
    while edges[-1] * _BIN_RATIO <= last:
        edges.append(edges[-1] * _BIN_RATIO)
    fundamental = 2 * np.pi / catalogue.box_size
    return tuple(float(f"{fundamental * edge:.3g}") for edge in edges if edge <= last + 0.5)


def summaries(catalogue: Catalogue, settings: SummarySettings | None = None) -> list[Statistic]:
    """The statistics of every box: one curve a box, NaN where a box has too few galaxies.

    Always: pair separations, neighbour distances, number of galaxies. In a periodic box xi and the
    power spectrum, in open space the radial profile; and what `feature_statistics` says of
    velocities, masses and columns. Two catalogues that are to be compared need the same `settings`
    (default: `choose_settings`).
    """
    settings = settings or choose_settings(catalogue)
    mask, box_size = catalogue.mask, catalogue.box_size
    unit = catalogue.position_unit
    edges = np.array(settings.correlation_edges)
    separation_edges = np.array(settings.separation_edges)

    def curve(name, label, unit_, values, bins=edges):
        return Statistic(name, label, unit_, "separation r", unit, values, edges=bins)

    result = []
    if box_size is not None:
        xi = over_clouds(
            lambda x: two_point_correlation(x, edges, box_size=box_size), mask, catalogue.position
        )
        result.append(curve("xi", "two-point correlation ξ(r)", "", xi))
        if settings.wave_edges is not None:
            result.append(_power(catalogue, np.array(settings.wave_edges), box_size))
    fractions = over_clouds(
        lambda x: pair_separation_histogram(x, separation_edges, box_size=box_size),
        mask,
        catalogue.position,
    )
    result.append(curve("pair separations", "fraction of pairs", "", fractions, separation_edges))
    if settings.neighbours:
        result.append(_neighbour_distances(catalogue, settings.neighbours))
    if settings.radial_edges is not None:
        result.append(_profile(catalogue, np.array(settings.radial_edges)))
    result += feature_statistics(catalogue, edges, settings.mass_edges)
    counts = catalogue.counts[:, None].astype(float)
    result.append(Statistic("number of galaxies", "galaxies", "", "", "", counts, bin_names=("",)))
    return result


def fingerprints(catalogue: Catalogue, like: Catalogue) -> Float[np.ndarray, "n d"]:
    """Features (n, d) of each cloud that do not change when it is reordered, moved, mirrored or
    turned by a symmetry of its space: in a periodic box those of the cube.

    The distribution of pair separations in fine bins, and of neighbour distances in quantiles. Bins
    are chosen by `like`, so that catalogues with the same `like` can be compared. Clouds of fewer
    than `LEAST` galaxies have none: there are too few ways to arrange them.
    """
    box_size = catalogue.box_size
    neighbours = choose_settings(like).neighbours
    if box_size is None:
        separations, _ = _open_space_sample(like)
        edges = np.array(_quantile_edges(separations, _FINGERPRINT_BINS))
    else:
        volume = _FINGERPRINT_NEIGHBOURS * box_size**3 / np.mean(like.counts)
        reach = min(box_size / 2, (3 * volume / (4 * np.pi)) ** (1 / 3))
        edges = np.linspace(0, reach, _FINGERPRINT_BINS + 1)
    levels = np.linspace(0, 1, 16)

    def features(points):
        fractions = pair_separation_histogram(points, edges, box_size=box_size)
        near = _distance_quantiles(points, neighbours, levels, box_size)
        return np.concatenate([fractions, near.ravel()])

    return over_clouds(features, catalogue.mask, catalogue.position, minimum=LEAST)


def _power(catalogue, edges, box_size):
    unit = catalogue.position_unit
    mesh = 4 * int(np.ceil(edges[-1] * box_size / (2 * np.pi)))
    values = over_clouds(
        lambda x: power_spectrum(x, edges, mesh, box_size=box_size).power[0],
        catalogue.mask,
        catalogue.position,
    )
    return Statistic(
        "power spectrum",
        "power P(k)",
        f"({unit})^3",
        "wavenumber k",
        "h/Mpc" if unit == "Mpc/h" else f"1/{unit}",
        values,
        edges=edges,
    )


def _neighbour_distances(catalogue, neighbours):
    values = over_clouds(
        lambda x: _distance_quantiles(x, neighbours, _QUARTILES, catalogue.box_size).ravel(),
        catalogue.mask,
        catalogue.position,
    )
    names = tuple(f"k={k} {100 * q:.0f}%" for k in neighbours for q in _QUARTILES)
    unit = catalogue.position_unit
    label = "distance to the k-th neighbour"
    return Statistic(
        "neighbour distances", label, unit, "k-th neighbour, quantile", "", values, bin_names=names
    )


def _distance_quantiles(points, neighbours, levels, box_size):
    """Quantiles (k, levels) of the neighbour distances; NaN for a k that the cloud is too small
    for."""
    result = np.full((len(neighbours), len(levels)), np.nan)
    possible = [k for k in neighbours if k < len(points)]
    if possible:
        distances = knn_distances(points, possible, box_size=box_size)
        result[: len(possible)] = np.quantile(distances, levels, axis=0).T
    return result


def _profile(catalogue, edges):
    unit = catalogue.position_unit
    values = over_clouds(
        lambda x: radial_profile(x, edges), catalogue.mask, catalogue.position, minimum=1
    )
    return Statistic(
        "radial profile",
        "number density",
        f"({unit})^-3",
        "distance from the origin",
        unit,
        values,
        edges=edges,
    )


def _open_space_sample(catalogue):
    """Pair separations and radii of some of the clouds."""
    clouds = [
        x[m][:_MOST]
        for x, m in zip(catalogue.position[:_SAMPLE], catalogue.mask[:_SAMPLE], strict=True)
    ]
    separations = np.concatenate([pdist(cloud) for cloud in clouds])
    if not len(separations) or separations.max() == 0:
        raise InputError(
            f"the first {len(clouds)} clouds hold no two galaxies at different places: statistics "
            "of pairs need them"
        )
    return separations, np.linalg.norm(np.concatenate(clouds), axis=1)


def _quantile_edges(values, bins):
    """Edges of bins with about as many values each, the first from zero, to three digits."""
    inner = np.quantile(values, np.arange(1, bins) / bins)
    edges = [0.0, *inner, 1.01 * values.max()]
    return tuple(np.unique([float(f"{e:.3g}") for e in edges]).tolist())
