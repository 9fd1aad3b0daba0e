"""Robust standardisation of observations: for each entry, the simplest map that tames it.

Means and standard deviations say little about heavy tails and about numbers that span decades.
Each entry is looked at by itself and gets the first of these after which its tails are no heavier
than those of a normal variable:

    linear   (x - median) / spread
    log      the same of log x, for positive entries
    asinh    asinh of the linear one: logarithmic in both tails
    rank     normal score of the rank, interpolated between quantiles

Light tails are left alone: a linear map keeps linear what depends linearly on the parameters.
Beyond FAR all of them grow like a logarithm, so that networks stay finite for any finite input. All
of them are increasing, and `invert` undoes them.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from scipy.special import ndtri

from physgen.density import Buffer
from physgen.errors import InputError

LINEAR, LOG, ASINH, RANK = range(4)
KINDS = "linear", "log", "asinh", "rank"
KNOTS = 33
FAR = 6.0

_LEVELS = np.array([0.001, 0.01, 0.05, 0.16, 0.5, 0.84, 0.95, 0.99, 0.999])
_RISE = 0.01
_TOLERANCE = 1.0  # in units of the standard normal, at any of the levels


@dataclass(frozen=True)
class ScalingSettings:
    """Which map each entry gets, by its index in `KINDS`; shared by all rows of a set or image.

    Without kinds, observations stay as they are.
    """

    kinds: tuple[int, ...]


class Scaling(nnx.Module):
    """The map of observations (..., entries) to about zero mean and unit spread; NaN stays NaN."""

    def __init__(self, settings: ScalingSettings):
        entries = len(settings.kinds)
        self.settings = settings
        self.location = Buffer(jnp.zeros(entries))
        self.spread = Buffer(jnp.ones(entries))
        ranked = sum(kind == RANK for kind in settings.kinds)
        self.knots = Buffer(jnp.tile(jnp.linspace(-1.0, 1.0, KNOTS), (ranked, 1)))
        self.scores = Buffer(jnp.tile(jnp.linspace(-1.0, 1.0, KNOTS), (ranked, 1)))

    @classmethod
    def fit(cls, observations: Float[np.ndarray, "n *x"], *, raw: bool = False) -> "Scaling":
        """Look at n observations, entry by entry of their last axis.

        Args:
            raw: leave the entries as they are, in their own units.

        Raises:
            InputError: if an entry has no finite value at all.
        """
        if raw:
            return cls(ScalingSettings(()))
        values = np.asarray(observations, np.float64)
        values = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
        columns = [_finite(column, i) for i, column in enumerate(values.T)]
        kinds = tuple(_choose(column) for column in columns)
        scaling = cls(ScalingSettings(kinds))
        moments = [_moments(_before(column, k)) for column, k in zip(columns, kinds, strict=True)]
        scaling.location = Buffer(jnp.array([m for m, _ in moments], jnp.float32))
        scaling.spread = Buffer(jnp.array([s for _, s in moments], jnp.float32))
        tables = [_rank_table(c) for c, k in zip(columns, kinds, strict=True) if k == RANK]
        if tables:
            scaling.knots = Buffer(jnp.array([knots for knots, _ in tables], jnp.float32))
            scaling.scores = Buffer(jnp.array([scores for _, scores in tables], jnp.float32))
        return scaling

    def __call__(self, x: Float[Array, "*x"]) -> Float[Array, "*x"]:
        if not self.settings.kinds:
            return x
        kinds = np.array(self.settings.kinds)
        shape = (1,) * (x.ndim - 1) + kinds.shape
        location, spread = (v[...].reshape(shape) for v in (self.location, self.spread))
        log = jnp.log(jnp.where(kinds == LOG, jnp.maximum(x, np.finfo(np.float32).tiny), 1.0))
        y = (jnp.where(kinds == LOG, log, x) - location) / spread
        y = jnp.where(kinds == ASINH, jnp.arcsinh(y), y)
        for row, i in enumerate(np.flatnonzero(kinds == RANK)):
            knots, entry = self.knots[row], x[..., i]
            beyond = (entry - jnp.clip(entry, knots[0], knots[-1])) / spread[..., i]
            y = y.at[..., i].set(jnp.interp(entry, knots, self.scores[row]) + beyond)
        size = jnp.maximum(jnp.abs(y) / FAR, 1.0)
        return jnp.clip(y, -FAR, FAR) + jnp.sign(y) * FAR * jnp.log(size)

    def invert(self, y: Float[Array, " entries"]) -> Float[Array, " entries"]:
        """The observation, a vector, that is mapped to y."""
        kinds = np.array(self.settings.kinds)
        beyond = jnp.exp(jnp.maximum(jnp.abs(y) / FAR - 1, 0.0)) - 1
        y = jnp.clip(y, -FAR, FAR) + jnp.sign(y) * FAR * beyond
        x = self.location + self.spread * jnp.where(kinds == ASINH, jnp.sinh(y), y)
        x = jnp.where(kinds == LOG, jnp.exp(jnp.where(kinds == LOG, x, 0.0)), x)
        for row, i in enumerate(np.flatnonzero(kinds == RANK)):
            scores = self.scores[row]
            beyond = (y[i] - jnp.clip(y[i], scores[0], scores[-1])) * self.spread[i]
            x = x.at[i].set(jnp.interp(y[i], scores, self.knots[row]) + beyond)
        return x

    def log_slopes(self, x: Float[Array, " entries"]) -> Float[Array, " entries"]:
        """log dy/dx of each entry of an observation that is a vector."""
        _, slopes = jax.jvp(self, (x,), (jnp.ones_like(x),))
        return jnp.log(slopes)


def _finite(column: np.ndarray, index: int) -> np.ndarray:
    finite = column[np.isfinite(column)]
    if len(finite) == 0:
        raise InputError(
            f"expected numbers in entry {index} of the observations, got none; leave the entry out"
        )
    return finite


def _choose(column: np.ndarray) -> int:
    """The first kind whose standardised quantiles are not far beyond the normal ones."""
    if len(np.unique(column[:1000])) <= 20:
        return LINEAR
    for kind in (LINEAR, LOG, ASINH):
        if kind == LOG and column.min() <= 0:
            continue
        y = _before(column, kind)
        location, spread = _moments(y)
        y = (y - location) / spread
        excess = np.quantile(np.arcsinh(y) if kind == ASINH else y, _LEVELS) - ndtri(_LEVELS)
        if kind != LOG:  # of a logarithm, small values may be far out
            excess *= np.sign(_LEVELS - 0.5)
        if excess.max() < _TOLERANCE:
            return kind
    return RANK


def _before(column: np.ndarray, kind: int) -> np.ndarray:
    return np.log(column) if kind == LOG else column


def _moments(values: np.ndarray) -> tuple[float, float]:
    """Median and half the central 68%; mean and standard deviation where most values are equal."""
    low, middle, high = np.quantile(values, [0.1587, 0.5, 0.8413])
    if high > low and len(np.unique(values[:1000])) > 20:
        return float(middle), float(high - low) / 2
    deviation = float(values.std())
    return float(values.mean()), deviation if deviation > 0 else 1.0


def _rank_table(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Knots, increasing, and the normal score of each one's mean rank, both (KNOTS,)."""
    levels = np.linspace(0, 1, 4 * KNOTS)
    distinct = np.unique(np.quantile(column, levels))
    knots = np.interp(np.linspace(0, 1, KNOTS), np.linspace(0, 1, len(distinct)), distinct)
    ordered = np.sort(column)
    below = np.searchsorted(ordered, knots, "left")
    up_to = np.searchsorted(ordered, knots, "right")
    ranks = (below + up_to) / (2 * len(ordered))
    rising = np.linspace(-_RISE, _RISE, KNOTS)  # between knots of one rank, so that it inverts
    return knots, ndtri(np.clip(ranks, 1e-3, 1 - 1e-3)) + rising
