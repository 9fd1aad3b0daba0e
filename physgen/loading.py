"""Opening a model file without knowing what is in it."""

import os
from typing import Any

from physgen.errors import InputError
from physgen.galaxies import emulator
from physgen.inference import compare, likelihood, posterior, ratio
from physgen.io import read_model
from physgen.spins import files
from physgen.spins.tomography import sweep_density

_KINDS = {
    emulator.KIND: emulator.GalaxyEmulator.load,
    posterior.KIND: posterior.Posterior.load,
    likelihood.KIND: likelihood.Likelihood.load,
    ratio.KIND: ratio.Ratio.load,
    compare.KIND: compare.Comparison.load,
    files.KIND: files.load_wavefunction,
    sweep_density.KIND: sweep_density.load_sweep,
}


def load(path: str | os.PathLike[str], network: Any = None) -> Any:
    """The model in a file that physgen saved: a density, or a ratio or comparison of models.

    Args:
        network: the user's own network of the right structure, where one was saved.

    Raises:
        InputError: if the file is missing, damaged, not a model, or of a newer physgen.
    """
    kind = read_model(path).kind
    if kind not in _KINDS:
        raise InputError(
            f"expected one of {', '.join(sorted(_KINDS))} in {path}, found {kind!r}; "
            "a newer physgen may have written it"
        )
    return _KINDS[kind](path, network)
