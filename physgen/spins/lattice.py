"""Where the spins sit: a chain, or a square lattice along a snake path."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from physgen.errors import InputError

Bonds = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Chain:
    """n sites in a row, in a ring where periodic."""

    n: int
    periodic: bool = False

    def __post_init__(self):
        _require(self.n >= 2, "a chain of at least 2 sites", f"n={self.n}")

    def bonds(self, order: int = 1) -> Bonds:
        """Pairs of sites `order` apart, each once.

        Raises:
            InputError: for a periodic chain that is not longer than twice the order.
        """
        if not self.periodic:
            return tuple((i, i + order) for i in range(self.n - order))
        _require(
            self.n > 2 * order,
            f"a periodic chain of more than {2 * order} sites, whose pairs are distinct",
            f"n={self.n}",
        )
        return tuple(_ordered(i, (i + order) % self.n) for i in range(self.n))

    def distances(self) -> Float[np.ndarray, "n n"]:
        """Between all sites, the shorter way round a ring, in units of the spacing."""
        return _between(np.arange(self.n)[:, None], (self.n,), self.periodic)

    def sublattice(self) -> Int[np.ndarray, " n"]:
        """0 and 1 in turn."""
        return np.arange(self.n) % 2

    def reflections(self) -> list[Int[np.ndarray, " n"]]:
        """The order of the sites read backwards, alone."""
        return [np.arange(self.n)[::-1]]

    def translations(self) -> list[Int[np.ndarray, " n"]]:
        """The orders of the sites after each shift of a ring, the first one none.

        Raises:
            InputError: for an open chain.
        """
        _require(self.periodic, "a periodic chain for translations", "an open one")
        return [np.roll(np.arange(self.n), -shift) for shift in range(self.n)]


@dataclass(frozen=True)
class Square:
    """rows x columns sites, numbered along a snake: odd rows run backwards."""

    rows: int
    columns: int
    periodic: bool = False

    def __post_init__(self):
        _require(
            min(self.rows, self.columns) >= 2, "at least 2 x 2 sites", f"{self.rows}x{self.columns}"
        )
        _require(
            not self.periodic or min(self.rows, self.columns) > 2,
            "at least 3 x 3 sites on a torus, whose pairs are distinct",
            f"{self.rows}x{self.columns}",
        )

    @property
    def n(self) -> int:
        return self.rows * self.columns

    @cached_property
    def _number(self) -> Int[np.ndarray, "rows columns"]:
        number = np.arange(self.n).reshape(self.rows, self.columns)
        number[1::2] = number[1::2, ::-1]
        return number

    def bonds(self, order: int = 1) -> Bonds:
        """Nearest neighbours (order 1), or neighbours along the diagonals (order 2), each once.

        Raises:
            InputError: for another order.
        """
        steps = {1: ((0, 1), (1, 0)), 2: ((1, 1), (1, -1))}
        _require(order in steps, "order 1 or 2 on a square lattice", str(order))
        found = []
        for down, right in steps[order]:
            for row, column in np.ndindex(self.rows, self.columns):
                r, c = row + down, column + right
                if self.periodic or (r < self.rows and 0 <= c < self.columns):
                    there = self._number[r % self.rows, c % self.columns]
                    found.append(_ordered(int(self._number[row, column]), int(there)))
        return tuple(found)

    def distances(self) -> Float[np.ndarray, "n n"]:
        """Between all sites, the shorter way round a torus, in units of the spacing."""
        shape = self.rows, self.columns
        row, column = (self._along_path(index) for index in np.indices(shape))
        return _between(np.stack([row, column], axis=1), shape, self.periodic)

    def sublattice(self) -> Int[np.ndarray, " n"]:
        """0 and 1 as on a chessboard."""
        return self._along_path(np.indices((self.rows, self.columns)).sum(axis=0) % 2)

    def reflections(self) -> list[Int[np.ndarray, " n"]]:
        """The orders of the sites after reflecting the rows, the columns, and both."""
        number = self._number
        return [
            self._along_path(image) for image in (number[::-1], number[:, ::-1], number[::-1, ::-1])
        ]

    def translations(self) -> list[Int[np.ndarray, " n"]]:
        """The orders of the sites after each shift of a torus, the first one none.

        Raises:
            InputError: for an open lattice.
        """
        _require(self.periodic, "a periodic lattice for translations", "an open one")
        return [
            self._along_path(np.roll(self._number, shift, (0, 1)))
            for shift in np.ndindex(self.rows, self.columns)
        ]

    def _along_path(self, values: Int[np.ndarray, "rows columns"]) -> Int[np.ndarray, " n"]:
        path = np.empty(self.n, values.dtype)
        path[self._number] = values
        return path


Lattice = Chain | Square


def as_lattice(lattice: int | Lattice, periodic: bool) -> Lattice:
    """A number of sites as a chain; a lattice as it is."""
    return Chain(lattice, periodic) if isinstance(lattice, int) else lattice


def _between(places: Int[np.ndarray, "n d"], sides: tuple[int, ...], periodic: bool):
    steps = np.abs(places[:, None] - places[None])
    if periodic:
        steps = np.minimum(steps, np.array(sides) - steps)
    return np.linalg.norm(steps, axis=-1)


def _ordered(i: int, j: int) -> tuple[int, int]:
    return (i, j) if i < j else (j, i)


def _require(condition: bool, expected: str, got: str) -> None:
    if not condition:
        raise InputError(f"expected {expected}, got {got}")
