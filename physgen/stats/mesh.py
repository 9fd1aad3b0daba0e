"""Points on a periodic mesh, and Fourier modes of fields."""

import numpy as np
from jaxtyping import Complex, Float, Int

from physgen.errors import InputError
from physgen.stats.points import Box, Numbers, as_box, as_points, as_weights


def counts_in_cells(
    positions: Numbers,
    mesh_size: int,
    *,
    box_size: Numbers | None,
    weights: Numbers | None = None,
    order: int = 1,
) -> Float[np.ndarray, "m m m"]:
    """Points, or their weights, in each cell of a periodic mesh (m, m, m).

    order 1 gives whole points to cells (NGP), 2 to 4 share them by CIC, TSC and PCS kernels
    (Hockney & Eastwood 1981); node i is at i L / m, and a cell is centred on its node. The
    one-point PDF of the density is `field_pdf` of counts over their mean.

    Raises InputError for bad points or weights, a mesh below 2 and an order that is not 1 to 4.
    """
    box = require_box(box_size)
    points = as_points(positions, box)
    mass = np.ones(len(points)) if weights is None else as_weights(weights, len(points), "weights")
    return paint(points * (require_mesh(mesh_size) / box), mesh_size, mass, order)


def paint(
    nodes: Float[np.ndarray, "N 3"], mesh_size: int, mass: Float[np.ndarray, " N"], order: int
) -> Float[np.ndarray, "m m m"]:
    """The mass on the mesh; `nodes` are positions in units of its spacing."""
    if order not in (1, 2, 3, 4):
        raise InputError(f"order must be 1 (NGP), 2 (CIC), 3 (TSC) or 4 (PCS), got {order}")
    first = np.floor(nodes - (order / 2 - 1)).astype(np.int64)  # the lowest node that takes a share
    shares = [_kernel(np.abs(nodes - first - step), order) for step in range(order)]
    mesh = np.zeros(mesh_size**3)
    for step in np.ndindex(order, order, order):
        index = (first + step) % mesh_size
        flat = (index[:, 0] * mesh_size + index[:, 1]) * mesh_size + index[:, 2]
        part = mass * np.prod([shares[s][:, c] for c, s in enumerate(step)], axis=0)
        mesh += np.bincount(flat, weights=part, minlength=mesh.size)
    return mesh.reshape((mesh_size,) * 3)


def overdensity_modes(
    positions: Numbers,
    mesh_size: int,
    box: Box,
    weights: Numbers | None,
    order: int,
    interlaced: bool,
) -> tuple[Complex[np.ndarray, "m m h"], float]:
    """Modes of the overdensity delta of points, per node, and the shot noise of their power.

    Two meshes shifted by half a cell cancel the odd images (Sefusatti et al. 2016); the kernel is
    divided out.
    """
    points = as_points(positions, box)
    mass = np.ones(len(points)) if weights is None else as_weights(weights, len(points), "weights")
    if mass.sum() <= 0:
        raise InputError(f"the sum of the weights must be positive, got {mass.sum():g}")
    nodes = points * (mesh_size / box)
    waves = wave_numbers((mesh_size,) * 3)
    modes = np.fft.rfftn(paint(nodes, mesh_size, mass, order))
    if interlaced:
        moved = np.fft.rfftn(paint(nodes + 0.5, mesh_size, mass, order))
        modes = (modes + moved * np.exp(1j * np.pi / mesh_size * sum(waves))) / 2
    window = np.prod(np.broadcast_arrays(*(np.sinc(wave / mesh_size) for wave in waves)), axis=0)
    modes = modes / (window**order * mass.sum())
    modes[0, 0, 0] = 0.0
    return modes, float(box.prod() * np.sum(mass**2) / mass.sum() ** 2)


def wave_numbers(shape: tuple[int, ...]) -> list[Int[np.ndarray, "..."]]:
    """Whole wave numbers of `np.fft.rfftn` by axis, ready to broadcast."""
    axes = [np.rint(np.fft.fftfreq(n, 1 / n)).astype(np.int64) for n in shape[:-1]]
    return list(np.ix_(*axes, np.arange(shape[-1] // 2 + 1)))


def require_box(box_size: Numbers | None) -> Box:
    """The sides of a box that must be there."""
    box = as_box(box_size)
    if box is None:
        raise InputError("box_size must be the side of a periodic box, got None")
    return box


def require_mesh(mesh_size: int) -> int:
    """A checked number of nodes along a side."""
    if mesh_size < 2:
        raise InputError(f"mesh_size must be at least 2 nodes along a side, got {mesh_size}")
    return mesh_size


def _kernel(x, order):
    """The B-spline of the given order at distances x in units of the spacing."""
    if order == 1:
        return np.ones_like(x)
    if order == 2:
        return 1 - x
    if order == 3:
        return np.where(x <= 0.5, 0.75 - x**2, np.maximum(1.5 - x, 0) ** 2 / 2)
    return np.where(x <= 1, (4 - 6 * x**2 + 3 * x**3) / 6, np.maximum(2 - x, 0) ** 3 / 6)
