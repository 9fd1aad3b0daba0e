"""PQMass: do both ensembles fill random cells of their space alike?"""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from physgen.errors import InputError
from physgen.validation.two_sample import Seed, Strata, TwoSampleTest, pool

_EACH = 10  # simulations that a cell holds on average, by default
_MOST = 100


def pqmass(
    real: ArrayLike,
    generated: ArrayLike,
    *,
    cells: int | None = None,
    tessellations: int = 20,
    strata: Strata | None = None,
    draws: int = 999,
    seed: Seed = 0,
) -> TwoSampleTest:
    """Pearson's chi^2 of the counts of real (n, p) and generated (m, p) in random Voronoi cells.

    The cells (PQMass, Lemos et al. 2024, arXiv:2402.04355) belong to `cells` simulations drawn from
    both ensembles together, by default one for each ten and at most 100; statistics are
    standardised. chi^2 is averaged over `tessellations`, and its p-value is from `draws` exchanges
    of the labels: the average of the p-values of single tessellations would not be a p-value.

    Raises:
        InputError: for shapes that do not fit, fewer than 4 simulations, NaN, no scatter, and cells
            that are fewer than 2 or more than there are simulations.
    """
    pooled = pool(real, generated, strata=strata)
    count = pooled.n + pooled.m
    cells = min(max(count // _EACH, 2), _MOST) if cells is None else cells
    if not 2 <= cells <= count:
        raise InputError(f"expected from 2 to {count} cells, got {cells}; give another number")
    if tessellations < 1:
        raise InputError(f"expected at least one tessellation, got {tessellations}")
    rng = np.random.default_rng(seed)
    inside = np.concatenate(
        [_tessellate(pooled.values, cells, rng) for _ in range(tessellations)], axis=1
    )
    labels = pooled.labels(draws, rng)
    total = inside.sum(axis=0)
    expected = total * pooled.n / count
    difference = labels @ inside - expected
    # chi^2 of both rows: the generated counts are off by as much, the other way.
    weight = count / pooled.m / np.where(expected > 0, expected, 1)
    chi2 = difference**2 @ weight / tessellations
    return pooled.result("PQMass", chi2, note=f"{cells} cells, {tessellations} tessellations.")


def _tessellate(
    values: Float[np.ndarray, "N p"], cells: int, rng: np.random.Generator
) -> Float[np.ndarray, "N cells"]:
    """1 where a simulation is in a cell."""
    centres = values[rng.choice(len(values), cells, replace=False)]
    distance = np.sum(centres**2, axis=1) - 2 * values @ centres.T  # up to a constant of the row
    inside = np.zeros((len(values), cells))
    inside[np.arange(len(values)), distance.argmin(axis=1)] = 1
    return inside
