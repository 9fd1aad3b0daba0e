"""Priors: densities over named parameters with units and a box that holds them all.

The common ones are made here; `as_prior` makes one of any object with `sample` and `log_prob`.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.densities import bijections
from physgen.densities.bijections import Support
from physgen.density import Density
from physgen.errors import InputError
from physgen.inference.adapt import Draw, LogDensity, of_distribution, of_object, probe
from physgen.inference.parameters import checked_names, checked_units, default_names


class Prior(Density):
    """p(theta) over d parameters, made of two functions.

    Args:
        draw: (key, n) -> n parameter vectors, (n, d). It may work outside of jax only; then
            `sample` cannot be called under `jax.jit`, and all else can.
        log_density: theta (d,) -> its log-density, traceable by jax. Only asked inside the box.
        support: the box, its ends infinite where there is none.
        names: theta_1 ... theta_d for None.
        units: of the parameters, empty for None.

    Raises:
        InputError: for names and units that do not fit.
    """

    def __init__(
        self,
        draw: Draw,
        log_density: LogDensity,
        support: Support,
        names: Sequence[str] | None = None,
        units: Sequence[str] | None = None,
    ):
        d = len(np.asarray(support.low))
        self.event_shape = (d,)
        self.context_shape = None
        self.names = checked_names(names, d)
        self.units = checked_units(units, d)
        self.support = support
        self.draw = draw
        self.log_density = log_density

    @property
    def low(self) -> Float[np.ndarray, " d"]:
        """The lower end of each parameter, -inf where there is none."""
        return np.array(self.support.low)

    @property
    def high(self) -> Float[np.ndarray, " d"]:
        """The upper end of each parameter, inf where there is none."""
        return np.array(self.support.high)

    def sample(self, key: PRNGKeyArray, n: int, context: ArrayLike | None = None) -> Array:
        """Independent parameter vectors, shape (n, d), from one call of `draw`.

        Raises:
            InputError: if `draw` returns another shape, or there is a context.
        """
        self._checked_context(context)
        drawn = jnp.asarray(self.draw(key, n), float)
        if drawn.shape != (n, *self.event_shape):
            raise InputError(
                f"expected samples of shape {(n, *self.event_shape)}, got {drawn.shape}; "
                "sample(key, n) must return n parameter vectors"
            )
        return jax.vmap(self.support.inside)(drawn)

    def _sample(self, key, context):
        return self.sample(key, 1)[0]

    def _log_prob(self, x, context):
        x = jnp.asarray(x, float)
        value = self.log_density(self.support.inside(x))
        return jnp.where(self.support.contains(x), value, -jnp.inf)


def uniform_prior(
    low: ArrayLike,
    high: ArrayLike,
    names: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
) -> Prior:
    """Uniform in the box between `low` and `high`, shape (d,), finite.

    Raises:
        InputError: for ends that are not finite, out of order or of different shapes.
    """
    low, high = _vectors(low=low, high=high)
    support = Support(low, high)
    distribution = bijections.Uniform(jnp.asarray(low, float), jnp.asarray(high, float))
    return Prior(*of_distribution(distribution), support, names, units)


def normal_prior(
    mean: ArrayLike,
    scale: ArrayLike | None = None,
    *,
    covariance: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
) -> Prior:
    """Normal with mean (d,) and either standard deviations (d,) or a covariance (d, d).

    Raises:
        InputError: unless exactly one of `scale` and `covariance` is given, of the right shape, and
            positive (definite).
    """
    if (scale is None) == (covariance is None):
        raise InputError("expected either scale or covariance; give one of them")
    if covariance is None:
        mean, scale = _vectors(mean=mean, scale=scale)
        _require_positive("scale", scale)
        distribution = bijections.Normal(jnp.asarray(mean, float), jnp.asarray(scale, float))
        return as_prior(distribution, names=names, units=units)
    (mean,) = _vectors(mean=mean)
    matrix = np.asarray(covariance, np.float64)
    if matrix.shape != (len(mean), len(mean)) or not _positive_definite(matrix):
        raise InputError(
            f"expected a symmetric, positive definite covariance of shape {(len(mean),) * 2}, got "
            f"{matrix.tolist()}; check its diagonal, or give scale"
        )
    distribution = bijections.MultivariateNormalFullCovariance(
        jnp.asarray(mean, float), jnp.asarray(matrix, float)
    )
    return as_prior(distribution, names=names, units=units)


def log_normal_prior(
    location: ArrayLike,
    scale: ArrayLike,
    names: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
) -> Prior:
    """exp of normals of mean `location` and standard deviation `scale`, shape (d,) of log theta.

    Raises:
        InputError: for different shapes, values that are not finite, a scale that is not positive.
    """
    location, scale = _vectors(location=location, scale=scale)
    _require_positive("scale", scale)
    return as_prior(bijections.log_normal(location, scale), names=names, units=units)


def product_prior(
    *priors: Any, names: Sequence[str] | None = None, units: Sequence[str] | None = None
) -> Prior:
    """Independent priors side by side; each is a Prior or what `as_prior` accepts.

    Names that nobody gave (theta_1 ...) are counted anew.

    Raises:
        InputError: for no prior at all, and for names that occur twice.
    """
    if not priors:
        raise InputError("expected at least one prior, got none; give one for each parameter")
    factors = [as_prior(prior) for prior in priors]
    sizes = [len(factor.names) for factor in factors]
    cuts = np.cumsum(sizes)[:-1].tolist()

    def draw(key: PRNGKeyArray, n: int) -> Array:
        keys = jax.random.split(key, len(factors))
        pairs = zip(factors, keys, strict=True)
        return jnp.concatenate([factor.sample(k, n) for factor, k in pairs], axis=1)

    def log_density(theta: Array) -> Array:
        pairs = zip(factors, jnp.split(theta, cuts), strict=True)
        return sum((factor.log_density(part) for factor, part in pairs), jnp.zeros(()))

    if names is None:
        fresh = np.split(np.array(default_names(sum(sizes))), cuts)
        names = [
            name
            for factor, new in zip(factors, fresh, strict=True)
            for name in (new if factor.names == default_names(len(new)) else factor.names)
        ]
    if units is None:
        units = [unit for factor in factors for unit in factor.units]
    support = Support(
        np.concatenate([factor.low for factor in factors]),
        np.concatenate([factor.high for factor in factors]),
    )
    return Prior(draw, log_density, support, names, units)


def as_prior(
    prior: Any,
    *,
    names: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
) -> Prior:
    """A Prior of a Prior, a distribution, or any object with `sample` and `log_prob`.

    A distribution (`physgen.densities.bijections`) has events of shape (d,), or is a scalar one
    with batch shape (d,): then the parameters are independent. Another object is called as its
    signature asks: sample(key, n), sample(rng, n) with a numpy.random.Generator,
    sample(key, sample_shape) or sample(seed=..., sample_shape=...); and log_prob(theta) of one
    vector (d,), where an array of log-densities is summed. Either may be written in NumPy.

    names, units, low, high: those of the object if None; without low and high the parameters of
    an object are taken to be unbounded.

    Raises:
        InputError: for an object that is none of these; for draws that are not (n, d), outside
            the box, or of log-density that is not finite.
    """
    if isinstance(prior, Prior) and all(value is None for value in (names, units, low, high)):
        return prior
    known = isinstance(prior, Prior | bijections.Distribution)
    ends: Any
    if isinstance(prior, Prior):
        draw, log_density, ends = prior.draw, prior.log_density, (prior.low, prior.high)
    elif isinstance(prior, bijections.Distribution):
        draw, log_density = of_distribution(prior)
        ends = (low, high) if not (low is None or high is None) else bijections.support_of(prior)
    else:
        draw, log_density = of_object(prior)
        unbounded = np.full(probe(draw).shape[1], np.inf)
        ends = getattr(prior, "low", -unbounded), getattr(prior, "high", unbounded)
    adapted = Prior(
        draw,
        log_density,
        Support(ends[0] if low is None else low, ends[1] if high is None else high),
        getattr(prior, "names", None) if names is None else names,
        getattr(prior, "units", None) if units is None else units,
    )
    if not known or low is not None or high is not None:
        _require_consistent(adapted, probe(draw))
    return adapted


def _require_consistent(prior: Prior, drawn: np.ndarray) -> None:
    slack = np.finfo(np.float32).eps * np.maximum(1.0, np.abs(drawn))
    outside = ~((drawn >= prior.low - slack) & (drawn <= prior.high + slack)).all(axis=1)
    if outside.any():
        raise InputError(
            f"expected samples between low {prior.low.tolist()} and high {prior.high.tolist()}, "
            f"got {drawn[outside][0].tolist()}; give the ends that the prior has"
        )
    value = float(prior.log_prob(drawn[0]))
    if not np.isfinite(value):
        raise InputError(
            f"expected a finite log_prob of the prior's own sample {drawn[0].tolist()}, got "
            f"{value}; sample and log_prob disagree"
        )


def _vectors(**given: ArrayLike | None) -> list[np.ndarray]:
    arrays = {name: np.atleast_1d(np.asarray(v, np.float64)) for name, v in given.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    if any(array.ndim != 1 for array in arrays.values()) or len(set(shapes.values())) != 1:
        raise InputError(
            f"expected {' and '.join(arrays)} of one shape (d,), got "
            f"{' and '.join(map(str, shapes.values()))}; give one number for each parameter"
        )
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise InputError(
                f"expected finite {name}, got {array.tolist()}; replace what is NaN or infinite"
            )
    return list(arrays.values())


def _require_positive(name: str, values: np.ndarray) -> None:
    if not (values > 0).all():
        raise InputError(f"expected positive {name}, got {values.tolist()}; all must exceed 0")


def _positive_definite(matrix: np.ndarray) -> bool:
    size = np.abs(matrix).max()
    symmetric = np.isfinite(size) and np.allclose(matrix, matrix.T, atol=1e-8 * size)
    return bool(symmetric and np.linalg.eigvalsh(matrix).min() > 0)
