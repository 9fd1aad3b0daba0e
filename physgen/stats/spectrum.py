"""Power spectra of points and of fields."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.polynomial import Legendre

from physgen.errors import InputError
from physgen.stats.mesh import overdensity_modes, require_box, require_mesh, wave_numbers
from physgen.stats.points import Numbers, as_edges


class PowerSpectrum(NamedTuple):
    """Mean wave number, power and number of modes of each bin, lo < k <= hi.

    k (b,) in 1 / length; power (l, b) of points or (n, b) of fields, in length to the dimension,
    NaN in a bin without modes; modes (b,); shot_noise, already subtracted from a monopole.
    """

    k: Float[np.ndarray, " b"]
    power: Float[np.ndarray, "n b"]
    modes: Int[np.ndarray, " b"]
    shot_noise: float


def power_spectrum(
    positions: Numbers,
    k_edges: Numbers,
    mesh_size: int,
    *,
    box_size: Numbers | None,
    weights: Numbers | None = None,
    ells: Sequence[int] = (0,),
    order: int = 3,
    interlaced: bool = True,
) -> PowerSpectrum:
    """Multipoles P_l(k) = (2 l + 1) < |delta_k|^2 L_l(mu) > of points in a periodic box.

    delta_k on a mesh, interlaced and with its window divided out (Sefusatti et al. 2016); shot
    noise V sum w^2 / (sum w)^2 is subtracted from l = 0. The line of sight is the z axis.

    Args:
        positions: (N, 3).
        k_edges: (b + 1,), in 1 / length, at most the Nyquist frequency pi mesh_size / L.
        mesh_size: nodes along a side.
        order: of the kernel, 2 CIC, 3 TSC, 4 PCS.

    Raises:
        InputError: for bad points, weights, edges, mesh or order, and odd or negative ells.
    """
    box = require_box(box_size)
    edges = _k_edges(k_edges, np.pi * require_mesh(mesh_size) / box.max())
    if not ells or any(ell < 0 or ell % 2 for ell in ells):
        raise InputError(f"ells must be even and not negative, got {tuple(ells)}")
    modes, noise = overdensity_modes(positions, mesh_size, box, weights, order, interlaced)
    k, mu, bins, times = _binning((mesh_size,) * 3, box, edges)
    power = (np.abs(modes) ** 2).ravel() * box.prod()
    rows = [(2 * ell + 1) * power * Legendre.basis(ell)(mu) for ell in ells]
    means, number = _means([k, *rows], bins, times, len(edges) - 1)
    shot = np.array([noise if ell == 0 else 0.0 for ell in ells])
    return PowerSpectrum(means[0], means[1:] - shot[:, None], number, noise)


def field_power_spectrum(
    fields: Numbers, k_edges: Numbers, *, box_size: Numbers | Sequence[float]
) -> PowerSpectrum:
    """P(k) = V < |f_k|^2 > of periodic fields (n, nx, ny) or (n, nx, ny, nz), (n, b).

    f_k = sum_x f(x) exp(-i k x) / nodes, so that int P(k) d^d k / (2 pi)^d is the variance.
    box_size is one side or one for each axis. Raises InputError for bad fields, box or edges, and
    edges beyond the Nyquist frequency of the coarsest axis.
    """
    values = as_fields(fields)
    shape = values.shape[1:]
    sides = np.broadcast_to(np.asarray(box_size, np.float64), (len(shape),))
    if not (np.isfinite(sides).all() and (sides > 0).all()):
        raise InputError(f"box_size must be positive and finite, got {box_size}")
    edges = _k_edges(k_edges, float((np.pi * np.array(shape) / sides).min()))
    k, _, bins, times = _binning(shape, sides, edges)
    axes = tuple(range(1, values.ndim))
    modes = np.fft.rfftn(values, axes=axes) / np.prod(shape)
    power = (np.abs(modes) ** 2).reshape(len(values), -1) * sides.prod()
    means, number = _means([k, *power], bins, times, len(edges) - 1)
    return PowerSpectrum(means[0], means[1:], number, 0.0)


def as_fields(fields: Numbers) -> Float[np.ndarray, "n ..."]:
    """Checked finite float64 fields (n, nx, ny) or (n, nx, ny, nz)."""
    values = np.asarray(fields, dtype=np.float64)
    if values.ndim not in (3, 4) or min(values.shape) < 1:
        raise InputError(
            f"fields must have shape (n, nx, ny) or (n, nx, ny, nz), got {values.shape}; "
            "one field is fields[None]"
        )
    if not np.isfinite(values).all():
        raise InputError("fields must be finite, got NaN or infinity")
    return values


def _k_edges(k_edges, nyquist):
    edges = as_edges(k_edges)
    if edges[-1] > nyquist * (1 + 1e-9):
        raise InputError(
            f"k_edges must end at the Nyquist frequency {nyquist:g} or before, got {edges[-1]:g}; "
            "take a finer mesh"
        )
    return edges


def _binning(shape, sides, edges):
    """|k|, mu, bin and multiplicity of each stored mode; the zero mode is in no bin."""
    waves = wave_numbers(shape)
    parts = [2 * np.pi * w / side for w, side in zip(waves, sides, strict=True)]
    k = np.sqrt(sum(part**2 for part in parts))
    mu = np.broadcast_to(parts[-1], k.shape) / np.where(k > 0, k, 1)
    last, nodes = waves[-1], shape[-1]
    twice = np.where((last == 0) | (2 * last == nodes), 1, 2)
    times = np.broadcast_to(twice, k.shape).ravel()
    k = k.ravel()
    bins = np.searchsorted(edges * (1 + 1e-12), k, side="left") - 1
    outside = (bins < 0) | (bins >= len(edges) - 1) | (k == 0)
    return k, mu.ravel(), np.where(outside, len(edges) - 1, bins), times


def _means(rows, bins, times, count):
    number = np.bincount(bins, weights=times, minlength=count + 1)[:count]
    sums = [np.bincount(bins, weights=row * times, minlength=count + 1)[:count] for row in rows]
    out = np.full((len(rows), count), np.nan)
    means = np.divide(np.stack(sums), number[None], out=out, where=number[None] > 0)
    return means, np.rint(number).astype(np.int64)
