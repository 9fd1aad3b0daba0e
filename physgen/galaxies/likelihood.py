"""The likelihood of maps under an emulator, at many parameters."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, PRNGKeyArray

from physgen.densities.solvers import OrdinarySolver
from physgen.densities.trace import Hutchinson, Trace
from physgen.devices import map_over_devices
from physgen.errors import InputError
from physgen.galaxies.catalogue import Catalogue
from physgen.galaxies.emulator import Contributions, GalaxyEmulator
from physgen.galaxies.features import Features

_STEP = 32  # galaxies: maps are cut to a multiple, so that few shapes are compiled


def log_likelihoods(
    key: PRNGKeyArray,
    emulator: GalaxyEmulator,
    galaxies: Float[np.ndarray, "n d"],
    mask: Bool[np.ndarray, " n"],
    parameters: Float[np.ndarray, "m p"],
    *,
    trace: Trace = Hutchinson(8),
    solver: OrdinarySolver | None = None,
) -> Contributions:
    """The log-density of one map at m parameters, in its parts, with one estimate for each probe.

    All parameters share probes and steps, so differences are sharper than values. What is compiled
    for one map serves others of about as many galaxies.

    Args:
        galaxies: as `clouds` makes them, the real ones first.
    """
    width = _STEP * -(-int(mask.sum()) // _STEP)
    arrays = galaxies[:width], mask[:width], parameters.astype(galaxies.dtype)
    return _at_all(emulator, key, *map(jnp.asarray, arrays), trace, solver)


def clouds(
    emulator: GalaxyEmulator, catalogue: Catalogue
) -> tuple[Float[np.ndarray, "n N d"], Bool[np.ndarray, "n N"]]:
    """Maps and masks as the emulator sees them; each has its real galaxies first.

    Raises:
        InputError: if the catalogue lacks a feature of the emulator, or has another box, unit or
            number of galaxies than its training, or values that no galaxy had there.
    """
    domain = emulator.domain
    if (catalogue.box_size, catalogue.position_unit) != (domain.box_size, domain.position_unit):
        raise InputError(
            f"expected maps of box {domain.box_size} {domain.position_unit} as in the emulator's "
            f"training, got {catalogue.box_size} {catalogue.position_unit}; cut or convert them"
        )
    most = int(catalogue.counts.max())
    known = domain.points if emulator.counts is None else emulator.counts.settings.most
    if emulator.counts is None and (catalogue.counts != known).any():
        other = catalogue.counts[catalogue.counts != known][0]
        raise InputError(
            f"expected maps of {known} galaxies as in the emulator's training, got one of {other}; "
            "select as many"
        )
    if most > known:
        raise InputError(
            f"expected maps of at most {known} galaxies, twice the most of the emulator's "
            f"training, got one of {most}"
        )
    events = domain.features.events(catalogue)
    order = np.argsort(~catalogue.mask, axis=1, kind="stable")[:, :most]
    events = np.take_along_axis(events, order[..., None], axis=1)
    mask = np.take_along_axis(catalogue.mask, order, axis=1)
    _require_known(domain.features, events[mask])
    return events, mask


def _require_known(features: Features, galaxies: np.ndarray) -> None:
    scalars = galaxies[:, 3 + 3 * features.vectors :].T
    for name, knots, values in zip(features.names, features.knots, scalars, strict=True):
        outside = (values < np.float32(knots[0])) | (values > np.float32(knots[-1]))
        if outside.any():
            raise InputError(
                f"expected {name} between {knots[0]:.4g} and {knots[-1]:.4g} as in the emulator's "
                f"training, got {values[outside][0]:.4g}; select those galaxies, or train on more"
            )


@partial(jax.jit, static_argnames=("trace", "solver"))
def _at_all(emulator, key, galaxies, mask, parameters, trace, solver):
    def one(given):
        return emulator.contributions(key, galaxies, given, mask, trace=trace, solver=solver)

    return map_over_devices(one, parameters)
