"""A strike-slip fault between earthquakes, from the velocities of stations across it."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from physgen.errors import InputError
from physgen.inference.priors import uniform_prior
from physgen.inference.tasks.task import Task

_STATIONS = tuple(np.linspace(-100.0, 100.0, 21).tolist())  # km


def strike_slip_fault(
    stations: Sequence[float] | np.ndarray = _STATIONS,
    noise: float = 1.0,
    slip_rate: tuple[float, float] = (0.0, 60.0),
    locking_depth: tuple[float, float] = (0.5, 40.0),
    trace: float = 0.0,
) -> Task:
    """Slip rate and locking depth from surface velocities parallel to a vertical fault.

    v(x) = (s / pi) arctan((x - trace) / D), Savage & Burford 1973 (J. Geophys. Res. 78, 832): the
    fault slips at rate s below the depth D and is locked above. Errors are Gaussian.

    Args:
        stations: distances x from the origin, at right angles to the fault, in km; shape (n,).
        noise: the standard deviation of each velocity, in mm/yr.
        slip_rate: the ends of the uniform prior of s, in mm/yr.
        locking_depth: the ends of the uniform prior of D, in km.
        trace: where the fault meets the surface, in km.

    Raises:
        InputError: for stations, noise or depths that are not finite and positive where they must.
    """
    places = np.asarray(stations, float)
    if places.ndim != 1 or places.size == 0 or not np.isfinite(places).all():
        raise InputError(
            f"expected stations of shape (n,), finite, in km, got {places.tolist()}; "
            "give each station's distance from the fault"
        )
    if not 0 < noise < np.inf:
        raise InputError(f"expected noise above 0 mm/yr, got {noise}; give a standard deviation")
    if locking_depth[0] < 0 or not np.isfinite(trace):
        raise InputError(
            f"expected locking depths below the ground and a finite trace, got {locking_depth} km "
            f"and {trace} km; depth is counted downwards"
        )
    distances = (places - trace).astype(np.float32)

    def velocities(theta: Float[Array, "2"]) -> Float[Array, " n"]:
        rate, depth = theta
        return rate / jnp.pi * jnp.arctan2(distances, depth)

    def simulator(key: PRNGKeyArray, theta: Float[Array, "2"]) -> Float[Array, " n"]:
        return velocities(theta) + noise * jax.random.normal(key, distances.shape)

    def log_likelihood(theta: Float[Array, "2"], x: Float[Array, " n"]) -> Float[Array, ""]:
        return jnp.sum(jax.scipy.stats.norm.logpdf(x, velocities(theta), noise))

    prior = uniform_prior(
        [slip_rate[0], locking_depth[0]],
        [slip_rate[1], locking_depth[1]],
        names=["slip_rate", "locking_depth"],
        units=["mm/yr", "km"],
    )
    return Task("strike_slip_fault", prior, simulator, distances.shape, log_likelihood)
