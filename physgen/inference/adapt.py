"""The two functions of a prior, taken from a distribution or from any object that has them."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from physgen.data import seed_of
from physgen.densities.bijections import Distribution
from physgen.errors import InputError

Draw = Callable[[PRNGKeyArray, int], Any]
LogDensity = Callable[[Array], Array]

_PROBES = 100


def of_distribution(distribution: Distribution) -> tuple[Draw, LogDensity]:
    """Of events (d,), or of d independent scalars.

    Raises:
        InputError: for a distribution of another shape.
    """
    shape = distribution.batch_shape + distribution.event_shape
    if len(shape) > 1:
        raise InputError(
            f"expected a distribution of parameter vectors (d,), got batch shape "
            f"{distribution.batch_shape} and event shape {distribution.event_shape}; flatten it"
        )

    def draw(key: PRNGKeyArray, n: int) -> Array:
        return distribution.sample(seed=key, sample_shape=(n,)).reshape(n, -1)

    def log_density(theta: Array) -> Array:
        return jnp.sum(distribution.log_prob(theta.reshape(shape)))

    return draw, log_density


def of_object(prior: Any) -> tuple[Draw, LogDensity]:
    """Of an object with `sample` and `log_prob`, in JAX or in NumPy.

    Raises:
        InputError: if it lacks one of them, or its `sample` takes no randomness.
    """
    if not all(callable(getattr(prior, name, None)) for name in ("sample", "log_prob")):
        remedy = "wrap it in an object that has both"
        if hasattr(prior, "rvs") and hasattr(prior, "logpdf"):
            remedy += ", sample(rng, n) by rvs and log_prob(theta) by logpdf"
        raise InputError(
            f"expected a prior with sample and log_prob, got {type(prior).__name__}; {remedy}"
        )
    sample = _with_key(prior.sample)
    shape = np.shape(sample(jax.random.key(0), 2))[1:]

    def draw(key: PRNGKeyArray, n: int) -> Any:
        return jnp.reshape(sample(key, n), (n, 1)) if shape == () else sample(key, n)

    def log_density(theta: Array) -> Array:
        return jnp.sum(prior.log_prob(theta.reshape(shape)))

    def on_host(theta: Any) -> np.ndarray:
        value = prior.log_prob(np.asarray(theta, np.float64).reshape(shape))
        return np.asarray(np.sum(value), theta.dtype)

    def called_back(theta: Array) -> Array:
        result = jax.ShapeDtypeStruct((), theta.dtype)
        return jax.pure_callback(on_host, result, theta, vmap_method="sequential")

    try:
        jax.eval_shape(log_density, jnp.zeros(shape or (1,)))
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError):
        return draw, called_back
    return draw, log_density


def probe(draw: Draw) -> np.ndarray:
    """A few draws, (n, d).

    Raises:
        InputError: if they have another shape.
    """
    drawn = np.asarray(draw(jax.random.key(0), _PROBES), np.float64)
    if drawn.ndim != 2 or len(drawn) != _PROBES or drawn.shape[1] == 0:
        raise InputError(
            f"expected samples of shape ({_PROBES}, d) from sample(key, {_PROBES}), got "
            f"{drawn.shape}; return one parameter vector a row"
        )
    return drawn


def _with_key(sample: Callable[..., Any]) -> Draw:
    """`sample` as (key, n) -> draws, by the names of its parameters."""
    names = list(inspect.signature(sample).parameters)
    if "seed" in names:
        return lambda key, n: sample(seed=key, sample_shape=(n,))
    if names[:1] == ["rng"]:
        return lambda key, n: sample(np.random.default_rng(seed_of(key)), n)
    if "sample_shape" in names[1:]:
        return lambda key, n: sample(key, (n,))
    if len(names) < 2:
        raise InputError(
            f"expected a prior with sample(key, n), got sample({', '.join(names)}); "
            "wrap it, so that the key decides what is drawn"
        )
    return sample
