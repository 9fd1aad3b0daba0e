"""A further number of each galaxy of a catalogue."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Column:
    """A further number of each galaxy: values (n, N), under a name that is also that of a file's
    dataset."""

    name: str
    values: np.ndarray
    unit: str = ""
