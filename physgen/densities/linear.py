"""Linear layers, which mix the entries between layers that treat them apart."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from physgen.densities.layers import Layer
from physgen.density import Buffer
from physgen.errors import InputError


class Permutation(Layer):
    """x_i = z_order[i], for a fixed order. Ignores the context."""

    def __init__(self, order: Sequence[int]):
        """Raises InputError if `order` does not hold each of 0 ... d - 1 once."""
        self.order = tuple(int(i) for i in order)
        if sorted(self.order) != list(range(len(self.order))):
            raise InputError(
                f"expected each of 0 ... {len(self.order) - 1} once, got {self.order}; "
                "give a permutation of the entries, such as range(d)[::-1]"
            )

    def forward(self, z, context=None):
        return z[np.array(self.order)], jnp.zeros((), z.dtype)

    def inverse(self, x, context=None):
        return x[np.argsort(self.order)], jnp.zeros((), x.dtype)


class Rotation(Layer):
    """x = Q z with a learned rotation Q, random at the start. Ignores the context.

    Cayley's transform of a skew matrix, Q = (1 + A)^-1 (1 - A), as in Helfrich et al. 2018
    (arXiv:1707.09520), eq. 1. The singular values of 1 + A are at least 1, so the solution is well
    conditioned and Q orthogonal to rounding, for any A.
    """

    def __init__(self, size: int, *, rngs: nnx.Rngs):
        self.generator = nnx.Param(jax.random.normal(rngs.params(), (size, size)))

    def matrix(self) -> Float[Array, "d d"]:
        """Q."""
        generator = self.generator[...]
        skew = generator - generator.T
        identity = jnp.eye(skew.shape[0], dtype=skew.dtype)
        return jnp.linalg.solve(identity + skew, identity - skew)

    def forward(self, z, context=None):
        return _product(self.matrix(), z), jnp.zeros((), z.dtype)

    def inverse(self, x, context=None):
        return _product(self.matrix().T, x), jnp.zeros((), x.dtype)


class LinearLU(Layer):
    """x = P L U z: a permutation relaxed to any invertible matrix. Ignores the context.

    Kingma & Dhariwal 2018 (arXiv:1807.03039), eq. 10: P is fixed, L unit lower and U upper
    triangular. It starts as a random orthogonal matrix, and the signs on the diagonal of U stay.
    """

    def __init__(self, size: int, *, rngs: nnx.Rngs):
        orthogonal = jax.random.orthogonal(rngs.params(), size)
        factors, _, order = jax.lax.linalg.lu(orthogonal)
        diagonal = jnp.diagonal(factors)
        self.order = Buffer(order)
        self.signs = Buffer(jnp.sign(diagonal))
        self.log_scale = nnx.Param(jnp.log(jnp.abs(diagonal)))
        self.lower = nnx.Param(jnp.tril(factors, -1))
        self.upper = nnx.Param(jnp.triu(factors, 1))

    def forward(self, z, context=None):
        lower, upper = self._factors()
        x = _product(lower, _product(upper, z))
        return x[jnp.argsort(self.order[...])], jnp.sum(self.log_scale[...])

    def inverse(self, x, context=None):
        lower, upper = self._factors()
        solve = jax.scipy.linalg.solve_triangular
        z = solve(lower, x[self.order[...]], lower=True, unit_diagonal=True)
        return solve(upper, z), -jnp.sum(self.log_scale[...])

    def _factors(self) -> tuple[Float[Array, "d d"], Float[Array, "d d"]]:
        lower, upper = jnp.tril(self.lower[...], -1), jnp.triu(self.upper[...], 1)
        diagonal = self.signs[...] * jnp.exp(self.log_scale[...])
        return lower + jnp.eye(lower.shape[0], dtype=lower.dtype), upper + jnp.diag(diagonal)


def _product(matrix: Float[Array, "d d"], x: Float[Array, " d"]) -> Float[Array, " d"]:
    # Full precision: what an accelerator does by default is too coarse to be undone.
    return jnp.matmul(matrix, x, precision=jax.lax.Precision.HIGHEST)
