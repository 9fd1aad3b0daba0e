"""How fast pairs approach: the mean relative velocity v12."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree

from physgen.errors import InputError
from physgen.stats.points import Numbers, as_box, as_edges, as_points, as_rows, spatial_blocks

_BLOCK_SIZE = 1024  # points; a pair of blocks holds at most a million pairs


def mean_relative_velocity(
    positions: Numbers,
    velocities: Numbers,
    edges: Numbers,
    *,
    box_size: Numbers | None = None,
) -> Float[np.ndarray, " b"]:
    """v12(r) = < (v_i - v_j) . r_hat_ij > over pairs with lo < separation <= hi, (b,).

    r_hat_ij points from j to i, so infall is negative (Peebles 1980, section 71; halotools' sign).
    In the unit of the velocities (km/s); peculiar velocities in, no Hubble flow added. NaN in a bin
    without pairs. Pairs of coincident points, which have no direction, are left out. Memory is
    bounded: pairs are listed block by block.

    Raises InputError as `pair_counts`, and for velocities that are not finite or not (N, 3).
    """
    box = as_box(box_size)
    radii = as_edges(edges, box)
    points = as_points(positions, box, minimum=2)
    motions = as_rows(velocities, "velocities")
    if len(motions) != len(points):
        raise InputError(
            f"velocities must have one row for each of the {len(points)} positions, got "
            f"{len(motions)}"
        )
    parts = spatial_blocks(points, box, -(-len(points) // _BLOCK_SIZE))
    trees = [KDTree(points[part], boxsize=box) for part in parts]
    bins, reach = len(radii) - 1, radii[-1] * (1 + 1e-12)
    total, count = np.zeros(bins), np.zeros(bins, dtype=np.int64)
    for a in range(len(parts)):
        for b in range(a, len(parts)):
            near = trees[a].sparse_distance_matrix(trees[b], reach, output_type="ndarray")
            near = near[near["i"] < near["j"]] if a == b else near
            i, j = parts[a][near["i"]], parts[b][near["j"]]
            separation = points[i] - points[j]
            if box is not None:
                separation -= box * np.round(separation / box)
            square = np.einsum("pc,pc->p", separation, separation)
            where = np.searchsorted(radii**2, square, side="left") - 1
            binned = (where >= 0) & (where < bins)
            where, square, separation = where[binned], square[binned], separation[binned]
            approach = np.einsum("pc,pc->p", (motions[i] - motions[j])[binned], separation)
            total += np.bincount(where, weights=approach / np.sqrt(square), minlength=bins)
            count += np.bincount(where, minlength=bins)
    return np.divide(total, count, out=np.full(bins, np.nan), where=count > 0)
