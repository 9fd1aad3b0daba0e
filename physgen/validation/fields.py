"""Fields as statistics: the one place where what fields are compared by is made."""

import numpy as np
from jaxtyping import Float

from physgen.stats import field_power_spectrum, minkowski_functionals, peak_counts
from physgen.validation.statistic import Statistic

_MOST = 16  # bins of the power spectrum
_QUANTILES = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
_HEIGHTS = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0])  # of peaks, in sigma
_THRESHOLDS = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])  # of Minkowski functionals, in sigma
_FUNCTIONALS = {
    3: ("volume", "surface", "curvature", "Euler number"),
    2: ("area", "perimeter", "Euler number"),
}


def field_statistics(
    fields: Float[np.ndarray, "n ..."], box_size: float | None = None
) -> list[Statistic]:
    """The statistics of fields (n, nx, ny) or (n, nx, ny, nz).

    Log power spectrum in shells of |k|, in the unit of `box_size`, the length of the first axis, or
    of one cell where it is None; quantiles of the values; and of each field less its mean over its
    standard deviation, peaks per 1000 cells by height and Minkowski functionals. Fields are taken
    as periodic, which a comparison does not need.
    """
    spacing = 1.0 if box_size is None else box_size / fields.shape[1]
    flat = fields.reshape(len(fields), -1)
    quantiles = np.quantile(flat, _QUANTILES, axis=1).T
    names = tuple(f"{100 * q:g}%" for q in _QUANTILES)
    return [
        _power(fields, spacing, "1/cell" if box_size is None else "h/Mpc"),
        Statistic("one-point quantiles", "value", "", "quantile", "", quantiles, bin_names=names),
        *_shapes(fields, flat),
    ]


def _power(fields: Float[np.ndarray, "n ..."], spacing: float, unit: str) -> Statistic:
    cells = np.array(fields.shape[1:])
    fundamental, nyquist = 2 * np.pi / (spacing * cells.max()), np.pi / spacing
    count = int(np.clip(nyquist / fundamental, 1, _MOST))
    edges = np.linspace(fundamental / 2, nyquist, count + 1)
    found = field_power_spectrum(fields, edges, box_size=spacing * cells)
    with np.errstate(divide="ignore"):
        log_power = np.log10(found.power[:, found.modes > 0])
    log_power[np.isinf(log_power)] = np.nan
    kept = np.append(edges[:-1][found.modes > 0], edges[-1])
    return Statistic(
        "power spectrum", "log10 power P(k)", "", "wavenumber k", unit, log_power, edges=kept
    )


def _shapes(fields: Float[np.ndarray, "n ..."], flat: Float[np.ndarray, "n c"]) -> list[Statistic]:
    axes = tuple(range(1, fields.ndim))
    spread = fields.std(axis=axes, keepdims=True)
    standard = (fields - fields.mean(axis=axes, keepdims=True)) / np.where(spread > 0, spread, 1)
    peaks = 1000 * peak_counts(standard, _HEIGHTS) / flat.shape[1]
    functionals = minkowski_functionals(standard, _THRESHOLDS)
    names = tuple(
        f"{name} above {threshold:g} sigma"
        for threshold in _THRESHOLDS
        for name in _FUNCTIONALS[fields.ndim - 1]
    )
    values = functionals.reshape(len(fields), -1)
    return [
        Statistic("peaks", "peaks per 1000 cells", "", "height", "sigma", peaks, edges=_HEIGHTS),
        Statistic("Minkowski functionals", "per cell", "", "set", "", values, bin_names=names),
    ]
