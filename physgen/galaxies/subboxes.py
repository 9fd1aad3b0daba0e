"""One large box as many small ones, and back."""

import dataclasses

import numpy as np

from physgen.errors import InputError
from physgen.galaxies.catalogue import Catalogue

_GALAXIES = ("position", "mask", "velocity", "log_mass")


def cut(catalogue: Catalogue, pieces: int) -> Catalogue:
    """Every periodic box as pieces^3 sub-boxes, of the side box_size / pieces.

    Positions are relative to the corner of the sub-box. Sub-box (i, j, k) of box b is number
    b pieces^3 + (i pieces + j) pieces + k, so that `tile` finds its place; parameters are those of
    the box. A sub-box may hold no galaxy.

    The sub-boxes keep a box_size, and all that learns from them, or measures them, takes them for
    periodic. That is an approximation. It is made because a sub-box is filled evenly, as the
    uniform base of a periodic emulator is; in open space an emulator starts from a Gaussian around
    the origin, and would have to learn six sharp faces. Its price: pairs across opposite faces are
    counted as neighbours and are not correlated, a fraction of about 3 r / (2 side) of the pairs at
    separation r, and waves longer than the sub-box change its density from one to the next. Compare
    generated sub-boxes with sub-boxes that are cut alike, never with whole boxes, and read
    separations up to a tenth of the side.

    Raises InputError without a periodic box, and for pieces below 1.
    """
    side = _side(catalogue)
    if pieces < 1:
        raise InputError(f"pieces must be at least 1, got {pieces}")
    small = side / pieces
    n, width, _ = catalogue.position.shape
    kind = catalogue.position.dtype.type
    corners = (np.arange(pieces) * small).astype(kind)
    cell = np.searchsorted(corners, catalogue.position, side="right") - 1  # (n, N, 3)
    position = catalogue.position - corners[cell]
    position = np.minimum(position, np.nextafter(kind(small), kind(0)))  # a face, rounded
    number = np.arange(n)[:, None] * pieces**3 + np.ravel_multi_index(
        tuple(np.moveaxis(cell, -1, 0)), (pieces,) * 3
    )
    box, galaxy = np.nonzero(catalogue.mask)
    return _gathered(
        dataclasses.replace(catalogue, position=position),
        (box, galaxy),
        number[box, galaxy],
        n * pieces**3,
        np.repeat(np.arange(n), pieces**3),
        small,
    )


def tile(catalogue: Catalogue, pieces: int) -> Catalogue:
    """The boxes that `cut` made these sub-boxes of: pieces^3 at a time, in its order.

    `tile(cut(x, p), p)` is x up to the order of galaxies and padding; a galaxy that is within the
    rounding of a face may move by that.

    Raises InputError without a box_size, where the number of sub-boxes is not a multiple of
    pieces^3, and where those of one box have different parameters.
    """
    small = _side(catalogue)
    if pieces < 1 or len(catalogue) % pieces**3:
        raise InputError(
            f"expected a multiple of {pieces}^3 sub-boxes, got {len(catalogue)}: give the pieces "
            "that they were cut in"
        )
    n = len(catalogue) // pieces**3
    parameters = catalogue.parameters.reshape(n, pieces**3, -1)
    if (parameters != parameters[:, :1]).any():
        raise InputError(
            f"expected sub-boxes of equal parameters, {pieces}^3 at a time, got different ones: "
            "keep them in the order that they were cut in"
        )
    kind = catalogue.position.dtype.type
    corners = (np.arange(pieces) * small).astype(kind)
    place = np.indices((pieces,) * 3).reshape(3, -1).T  # (pieces^3, 3)
    corner = np.tile(corners[place], (n, 1))[:, None]
    box, galaxy = np.nonzero(catalogue.mask)
    side = small * pieces
    position = np.minimum(catalogue.position + corner, np.nextafter(kind(side), kind(0)))
    return _gathered(
        dataclasses.replace(catalogue, position=position, box_size=side),
        (box, galaxy),
        box // pieces**3,
        n,
        np.arange(n) * pieces**3,
        side,
    )


def _side(catalogue):
    if catalogue.box_size is None:
        raise InputError("sub-boxes need a periodic box, the catalogue has none: give its box_size")
    return catalogue.box_size


def _gathered(catalogue, galaxies, number, boxes, parents, box_size):
    """The catalogue with galaxy i in box `number[i]`, in the order that they come in."""
    order = np.argsort(number, kind="stable")
    counts = np.bincount(number, minlength=boxes)
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    old, new = tuple(axis[order] for axis in galaxies), (number[order], place)
    shape = boxes, max(int(counts.max()), 1)

    def moved(array):
        result = np.zeros(shape + array.shape[2:], array.dtype)
        result[new] = array[old]
        return result

    arrays = {name: getattr(catalogue, name) for name in _GALAXIES}
    return dataclasses.replace(
        catalogue,
        **{name: moved(array) for name, array in arrays.items() if array is not None},
        columns=tuple(dataclasses.replace(c, values=moved(c.values)) for c in catalogue.columns),
        parameters=catalogue.parameters[parents],
        box_size=box_size,
    )
