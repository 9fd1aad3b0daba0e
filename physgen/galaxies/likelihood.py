"""The likelihood of maps under an emulator, at many parameters."""

import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from physgen.densities.solvers import OrdinarySolver, require_solved
from physgen.densities.trace import Hutchinson, Trace
from physgen.density import Buffer
from physgen.devices import map_over_devices
from physgen.errors import InputError
from physgen.galaxies.catalogue import Catalogue
from physgen.galaxies.contributions import Contributions
from physgen.galaxies.emulator import LIKELIHOOD_SOLVER, GalaxyEmulator
from physgen.galaxies.features import Features
from physgen.galaxies.padding import packed
from physgen.galaxies.units import require_same_units, same_side

TRACE = Hutchinson(4)
_OUTSIDE = 0.01
_STEP = 32  # galaxies: maps are cut to a multiple, so that few shapes are compiled


def log_likelihoods(
    key: PRNGKeyArray,
    emulator: GalaxyEmulator,
    galaxies: Float[np.ndarray, "n d"],
    mask: Bool[np.ndarray, " n"],
    parameters: Float[np.ndarray, "m p"],
    *,
    trace: Trace = TRACE,
    solver: OrdinarySolver = LIKELIHOOD_SOLVER,
) -> Contributions:
    """The log-density of one map at m parameters, in its parts, with one estimate for each probe.

    All parameters share probes and steps, so differences are sharper than values. What is compiled
    for one map serves others of about as many galaxies.

    Args:
        galaxies: as `clouds` makes them, the real ones first.
    """
    width = _STEP * max(1, -(-int(mask.sum()) // _STEP))
    arrays = galaxies[:width], mask[:width], parameters.astype(galaxies.dtype)
    parts = _at_all(emulator, key, *map(jnp.asarray, arrays), trace, solver)
    require_solved(parts.ordered(), solver)
    return parts


class MapLikelihood(nnx.Module):
    """log p(map | parameters) for samplers that ask for one function of both.

    With `inference.mcmc.LikelihoodPosterior` it is drawn from by NUTS, for any number of
    parameters; `inference.surface.GridPosterior` takes far fewer evaluations for up to three.

    Args:
        rows: of a map, (rows, d); those that are not galaxies are NaN, see `padded`.
        key: of the probes, which are common to all calls: the likelihood is one smooth function.
    """

    def __init__(
        self,
        emulator: GalaxyEmulator,
        rows: int,
        key: PRNGKeyArray,
        *,
        trace: Trace = TRACE,
        solver: OrdinarySolver = LIKELIHOOD_SOLVER,
    ):
        self.emulator = emulator
        self.x_shape = (rows, emulator.domain.features.width)
        self.key = Buffer(key)
        self.trace = trace
        self.solver = solver

    def log_likelihood(self, theta: Float[Array, " p"], x: Float[Array, "n d"]) -> Array:
        """Of the set of galaxies and their number."""
        parts = self.emulator.contributions(
            self.key[...],
            jnp.nan_to_num(x),
            theta,
            jnp.isfinite(x[:, 0]),
            trace=self.trace,
            solver=self.solver,
        )
        return jnp.mean(parts.of_the_set())


def padded(
    galaxies: Float[np.ndarray, "... N d"], mask: Bool[np.ndarray, "... N"]
) -> Float[np.ndarray, "... N d"]:
    """What `clouds` makes as one array, NaN where there is no galaxy."""
    return np.where(mask[..., None], galaxies, np.nan)


def clouds(
    emulator: GalaxyEmulator, catalogue: Catalogue
) -> tuple[Float[np.ndarray, "n N d"], Bool[np.ndarray, "n N"]]:
    """Maps and masks as the emulator sees them; each has its real galaxies first.

    Raises:
        InputError: if the catalogue lacks a feature of the emulator, or has another box, unit or
            number of galaxies than its training, or more than 1% of them with scalars beyond those
            there; of fewer it warns, and takes them to be at the end.
    """
    domain = emulator.domain
    require_same_units(domain.units, catalogue.units, "the emulator", "the maps")
    if not same_side(catalogue.box_size, domain.box_size):
        raise InputError(
            f"expected maps of box {domain.box_size} {domain.position_unit} as in the emulator's "
            f"training, got {catalogue.box_size}; cut them"
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
            f"expected maps of at most {known} galaxies, the most that the emulator's counts allow "
            f"for, got one of {most}; train on such maps"
        )
    events, mask = packed(domain.features.events(catalogue), catalogue.mask)
    events[mask] = _within(domain.features, events[mask])
    return events, mask


def _within(features: Features, galaxies: np.ndarray) -> np.ndarray:
    """The galaxies with scalars no more extreme than those of the training, where few are."""
    galaxies = galaxies.copy()
    first = 3 + 3 * features.vectors
    for i, (name, knots) in enumerate(zip(features.names, features.knots, strict=True), first):
        values = galaxies[:, i]
        low, high = np.float32(knots[0]), np.float32(knots[-1])
        outside = (values < low) | (values > high)
        if outside.mean() > _OUTSIDE:
            raise InputError(
                f"expected {name} between {low:.4g} and {high:.4g} as in the emulator's training, "
                f"got {values[outside][0]:.4g} among {outside.mean():.1%} of galaxies outside; "
                "select galaxies as there, or train on more"
            )
        if outside.any():
            warnings.warn(
                f"{outside.sum()} of {len(values)} galaxies have {name} outside {low:.4g} to "
                f"{high:.4g}, where the emulator saw none: they are taken to be at the end",
                stacklevel=3,
            )
        galaxies[:, i] = np.clip(values, low, high)
    return galaxies


@partial(jax.jit, static_argnames=("trace", "solver"))
def _at_all(emulator, key, galaxies, mask, parameters, trace, solver):
    def one(given):
        return emulator.contributions(key, galaxies, given, mask, trace=trace, solver=solver)

    return map_over_devices(one, parameters)
