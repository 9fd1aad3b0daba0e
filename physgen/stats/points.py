"""What every statistic of points asks of its input: points, bin edges, a periodic box."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from physgen.errors import InputError

Numbers = ArrayLike | Sequence[Any] | float | int  # what NumPy can make an array of
Points = Float[np.ndarray, "N 3"]
Box = Float[np.ndarray, "3"]

_ROUNDING = 1e-6  # how far above half a box an edge may be, relatively: float32 rounding


def as_box(box_size: Numbers | None) -> Box | None:
    """The three sides of the periodic box, float64, or None for open space."""
    if box_size is None:
        return None
    sides = np.asarray(box_size, dtype=np.float64)
    if sides.shape not in ((), (3,)):
        raise InputError(
            f"box_size must be one number or three, got shape {sides.shape}; give one box at a time"
        )
    if not (np.isfinite(sides).all() and (sides > 0).all()):
        raise InputError(
            f"box_size must be positive and finite, got {box_size}; None means open space"
        )
    return np.broadcast_to(sides, (3,)).copy()


def as_points(
    positions: Numbers, box: Box | None, *, minimum: int = 1, name: str = "positions"
) -> Points:
    """Checked float64 points (N, 3); in a periodic box in [0, L), a point at L itself moved to 0.

    Raises InputError for a wrong shape, fewer than `minimum` points, NaN or infinity, and points
    outside the box by more than the rounding of L in the dtype that they came in.
    """
    given = np.asarray(positions)
    points = as_rows(given, name)
    if len(points) < minimum:
        found = "one galaxy" if len(points) == 1 else f"{len(points)} galaxies"
        raise InputError(f"{name} must hold at least {minimum} galaxies, got {found}")
    if box is None:
        return points
    rounded = box.astype(given.dtype if given.dtype.kind == "f" else np.float64).astype(np.float64)
    outside = ((points < 0) | (points > np.maximum(box, rounded))).any(axis=1)
    if outside.any():
        sides = " x ".join(f"{side:g}" for side in box)
        raise InputError(
            f"{name} must lie in the box from 0 to {sides}, {outside.sum()} of {len(points)} "
            "galaxies do not; wrap them with positions % box_size, or mend box_size"
        )
    return np.where(points >= box, 0.0, points)


def as_rows(vectors: Numbers, name: str) -> Points:
    """Checked finite float64 vectors (N, 3)."""
    rows = np.asarray(vectors)
    if rows.ndim != 2 or rows.shape[1] != 3:
        raise InputError(
            f"{name} must have shape (N, 3), got {rows.shape}"
            + ("; use physgen.stats.over_clouds for many clouds" if rows.ndim == 3 else "")
        )
    if rows.dtype.kind not in "fiu":
        raise InputError(f"{name} must be real numbers, got dtype {rows.dtype}")
    rows = rows.astype(np.float64)
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        raise InputError(
            f"{name} must be finite, {bad.sum()} of {len(rows)} galaxies hold NaN or infinity; "
            "remove them first"
        )
    return rows


def as_weights(weights: Numbers, count: int, name: str) -> Float[np.ndarray, " N"]:
    """Checked finite float64 weights (N,), one for each point."""
    return as_columns(weights, (count,), name)


def as_columns(
    values: Numbers, shape: tuple[int, ...], name: str, kept: Bool[np.ndarray, "..."] | None = None
) -> Float[np.ndarray, "..."]:
    """Checked finite float64 values of a given shape; where `kept` is False they are zero."""
    checked = np.asarray(values, dtype=np.float64)
    if checked.shape != shape:
        raise InputError(
            f"{name} must have shape {shape} to go with its points, got {checked.shape}"
        )
    if kept is not None:
        checked = np.where(kept.reshape(kept.shape + (1,) * (checked.ndim - kept.ndim)), checked, 0)
    if not np.isfinite(checked).all():
        raise InputError(f"{name} must be finite, got NaN or infinity; remove those galaxies first")
    return checked


def as_edges(edges: Numbers, box: Box | None = None) -> Float[np.ndarray, " b1"]:
    """Checked float64 bin edges (b + 1,): finite, not negative, strictly increasing.

    In a periodic box the last edge is at most half the smallest side: beyond it a shell is cut by
    the box, and neither its volume nor the nearest image of a pair is what it seems.
    """
    checked = np.asarray(edges, dtype=np.float64)
    if checked.ndim != 1 or len(checked) < 2:
        raise InputError(f"edges must be a list of at least 2 bin edges, got shape {checked.shape}")
    if not np.isfinite(checked).all() or checked[0] < 0 or (np.diff(checked) <= 0).any():
        raise InputError(
            f"edges must be finite, not negative and strictly increasing, got {checked.tolist()}"
        )
    if box is not None and checked[-1] > (1 + _ROUNDING) * box.min() / 2:
        raise InputError(
            f"edges must end at half the box, {box.min() / 2:g}, or before, got {checked[-1]:g}; "
            "choose smaller edges, or box_size=None if the points are not periodic"
        )
    return checked


def as_clouds(
    positions: Numbers,
    mask: Numbers | None,
    box: Box | None,
    *,
    minimum: int = 1,
    name: str = "positions",
) -> Float[np.ndarray, "n N 3"]:
    """Checked float64 points of several clouds (n, N, 3), or of one (N, 3) as a list of one.

    Where `mask`, of the shape of the points without their last axis, is False, a row is NaN and
    stands for no point. Raises InputError as `as_points`; `minimum` is of one cloud alone.
    """
    given = np.asarray(positions)
    clouds = given if given.ndim == 3 else given[None]
    kept = np.ones(clouds.shape[:2], bool)
    if mask is not None:
        kept = np.asarray(mask)
        if kept.dtype != bool or kept.shape != given.shape[:-1]:
            raise InputError(
                f"mask must be boolean {given.shape[:-1]}, one for each of the {name}, got "
                f"{kept.dtype} {kept.shape}"
            )
        kept = kept.reshape(clouds.shape[:2])
    if given.ndim != 3 and mask is None:
        return as_points(given, box, minimum=minimum, name=name)[None]
    if clouds.shape[-1:] != (3,):
        raise InputError(f"{name} must have shape (N, 3) or (n, N, 3), got {given.shape}")
    result = np.full(clouds.shape, np.nan)
    result[kept] = as_points(clouds[kept], box, minimum=minimum, name=name)
    return result


def as_levels(edges: Numbers) -> Float[np.ndarray, " b1"]:
    """Checked float64 bin edges (b + 1,) of any sign: finite and strictly increasing."""
    checked = np.asarray(edges, dtype=np.float64)
    if checked.ndim != 1 or len(checked) < 2:
        raise InputError(f"edges must be a list of at least 2 bin edges, got shape {checked.shape}")
    if not np.isfinite(checked).all() or (np.diff(checked) <= 0).any():
        raise InputError(f"edges must be finite and strictly increasing, got {checked.tolist()}")
    return checked
