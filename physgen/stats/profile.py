"""How points are spread around a centre."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from physgen.errors import InputError
from physgen.stats.correlation import spherical_shell_volumes
from physgen.stats.points import Numbers, as_edges, as_rows


def radial_profile(
    positions: Numbers,
    edges: Numbers,
    *,
    centre: Numbers = (0.0, 0.0, 0.0),
) -> Float[np.ndarray, " b"]:
    """Number density (b,) in spherical shells around `centre`, in points per unit volume.

    A shell holds lo <= radius < hi, the last one its outer edge too, so that a galaxy at the centre
    counts. Open space: there is no periodic box. Raises InputError for bad points, edges or centre.
    """
    radii = as_edges(edges)
    origin = np.asarray(centre, dtype=np.float64)
    if origin.shape != (3,) or not np.isfinite(origin).all():
        raise InputError(f"centre must be three finite numbers, got {centre}")
    distance = np.linalg.norm(as_rows(positions, "positions") - origin, axis=1)
    return np.histogram(distance, bins=radii)[0] / spherical_shell_volumes(radii)
