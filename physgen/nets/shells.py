"""What a point of a periodic cloud sees: sums over its neighbours in shells of distance.

Shells are the bumps of `radial_basis` in log distance, so small and large scales are resolved
alike. A sum is divided by the noise that its count would have in a uniform cloud, which makes
shells, densities and boxes comparable. Lengths are in units of the box.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from physgen.geometry import Torus
from physgen.nets.pairs import radial_basis

BOX = Torus(1.0)


class Shells(NamedTuple):
    """The pairs of a cloud. Membership is symmetric, and zero for a point and itself."""

    membership: Float[Array, "r n n"]
    expected: Float[Array, " r"]
    """Neighbours in each shell if the cloud were uniform."""

    def sums(self, carried: Float[Array, "n c"]) -> Float[Array, "r n c"]:
        """Sums over neighbours of what they carry, divided by sqrt(1 + expected)."""
        noise = jnp.sqrt(1 + self.expected)[:, None, None]
        return jnp.einsum("rij,jc->ric", self.membership, carried) / noise

    def contrast(self, counts: Float[Array, "r n 1"]) -> Float[Array, "r n 1"]:
        """The sums of ones less what a uniform cloud has: positive where points cluster."""
        return counts - (self.expected / jnp.sqrt(1 + self.expected))[:, None, None]


def shells_of(
    position: Float[Array, "n 3"],
    present: Bool[Array, " n"],
    radii: tuple[float, float],
    volumes: tuple[float, ...],
) -> Shells:
    """The shells of the present points, one for each of the `shell_volumes` of these radii.

    Pairs closer than the smallest radius count as being there.
    """
    low, high = np.log(radii).tolist()
    distance = 0.5 * jnp.log(jnp.maximum(BOX.squared_distances(position), math.exp(2 * low)))
    pair = present[:, None] & present[None, :] & ~jnp.eye(len(position), dtype=bool)
    beyond = high + 2 * (high - low)
    # Without the barriers XLA recomputes logarithm and bumps wherever they are used.
    distance = jax.lax.optimization_barrier(jnp.where(pair, distance, beyond))
    membership = radial_basis(distance, low, high, len(volumes))
    others = jnp.maximum(jnp.sum(present) - 1, 0)
    return Shells(jax.lax.optimization_barrier(membership), others * jnp.asarray(volumes))


def shell_volumes(radii: tuple[float, float], n: int) -> tuple[float, ...]:
    """Integrals over the unit box of n bumps with centres from radii[0] to radii[1].

    Distances are those of `Torus.squared_distances`: chords. By the midpoint rule, on a grid for
    each bump that just holds it: to about 1%.
    """
    low, high = np.log(radii)
    centres, spacing = np.linspace(low, high, n, retstep=True)
    result = []
    for centre in centres:
        chord = min(1.0, np.pi * np.exp(centre + 2 * spacing))
        side = np.arcsin(chord) / np.pi
        square = (np.sin(np.pi * side * (np.arange(48) + 0.5) / 48) / np.pi) ** 2
        squared = square[:, None, None] + square[None, :, None] + square[None, None, :]
        offset = (np.maximum(0.5 * np.log(squared), low) - centre) / (2 * spacing)
        result.append(float(8 * side**3 * np.mean(np.maximum(0, 1 - offset**2) ** 2)))
    return tuple(result)


def invariants(
    shells: Shells,
    position: Float[Array, "n 3"],
    scalars: Float[Array, "n s"],
    vectors: Float[Array, "n v 3"],
    radii: tuple[float, float],
) -> Float[Array, "n features"]:
    """What translations, reflections and turns of the cube leave alone, 2 + s + 3 v a shell.

    With d the displacement to a neighbour over the shell's radius, q and w its scalars and vectors,
    and u the point's own vectors, these are the contrast of the counts, the length of sum d, and
    sum q, sum (w - u) d (how fast neighbours recede), u sum d and u sum w.
    """
    n, (n_shells, _, _) = len(position), shells.membership.shape
    a, b = (factor.reshape(n, 1, 2, 3) for factor in BOX.direction_factors(position))
    ones = jnp.ones((n, 1), position.dtype)
    plain = jnp.concatenate([ones, scalars, vectors.reshape(n, -1)], axis=1)
    along = jnp.concatenate([jnp.ones((n, 1, 3), position.dtype), vectors], axis=1)
    directed = b * along[:, :, None, :]

    sums = shells.sums(jnp.concatenate([plain, directed.reshape(n, -1)], axis=1))
    split = np.cumsum([1, scalars.shape[1], 3 * vectors.shape[1]])
    count, scalar, vector, directed = jnp.split(sums, split, axis=2)
    vector = vector.reshape(n_shells, n, -1, 3)
    directed = jnp.sum(a[None] * directed.reshape(n_shells, n, -1, 2, 3), axis=3)
    directed = directed / jnp.geomspace(*radii, n_shells)[:, None, None, None]
    outward, flows = directed[:, :, 0], jnp.sum(directed[:, :, 1:], axis=-1)

    own = jnp.sum(vectors[None] * outward[:, :, None], axis=-1)
    together = jnp.sum(vectors[None] * vector, axis=-1)
    asymmetry = jnp.sqrt(jnp.sum(outward**2, axis=-1, keepdims=True) + 1e-6)
    parts = [shells.contrast(count), asymmetry, scalar, flows - own, own, together]
    return jnp.swapaxes(jnp.concatenate(parts, axis=2), 0, 1).reshape(n, -1)
