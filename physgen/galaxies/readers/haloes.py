"""What the readers of halo catalogues share."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from physgen.errors import InputError


def halo_fields(
    position: Float[np.ndarray, "n 3"],
    velocity: Float[np.ndarray, "n 3"],
    mass: Float[np.ndarray, " n"],
    box_size: float | None,
    path: Path,
) -> dict[str, Any]:
    """The arguments of a Catalogue of one box: Mpc/h, km/s and Msun/h in, haloes without mass out.

    A mass of zero is that of an overdensity which a halo never reached.
    """
    kept = ~(mass <= 0)
    if not kept.any():
        raise InputError(f"{path} holds no halo with a mass: expected one, got {len(mass)} without")
    fields: dict[str, Any] = {
        "position": position[kept][None],
        "velocity": velocity[kept][None],
        "log_mass": np.log10(mass[kept])[None],
    }
    return fields if box_size is None else fields | {"box_size": box_size}


def one_box_size(sizes: list[float | None], path: Path) -> float | None:
    """The side of the box that all files of an output say."""
    if len(set(sizes)) != 1:
        raise InputError(
            f"{path}: the files of its output have different box sizes, {sizes}: copy them again"
        )
    return sizes[0]
