"""Opening a file of physgen without knowing what is in it."""

import os
from typing import Any

from physgen.errors import InputError
from physgen.galaxies import catalogue, emulator
from physgen.inference import compare, likelihood, posterior, ratio, results, store
from physgen.io import open_hdf5, read_header
from physgen.spins import files
from physgen.spins.tomography import sweep_density

_MODELS = {
    emulator.KIND: emulator.GalaxyEmulator.load,
    posterior.KIND: posterior.Posterior.load,
    likelihood.KIND: likelihood.Likelihood.load,
    ratio.KIND: ratio.Ratio.load,
    compare.KIND: compare.Comparison.load,
    files.KIND: files.load_wavefunction,
    sweep_density.KIND: sweep_density.load_sweep,
}
_DATA = {
    catalogue.KIND: catalogue.read_catalogue,
    results.KIND: results.PosteriorSamples.load,
    store.KIND: store.Simulations.load,
}


def load(path: str | os.PathLike[str], network: Any = None) -> Any:
    """What is in a file that physgen saved.

    A model, that is a density, or a ratio or comparison of models; a catalogue, samples of a
    posterior, or simulations.

    Args:
        network: the user's own network of the right structure, where one was saved.

    Raises:
        InputError: if the file is missing, damaged, of another kind, or of a newer physgen.
    """
    with open_hdf5(path) as file:
        kind = read_header(file).kind
    if kind in _DATA and network is None:
        return _DATA[kind](path)
    if kind not in _MODELS:
        known = sorted(_MODELS if network is not None else _MODELS | _DATA)
        raise InputError(
            f"expected one of {', '.join(known)} in {path}, found {kind!r}; h5py opens it, or a "
            "newer physgen may have written it"
        )
    return _MODELS[kind](path, network)
