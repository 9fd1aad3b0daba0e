"""Pair counts in two dimensions: (s, mu), or across and along the line of sight."""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from physgen.errors import InputError
from physgen.stats.leaves import near_tiles, pack
from physgen.stats.points import Numbers, as_box, as_edges, as_points, as_weights
from physgen.stats.tiles import LEAF

_CHUNKS = 64, 256, 1024  # tiles in a call: few sizes, each compiled once
Plane = Literal["s mu", "rp pi"]


def pair_counts_s_mu(
    positions: Numbers,
    s_edges: Numbers,
    mu_edges: Numbers,
    *,
    box_size: Numbers | None = None,
    weights: Numbers | None = None,
    other: Numbers | None = None,
    other_weights: Numbers | None = None,
) -> Float[np.ndarray, "s m"]:
    """Ordered pairs in bins of separation s and |mu|, the cosine to the line of sight, (s, m).

    Bins are lo < value <= hi, the first closed where it starts at zero. In a periodic box the line
    of sight is the z axis; in open space it goes from the origin, the observer, to the middle of
    the pair (Fisher et al. 1994). Weights and `other` as for `pair_counts`; sums are float64.

    Raises InputError as `pair_counts`, and for mu_edges that pass 1.
    """
    mu = as_edges(mu_edges)
    if mu[-1] > 1:
        raise InputError(f"mu_edges must lie between 0 and 1, got {mu.tolist()}; they are cosines")
    s = as_edges(s_edges, as_box(box_size))
    two = (other, other_weights)
    return _counts("s mu", positions, s, mu, float(s[-1]), box_size, weights, *two)


def pair_counts_rp_pi(
    positions: Numbers,
    rp_edges: Numbers,
    pi_edges: Numbers,
    *,
    box_size: Numbers | None = None,
    weights: Numbers | None = None,
    other: Numbers | None = None,
    other_weights: Numbers | None = None,
) -> Float[np.ndarray, "r p"]:
    """Ordered pairs in bins of separation across (rp) and along (|pi|) the line of sight, (r, p).

    The line of sight, the bins, weights and errors are those of `pair_counts_s_mu`; in a periodic
    box neither edge may pass half the box, and pairs are minimum-image in each coordinate.
    """
    box = as_box(box_size)
    rp, pi = as_edges(rp_edges, box), as_edges(pi_edges, box)
    two = (other, other_weights)
    reach = float(np.hypot(rp[-1], pi[-1]))
    return _counts("rp pi", positions, rp, pi, reach, box_size, weights, *two)


def _counts(plane, positions, one, two, reach, box_size, weights, other, other_weights):
    box = as_box(box_size)
    points = as_points(positions, box, minimum=2 if other is None else 1)
    first = pack(_columns(points, weights, "weights")[None], LEAF)
    second = None
    if other is not None:
        others = as_points(other, box, name="other")
        second = pack(_columns(others, other_weights, "other_weights")[None], LEAF)
    rows = [leaves.columns[0] for leaves in (first, second) if leaves is not None]
    empty = np.full((1, *rows[0].shape[1:]), np.nan)
    rows = np.concatenate([*rows, empty])
    offset = 0 if second is None else first.columns.shape[1]
    bins = (len(one) - 1) * (len(two) - 1)
    total = np.zeros(bins + 1)
    sides = np.zeros(3) if box is None else box
    edges = [np.where(e == 0, -1.0, e) for e in (one, two)]  # a bin from zero is closed
    with jax.enable_x64(True):
        leaves = jax.device_put(rows)
        for tiles in near_tiles(first, second, 0, reach, box):
            chunk = next((c for c in _CHUNKS if c >= len(tiles.first)), _CHUNKS[-1])
            for start in range(0, len(tiles.first), chunk):
                i, j = tiles.first[start : start + chunk], tiles.second[start : start + chunk]
                missing = (0, chunk - len(i))
                i = np.pad(i, missing, constant_values=len(rows) - 1)
                j = np.pad(j + offset, missing, constant_values=len(rows) - 1)
                found = _bins(leaves, i, j, *edges, sides, plane=plane, periodic=box is not None)
                where, product = (np.asarray(part).reshape(chunk, -1) for part in found)
                own = (i == j) & (other is None)
                for chosen, times in ((own, 1), (~own, 1 if other is not None else 2)):
                    total += times * np.bincount(
                        where[chosen].ravel(), product[chosen].ravel(), minlength=bins + 1
                    )
    return total[:-1].reshape(len(one) - 1, len(two) - 1)


def _columns(points, weights, name):
    mass = np.ones(len(points)) if weights is None else as_weights(weights, len(points), name)
    return np.concatenate([points, mass[:, None]], axis=1)


@partial(jax.jit, static_argnames=("plane", "periodic"))
def _bins(
    leaves: Float[Array, "P 4 T"],
    first: Int[Array, " t"],
    second: Int[Array, " t"],
    one: Float[Array, " a"],
    two: Float[Array, " b"],
    box: Float[Array, "3"],
    *,
    plane: Plane,
    periodic: bool,
) -> tuple[Int[Array, "t T T"], Float[Array, "t T T"]]:
    """The bin of each pair, the number of bins for one in none, and its weight."""
    a, b = leaves[first], leaves[second]
    delta = [a[:, c, :, None] - b[:, c, None, :] for c in range(3)]
    if periodic:
        delta = [d - box[c] * jnp.round(d / box[c]) for c, d in enumerate(delta)]
        along = delta[2]
    else:
        sight = [a[:, c, :, None] + b[:, c, None, :] for c in range(3)]
        length = jnp.sqrt(sum(c * c for c in sight))
        dot = sum(d * c for d, c in zip(delta, sight, strict=True))
        along = dot / jnp.where(length > 0, length, 1.0)
    square = delta[0] * delta[0] + delta[1] * delta[1] + delta[2] * delta[2]
    if plane == "s mu":
        separation = jnp.sqrt(square)
        cosine = jnp.abs(along) / jnp.where(separation > 0, separation, 1.0)
        values = square, jnp.minimum(cosine, 1.0)
    else:
        across = delta[0] * delta[0] + delta[1] * delta[1] if periodic else square - along * along
        values = jnp.maximum(across, 0.0), jnp.abs(along)
    limits = jnp.where(one < 0, -1.0, one * one), two
    index = [
        sum((value > edges[k]).astype(jnp.int64) for k in range(len(edges))) - 1
        for value, edges in zip(values, limits, strict=True)
    ]
    inside = (index[0] >= 0) & (index[0] < len(one) - 1)
    inside &= (index[1] >= 0) & (index[1] < len(two) - 1) & ~jnp.isnan(square)
    itself = jnp.eye(leaves.shape[2], dtype=bool)[None] & (first == second)[:, None, None]
    bins = (len(one) - 1) * (len(two) - 1)
    where = jnp.where(inside & ~itself, index[0] * (len(two) - 1) + index[1], bins)
    return where, jnp.where(inside, a[:, 3, :, None] * b[:, 3, None, :], 0.0)
