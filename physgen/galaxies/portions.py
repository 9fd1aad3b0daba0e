"""How many boxes are worked on at once: large clouds in small portions, so that they fit."""

import jax

_GALAXIES = 20_000  # in boxes that are worked on together


def boxes_at_once(points: int, most: int) -> int:
    """Boxes of so many galaxies to take together: up to `most`, and the same on each device."""
    devices = jax.device_count()
    return devices * max(1, min(most, _GALAXIES // points) // devices)


def microbatch(points: int, batch_size: int, most: int | None) -> int | None:
    """Boxes of so many galaxies whose gradients are computed together; None for the whole batch.

    The largest divisor of the batch that is at most `most`, fewer where boxes are large; but one on
    each device.
    """
    if most is None:
        return None
    small = boxes_at_once(points, most)
    return max(size for size in range(1, small + 1) if batch_size % size == 0)
