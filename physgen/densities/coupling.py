"""How the points of a base event are paired with the points of a data event."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from physgen.errors import InputError
from physgen.geometry import Geometry


@dataclass(frozen=True)
class Independent:
    """Base and data are paired as they come."""

    def pair(
        self,
        key: PRNGKeyArray,
        geometry: Geometry,
        x0: Array,
        x1: Array,
        mask: Bool[Array, " n"] | None = None,
    ) -> Array:
        """x0 itself; `key` is not used."""
        return x0


@dataclass(frozen=True)
class OptimalTransport:
    """Each base set is permuted to the least total squared distance to its data set.

    Exact assignment within the set (Jonker-Volgenant, `scipy.optimize.linear_sum_assignment`);
    about 2 ms for 128 points on one core. It straightens the paths, and asks for a sharper map.

    Args:
        noise: deviation of normal noise that is added to the data before they are assigned, in
            their units: paths are straight on larger scales, and left to chance on smaller ones.

    Raises:
        InputError: for noise that is not zero or more.
    """

    noise: float = 0.0

    def __post_init__(self):
        if not 0 <= self.noise < float("inf"):
            raise InputError(f"expected noise of zero or more, got {self.noise}")

    def pair(
        self,
        key: PRNGKeyArray,
        geometry: Geometry,
        x0: Float[Array, "n d"],
        x1: Float[Array, "n d"],
        mask: Bool[Array, " n"] | None = None,
    ) -> Float[Array, "n d"]:
        """x0 permuted; masked points stay paired among themselves."""
        blurred = geometry.wrap(x1 + self.noise * jax.random.normal(key, x1.shape, x1.dtype))
        cost = jnp.sum(geometry.displacement(x0[:, None, :], blurred[None, :, :]) ** 2, axis=-1)
        if mask is not None:
            different = mask[:, None] != mask[None, :]
            cost = jnp.where(different, 1e3 * (1.0 + jnp.max(cost)), cost)
        order = jax.pure_callback(
            _assign,
            jax.ShapeDtypeStruct((x0.shape[0],), jnp.int32),
            cost,
            vmap_method="sequential",
        )
        return x0[order]


def _assign(cost: ArrayLike) -> np.ndarray:
    rows, columns = linear_sum_assignment(np.asarray(cost))
    order = np.empty(len(columns), dtype=np.int32)
    order[columns] = rows
    return order


Coupling = Independent | OptimalTransport
