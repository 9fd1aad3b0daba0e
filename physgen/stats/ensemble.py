"""One statistic over many clouds, which may hold different numbers of points."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from physgen.errors import InputError
from physgen.stats.points import Numbers


def over_clouds(
    statistic: Callable[..., Float[np.ndarray, " p"]],
    mask: Numbers,
    *arrays: Numbers,
    minimum: int = 2,
) -> Float[np.ndarray, "n p"]:
    """Stack `statistic(*(array[i][mask[i]] for array in arrays))` over the n clouds, (n, p).

    `mask` (n, N) is True for a real point. A cloud with fewer than `minimum` points has no
    statistic: its row is NaN. Raises InputError if that is so for all of them.
    """
    kept = np.asarray(mask)
    columns = [np.asarray(array) for array in arrays]
    if kept.ndim != 2 or kept.dtype != bool or any(c.shape[:2] != kept.shape for c in columns):
        raise InputError(
            "mask must be boolean (n, N) and every array (n, N, ...), got "
            f"{kept.dtype} {kept.shape} and {[c.shape for c in columns]}"
        )
    enough = kept.sum(axis=1) >= minimum
    if not enough.any():
        raise InputError(
            f"every cloud has fewer than {minimum} galaxies (the largest has "
            f"{kept.sum(axis=1).max(initial=0)}); this statistic needs {minimum} in a cloud"
        )
    rows = {
        i: np.atleast_1d(statistic(*(column[i][kept[i]] for column in columns)))
        for i in np.flatnonzero(enough)
    }
    width = len(next(iter(rows.values())))
    result = np.full((len(kept), width), np.nan)
    for i, row in rows.items():
        result[i] = row
    return result
