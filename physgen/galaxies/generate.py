"""Catalogues out of an emulator."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.densities.solvers import Solver
from physgen.errors import InputError
from physgen.galaxies.catalogue import Catalogue
from physgen.galaxies.domain import Domain
from physgen.galaxies.emulator import GalaxyEmulator
from physgen.galaxies.portions import made_in_portions

_POSITIVE = ("omega_m", "omega_b", "sigma_8", "sigma8")  # parameters known by their names
_FAR = 100
_COUNTS = 2**31  # folded into the key of the counts; no box has this index


class OutsideTrainingRange(UserWarning):
    """Parameters, or numbers of galaxies, at which an emulator extrapolates."""


def generate(
    key: PRNGKeyArray,
    emulator: GalaxyEmulator,
    parameters: ArrayLike,
    *,
    counts: ArrayLike | None = None,
    solver: Solver | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Catalogue:
    """One box of galaxies for each row of `parameters` (n, p), columns as in the emulator's domain.

    Box i depends on `key`, i and row i alone. Warns (`OutsideTrainingRange`) where parameters lie
    outside the range of the training set, or `counts` asks for more galaxies than a box there has.

    Args:
        counts: galaxies in each box, shape (n,); drawn from the emulator's density of them if not
            given, which is the same number for all where the boxes of its training were.
        solver: see `GalaxyEmulator.sample`.
        progress: called as progress(done, total).

    Raises:
        InputError: for parameters or counts of another shape, not finite or negative; an Omega_m
            or sigma_8, a density or an amplitude, of zero or less; where all counts are zero, given
            or drawn; for boxes so unlike the training that galaxies run away.
    """
    domain = emulator.domain
    parameters = checked_parameters(emulator, parameters)
    _warn_outside(emulator, parameters)
    counts = checked_counts(jax.random.fold_in(key, _COUNTS), emulator, parameters, counts)

    def make(keys, parameters, mask):
        made = emulator.sample_boxes(keys, parameters, mask, solver)
        return _usable(domain, made, np.asarray(mask).sum(axis=1))

    galaxies = made_in_portions(
        make, key, parameters, counts, domain.points, domain.features.width, progress
    )
    return Catalogue(
        **domain.features.fields(galaxies),
        mask=np.arange(counts.max()) < counts[:, None],
        parameters=parameters,
        parameter_names=domain.parameter_names,
        parameter_units=domain.parameter_units,
        box_size=domain.box_size,
        modelled=domain.features.modelled,
        position_unit=domain.position_unit,
    )


def checked_parameters(emulator: GalaxyEmulator, parameters: ArrayLike) -> Float[np.ndarray, "n p"]:
    """The parameters as an array; raises InputError as `generate` does for them."""
    domain = emulator.domain
    parameters = np.asarray(parameters, np.float32)
    if parameters.ndim != 2 or parameters.shape[1] != len(domain.parameter_names):
        raise InputError(
            f"expected parameters of shape (n, {len(domain.parameter_names)}), one column for each "
            f"of {', '.join(domain.parameter_names) or 'none'}, got {parameters.shape}"
        )
    columns = zip(domain.parameter_names, domain.parameter_low, parameters.T, strict=True)
    for name, low, values in columns:
        if not np.isfinite(values).all():
            box = int(np.argmin(np.isfinite(values)))
            raise InputError(
                f"expected a finite {name}, got {values[box]:g} for box {box}; give a number"
            )
        if name.lower() in _POSITIVE and low > 0 and (values <= 0).any():
            raise InputError(
                f"expected {name} above zero, got {values.min():g}; give one between those of the "
                "training"
            )
    return parameters


def checked_counts(
    key: PRNGKeyArray,
    emulator: GalaxyEmulator,
    parameters: Float[np.ndarray, "n p"],
    counts: ArrayLike | None,
) -> Int[np.ndarray, " n"]:
    """The counts as an array, drawn where there are none; raises InputError as `generate` does."""
    if counts is None:
        drawn = np.asarray(emulator.sample_counts(key, jnp.asarray(parameters)))
        if not drawn.any():
            raise InputError(
                f"expected a galaxy in some box, the emulator drew none for {len(drawn)}; ask for "
                "more boxes, or give the counts"
            )
        return drawn
    counts, n, known = np.asarray(counts), len(parameters), emulator.domain.points
    whole = np.issubdtype(counts.dtype, np.integer)
    if counts.shape != (n,) or not whole or (counts < 0).any() or not counts.any():
        raise InputError(
            f"expected counts of shape ({n},), integers of zero or more and not all zero, got "
            f"{counts.dtype} of shape {counts.shape}; give one number of galaxies for each box"
        )
    if (counts > known).any():
        warnings.warn(
            f"{counts.max()} galaxies in a box are more than the {known} of the training: the "
            "emulator extrapolates there",
            OutsideTrainingRange,
            stacklevel=3,
        )
    elif emulator.counts is None and (counts < known).any():
        warnings.warn(
            f"{counts.min()} galaxies in a box are other than the {known} of all boxes of the "
            "training: the emulator extrapolates there",
            OutsideTrainingRange,
            stacklevel=3,
        )
    return counts


def _usable(domain: Domain, galaxies: ArrayLike, counts: np.ndarray) -> np.ndarray:
    """The galaxies, of clouds that did not run away.

    Steps far outside of what a network has seen may lead anywhere, in open space and in velocity.
    """
    galaxies = np.asarray(galaxies)
    reach = np.full(galaxies.shape[-1], np.finfo(np.float32).max)
    if domain.box_size is None:
        reach[:3] = _FAR * domain.scale
    if domain.features.velocity_scale is not None:
        reach[3:6] = _FAR * domain.features.velocity_scale
    bad = ~(np.abs(galaxies) <= reach).all(axis=(1, 2))
    if bad.any():
        raise InputError(
            f"expected galaxies within {_FAR} times the root mean square of the training, got NaN "
            f"or beyond in a box of {counts[bad][0]}; ask for parameters and numbers of galaxies "
            "that are nearer to those of the training"
        )
    return galaxies


def _warn_outside(emulator: GalaxyEmulator, parameters: np.ndarray) -> None:
    domain = emulator.domain
    columns = zip(
        domain.parameter_names,
        domain.parameter_low,
        domain.parameter_high,
        parameters.T,
        strict=True,
    )
    for name, low, high, values in columns:
        slack = 1e-6 * max(abs(low), abs(high))
        outside = (values < low - slack) | (values > high + slack)
        if outside.any():
            warnings.warn(
                f"{name} = {values[outside][0]:g} is outside the training range {low:.4g} to "
                f"{high:.4g}: the emulator extrapolates there",
                OutsideTrainingRange,
                stacklevel=3,
            )
