"""How wide posteriors of a likelihood should be, when the likelihood is not exact.

A model that was learned is sure of itself: posteriors of its likelihood may be too narrow for the
truth. Raised to a power below one, the likelihood gives wider ones; the power is chosen on
observations whose parameters are known (Syring & Martin 2019, arXiv:1509.00922).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.stats import chi2

from physgen.errors import InputError
from physgen.inference.surface import GridPosterior

FEWEST = 20


@dataclass(frozen=True, eq=False)
class Coverage:
    """Where the truths lie in the posteriors of n observations.

    inside: the fraction of truths in the central 68% interval of each parameter. distances: of each
    truth from the posterior's mean, squared, in units of its covariance (Mahalanobis).
    """

    names: tuple[str, ...]
    inside: Float[np.ndarray, " d"]
    distances: Float[np.ndarray, " n"]

    @property
    def power(self) -> float:
        """Of these likelihoods: half of the truths would then lie nearer than half of the draws.

        It takes posteriors to be Gaussian, whose covariances a power divides.
        """
        return float(chi2.median(len(self.names)) / np.median(self.distances))

    @property
    def error(self) -> float:
        """The standard error of each fraction, if 68% is right."""
        return float(np.sqrt(0.68 * 0.32 / len(self.distances)))

    def finding(self) -> str:
        """In a line."""
        fractions = ", ".join(
            f"{name} {fraction:.0%}" for name, fraction in zip(self.names, self.inside, strict=True)
        )
        return (
            f"68% intervals hold the truth of {len(self.distances)} observations in: {fractions} "
            f"(+- {self.error:.0%})"
        )


def coverage(posteriors: Sequence[GridPosterior], truths: ArrayLike) -> Coverage:
    """Of posteriors of observations whose parameters are known, truths (n, d).

    Raises:
        InputError: for fewer than 20, or truths of another shape.
    """
    truths = np.asarray(truths, np.float64)
    if len(posteriors) < FEWEST:
        raise InputError(
            f"expected at least {FEWEST} observations with known parameters, got "
            f"{len(posteriors)}; fewer do not tell"
        )
    names = posteriors[0].names
    if truths.shape != (len(posteriors), len(names)):
        raise InputError(
            f"expected truths of shape ({len(posteriors)}, {len(names)}), got {truths.shape}; "
            f"give {', '.join(names)} of each observation"
        )
    intervals = np.array([posterior.interval() for posterior in posteriors])
    inside = (intervals[:, 0] <= truths) & (truths <= intervals[:, 1])
    off = [posterior.mean() - truth for posterior, truth in zip(posteriors, truths, strict=True)]
    solved = [d @ np.linalg.solve(p.covariance(), d) for d, p in zip(off, posteriors, strict=True)]
    return Coverage(names, inside.mean(axis=0), np.array(solved))
