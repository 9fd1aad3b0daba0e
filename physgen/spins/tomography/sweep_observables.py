"""What the density of a sweep says of spins along it, from independent samples."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.devices import map_over_devices
from physgen.errors import InputError
from physgen.spins.estimates import Estimate
from physgen.spins.tomography.sweep_density import SweepDensity


@dataclass(frozen=True, eq=False)
class SweepObservables:
    """Of the Pauli matrix Z that was measured, 0 for +1.

    magnetisation: <Z_i>, (v, n). neighbours: <Z_i Z_(i+1)>, (v, n - 1). The errors are those of the
    samples, and know nothing of how well the density was learned.
    """

    magnetisation: Estimate
    neighbours: Estimate


def sweep_observables(
    key: PRNGKeyArray, density: SweepDensity, control: ArrayLike, samples: int = 16_384
) -> SweepObservables:
    """At each value of the control, (v, c); all of them in one call.

    Raises:
        InputError: for a control of another shape, or fewer than two samples.
    """
    values = jnp.asarray(control, jnp.float32)
    if values.ndim != 2 or values.shape[1:] != density.context_shape or samples < 2:
        raise InputError(
            f"expected values of the control of shape (v, {density.values.shape[1]}) and at least "
            f"two samples, got {values.shape} and {samples}"
        )
    keys = jax.random.split(key, len(values))
    means = [np.asarray(mean, float) for mean in _means(density, keys, values, samples)]
    return SweepObservables(
        *(Estimate(m, np.sqrt(np.clip(1 - m**2, 0, None) / (samples - 1))) for m in means)
    )


@partial(jax.jit, static_argnames="samples")
def _means(
    density: SweepDensity, keys: Key[Array, " v"], control: Float[Array, "v c"], samples: int
) -> tuple[Float[Array, "v n"], Float[Array, "v n-1"]]:
    def at(key, value):
        z = 1.0 - 2.0 * density.sample(key, samples, value)
        return z.mean(axis=0), (z[:, 1:] * z[:, :-1]).mean(axis=0)

    return map_over_devices(at, keys, control)
