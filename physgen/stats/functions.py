"""How many objects of which size: mass functions, and the edges of a minimum spanning tree."""

import numpy as np
from jaxtyping import Float
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.spatial import KDTree

from physgen.errors import InputError
from physgen.stats.points import Numbers, as_box, as_columns, as_levels, as_points


def mass_function(
    log_mass: Numbers, edges: Numbers, volume: float, *, mask: Numbers | None = None
) -> Float[np.ndarray, "*n b"]:
    """dn / dlog10 M, objects per volume and decade, (b,) or (n, b).

    log_mass (N,) or (n, N) are log10 of masses, edges (b + 1,) too; bins are lo < value <= hi, and
    a masked object is none. Raises InputError for bad shapes, NaN, edges that do not increase and
    a volume that is not positive.
    """
    values = np.asarray(log_mass, dtype=np.float64)
    kept = np.ones(values.shape, bool) if mask is None else np.asarray(mask)
    if values.ndim not in (1, 2) or kept.shape != values.shape or kept.dtype != bool:
        raise InputError(
            f"expected log_mass (N,) or (n, N) and a boolean mask like it, got {values.shape} and "
            f"{kept.dtype} {kept.shape}"
        )
    values = as_columns(np.where(kept, values, 0.0), values.shape, "log_mass")
    limits = as_levels(edges)
    if not (np.isfinite(volume) and volume > 0):
        raise InputError(f"volume must be positive, got {volume}")
    clouds = zip(np.atleast_2d(values), np.atleast_2d(kept), strict=True)
    counts = np.stack([np.diff(_below(row[chosen], limits)) for row, chosen in clouds])
    result = counts / (volume * np.diff(limits))
    return result if values.ndim == 2 else result[0]


def spanning_tree_lengths(
    positions: Numbers, *, box_size: Numbers | None = None
) -> Float[np.ndarray, " e"]:
    """Lengths of the N - 1 edges of the minimum spanning tree, sorted (Barrow et al. 1985).

    Exact: the tree of all pairs closer than a distance at which they connect all points is the tree
    of all pairs. That distance is found by trial, and memory grows with the pairs below it.
    Raises InputError for bad points as `pair_counts`.
    """
    box = as_box(box_size)
    points = as_points(positions, box, minimum=2)
    apart = np.unique(points, axis=0)
    lengths = np.zeros(len(points) - len(apart))
    if len(apart) > 1:
        tree = KDTree(apart, boxsize=box)
        reach = 2 * tree.query(apart, k=2)[0][:, 1].mean()
        graph = tree.sparse_distance_matrix(tree, reach, output_type="coo_matrix").tocsr()
        while connected_components(graph, directed=False)[0] > 1:
            reach *= 1.5
            graph = tree.sparse_distance_matrix(tree, reach, output_type="coo_matrix").tocsr()
        lengths = np.concatenate([lengths, np.sort(minimum_spanning_tree(graph).data)])
    return lengths


def _below(values, limits):
    return np.searchsorted(np.sort(values), limits, side="right")
