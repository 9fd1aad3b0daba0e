"""Whether simulations can be learned from: one clear line where they cannot."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from physgen.errors import InputError
from physgen.inference.priors import Prior
from physgen.inference.store import Simulations

FEWEST = 50
_LARGEST = 1e35  # and the inverse of the least


def require_usable(
    prior: Prior | None,
    simulations: Simulations | tuple[ArrayLike, ArrayLike],
    *,
    missing: bool = False,
) -> Simulations:
    """The simulations, with the names, the units and the box of the prior, if there is one.

    missing: entries of the observations may be NaN.

    Raises:
        InputError: see `fit_posterior`.
    """
    if not isinstance(simulations, Simulations):
        pair = tuple(simulations)
        if len(pair) != 2:
            raise InputError(
                f"expected simulations or a pair (theta, x), got {len(pair)} arrays; give two"
            )
        simulations = Simulations.from_arrays(*pair, missing=missing)
    if simulations.missing and not missing:
        raise InputError(
            "expected observations without NaN for an embedding that does not allow for missing "
            "entries, got some; take one that does (missing=True), or fill them in"
        )
    theta = simulations.parameters
    if prior is not None and theta.shape[1:] != prior.event_shape:
        raise InputError(
            f"expected parameters of shape (n, {prior.event_shape[0]}) as the prior has, got "
            f"{theta.shape}; give one column for each parameter of the prior"
        )
    if len(theta) < FEWEST:
        raise InputError(f"expected at least {FEWEST} simulations, got {len(theta)}; simulate more")
    if prior is not None:
        simulations = replace(
            simulations,
            parameter_names=prior.names,
            parameter_units=prior.units,
            low=prior.low,
            high=prior.high,
        )
    low, high = simulations.low, simulations.high
    outside = ~((theta >= low) & (theta <= high)).all(axis=1)
    if outside.any():
        worst = theta[outside][0]
        raise InputError(
            f"expected parameters inside the prior, from {_numbers(low)} to "
            f"{_numbers(high)}, got {outside.sum()} of {len(theta)} outside, such as "
            f"{_numbers(worst)}; give the prior that they were drawn from"
        )
    _require_varying("parameter", simulations.parameter_names, theta)
    x = np.asarray(simulations.observations)
    if x.ndim == 2:
        _require_some_varying(x)
    require_representable(x)
    return simulations


def require_representable(x: np.ndarray) -> None:
    """Warn of entries of observations (n, *x) that single precision cannot tell apart.

    Raises:
        InputError: if that is so for all that vary, or if one is beyond the largest number.
    """
    low, high = np.fmin.reduce(x, axis=0), np.fmax.reduce(x, axis=0)
    spread = np.ravel(high - low)
    spread = spread[spread > 0]
    size = float(max(np.fmax.reduce(np.ravel(high)), -np.fmin.reduce(np.ravel(low))))
    lost = spread < 1 / _LARGEST
    if size > _LARGEST or (lost.any() and lost.all()):
        got = f"sizes of {size:.3g}" if size > _LARGEST else f"entries that vary by {spread[0]:.3g}"
        raise InputError(
            f"expected observations that single precision holds, got {got}; change their unit, or "
            "take logarithms"
        )
    if lost.any():
        warnings.warn(
            f"{lost.sum()} of {lost.size} entries of the observations vary by less than "
            f"{1 / _LARGEST:g} and are lost in single precision: change their unit",
            stacklevel=3,
        )


def _require_varying(what: str, names: tuple[str, ...], values: np.ndarray) -> None:
    constant = np.ptp(values, axis=0) == 0
    if constant.any():
        i = int(np.flatnonzero(constant)[0])
        raise InputError(
            f"expected {what} {names[i]} to vary, got {values[0, i]} in all simulations; "
            "leave it out, of the prior too"
        )


def _require_some_varying(x: np.ndarray) -> None:
    if (np.nanmax(x, axis=0) == np.nanmin(x, axis=0)).all():
        raise InputError(
            "expected observations that vary, got the same one in all simulations; "
            "check that the simulator uses its parameters"
        )


def _numbers(values: Any) -> str:
    return "(" + ", ".join(f"{v:.4g}" for v in np.ravel(values)) + ")"
