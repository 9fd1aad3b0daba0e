"""Which boxes are compared with which: those of equal parameters, where there are enough."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from physgen.errors import InputError
from physgen.words import counted

MINIMUM_BOXES = 8
_SAME = 1e-6  # parameters this close, relative to the largest, are equal: float32 rounding


@dataclass(frozen=True, eq=False)
class Group:
    """Real and generated boxes that are compared with each other, by index.

    parameters (q,) are the ones they share, None where different ones are pooled. Labels of real
    and generated may be exchanged between boxes of one stratum: `real_strata` and
    `generated_strata` number them.
    """

    parameters: Float[np.ndarray, " q"] | None
    real: Int[np.ndarray, " n"]
    generated: Int[np.ndarray, " m"]
    real_strata: Int[np.ndarray, " n"]
    generated_strata: Int[np.ndarray, " m"]


@dataclass(frozen=True)
class Grouping:
    """The groups, and what a reader must know of boxes that are in none, or pooled."""

    groups: tuple[Group, ...]
    pooled: bool
    notes: tuple[str, ...]


def match_groups(
    real_parameters: ArrayLike,
    generated_parameters: ArrayLike,
    parameter_names: Sequence[str],
    minimum: int = MINIMUM_BOXES,
) -> Grouping:
    """Match the boxes of two ensembles by their rows of parameters, q may be 0.

    Parameter sets with at least `minimum` boxes in both ensembles are groups of their own. Where
    there is none, all boxes whose parameters occur in both ensembles are pooled, with labels
    exchanged between boxes of equal parameters only; where those are too few, all boxes are pooled,
    which is fair only if both ensembles drew their parameters from one distribution.

    Raises InputError for columns that do not fit the names, and ensembles of fewer than two boxes.
    """
    names = tuple(parameter_names)
    real, generated = (
        _as_parameters(values, names, which)
        for values, which in ((real_parameters, "real"), (generated_parameters, "generated"))
    )
    rows = _row_ids(np.concatenate([real, generated]))
    real_rows, generated_rows = rows[: len(real)], rows[len(real) :]
    both = np.intersect1d(real_rows, generated_rows)
    groups, dropped = [], []
    for row in both:
        r, g = np.flatnonzero(real_rows == row), np.flatnonzero(generated_rows == row)
        if min(len(r), len(g)) >= minimum:
            groups.append(Group(real[r[0]], r, g, np.zeros_like(r), np.zeros_like(g)))
        else:
            dropped.append(describe_parameters(names, real[r[0]]))
    only_real = len(np.setdiff1d(real_rows, both))
    only_generated = len(np.setdiff1d(generated_rows, both))
    if groups:
        return Grouping(
            tuple(groups), False, _notes_on_left_out(only_real, only_generated, dropped, minimum)
        )
    return _pool(real_rows, generated_rows, both, minimum)


def _pool(real_rows, generated_rows, both, minimum):
    r = np.flatnonzero(np.isin(real_rows, both))
    g = np.flatnonzero(np.isin(generated_rows, both))
    notes = []
    if min(len(r), len(g)) >= min(minimum, len(real_rows), len(generated_rows)):
        group = Group(None, r, g, real_rows[r], generated_rows[g])
        if len(both) > 1:
            notes.append(
                f"No parameter set has {minimum} boxes in both ensembles: the {len(both)} sets "
                "that both hold are pooled, labels exchanged between boxes of equal parameters "
                "only. The single-box scatter then holds the spread over parameters too."
            )
        left_out = len(real_rows) - len(r), len(generated_rows) - len(g)
        if any(left_out):
            notes.append(
                f"Left out, as their parameters occur in one ensemble only: {left_out[0]} held-out "
                f"and {counted(left_out[1], 'generated box', 'generated boxes')}."
            )
    else:
        r, g = np.arange(len(real_rows)), np.arange(len(generated_rows))
        group = Group(None, r, g, np.zeros_like(r), np.zeros_like(g))
        notes.append(
            "Held-out and generated boxes have different parameters: all are pooled. This is fair "
            "only if both drew their parameters from one distribution, and the single-box scatter "
            "holds the spread over parameters too. Generate at the held-out parameters for a "
            "sharper answer."
        )
    if min(len(r), len(g)) < minimum:
        notes.append(
            f"Only {len(r)} held-out and {len(g)} generated boxes: too few to find much wrong."
        )
    return Grouping((group,), True, tuple(notes))


def _notes_on_left_out(only_real, only_generated, dropped, minimum):
    notes = []
    if only_real:
        notes.append(f"{counted(only_real, 'parameter set')} in the held-out boxes only: left out.")
    if only_generated:
        notes.append(
            f"{counted(only_generated, 'parameter set')} in the generated boxes only: left out."
        )
    if dropped:
        shown = "; ".join(dropped[:3]) + ("; ..." if len(dropped) > 3 else "")
        notes.append(
            f"{counted(len(dropped), 'parameter set')} with fewer than {minimum} boxes in one of "
            f"the ensembles: left out ({shown})."
        )
    return tuple(notes)


def _as_parameters(values, names, which):
    parameters = np.asarray(values, dtype=np.float64)
    if parameters.ndim != 2 or parameters.shape[1] != len(names):
        raise InputError(
            f"{which} parameters must have shape (boxes, {len(names)}) for the names {names}, got "
            f"{parameters.shape}"
        )
    if len(parameters) < 2:
        raise InputError(
            f"a comparison needs at least 2 boxes in each ensemble, got {len(parameters)} {which}"
        )
    if not np.isfinite(parameters).all():
        raise InputError(f"{which} parameters must be finite, got NaN or infinity")
    return parameters


def _row_ids(parameters):
    """An integer for every row; rows that agree up to float32 rounding share it."""
    levels = np.zeros(parameters.shape, dtype=np.int64)
    for i, column in enumerate(parameters.T):
        order = np.argsort(column, kind="stable")
        steps = np.diff(column[order], prepend=column[order[0]])
        levels[order, i] = np.cumsum(steps > _SAME * np.abs(column).max())
    return np.unique(levels, axis=0, return_inverse=True)[1].ravel()


def describe_parameters(names: Sequence[str], parameters: Float[np.ndarray, " q"]) -> str:
    """Words for one parameter set: Omega_m=0.3, sigma_8=0.8."""
    return ", ".join(f"{n}={v:.4g}" for n, v in zip(names, parameters, strict=True))
