"""The store of a run of simulations: safe against a crash, resumed exactly."""

import shutil
from pathlib import Path
from typing import Any

import h5py

from physgen.errors import InputError
from physgen.inference.pieces import (
    Piece,
    join,
    parts_folder,
    parts_of,
    read_piece,
    write_numbers,
)
from physgen.inference.priors import Prior
from physgen.inference.store import Simulations
from physgen.io import atomic_path, open_hdf5, read_json, require_writable, write_json


class GrowingStore:
    """The file `path`, and until it is finished the folder of pieces beside it.

    Args:
        made_with: what must be equal for a resume to continue the same run: JSON values.

    Raises:
        InputError: if there is a store already and `resume` is False, or one of another run.
    """

    def __init__(self, path: Path, prior: Prior, made_with: dict[str, Any], resume: bool):
        require_writable(path, overwrite=True)
        self.path = path
        self._folder = parts_folder(path)
        self._prior = prior
        self._made_with = made_with
        there = self._files()
        if there and not resume:
            raise InputError(
                f"{path} exists already, or was begun: go on with it (--resume, resume=True), "
                "choose another name, or delete it"
            )
        for file in there:
            self._require_same_run(file)

    def read(self) -> list[Piece]:
        """What is done."""
        return [read_piece(file) for file in self._files()]

    def append(self, piece: Piece) -> None:
        """Write one more piece."""
        self._folder.mkdir(exist_ok=True)
        last = parts_of(self.path)[-1:]
        number = int(last[0].stem.removeprefix("part-")) + 1 if last else 0
        self._write(self._folder / f"part-{number:06}.h5", piece, overwrite=False)

    def finish(self) -> None:
        """Make one file of all pieces, and delete their folder."""
        if parts_of(self.path):
            self._write(self.path, join(self.read()), overwrite=True)
        if self._folder.is_dir():
            shutil.rmtree(self._folder)

    def _files(self) -> list[Path]:
        return [self.path] * self.path.exists() + parts_of(self.path)

    def _write(self, path: Path, piece: Piece, overwrite: bool) -> None:
        simulations = simulations_of(piece, self._prior, self._made_with["missing"])
        with atomic_path(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
            simulations.write(file)
            write_numbers(file, piece)
            write_json(file, "made_with", self._made_with)

    def _require_same_run(self, path: Path) -> None:
        with open_hdf5(path) as file:
            if "made_with" not in file:
                raise InputError(f"{path} was not written by simulate: choose another store")
            found = read_json(file, "made_with")
        for name, value in self._made_with.items():
            if found.get(name) != value:
                raise InputError(
                    f"{self.path} was made with another {name}: {found.get(name)} before, {value} "
                    "now; resume it with the same, or choose another store"
                )


def simulations_of(piece: Piece, prior: Prior, missing: bool) -> Simulations:
    """The simulations of a piece, described by their prior."""
    return Simulations(
        piece.parameters,
        piece.observations,
        prior.names,
        prior.units,
        prior.low,
        prior.high,
        len(piece.failed),
        missing,
    )
