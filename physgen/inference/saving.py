"""Trained models with `settings` and a `training` record, to HDF5 and back."""

import os
from typing import Any, TypeVar, cast

from flax import nnx

from physgen.errors import InputError
from physgen.inference.posterior import Training
from physgen.io import read_model, save_model
from physgen.io.models import from_json

Model = TypeVar("Model")


def save_trained(model: Any, kind: str, path: str | os.PathLike[str], overwrite: bool) -> None:
    """Write settings, numbers and the record of the training to one file of this `kind`."""
    save_model(
        path,
        kind=kind,
        settings=model.settings,
        parameters=nnx.to_pure_dict(nnx.state(model)),
        metadata={"training": model.training},
        overwrite=overwrite,
    )


def load_trained(
    cls: type[Model],
    path: str | os.PathLike[str],
    kind: str,
    settings: type[Any],
    network: Any = None,
) -> Model:
    """The model in a file by `save_trained`, a `cls` of such settings.

    Raises:
        InputError: if the file is not of this kind, whole and of this structure.
    """
    file = read_model(path)
    if file.kind != kind or network is not None:
        raise InputError(f"expected a {kind} in {path}, found a {file.kind}")
    given, make = file.settings_as(settings), cast(Any, cls)
    model: Any = file.restored(lambda: make(given, rngs=nnx.Rngs(0)))
    model.training = from_json(Training, file.metadata["training"], str(path))
    return model
