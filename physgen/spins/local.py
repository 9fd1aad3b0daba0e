"""Local values of an operator: O_loc(s) = sum_s' <s|O|s'> psi(s') / psi(s).

Their mean over samples of |psi|^2 is <O>, and their variance vanishes for an eigenstate.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Inexact, Int

from physgen.nets.autoregressive import Parallel
from physgen.spins.operators import Operator
from physgen.spins.variants import first_and_last, pack, rest_lengths
from physgen.spins.wavefunction import Wavefunction

ROWS = 8192  # configurations that are carried side by side: more do not fit the cache


def local_terms(
    wavefunction: Wavefunction,
    operator: Operator,
    configurations: Int[Array, "b n"],
    reach: int | None = None,
) -> tuple[Inexact[Array, " b"], Inexact[Array, "b k"], Float[Array, "b 2"]]:
    """The diagonal part, what each connected configuration adds, and the parts of log psi."""
    variants, elements = jax.vmap(operator.connected)(configurations)
    there, here = wavefunction.variants(configurations, variants, operator.changes, reach)
    difference = there - here[:, None]
    if wavefunction.real:
        ratios = jnp.exp(difference[..., 0]) * jnp.cos(difference[..., 1])
    else:
        ratios = jnp.exp(jax.lax.complex(difference[..., 0], difference[..., 1]))
    return jax.vmap(operator.diagonal)(configurations), elements * ratios, here


def local_values(
    wavefunction: Wavefunction,
    operator: Operator,
    configurations: Int[Array, "b n"],
    reach: int | None = None,
) -> tuple[Inexact[Array, " b"], Float[Array, "b 2"]]:
    """Local values, and the parts of log psi, in portions that fit the cache.

    reach: see `physgen.spins.variants`; None is exact.
    """

    def values(configurations):
        diagonal, others, parts = local_terms(wavefunction, operator, configurations, reach)
        return diagonal + others.sum(axis=1), parts

    return in_portions(values, configurations, portion(wavefunction, operator.changes, reach))


def in_portions(function: Callable[..., Any], rows: Any, most: int) -> Any:
    """function(rows) of at most so many rows at once, a number that divides all of them."""
    count = jax.tree.leaves(rows)[0].shape[0]
    size = max(d for d in range(1, min(most, count) + 1) if count % d == 0)
    split = jax.tree.map(lambda a: a.reshape(-1, size, *a.shape[1:]), rows)
    found = jax.lax.map(function, split)
    return jax.tree.map(lambda a: a.reshape(count, *a.shape[2:]), found)


def portion(
    wavefunction: Wavefunction, changes: Bool[np.ndarray, "k n"], reach: int | None = None
) -> int:
    """How many configurations, and their variants that differ where `changes` says, at once."""
    k, n = changes.shape
    first, last = first_and_last(changes)
    if isinstance(wavefunction.network, Parallel):
        side_by_side = k * n
    else:
        side_by_side = pack(first, rest_lengths(first, last, n, reach)).rest.shape[1]
    return max(ROWS // (side_by_side * len(wavefunction.images)), 1)
