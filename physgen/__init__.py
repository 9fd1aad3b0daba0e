"""Generative models for simulations, judged by physics."""

import importlib
from typing import TYPE_CHECKING, Any

from physgen.errors import InputError

if TYPE_CHECKING:
    from physgen import (
        data,
        densities,
        galaxies,
        inference,
        io,
        nets,
        plots,
        stats,
        train,
        validation,
    )
    from physgen.loading import load

__version__ = "0.1.0"

__all__ = [
    "InputError",
    "data",
    "densities",
    "galaxies",
    "inference",
    "io",
    "load",
    "nets",
    "plots",
    "stats",
    "train",
    "validation",
]


def __getattr__(name: str) -> Any:
    """Import a submodule, or `load`, at its first use (PEP 562), so that the import stays light."""
    if name == "load":
        return importlib.import_module("physgen.loading").load
    if name in __all__:
        return importlib.import_module(f"physgen.{name}")
    raise AttributeError(f"module 'physgen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
