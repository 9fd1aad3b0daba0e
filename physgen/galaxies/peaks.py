"""Peaks of a smooth periodic field: where they are, how high, and what another field is there."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

_OFFSETS = np.arange(-2, 3)
_LAGRANGE = np.linalg.inv(np.vander(_OFFSETS, 5, increasing=True)).astype(np.float32)
_NEWTON_STEPS = 4


def highest_peaks(
    field: Float[Array, "g g g"], n: int
) -> tuple[Float[Array, "n 3"], Float[Array, " n"], Int[Array, ""]]:
    """The `n` highest local maxima: (position in cells, height, how many maxima there are).

    A cell is a maximum if it is not below its 26 neighbours. Position and height are those of the
    maximum of the quartic through the 5 x 5 x 5 cells around it, so they are not tied to the grid.
    Where fewer than `n` maxima exist the surplus entries mean nothing.
    """
    grid = field.shape[0]
    highest = field
    for axis in range(3):
        below, above = jnp.roll(highest, 1, axis), jnp.roll(highest, -1, axis)
        highest = jnp.maximum(highest, jnp.maximum(below, above))
    is_peak = field >= highest
    candidates = min(2 * n, field.size)  # refinement changes the order
    on_grid, flat = jax.lax.top_k(jnp.where(is_peak, field, -jnp.inf).reshape(-1), candidates)
    cell = jnp.stack(jnp.unravel_index(flat, field.shape), axis=-1)
    x, y, z = jnp.moveaxis((cell[..., None] + _OFFSETS[None, None]) % grid, 1, 0)
    around = field[x[:, :, None, None], y[:, None, :, None], z[:, None, None, :]]
    offset, height = jax.vmap(_refine)(around)
    height, order = jax.lax.top_k(jnp.where(jnp.isfinite(on_grid), height, -jnp.inf), n)
    return (cell + offset)[order], height, is_peak.sum()


def _quartic_derivatives(offset, around):
    """(3, 3, 3) mixed derivatives of the quartic, [a, b, c] of order a in x, b in y, c in z."""
    t, one, zero = offset, jnp.ones(3), jnp.zeros(3)
    powers = jnp.stack(
        [
            jnp.stack([one, t, t**2, t**3, t**4], axis=-1),
            jnp.stack([zero, one, 2 * t, 3 * t**2, 4 * t**3], axis=-1),
            jnp.stack([zero, zero, 2 * one, 6 * t, 12 * t**2], axis=-1),
        ],
        axis=1,
    )  # (axis, order, power)
    x, y, z = (powers[..., None] * _LAGRANGE[None, None]).sum(axis=2)  # (order, 5)
    along_z = (around[:, :, None, :] * z[None, None]).sum(axis=-1)  # (5, 5, c)
    along_y = (along_z[:, None] * y[None, :, :, None]).sum(axis=2)  # (5, b, c)
    return (along_y[None] * x[:, :, None, None]).sum(axis=1)


def _refine(around):
    """The maximum of the quartic near the centre of (5, 5, 5) values: (offset, height)."""

    def newton(_, offset):
        d = _quartic_derivatives(offset, around)
        gradient = jnp.stack([d[1, 0, 0], d[0, 1, 0], d[0, 0, 1]])
        x = jnp.stack([d[2, 0, 0], d[1, 1, 0], d[1, 0, 1]])
        y = jnp.stack([d[1, 1, 0], d[0, 2, 0], d[0, 1, 1]])
        z = jnp.stack([d[1, 0, 1], d[0, 1, 1], d[0, 0, 2]])
        cofactors = jnp.stack([jnp.cross(y, z), jnp.cross(z, x), jnp.cross(x, y)])
        step = (cofactors.T @ gradient) / jnp.dot(x, cofactors[0])
        return jnp.clip(jnp.nan_to_num(offset - step), -1.0, 1.0)

    offset = jax.lax.fori_loop(0, _NEWTON_STEPS, newton, jnp.zeros(3))
    return offset, _quartic_derivatives(offset, around)[0, 0, 0]


def interpolate(
    fields: Float[Array, "c g g g"], position: Float[Array, "n 3"]
) -> Float[Array, "n c"]:
    """Values of periodic fields between the grid points, by four-point cubic interpolation.

    `position` is in cells; the weights are Lagrange's, so cubic polynomials are exact.
    """
    grid = fields.shape[-1]
    base = jnp.floor(position)
    t = position - base
    weights = jnp.stack(
        [
            -t * (t - 1) * (t - 2) / 6,
            (t + 1) * (t - 1) * (t - 2) / 2,
            -(t + 1) * t * (t - 2) / 2,
            (t + 1) * t * (t - 1) / 6,
        ],
        axis=-1,
    )  # (n, 3, 4)
    neighbours = np.arange(-1, 3)[None, None]
    index = (base.astype(jnp.int32)[..., None] + neighbours) % grid  # (n, 3, 4)
    x, y, z = (index[:, i] for i in range(3))
    values = fields[:, x[:, :, None, None], y[:, None, :, None], z[:, None, None, :]]
    wx, wy, wz = (weights[:, i] for i in range(3))
    return jnp.einsum("cnijk,ni,nj,nk->nc", values, wx, wy, wz)
