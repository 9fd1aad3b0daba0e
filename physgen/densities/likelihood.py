"""A log-density that was estimated, and how far it is off."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LikelihoodEstimate:
    """Log-densities, with axes as `Density.log_prob` and one estimate for each probe last.

    draws: with the solver asked for. coarse: their mean with a coarser one. Estimates by the same
    key share probes and steps, so their difference is sharper than either.
    """

    draws: Float[Array, "*lead k"]
    coarse: Float[Array, "*lead"]

    @property
    def value(self) -> Float[Array, "*lead"]:
        """The estimate."""
        return jnp.mean(self.draws, axis=-1)

    @property
    def standard_error(self) -> Float[Array, "*lead"]:
        """Of the probes; zero where the trace is exact."""
        k = self.draws.shape[-1]
        if k == 1:
            return jnp.zeros_like(self.coarse)
        return jnp.std(self.draws, axis=-1, ddof=1) / k**0.5

    @property
    def solver_error(self) -> Float[Array, "*lead"]:
        """The change from the coarser solver: more than the error, where steps are fine enough."""
        return jnp.abs(self.value - self.coarse)

    @property
    def error(self) -> Float[Array, "*lead"]:
        """Both errors, in quadrature."""
        return jnp.hypot(self.standard_error, self.solver_error)

    def __add__(self, known: Array) -> "LikelihoodEstimate":
        """With known terms added, of the leading axes."""
        return LikelihoodEstimate(self.draws + known[..., None], self.coarse + known)

    def __sub__(self, other: "LikelihoodEstimate") -> "LikelihoodEstimate":
        """The difference, probe by probe: only of estimates by the same key."""
        return LikelihoodEstimate(self.draws - other.draws, self.coarse - other.coarse)
