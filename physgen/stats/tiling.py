"""Sums over close pairs, cumulative in their separation: leaves, tiles, kernel, in that order."""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float, Shaped

from physgen.stats.leaves import Leaves, Tiles, near_tiles, pack
from physgen.stats.points import Box
from physgen.stats.tiles import BATCH, CHUNK, LEAF, Quantity, tile_sums

_POINTS = 2**18  # of several clouds at once: they stay in the cache


@dataclass(frozen=True, eq=False)
class _Batches:
    """Batches of tiles of one cloud that share their edges."""

    first: np.ndarray  # (c, B)
    second: np.ndarray  # (c, B)
    shift: np.ndarray  # (c, B, 3)
    start: np.ndarray  # (c,) index of the first edge
    owner: np.ndarray  # (c,) the cloud
    times: np.ndarray  # (c,) 2 for a pair of leaves that stands for two


def cumulative_sums(
    columns: Float[np.ndarray, "n N C"],
    edges: Float[np.ndarray, " b1"],
    box: Box | None,
    quantity: Quantity,
    scales: Float[np.ndarray, " s"],
    other: Float[np.ndarray, "n M C"] | None = None,
) -> Shaped[np.ndarray, "n q b1"]:
    """Sums over ordered pairs closer than each edge, as Python integers (see `tile_sums`).

    A row of `columns` that is NaN is no point. Without `other` a point pairs with itself, too.
    """
    step = max(1, _POINTS // columns.shape[1])
    parts = [slice(start, start + step) for start in range(0, len(columns), step)]
    return np.concatenate(
        [
            _sums(columns[p], edges, box, quantity, scales, None if other is None else other[p])
            for p in parts
        ]
    )


def _sums(columns, edges, box, quantity: Quantity, scales, other):
    one = pack(columns, LEAF)
    two = None if other is None else pack(other, LEAF)
    sides = np.ones(3) if box is None else box
    widest = _widest(one) + _widest(one if two is None else two)
    wrap = box is not None and bool((edges[-1] + widest >= sides / 2).any())
    per_cloud = one.columns.shape[1]
    offset = len(columns) * per_cloud
    rows = one.columns.reshape(offset, *one.columns.shape[2:])
    if two is not None:
        rows = np.concatenate([rows, two.columns.reshape(-1, *two.columns.shape[2:])])
    room = 1 << len(rows).bit_length()  # few shapes, and an empty leaf at the end
    rows = np.pad(rows, ((0, room - len(rows)), (0, 0), (0, 0)), constant_values=np.nan)
    widths = sorted({-(-len(edges) // 2), len(edges)}) if len(edges) > 8 else [len(edges)]
    waiting: dict[int, list[_Batches]] = {width: [] for width in widths}
    padded = np.concatenate([edges, np.full(len(edges), np.inf)]) ** 2
    done = []
    with jax.enable_x64(True):
        leaves = jax.device_put(rows)
        device = jax.device_put((np.asarray(scales, np.float64), sides))

        def run(batches: _Batches, width: int) -> None:
            squares = padded[batches.start[:, None] + np.arange(width)]
            sums = tile_sums(
                leaves,
                batches.first,
                batches.second,
                batches.shift,
                squares,
                *device,
                quantity=quantity,
                wrap=wrap,
            )
            done.append((batches, width, sums))

        for cloud in range(len(columns)):
            for tiles in near_tiles(one, two, cloud, edges[-1], box):
                for width, batches in _grouped(
                    tiles, edges, widths, cloud, per_cloud, one, two, offset, room - 1
                ):
                    waiting[width].append(batches)
                    if sum(len(b.start) for b in waiting[width]) >= CHUNK:
                        whole, waiting[width] = _chunks(waiting[width])
                        for chunk in whole:
                            run(chunk, width)
        for width, left in waiting.items():
            if left:
                run(_filled(_joined(left), room - 1), width)
    return _collected(done, len(columns), len(edges))


def _grouped(tiles: Tiles, edges, widths, cloud, per_cloud, one: Leaves, two, offset, empty):
    """The tiles by the number of edges that they need, in batches that need the same ones."""
    start = np.searchsorted(edges, tiles.nearest)
    end = np.minimum(np.searchsorted(edges, tiles.farthest), len(edges) - 1)
    needed = np.searchsorted(widths, end - start + 1)
    own = (tiles.first == tiles.second) & (two is None)
    key = (needed * 2 + own) * len(edges) + start
    least = np.min_scalar_type(int(key.max(initial=0)))  # narrow integers are sorted by radix
    order = np.argsort(key.astype(least), kind="stable")
    counts = np.bincount(key)
    keys = np.flatnonzero(counts)
    counts = counts[keys]
    room = -(-counts // BATCH) * BATCH
    within = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    where = np.repeat(np.cumsum(room) - room, counts) + within
    total = int(room.sum())
    first, second = np.full(total, empty), np.full(total, empty)
    shift = np.zeros((total, 3))
    per_other = per_cloud if two is None else two.columns.shape[1]
    first[where] = tiles.first[order] + cloud * per_cloud
    second[where] = tiles.second[order] + cloud * per_other + (0 if two is None else offset)
    shift[where] = tiles.shift[order]
    batches = np.repeat(keys, room // BATCH)
    parts = (
        first.reshape(-1, BATCH),
        second.reshape(-1, BATCH),
        shift.reshape(-1, BATCH, 3),
        batches % len(edges),
        np.full(len(batches), cloud),
        np.where((batches // len(edges)) % 2 == 1, 1, 1 if two is not None else 2),
    )
    kind = batches // (2 * len(edges))
    for k, width in enumerate(widths):
        if (kind == k).any():
            yield width, _Batches(*(part[kind == k] for part in parts))


def _widest(leaves: Leaves) -> Float[np.ndarray, "3"]:
    return np.max(leaves.half, axis=(0, 1), initial=0.0, where=~np.isnan(leaves.half))


def _joined(several: list[_Batches]) -> _Batches:
    return _Batches(*(np.concatenate(parts) for parts in zip(*map(_fields, several), strict=True)))


def _fields(batches: _Batches):
    return (
        batches.first,
        batches.second,
        batches.shift,
        batches.start,
        batches.owner,
        batches.times,
    )


def _chunks(several: list[_Batches]) -> tuple[list[_Batches], list[_Batches]]:
    """As many whole chunks as there are, and what is left."""
    fields = _fields(_joined(several))
    cuts = range(0, len(fields[0]), CHUNK)
    parts = [_Batches(*(field[cut : cut + CHUNK] for field in fields)) for cut in cuts]
    return ([*parts], []) if len(parts[-1].start) == CHUNK else (parts[:-1], parts[-1:])


def _filled(batches: _Batches, empty: int) -> _Batches:
    """A whole chunk, made so by empty tiles."""
    missing = CHUNK - len(batches.start)

    def fill(field, value):
        width = [(0, missing)] + [(0, 0)] * (field.ndim - 1)
        return np.pad(field, width, constant_values=value)

    first, second, *rest = _fields(batches)
    return _Batches(fill(first, empty), fill(second, empty), *(fill(field, 0) for field in rest))


def _collected(done, clouds, count):
    """Sums of all batches at all edges: nothing before the first of a batch, all after its last."""
    channels = done[0][2].shape[1] if done else 1
    sums = np.zeros((clouds, channels, count), dtype=object)
    for width in {width for _, width, _ in done}:
        parts = [(batches, np.asarray(out)) for batches, w, out in done if w == width]
        batches = _joined([b for b, _ in parts])
        values = np.concatenate([v for _, v in parts]) * batches.times[:, None, None]
        slot = np.arange(count) - batches.start[:, None]
        spread = np.take_along_axis(values, slot.clip(0, width - 1)[:, None, :], axis=2)
        spread = np.where(slot[:, None, :] >= 0, spread, 0)
        high, low = (np.zeros((clouds, *spread.shape[1:]), np.int64) for _ in range(2))
        np.add.at(high, batches.owner, spread >> 32)
        np.add.at(low, batches.owner, spread & (2**32 - 1))
        sums = sums + high.astype(object) * 2**32 + low.astype(object)
    return sums
