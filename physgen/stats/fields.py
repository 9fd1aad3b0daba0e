"""Statistics of periodic fields: values, peaks, and the shape of what lies above a threshold."""

from itertools import combinations

import numpy as np
from jaxtyping import Float, Int

from physgen.errors import InputError
from physgen.stats.points import Numbers, as_levels
from physgen.stats.spectrum import as_fields


def field_pdf(fields: Numbers, edges: Numbers) -> Float[np.ndarray, "n b"]:
    """One-point probability density of the values in each bin, (n, b).

    Bins are lo <= value < hi, the last one closed; all values are counted, so that it integrates to
    one where the edges hold them all. Raises InputError for bad fields, or edges that are not
    increasing.
    """
    values, limits = as_fields(fields), as_levels(edges)
    flat = values.reshape(len(values), -1)
    counts = np.stack([np.histogram(row, bins=limits)[0] for row in flat])
    return counts / (flat.shape[1] * np.diff(limits))


def peak_counts(fields: Numbers, edges: Numbers) -> Int[np.ndarray, "n b"]:
    """Number of peaks in bins of their height, (n, b).

    A peak is higher than all of its neighbours, 8 in a plane and 26 in space, with periodic edges.
    Bins and errors as for `field_pdf`.
    """
    values, limits = as_fields(fields), as_levels(edges)
    axes = tuple(range(1, values.ndim))
    peak = np.ones(values.shape, bool)
    for step in np.ndindex(*(3,) * len(axes)):
        move = tuple(s - 1 for s in step)
        if any(move):
            peak &= values > np.roll(values, move, axes)
    return np.stack([np.histogram(v[p], bins=limits)[0] for v, p in zip(values, peak, strict=True)])


def minkowski_functionals(
    fields: Numbers, thresholds: Numbers, *, spacing: float = 1.0
) -> Float[np.ndarray, "n t f"]:
    """Minkowski functionals per volume of the excursion set f >= threshold, periodic edges.

    The set is the union of the closed cells of its nodes. In space (n, t, 4): volume, surface / 6,
    integrated mean curvature / (3 pi), Euler characteristic (Schmalzing & Buchert 1997, Crofton's
    formulae, eqs. 12 to 15). In a plane (n, t, 3): area, perimeter / 4, Euler characteristic, with
    cells that touch at a corner connected. `spacing` is the distance of nodes.

    Raises InputError for bad fields, thresholds that are not finite, or a spacing not positive.
    """
    values, levels = as_fields(fields), np.atleast_1d(np.asarray(thresholds, np.float64))
    if levels.ndim != 1 or not np.isfinite(levels).all() or not spacing > 0:
        raise InputError(
            f"expected finite thresholds and a positive spacing, got {thresholds} and {spacing}"
        )
    return np.stack([_functionals(values >= level, spacing) for level in levels], axis=1)


def _functionals(inside, spacing):
    axes = range(1, inside.ndim)
    size = np.prod(inside.shape[1:])
    number = []  # of vertices, edges, faces, cells
    for missing in range(inside.ndim - 1, -1, -1):
        total = np.zeros(len(inside))
        for some in combinations(axes, missing):
            touched = inside
            for axis in some:
                touched = touched | np.roll(touched, 1, axis)
            total += touched.sum(axis=tuple(axes))
        number.append(total / size)
    if len(axes) == 2:
        n0, n1, n2 = number
        found = [n2, np.pi / 8 * (n1 - 2 * n2), n0 - n1 + n2]
    else:
        n0, n1, n2, n3 = number
        found = [n3, 2 / 9 * (n2 - 3 * n3), 2 / 9 * (n1 - 2 * n2 + 3 * n3), n0 - n1 + n2 - n3]
    return np.stack([f / spacing**i for i, f in enumerate(found)], axis=1)
