"""The bispectrum of fields, for a few triangles."""

import numpy as np
from jaxtyping import Float

from physgen.errors import InputError
from physgen.stats.mesh import wave_numbers
from physgen.stats.points import Numbers
from physgen.stats.spectrum import as_fields


def field_bispectrum(
    fields: Numbers, triangles: Numbers, width: float, *, box_size: float
) -> Float[np.ndarray, "n t"]:
    """B(k1, k2, k3) = V^2 < f_k1 f_k2 f_k3 > over closed triangles with each |k| in its shell.

    Shells are k_i - width / 2 < |k| <= k_i + width / 2; the mean over all triangles is a product of
    three filtered fields (Scoccimarro 2015, section III). For points give `counts_in_cells` over
    their mean less one.

    Args:
        fields: (n, m, m, m), in a periodic cube of side `box_size`; f_k as in
            `field_power_spectrum`.
        triangles: (t, 3) centres of the shells, in 1 / length.
        width: of the shells.

    Returns:
        (n, t), in length^6; NaN where no triangle closes.

    Raises:
        InputError: for bad fields, shells that hold k = 0, or k beyond 2/3 of the Nyquist
            frequency, where triangles wrap around.
    """
    values = as_fields(fields)
    if values.ndim != 4 or len(set(values.shape[1:])) != 1:
        raise InputError(f"fields must have shape (n, m, m, m), got {values.shape}")
    centres = np.asarray(triangles, dtype=np.float64)
    if centres.ndim != 2 or centres.shape[1] != 3:
        raise InputError(f"triangles must have shape (t, 3), got {centres.shape}")
    mesh = values.shape[1]
    limit = 2 / 3 * np.pi * mesh / box_size
    if width <= 0 or centres.min() < width / 2 or centres.max() + width / 2 > limit:
        raise InputError(
            f"shells must lie between k = 0 and 2/3 of the Nyquist frequency, {limit:g}, got "
            f"centres {centres.min():g} to {centres.max():g} of width {width:g}"
        )
    shape = (mesh,) * 3
    waves = wave_numbers(shape)
    k = 2 * np.pi / box_size * np.sqrt(sum(w**2 for w in waves))
    modes = np.fft.rfftn(values, axes=(1, 2, 3)) / mesh**3
    shells = {c: (k > c - width / 2) & (k <= c + width / 2) for c in np.unique(centres)}
    filtered = {c: np.fft.irfftn(modes * s, shape, (1, 2, 3)) for c, s in shells.items()}
    ones = {c: np.fft.irfftn(s.astype(float), shape, (0, 1, 2)) for c, s in shells.items()}
    result = np.full((len(values), len(centres)), np.nan)
    for t, triangle in enumerate(centres):
        number = np.sum(np.prod([ones[c] for c in triangle], axis=0)) * mesh**6
        if number > 0.5:
            product = np.prod([filtered[c] for c in triangle], axis=0)
            result[:, t] = product.sum(axis=(1, 2, 3)) * mesh**6 / number * box_size**6
    return result
