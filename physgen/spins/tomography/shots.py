"""Measured bit strings, and the Pauli basis that each site was measured in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike

from physgen.errors import InputError
from physgen.words import counted

LETTERS = "XYZ"
Z = LETTERS.index("Z")


@dataclass(frozen=True, eq=False)
class Shots:
    """outcomes: 0 for the eigenvalue +1, 1 for -1, (b, n). bases: 0 for X, 1 for Y, 2 for Z."""

    outcomes: Int[np.ndarray, "b n"]
    bases: Int[np.ndarray, "b n"]

    @classmethod
    def of(cls, outcomes: ArrayLike, bases: Any = None) -> "Shots":
        """From rows of 0 and 1, one a shot, and basis strings.

        Args:
            outcomes: (b, n).
            bases: one string of n letters X, Y and Z for all shots, or one for each; letters may
                be apart, "X Z" or ["X", "Z"]. None for Z everywhere.

        Raises:
            InputError: for other outcomes, letters, lengths or numbers of bases.
        """
        rows = _outcomes(outcomes)
        b, n = rows.shape
        strings = ["Z" * n] if bases is None else _strings(bases)
        if len(strings) not in (1, b):
            raise InputError(
                f"expected one basis for all {b} shots, or {b} of them, got {len(strings)}; give "
                "one row of letters for each shot"
            )
        known: dict[str, list[int]] = {}
        for number, string in enumerate(strings):
            if string not in known:
                known[string] = _letters(string, n, number)
        letters = np.array([known[string] for string in strings], int)
        return cls(rows, np.broadcast_to(letters, (b, n)).copy())

    def __len__(self) -> int:
        return len(self.outcomes)

    def __repr__(self) -> str:
        bases = counted(len(np.unique(self.bases, axis=0)), "basis", "bases")
        return f"<Shots, {len(self)} of {self.sites} sites in {bases}>"

    @property
    def sites(self) -> int:
        return self.outcomes.shape[1]

    @property
    def strings(self) -> list[str]:
        """The basis of each shot, as letters."""
        return ["".join(LETTERS[letter] for letter in row) for row in self.bases]

    def distinct(self) -> tuple[Int[np.ndarray, "m n"], Int[np.ndarray, " b"]]:
        """The bases that occur, and which of them each shot has."""
        found, index = np.unique(self.bases, axis=0, return_inverse=True)
        return found, index.reshape(-1)

    def distinct_rows(self) -> "tuple[Shots, Int[np.ndarray, ' b']]":
        """Every outcome that occurs in each basis once, and which of them each shot is."""
        both = np.concatenate([self.bases, self.outcomes], axis=1)
        rows, index = np.unique(both, axis=0, return_inverse=True)
        bases, outcomes = np.split(rows, 2, axis=1)
        return Shots(outcomes, bases), index.reshape(-1)

    def __getitem__(self, rows: Any) -> "Shots":
        return Shots(self.outcomes[rows], self.bases[rows])


def phases_caveat(shots: Shots, positive: bool) -> str | None:
    """What the bases of the shots leave open, in a sentence; None where they may settle it."""
    bases, _ = shots.distinct()
    if len(bases) == 1 and positive:
        return (
            "all shots are in one basis, which fixes |psi|^2 there and no phase: psi is taken to "
            "be positive in the z basis, and whatever depends on signs or phases (X, Y, "
            "entropies) follows from that assumption, not from the data"
        )
    if len(bases) == 1:
        return (
            "all shots are in one basis, which fixes |psi|^2 there and no phase: the phases found "
            "are arbitrary; measure in other bases, or take psi to be positive"
        )
    fixed = np.flatnonzero((bases == bases[0]).all(axis=0))
    if len(fixed):
        return (
            f"sites {', '.join(map(str, fixed))} were measured in one basis alone: what does not "
            "commute with it there is not determined by the data"
        )
    return None


def _outcomes(outcomes: ArrayLike) -> Int[np.ndarray, "b n"]:
    rows = np.asarray(outcomes)
    if rows.ndim != 2 or 0 in rows.shape:
        raise InputError(
            f"expected shots of shape (shots, sites), got {rows.shape}; give one row for each shot"
        )
    if rows.dtype.kind not in "biuf" or not np.isin(rows, (0, 1)).all():
        bad = rows if rows.dtype.kind not in "biuf" else rows[~np.isin(rows, (0, 1))]
        raise InputError(
            f"expected shots of 0 and 1, got {bad.flat[0]!s}; for Pauli values z take (1 - z) / 2"
        )
    return rows.astype(int)


def _strings(bases: Any) -> list[str]:
    if isinstance(bases, str):
        return ["".join(bases.split()).upper()]
    rows: Sequence[Any] = np.asarray(bases).tolist()
    return ["".join("".join(map(str, row)).split()).upper() for row in rows]


def _letters(string: str, n: int, number: int) -> list[int]:
    if len(string) != n:
        raise InputError(
            f"expected bases of {n} letters, one for each site, got {string!r} in row {number + 1}"
        )
    if set(string) - set(LETTERS):
        raise InputError(
            f"expected bases of the letters X, Y and Z, got {string!r} in row {number + 1}"
        )
    return [LETTERS.index(letter) for letter in string]
