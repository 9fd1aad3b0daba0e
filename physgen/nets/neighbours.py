"""The nearest neighbours of points in a periodic box of side 1, found with a grid of cells.

Points are sorted by cell, so the points of a row of cells lie side by side, and the candidates of a
point are a few runs of the sorted points. They are compared in rounds of fixed size until all have
been: nothing has a capacity that a clump could overflow, dense clumps only take more rounds. The
list is exact, and time and memory are linear in the number of points of a given clustering.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from physgen.errors import InputError
from physgen.geometry import Torus
from physgen.nets.blocks import by_blocks

BOX = Torus(1.0)
_REACH = 2  # cells to either side that can hold neighbours: their side is half the cutoff
_ROUND = 1.3  # candidates compared in a round, in units of those of a uniform cloud


class Neighbours(NamedTuple):
    """The nearest neighbours of each point within a cutoff, nearest first."""

    index: Int[Array, "n k"]
    """Rows of the neighbours; the point itself where there are fewer than k."""
    found: Bool[Array, "n k"]


def nearest_neighbours(
    position: Float[Array, "n 3"], present: Bool[Array, " n"], cutoff: float, k: int
) -> Neighbours:
    """The k nearest points within `cutoff` of each point, minimum image, among those present.

    Where fewer than k lie within the cutoff these are all of them, otherwise the k nearest; never
    is one missing between. Absent points are nobody's neighbours. No gradients.

    Raises:
        InputError: if the cutoff is not positive and below half the box.
    """
    if not 0 < cutoff < 0.5:
        raise InputError(f"expected a cutoff below half the box of side 1, got {cutoff}")
    n, cells = len(position), cells_a_side(cutoff)
    position = BOX.wrap(jax.lax.stop_gradient(position))
    order = cell_order(position, present, cutoff)
    in_order = position[order]
    first = jnp.searchsorted(_keys(position, present, cells)[order], jnp.arange(cells**3 + 1))
    expected = n * min(1.0, ((2 * _REACH + 1) / cells) ** 3)
    in_round = min(n, 16 + math.ceil(_ROUND * expected))

    def search(own_position, own_row):
        starts, stops = _runs(own_position, first, cells)
        ends = jnp.cumsum(stops - starts, axis=1)
        jumps = jnp.concatenate([starts[:, :1], starts[:, 1:] - stops[:, :-1]], axis=1)

        def compare(state):
            begin, squared, row = state
            slot = begin + jnp.arange(in_round)[None]
            new = slot + jumps[:, :1]
            for run in range(1, jumps.shape[1]):
                new = new + jnp.where(slot >= ends[:, run - 1 : run], jumps[:, run : run + 1], 0)
            new = jnp.minimum(new, n - 1)
            parts = (
                minimum_image(in_order[:, c][new] - own_position[:, c : c + 1]) for c in range(3)
            )
            distance = sum(part * part for part in parts)
            counts = (slot < ends[:, -1:]) & (distance < cutoff**2) & (new != own_row[:, None])
            squared = jnp.concatenate([squared, jnp.where(counts, distance, jnp.inf)], axis=1)
            nearest, chosen = jax.lax.top_k(-squared, k)
            row = jnp.take_along_axis(jnp.concatenate([row, new], axis=1), chosen, axis=1)
            return begin + in_round, -nearest, row

        shape = (len(own_row), k)
        nothing = (jnp.zeros((), int), jnp.full(shape, jnp.inf), jnp.zeros(shape, int))
        most = jnp.max(ends[:, -1])
        _, squared, row = jax.lax.while_loop(lambda state: state[0] < most, compare, nothing)
        found = jnp.isfinite(squared)
        return jnp.where(found, row, own_row[:, None]), found

    row, found = by_blocks(search, in_order, jnp.arange(n))
    back = jnp.zeros(n, int).at[order].set(jnp.arange(n))
    return Neighbours(order[row][back], found[back])


def minimum_image(delta: Array) -> Array:
    """Differences of positions within the box of side 1, to the nearest image."""
    return delta - jnp.where(delta > 0.5, 1.0, 0.0) + jnp.where(delta < -0.5, 1.0, 0.0)


def cell_order(
    position: Float[Array, "n 3"], present: Bool[Array, " n"], cutoff: float
) -> Int[Array, " n"]:
    """Rows in the order of their cells, absent ones last: neighbours lie close in memory."""
    return jnp.argsort(_keys(BOX.wrap(position), present, cells_a_side(cutoff)))


def cells_a_side(cutoff: float) -> int:
    """Cells along a side of the box; one if all points are neighbours' candidates anyway."""
    cells = math.floor(_REACH / cutoff)
    return cells if cells >= 2 * _REACH + 1 else 1


def _cells(position, cells):
    return jnp.clip(jnp.floor(position * cells).astype(int), 0, cells - 1)


def _keys(position, present, cells):
    x, y, z = _cells(position, cells).T
    return jnp.where(present, (x * cells + y) * cells + z, cells**3)


def _runs(position, first, cells):
    """Starts and stops, (n, runs), of the sorted points in all cells within reach of a point's."""
    if cells == 1:
        ends = jnp.broadcast_to(first, (len(position), 2))
        return ends[:, :1], ends[:, 1:]
    x, y, z = _cells(position, cells).T
    steps = jnp.arange(-_REACH, _REACH + 1)
    near_x, near_y = ((c[:, None] + steps[None]) % cells for c in (x, y))
    rows = (near_x[:, :, None] * cells + near_y[:, None, :]).reshape(len(position), -1) * cells
    low, high = z[:, None] - _REACH, z[:, None] + _REACH + 1
    # A row of cells within reach is cut in two where it leaves the box; the second may be empty.
    other_low = jnp.where(low < 0, low + cells, 0)
    other_high = jnp.where(low < 0, cells, jnp.maximum(high - cells, 0))
    low, high = jnp.maximum(low, 0), jnp.minimum(high, cells)
    starts = jnp.concatenate([first[rows + low], first[rows + other_low]], axis=1)
    stops = jnp.concatenate([first[rows + high], first[rows + other_high]], axis=1)
    return starts, stops
