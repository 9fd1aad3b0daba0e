"""Do two ways to the same posterior agree? A learned posterior, and one from a likelihood."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from physgen.errors import InputError
from physgen.inference.importance import WeightedSamples, weigh
from physgen.inference.results import PosteriorSamples
from physgen.inference.surface import GridPosterior

FAR = 1.0  # standard deviations between the means
FEW = 0.1  # effective draws, of those drawn


@dataclass(frozen=True, eq=False)
class Consistency:
    """How far a learned posterior is from that of a likelihood.

    shift: of the mean of each parameter, in standard deviations of the likelihood's posterior.
    width: of each parameter, the ratio of the standard deviations, learned over likelihood's.
    weighted: the learned draws with weights that make them the likelihood's.
    """

    names: tuple[str, ...]
    shift: Float[np.ndarray, " d"]
    width: Float[np.ndarray, " d"]
    weighted: WeightedSamples

    @property
    def effective_fraction(self) -> float:
        """The effective number of learned draws, as a fraction of them."""
        return self.weighted.effective_sample_size / len(self.weighted.samples)

    @property
    def consistent(self) -> bool:
        """Whether no mean is off by more than one deviation, and a tenth of the draws count."""
        return bool(np.abs(self.shift).max() <= FAR) and self.effective_fraction >= FEW

    def finding(self) -> str:
        """In a line."""
        parts = [
            f"{name} off by {shift:+z.2f} standard deviations, {width:.2f} times as wide"
            for name, shift, width in zip(self.names, self.shift, self.width, strict=True)
        ]
        verdict = "consistent" if self.consistent else "INCONSISTENT"
        return (
            f"{verdict}: learned posterior against that of the likelihood: {'; '.join(parts)}; "
            f"{self.effective_fraction:.0%} of its draws count"
        )


def consistency(likelihood: GridPosterior, learned: PosteriorSamples) -> Consistency:
    """Draws of a learned posterior, with their log-densities, against a likelihood's posterior.

    Raises:
        InputError: for other parameters, draws without log-densities, or none where the
            likelihood's posterior has weight.
    """
    if learned.names != likelihood.names or learned.log_prob is None:
        raise InputError(
            f"expected draws of {', '.join(likelihood.names)} with their log-densities, got "
            f"{', '.join(learned.names)}{'' if learned.log_prob is not None else ' without them'}"
        )
    draws = np.asarray(learned.samples, np.float64)
    deviation = np.sqrt(np.diag(likelihood.covariance()))
    weights = likelihood.log_prob(draws) - np.asarray(learned.log_prob, np.float64)
    return Consistency(
        likelihood.names,
        (draws.mean(axis=0) - likelihood.mean()) / deviation,
        draws.std(axis=0) / deviation,
        weigh(jnp.asarray(draws, float), weights),
    )
