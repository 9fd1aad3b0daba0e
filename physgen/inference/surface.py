"""The posterior of one to three parameters from few evaluations of a likelihood that is dear.

The log-likelihood of one observation is a smooth surface. It is asked at the Chebyshev nodes of a
box and interpolated by their polynomial; where the posterior fills little of the box it is asked
again in a smaller one. Interpolated on a fine grid it gives everything else without Monte Carlo.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from jaxtyping import Float, PRNGKeyArray
from numpy.polynomial import chebyshev
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from physgen.data import seed_of
from physgen.errors import InputError
from physgen.inference.priors import Prior

MOST = 3  # parameters
_FINE = (2048, 256, 64)  # cells a side, for one, two and three parameters
_DEPTH = 14.0  # nats below the maximum: what lies deeper has no weight
_FILLED = 0.75  # of each side: less is looked at again; two nodes and their neighbours are 0.71
_LOOKS = 8
_FLOOR = 400.0  # nats below the maximum: corners that lie deeper would bend the surface

LogLikelihoods = Callable[[Float[np.ndarray, "m d"]], Float[np.ndarray, "m k"]]


@dataclass(frozen=True, eq=False)
class GridPosterior:
    """p(theta | x) in the cells of a fine grid, from k estimates of the log-likelihood.

    Parameters without weight in the posterior lie outside [low, high].

    Args:
        prior: finite in all parameters.
        log_likelihood: k estimates at the middle of each cell, shape (k, cells, ..., cells); their
            mean is the log-likelihood.
        evaluations: of the likelihood that were needed.
        power: that the likelihood was raised to; `log_likelihood` is of the power.
    """

    prior: Prior
    low: Float[np.ndarray, " d"]
    high: Float[np.ndarray, " d"]
    log_likelihood: Float[np.ndarray, "k ..."]
    evaluations: int
    power: float = 1.0

    @classmethod
    def of(
        cls, log_likelihoods: LogLikelihoods, prior: Prior, *, nodes: int = 6, power: float = 1.0
    ) -> Self:
        """The posterior of a likelihood.

        Args:
            log_likelihoods: (m, d) parameters -> k estimates of each, by common random numbers.
            nodes: for each parameter and look.
            power: that the likelihood is raised to, see `physgen.inference.power`.

        Raises:
            InputError: for more parameters than three, a prior without finite ends, a power that is
                not positive, or a likelihood that is not finite.
        """
        if not power > 0:
            raise InputError(f"expected a power above zero, got {power}; 1 is the likelihood's own")
        low, high = prior.low.astype(np.float64), prior.high.astype(np.float64)
        d = len(low)
        if not 1 <= d <= MOST:
            raise InputError(
                f"expected one to {MOST} parameters for a grid, got {d}; draw from "
                "LikelihoodPosterior instead"
            )
        if not np.isfinite([low, high]).all():
            raise InputError(
                "expected a prior with finite ends for a grid, got "
                f"{dict(zip(prior.names, zip(low, high, strict=True), strict=True))}"
            )
        unit = np.cos(np.pi * (np.arange(nodes) + 0.5) / nodes)
        cells = _FINE[d - 1]
        middles = (np.arange(cells) + 0.5) / cells * 2 - 1
        # values at the nodes -> coefficients -> values in the cells, for one axis
        transfer = chebyshev.chebvander(middles, nodes - 1) @ np.linalg.inv(
            chebyshev.chebvander(unit, nodes - 1)
        )
        for look in range(1, _LOOKS + 1):
            asked = _points(low, high, unit)
            found = power * np.asarray(log_likelihoods(asked), np.float64)
            finite = np.all(np.isfinite(found), axis=1)
            if finite.mean() <= 0.5:
                raise InputError(
                    "expected a likelihood that is finite in most of the prior, got "
                    f"infinity or NaN between {_named(prior, low)} and {_named(prior, high)}; the "
                    "model has not seen such an observation"
                )
            found = np.where(finite[:, None], found, -np.inf)
            mean = found.mean(axis=1)
            inner_low, inner_high = _around(unit, mean.reshape((nodes,) * d))
            if look == _LOOKS or (inner_high - inner_low > 2 * _FILLED).all():
                break
            half = (high - low) / 2
            low, high = low + half * (inner_low + 1), low + half * (inner_high + 1)
        found = np.maximum(found, mean.max() - _FLOOR)
        surface = np.moveaxis(found.reshape(*(nodes,) * d, -1), -1, 0)
        for axis in range(1, d + 1):
            surface = np.moveaxis(np.tensordot(transfer, surface, (1, axis)), 0, axis)
        return cls(prior, low, high, surface, look * len(asked), power)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters."""
        return self.prior.names

    @property
    def units(self) -> tuple[str, ...]:
        """Of the parameters, empty where they have none."""
        return self.prior.units

    @property
    def log_posterior(self) -> Float[np.ndarray, "..."]:
        """log p(theta | x) in the middle of each cell."""
        return self._joint - self._log_integral(self._joint)

    @property
    def log_evidence(self) -> float:
        """log p(x), if likelihood and prior are normalised and the power is 1."""
        return self._log_integral(self._joint)

    @property
    def log_evidence_error(self) -> float:
        """The standard error of `log_evidence`, by leaving out one estimate after the other."""
        evidences = [self._log_integral(joint) for joint in self._without_each()]
        return float(np.sqrt((len(evidences) - 1) * np.var(evidences)))

    def mean(self) -> Float[np.ndarray, " d"]:
        """Of the parameters."""
        return self._mean(self._joint)

    def covariance(self) -> Float[np.ndarray, "d d"]:
        """Of the parameters."""
        off = self._middles() - self.mean()
        weights = self._weights(self.log_posterior).reshape(-1, 1)
        return (weights * off).T @ off + np.diag(self._widths() ** 2 / 12)

    def numerical_error(self) -> Float[np.ndarray, " d"]:
        """The standard error of the mean, by leaving out one estimate after the other."""
        means = [self._mean(joint) for joint in self._without_each()]
        return np.sqrt((len(means) - 1) * np.var(means, axis=0))

    def interval(self, level: float = 0.68) -> Float[np.ndarray, "2 d"]:
        """The central interval of each parameter."""
        weights = self._weights(self.log_posterior)
        d, ends = len(self.low), []
        for axis in range(d):
            marginal = weights.sum(axis=tuple(i for i in range(d) if i != axis))
            cumulative = np.concatenate([[0.0], np.cumsum(marginal)])
            edges = np.linspace(self.low[axis], self.high[axis], len(cumulative))
            ends.append(np.interp([(1 - level) / 2, (1 + level) / 2], cumulative, edges))
        return np.array(ends).T

    def log_prob(self, theta: ArrayLike) -> Float[np.ndarray, " n"]:
        """Log-density of parameters (n, d), that of the cell they lie in."""
        cells = self._cells(np.asarray(theta, np.float64))
        inside = ((cells >= 0) & (cells < self._side)).all(axis=-1)
        at = tuple(np.clip(cells, 0, self._side - 1).T)
        return np.where(inside, self.log_posterior[at], -np.inf)

    def sample(self, key: PRNGKeyArray, n: int) -> Float[np.ndarray, "n d"]:
        """n draws, uniform within the cells."""
        rng = np.random.default_rng(seed_of(key))
        weights = self._weights(self.log_posterior)
        chosen = np.searchsorted(np.cumsum(weights.reshape(-1)), rng.random(n), side="right")
        index = np.unravel_index(np.minimum(chosen, weights.size - 1), weights.shape)
        return self.low + (np.stack(index, -1) + rng.random((n, len(index)))) * self._widths()

    @cached_property
    def _joint(self) -> np.ndarray:
        return self._log_joint(self.log_likelihood.mean(axis=0))

    @property
    def _side(self) -> int:
        return self.log_likelihood.shape[1]

    def _widths(self) -> np.ndarray:
        return (self.high - self.low) / self._side

    def _middles(self) -> np.ndarray:
        """Of all cells, (cells, d)."""
        unit = (np.arange(self._side) + 0.5) / self._side * 2 - 1
        return _points(self.low, self.high, unit)

    def _cells(self, theta: np.ndarray) -> np.ndarray:
        return np.floor((theta - self.low) / self._widths()).astype(int)

    def _log_joint(self, log_likelihood: np.ndarray) -> np.ndarray:
        prior = np.asarray(self.prior.log_prob(self._middles()), np.float64)
        return log_likelihood + prior.reshape(log_likelihood.shape)

    def _without_each(self) -> list[np.ndarray]:
        """The joint log-density from all estimates but one, or from the only one."""
        k, total = len(self.log_likelihood), self.log_likelihood.sum(axis=0)
        left = [total] if k == 1 else [(total - e) / (k - 1) for e in self.log_likelihood]
        return [self._log_joint(surface) for surface in left]

    def _log_integral(self, log_joint: np.ndarray) -> float:
        return float(logsumexp(log_joint) + np.log(self._widths()).sum())

    def _weights(self, log_density: np.ndarray) -> np.ndarray:
        weights = np.exp(log_density - log_density.max())
        return weights / weights.sum()

    def _mean(self, log_joint: np.ndarray) -> np.ndarray:
        return self._weights(log_joint).reshape(-1) @ self._middles()


def _around(
    unit: Float[np.ndarray, " n"], values: Float[np.ndarray, "..."]
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    """The box of the nodes with any weight and of their neighbours, within [-1, 1]."""
    inside = np.argwhere(values > values.max() - _DEPTH)
    ends = np.concatenate([[1.0], unit, [-1.0]])  # nodes go down from 1
    return ends[inside.max(axis=0) + 2], ends[inside.min(axis=0)]


def _points(
    low: Float[np.ndarray, " d"], high: Float[np.ndarray, " d"], unit: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "m d"]:
    """All combinations of `unit`, which is in [-1, 1], stretched to the box."""
    axes = [a + (b - a) * (unit + 1) / 2 for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))


def _named(prior: Prior, theta: np.ndarray) -> str:
    return ", ".join(f"{n} = {v:.4g}" for n, v in zip(prior.names, theta, strict=True))
