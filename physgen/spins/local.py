"""Local values of an operator: O_loc(s) = sum_s' <s|O|s'> psi(s') / psi(s).

Their mean over samples of |psi|^2 is <O>, and their variance vanishes for an eigenstate.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Inexact, Int

from physgen.nets.autoregressive import Parallel
from physgen.spins.operators import Operator
from physgen.spins.variants import Parts, pack
from physgen.spins.wavefunction import Wavefunction

ROWS = 8192  # configurations that are carried side by side: more do not fit the cache


def local_value(
    wavefunction: Wavefunction, operator: Operator, configuration: Int[Array, " n"]
) -> tuple[Inexact[Array, ""], Inexact[Array, " k"], Parts]:
    """The diagonal part, what each connected configuration adds, and the parts of log psi."""
    variants, elements = operator.connected(configuration)
    there, here = wavefunction.variants(configuration, variants, operator.changes)
    difference = there - here[None]
    if wavefunction.real:
        ratios = jnp.exp(difference[:, 0]) * jnp.cos(difference[:, 1])
    else:
        ratios = jnp.exp(jax.lax.complex(difference[:, 0], difference[:, 1]))
    return operator.diagonal(configuration), elements * ratios, here


def local_values(
    wavefunction: Wavefunction, operator: Operator, configurations: Int[Array, "b n"]
) -> tuple[Inexact[Array, " b"], Float[Array, "b 2"]]:
    """Local values, and the parts of log psi, in portions that fit the cache."""

    def one(configuration):
        diagonal, others, parts = local_value(wavefunction, operator, configuration)
        return diagonal + others.sum(), parts

    size = portion(wavefunction, operator, configurations.shape[0])
    return jax.lax.map(one, configurations, batch_size=size)


def portion(wavefunction: Wavefunction, operator: Operator, count: int) -> int:
    """How many configurations to take at once: a divisor of their number."""
    return portion_of(wavefunction, operator.changes, count)


def portion_of(wavefunction: Wavefunction, changes: Bool[np.ndarray, "k n"], count: int) -> int:
    """The same for variants that differ where `changes` says."""
    k, n = changes.shape
    if isinstance(wavefunction.network, Parallel):
        side_by_side = k * n
    else:
        side_by_side = pack(changes.argmax(axis=1), n).rest.shape[1]
    most = max(ROWS // side_by_side, 1)
    return max(d for d in range(1, min(most, count) + 1) if count % d == 0)
