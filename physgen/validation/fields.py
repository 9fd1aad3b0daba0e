"""Fields as statistics: the one place where what fields are compared by is made."""

import numpy as np
from jaxtyping import Float

from physgen.validation.statistic import Statistic

_MOST = 16  # bins of the power spectrum
_QUANTILES = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)


def field_statistics(
    fields: Float[np.ndarray, "n ..."], box_size: float | None = None
) -> list[Statistic]:
    """The statistics of fields (n, nx, ny) or (n, nx, ny, nz): log power spectrum, quantiles.

    The power spectrum is averaged over shells of |k|, in the unit of `box_size`, the length of the
    first axis, or of one cell where it is None. The field need not be periodic for a comparison.
    """
    cells = fields.shape[1:]
    unit = "h/Mpc" if box_size is not None else "1/cell"
    spacing = 1.0 if box_size is None else box_size / cells[0]
    edges, powers = _power_spectra(fields, spacing)
    quantiles = np.quantile(fields.reshape(len(fields), -1), _QUANTILES, axis=1).T
    with np.errstate(divide="ignore"):
        log_power = np.log10(powers)
    log_power[np.isinf(log_power)] = np.nan
    return [
        Statistic(
            "power spectrum", "log10 power P(k)", "", "wavenumber k", unit, log_power, edges=edges
        ),
        Statistic(
            "one-point quantiles", "value", "", "quantile", "", quantiles,
            bin_names=tuple(f"{100 * q:g}%" for q in _QUANTILES),
        ),
    ]  # fmt: skip


def _power_spectra(
    fields: Float[np.ndarray, "n ..."], spacing: float
) -> tuple[Float[np.ndarray, " p1"], Float[np.ndarray, "n p"]]:
    """Edges of |k| and the mean of |field_k|^2 times the volume of a mode, in each shell."""
    cells = fields.shape[1:]
    axes = [2 * np.pi * np.fft.fftfreq(size, spacing) for size in cells[:-1]]
    axes.append(2 * np.pi * np.fft.rfftfreq(cells[-1], spacing))
    wavenumber = np.sqrt(sum(k**2 for k in np.meshgrid(*axes, indexing="ij", sparse=True)))
    fundamental = 2 * np.pi / (spacing * max(cells))
    nyquist = np.pi / spacing
    count = int(np.clip(nyquist / fundamental, 1, _MOST))
    edges = np.linspace(fundamental / 2, nyquist, count + 1)
    shell = np.digitize(wavenumber.ravel(), edges) - 1
    # The real transform holds one of each pair of opposite modes, but all of the last axis's ends.
    twice = np.full(wavenumber.shape, 2.0)
    twice[..., 0] = 1
    if cells[-1] % 2 == 0:
        twice[..., -1] = 1
    inside = (shell >= 0) & (shell < count)
    weights = twice.ravel()[inside]
    modes = np.bincount(shell[inside], weights, minlength=count)
    volume = spacing ** len(cells) / np.prod(cells)
    powers = np.empty((len(fields), count))
    for row, field in zip(powers, fields, strict=True):
        amplitude = np.abs(np.fft.rfftn(field - field.mean())).ravel()[inside] ** 2
        row[:] = np.bincount(shell[inside], weights * amplitude, minlength=count) * volume
    kept = modes > 0
    return np.append(edges[:-1][kept], edges[-1]), powers[:, kept] / modes[kept]
