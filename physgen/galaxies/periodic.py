"""Positions in a periodic box."""

import numpy as np
from jaxtyping import Float


def wrapped(position: Float[np.ndarray, "*n 3"], box_size: float) -> Float[np.ndarray, "*n 3"]:
    """The images in [0, box_size), in the dtype that came in."""
    result = np.mod(position, position.dtype.type(box_size))
    return np.where(result < box_size, result, result.dtype.type(0))  # % can round up to the box
