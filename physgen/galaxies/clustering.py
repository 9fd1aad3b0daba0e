"""The clustering of a survey, measured against its randoms."""

import numpy as np
from numpy.typing import ArrayLike

from physgen.galaxies.catalogue import Catalogue
from physgen.galaxies.measure import Measurement, choose_edges
from physgen.galaxies.readers import Survey
from physgen.stats import correlation_multipoles, pair_counts, two_point_correlation
from physgen.stats.points import as_edges
from physgen.validation import Statistic

_ANGLES = np.linspace(0, 1, 21)
_MULTIPOLES = {2: "quadrupole", 4: "hexadecapole"}


def measure_survey(survey: Survey, *, edges: ArrayLike | None = None) -> Measurement:
    """Weighted pairs, xi(r) and its multipoles by the estimator of Landy & Szalay (1993).

    The line of sight of a pair is the direction to its middle from the observer, at the origin.

    Args:
        edges: of the separation bins in Mpc/h; chosen to suit if not given.

    Raises:
        InputError: for unusable edges, and fewer than two galaxies or randoms.
    """
    points, randoms = survey.position, survey.random_position
    bins = as_edges(choose_edges(Catalogue(points[None])) if edges is None else edges)
    weights = {"weights": survey.weights, "random_weights": survey.random_weights}
    pairs = pair_counts(points, bins, weights=survey.weights)
    xi = two_point_correlation(points, bins, box_size=None, randoms=randoms, **weights)
    ells = tuple(_MULTIPOLES)
    multipoles = correlation_multipoles(
        points, bins, _ANGLES, ells=ells, randoms=randoms, **weights
    )

    def curve(name, label, values, unit=""):
        return Statistic(name, label, unit, "separation r", "Mpc/h", values[None], edges=bins)

    return Measurement(
        boxes=1,
        galaxies=len(points),
        box_size=None,
        statistics=(
            curve("pair counts", "weighted ordered pairs", pairs),
            curve("xi", "two-point correlation ξ(r)", xi),
            *(
                curve(_MULTIPOLES[ell], f"multipole ξ{ell}(r)", values)
                for ell, values in zip(ells, multipoles, strict=True)
            ),
        ),
    )
