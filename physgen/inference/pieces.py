"""Some of the simulations of a run, each with its number in the run; and their files.

A run that is not over yet has a folder of pieces, each a file of its own that was renamed into
place when complete: whatever kills the run, every piece is whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float, Int

from physgen.errors import InputError
from physgen.io import open_hdf5


@dataclass(frozen=True, eq=False)
class Piece:
    """Simulations by number: m that gave finite results, and the numbers of those that failed."""

    index: Int[np.ndarray, " m"]
    parameters: Float[np.ndarray, "m d"]
    observations: Float[np.ndarray, "m *x"]
    failed: Int[np.ndarray, " k"]

    def __len__(self) -> int:
        """How many are done, failed ones included."""
        return len(self.index) + len(self.failed)

    @property
    def done(self) -> Int[np.ndarray, " n"]:
        """The numbers of all that are done."""
        return np.concatenate([self.index, self.failed])

    def without_failures(self) -> "Piece":
        """The same, as if those that failed had not been run."""
        return replace(self, failed=self.failed[:0])

    def below(self, n: int) -> "Piece":
        """Those numbered less than n."""
        kept = self.index < n
        return Piece(
            self.index[kept],
            self.parameters[kept],
            self.observations[kept],
            self.failed[self.failed < n],
        )


def join(pieces: Sequence[Piece]) -> Piece:
    """All of them, in the order of their numbers, each once; what failed first may have not later.

    Raises:
        InputError: if the shapes of their observations differ.
    """
    shapes = {piece.observations.shape[1:] for piece in pieces if len(piece.index)}
    if len(shapes) > 1:
        first, second = sorted(shapes)[:2]
        raise InputError(
            f"expected observations of one shape, got {first} and {second}; pad them, or reduce "
            "them to summaries"
        )
    full = [piece for piece in pieces if len(piece.index)] or list(pieces[:1])
    index, order = np.unique(np.concatenate([p.index for p in full]), return_index=True)
    return Piece(
        index,
        np.concatenate([p.parameters for p in full])[order],
        np.concatenate([p.observations for p in full])[order],
        np.setdiff1d(np.concatenate([p.failed for p in pieces]), index),
    )


def parts_folder(path: Path) -> Path:
    """Where the pieces of the store `path` are until it is finished."""
    return path.with_name(path.name + ".parts")


def parts_of(path: Path) -> list[Path]:
    """The files of all pieces there."""
    return sorted(parts_folder(path).glob("part-*.h5"))


def write_numbers(file: h5py.File, piece: Piece) -> None:
    """Add what makes a piece of a file of simulations."""
    file.create_dataset("index", data=piece.index)
    file.create_dataset("failed_index", data=piece.failed)


def read_piece(path: Path) -> Piece:
    """The piece in a file of simulations with numbers.

    Raises:
        InputError: if the file is damaged, or none that `simulate` wrote.
    """
    with open_hdf5(path) as file:
        names = "index", "parameters", "observations", "failed_index"
        if not all(isinstance(file.get(name), h5py.Dataset) for name in names):
            raise InputError(f"{path} was not written by simulate: choose another store")
        return Piece(*(np.asarray(file[name]) for name in names))
