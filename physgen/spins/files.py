"""Wavefunctions as files."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flax import nnx

from physgen.errors import InputError
from physgen.io import ModelFile, read_model, save_model
from physgen.io.models import from_json
from physgen.spins.ansatz import (
    FVSBNWavefunction,
    GRUWavefunction,
    MADEWavefunction,
    MinGRUWavefunction,
    NADEWavefunction,
    TensorizedWavefunction,
    TransformerWavefunction,
)
from physgen.spins.hamiltonians import (
    XXZ,
    XY,
    ClusterIsing,
    CustomHamiltonian,
    Hamiltonian,
    Heisenberg,
    LongRangeIsing,
    Rydberg,
    TransverseFieldIsing,
)
from physgen.spins.lattice import Chain, Square
from physgen.spins.wavefunction import Wavefunction

KIND = "wavefunction"


@dataclass(frozen=True)
class WavefunctionSettings:
    """What a wavefunction is built from."""

    lattice: Chain | Square
    ansatz: (
        GRUWavefunction
        | TensorizedWavefunction
        | MinGRUWavefunction
        | TransformerWavefunction
        | NADEWavefunction
        | MADEWavefunction
        | FVSBNWavefunction
    )


def save_wavefunction(
    path: str | os.PathLike[str],
    wavefunction: Wavefunction,
    *,
    metadata: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a wavefunction to one HDF5 file; `physgen.load` opens it.

    Raises:
        InputError: if it was not built by one of the ansatz classes, or if the file is there.
    """
    if wavefunction.made_of is None:
        raise InputError(
            "expected a wavefunction built by an ansatz, such as GRUWavefunction(50).build(40, "
            "rngs=...), got one around a network; save its parameters yourself"
        )
    save_model(
        path,
        kind=KIND,
        settings=WavefunctionSettings(*wavefunction.made_of),
        parameters=nnx.to_pure_dict(nnx.state(wavefunction)),
        metadata=dict(metadata or {}),
        overwrite=overwrite,
    )


def load_wavefunction(path: str | os.PathLike[str], network: None = None) -> Wavefunction:
    """The wavefunction in a file by `save_wavefunction`.

    Raises:
        InputError: if the file is no such thing, or damaged.
    """
    file = read_model(path)
    if file.kind != KIND or network is not None:
        raise InputError(f"expected a wavefunction in {path}, found a {file.kind}")
    settings = file.settings_as(WavefunctionSettings)
    return file.restored(lambda: settings.ansatz.build(settings.lattice, rngs=nnx.Rngs(0)))


@dataclass(frozen=True)
class _Trained:
    hamiltonian: (
        TransverseFieldIsing
        | XXZ
        | Heisenberg
        | XY
        | ClusterIsing
        | Rydberg
        | LongRangeIsing
        | CustomHamiltonian
    )


def hamiltonian_in(file: ModelFile) -> Hamiltonian | None:
    """That whose ground state `physgen spins ground-state` looked for; None in other files.

    Raises:
        InputError: if it is written in another way.
    """
    written = file.metadata.get("hamiltonian")
    if written is None:
        return None
    return from_json(_Trained, {"hamiltonian": json.loads(written)}, str(file.path)).hamiltonian


def grown(wavefunction: Wavefunction, lattice: Chain | Square | int) -> Wavefunction:
    """The same network on another lattice, with the weights that it has.

    Raises:
        InputError: for a network whose weights belong to sites, or made by hand.
    """
    if wavefunction.made_of is None or not wavefunction.made_of[1].grows:
        raise InputError(
            "expected a recurrent wavefunction or a Transformer, whose weights fit any number of "
            "sites, to grow; train one of those"
        )
    ansatz = wavefunction.made_of[1]
    there = ansatz.build(lattice, rngs=nnx.Rngs(0))
    nnx.update(there, nnx.state(wavefunction, nnx.Param))
    return there
