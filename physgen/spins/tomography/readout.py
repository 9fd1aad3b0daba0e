"""Readout errors: what is measured where the truth is another outcome.

Each site is read out by itself, P(measured) = sum_true C[measured, true] P(true); columns sum to 1.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from physgen.errors import InputError


@dataclass(frozen=True, eq=False)
class Readout:
    """A confusion matrix for each site, [site, measured, true]."""

    confusion: Float[np.ndarray, "n 2 2"]

    @classmethod
    def of(cls, confusion: ArrayLike, sites: int) -> "Readout":
        """From one matrix [measured, true] for all sites, or one for each.

        Raises:
            InputError: unless columns are probabilities.
        """
        given = np.asarray(confusion, float)
        if given.shape not in ((2, 2), (sites, 2, 2)):
            raise InputError(
                f"expected a confusion matrix of shape (2, 2) or ({sites}, 2, 2), got {given.shape}"
            )
        if not ((given >= 0).all() and np.allclose(given.sum(axis=-2), 1, atol=1e-6)):
            raise InputError(
                "expected columns of probabilities that sum to 1 in the confusion matrix "
                f"[measured, true], got {given.tolist()}; transpose it?"
            )
        return cls(np.broadcast_to(given, (sites, 2, 2)).copy())

    @classmethod
    def flips(cls, one_for_zero: float, zero_for_one: float, sites: int) -> "Readout":
        """The same two errors at all sites: P(1 measured | 0), P(0 measured | 1)."""
        up, down = one_for_zero, zero_for_one
        return cls.of([[1 - up, down], [up, 1 - down]], sites)


class LearnedReadout(nnx.Module):
    """Errors of each site that are learned with the state; each is below one half.

    One basis cannot tell them from the state. Several can, if the state is pure as it is assumed to
    be: what a mixed state would explain is then read as errors.
    """

    def __init__(self, sites: int, start: float = 0.02):
        odds = 2 * start / (1 - 2 * start)
        self.logits = nnx.Param(jnp.full((sites, 2), np.log(odds), jnp.float32))

    def matrices(self) -> Float[Array, "n 2 2"]:
        """C[site, measured, true]."""
        error = jax.nn.sigmoid(self.logits[...]) / 2
        up, down = error[:, 0], error[:, 1]
        return jnp.stack([jnp.stack([1 - up, down], 1), jnp.stack([up, 1 - down], 1)], 1)
