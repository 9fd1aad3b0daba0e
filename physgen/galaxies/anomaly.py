"""Is this map like those that an emulator learned? A score from its likelihood, calibrated.

A likelihood alone does not tell: a map of few galaxies, or of a smooth cosmology, is as likely as
its kind, and one that is too likely is as odd as one that is not likely enough (Nalisnick et al.
2019, arXiv:1906.02994). A score is compared with those of held-out maps at the same parameters, on
both sides.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from physgen.densities.solvers import OrdinarySolver
from physgen.densities.trace import Trace
from physgen.errors import InputError
from physgen.galaxies.catalogue import Catalogue
from physgen.galaxies.emulator import LIKELIHOOD_SOLVER, GalaxyEmulator
from physgen.galaxies.likelihood import TRACE, clouds, log_likelihoods

PARTS = ("positions", "features", "counts")
_FEWEST = 20


@dataclass(frozen=True, eq=False)
class MapScores:
    """Log-densities of n maps at parameters (n, p), a column for each of `PARTS`."""

    parameters: Float[np.ndarray, "n p"]
    values: Float[np.ndarray, "n 3"]


def score_maps(
    key: PRNGKeyArray,
    emulator: GalaxyEmulator,
    catalogue: Catalogue,
    parameters: Float[np.ndarray, "n p"] | None = None,
    *,
    trace: Trace = TRACE,
    solver: OrdinarySolver = LIKELIHOOD_SOLVER,
    progress: Callable[[int, int], None] | None = None,
) -> MapScores:
    """The log-density of each map of a catalogue.

    Args:
        parameters: that the maps are said to have; the catalogue's own if not given.
        progress: called as progress(done, total).

    Raises:
        InputError: as `clouds`, and for a catalogue without parameters where none are given.
    """
    p = len(emulator.domain.parameter_names)
    theta = np.asarray(catalogue.parameters if parameters is None else parameters, np.float32)
    if theta.shape != (len(catalogue), p):
        raise InputError(
            f"expected parameters of shape ({len(catalogue)}, {p}), "
            f"{', '.join(emulator.domain.parameter_names)} of each map, got {theta.shape}"
        )
    galaxies, masks = clouds(emulator, catalogue)
    values = np.zeros((len(galaxies), len(PARTS)))
    for i, (cloud, mask, given) in enumerate(zip(galaxies, masks, theta, strict=True)):
        found = log_likelihoods(
            jax.random.fold_in(key, i),
            emulator,
            cloud,
            mask,
            given[None],
            trace=trace,
            solver=solver,
        )
        values[i] = [np.mean(part) for part in (found.positions, found.features, found.counts)]
        if progress is not None:
            progress(i + 1, len(galaxies))
    return MapScores(theta.astype(np.float64), values)


@dataclass(frozen=True, eq=False)
class AnomalyDetector:
    """What is usual: the scores of held-out maps around a quadratic in their parameters.

    coefficients: of the quadratic, (terms, 3). residuals: of each held-out map from the quadratic
    of the others, (n, 3): a map that comes later is as far from it. centre and scale: of the
    parameters.
    """

    centre: Float[np.ndarray, " p"]
    scale: Float[np.ndarray, " p"]
    coefficients: Float[np.ndarray, "terms 3"]
    residuals: Float[np.ndarray, "n 3"]

    @classmethod
    def fit(cls, held_out: MapScores) -> "AnomalyDetector":
        """Learn from maps that the emulator was not trained on.

        Raises:
            InputError: for fewer maps than twice the terms of the quadratic, or than 20.
        """
        theta = held_out.parameters
        centre, scale = theta.mean(axis=0), np.maximum(theta.std(axis=0), 1e-12)
        terms = _quadratic((theta - centre) / scale)
        least = max(_FEWEST, 2 * terms.shape[1])
        if len(theta) < least:
            raise InputError(f"expected at least {least} held-out maps, got {len(theta)}")
        solve = np.linalg.pinv(terms)
        coefficients = solve @ held_out.values
        leverage = np.sum(terms * solve.T, axis=1)
        residuals = (held_out.values - terms @ coefficients) / (1 - leverage)[:, None]
        return cls(centre, scale, coefficients, residuals)

    def excess(self, scores: MapScores) -> Float[np.ndarray, "n 3"]:
        """By how much each part of a score exceeds what is usual, in nats."""
        terms = _quadratic((scores.parameters - self.centre) / self.scale)
        return scores.values - terms @ self.coefficients

    def p_values(self, scores: MapScores) -> Float[np.ndarray, " n"]:
        """The chance that a usual map is as odd, on either side of any part, at least 1 / (n + 1).

        From the rank of its oddest part, in robust standard deviations, among the held-out maps.
        """
        usual = self._oddness(self.residuals)
        odder = usual[None] >= self._oddness(self.excess(scores))[:, None]
        return (1 + odder.sum(axis=1)) / (len(usual) + 1)

    def _oddness(self, excess: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        low, middle, high = np.quantile(self.residuals, [0.16, 0.5, 0.84], axis=0)
        varies = high > low
        off = np.abs(excess - middle)[:, varies] / ((high - low) / 2)[varies]
        return off.max(axis=1, initial=0.0)


def _quadratic(z: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "n terms"]:
    first, second = np.triu_indices(z.shape[1])
    return np.column_stack([np.ones(len(z)), z, z[:, first] * z[:, second]])
