"""What is compared: a curve for every box of an ensemble, with the names of its bins."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from physgen.errors import InputError


@dataclass(frozen=True, eq=False)
class Statistic:
    """One summary statistic of n boxes in p bins.

    name is short and stands in sentences ("xi"), label and unit are an axis's, bin_label and
    bin_unit say what the bins are of. values (n, p), NaN where a box has no value. Bins are either
    ranges, `edges` (p + 1,), or named one by one, `bin_names` (p,).

    Raises InputError for shapes that do not fit, no boxes, and infinite values.
    """

    name: str
    label: str
    unit: str
    bin_label: str
    bin_unit: str
    values: np.ndarray
    edges: np.ndarray | None = None
    bin_names: tuple[str, ...] | None = None

    def __post_init__(self):
        values = np.asarray(self.values, dtype=np.float64)
        if values.ndim != 2 or 0 in values.shape:
            raise InputError(
                f"the values of statistic {self.name!r} must have shape (boxes, bins), at least "
                f"one of each, got {values.shape}"
            )
        if np.isinf(values).any():
            raise InputError(f"the values of statistic {self.name!r} must be finite or NaN")
        object.__setattr__(self, "values", values)
        if (self.edges is None) == (self.bin_names is None):
            raise InputError(f"statistic {self.name!r} needs either edges or bin_names")
        if len(self.bin_labels) != values.shape[1]:
            raise InputError(
                f"statistic {self.name!r} has {values.shape[1]} columns of values but "
                f"{len(self.bin_labels)} bins"
            )

    @property
    def bin_labels(self) -> tuple[str, ...]:
        """A name for every bin: its own, or its range."""
        if self.edges is None:
            return tuple(self.bin_names or ())
        return tuple(
            f"{a:.4g}-{b:.4g}" for a, b in zip(self.edges[:-1], self.edges[1:], strict=True)
        )

    def same_bins(self, other: "Statistic") -> bool:
        """Whether `other` is the same statistic in the same bins."""
        if (self.name, self.unit, self.bin_names) != (other.name, other.unit, other.bin_names):
            return False
        if self.edges is None or other.edges is None:
            return self.edges is other.edges
        return np.array_equal(self.edges, other.edges)

    def scale(self, bins: Int[np.ndarray, " b"]) -> str:
        """Words for some bins, "2-6 Mpc/h, 13-18 Mpc/h" or "k=1 25%"; neighbours are merged."""
        runs = np.split(bins, np.flatnonzero(np.diff(bins) > 1) + 1)
        if self.edges is None:
            labels = self.bin_labels
            return ", ".join(
                labels[run[0]] if len(run) == 1 else f"{labels[run[0]]} to {labels[run[-1]]}"
                for run in runs
            )
        ranges = (f"{self.edges[run[0]]:.4g}-{self.edges[run[-1] + 1]:.4g}" for run in runs)
        return " ".join((", ".join(ranges), self.bin_unit)).strip()
