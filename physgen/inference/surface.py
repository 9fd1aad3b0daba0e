"""The posterior of one to three parameters from few evaluations of a likelihood that is dear.

The log-likelihood of one observation is a smooth surface. It is asked at Chebyshev nodes, in the
box of the prior at first, and a polynomial is fitted. It is asked again where that puts the
posterior, along its principal axes, until the posterior stays where it is: narrow ridges across
the box are then as round as any other posterior. The polynomial on a fine grid gives everything
else without Monte Carlo.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray
from numpy.polynomial import chebyshev
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from physgen.data import seed_of
from physgen.errors import InputError
from physgen.inference.priors import Prior

MOST = 3  # parameters
_FINE = (2048, 256, 64)  # cells a side, for one, two and three parameters
_LOOKS = 6
_REACH = 4.0  # standard deviations along each principal axis, where the likelihood is asked
_SPREAD = 0.2  # of half the prior's sides, added to the first, quadratic guess of the posterior
_SUITED = (
    0.12,
    0.35,
)  # standard deviations of a posterior in a frame, which are 1 / _REACH at best
_TOLERANCE = 5.0  # nats below the maximum at which a misfit counts half as much as at the maximum
_FLOOR = 400.0  # nats below the maximum: what lies outside of where the likelihood was asked

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
        cls, log_likelihoods: LogLikelihoods, prior: Prior, *, nodes: int = 5, power: float = 1.0
    ) -> Self:
        """The posterior of a likelihood.

        Args:
            log_likelihoods: (m, d) parameters -> k estimates of each, by common random numbers.
            nodes: along each axis, for each look.
            power: that the likelihood is raised to, see `physgen.inference.power`.

        Raises:
            InputError: for more parameters than three, a prior without finite ends, a power that is
                not positive, or a likelihood that is not finite.
        """
        if not power > 0:
            raise InputError(f"expected a power above zero, got {power}; 1 is the likelihood's own")
        low, high = _finite_ends(prior)
        d, half, middle = len(low), (high - low) / 2, (high + low) / 2
        unit = _points(np.cos(np.pi * (np.arange(nodes) + 0.5) / nodes), d)
        frame, points, values = _Frame(np.zeros(d), np.eye(d)), np.zeros((0, d)), []
        posterior: Self | None = None
        for look in range(1, _LOOKS + 1):
            asked = np.clip(frame.outside(unit), -1, 1)
            found = power * np.asarray(log_likelihoods(middle + half * asked), np.float64)
            finite = np.all(np.isfinite(found), axis=1)
            if look == 1 and finite.mean() <= 0.5:
                raise InputError(
                    "expected a likelihood that is finite in most of the prior, got "
                    f"infinity or NaN between {_named(prior, low)} and {_named(prior, high)}; the "
                    "model has not seen such an observation"
                )
            points = np.concatenate([points, asked[finite]])
            values.append(found[finite])
            best = points[np.argmax(np.concatenate(values).mean(axis=1))]
            if not frame.holds(best[None]).all():
                frame = _Frame.around(best, _SPREAD**2 * np.eye(d))
                continue
            ends, surface = _surface(
                frame,
                points,
                np.concatenate(values),
                degree=2 if look == 1 else nodes - 1,
                side=_FINE[d - 1],
            )
            ends = middle + half * ends
            posterior = cls(prior, ends[0], ends[1], surface, look * len(unit), power)
            mean = (posterior.mean() - middle) / half
            covariance = posterior.covariance() / np.outer(half, half)
            if look > 1 and frame.suits(mean, covariance):
                break
            spread = _SPREAD**2 * np.eye(d) if look == 1 else 0.0
            frame = _Frame.around(mean, covariance + spread)
        assert posterior is not None, "the first frame holds all points"
        return posterior

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
        unit = (np.arange(self._side) + 0.5) / self._side
        return self.low + (self.high - self.low) * _points(unit, len(self.low))

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


@dataclass(frozen=True, eq=False)
class _Frame:
    """Coordinates u in [-1, 1]^d along the axes of a posterior: theta = centre + axes u.

    Parameters theta are in units of the prior's box, from -1 to 1.
    """

    centre: Float[np.ndarray, " d"]
    axes: Float[np.ndarray, "d d"]

    @classmethod
    def around(cls, mean: Float[np.ndarray, " d"], covariance: Float[np.ndarray, "d d"]) -> Self:
        values, vectors = np.linalg.eigh(covariance)
        return cls(mean, vectors * np.sqrt(np.maximum(values, 1e-12)) * _REACH)

    def outside(self, u: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m d"]:
        return self.centre + u @ self.axes.T

    def inside(self, theta: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m d"]:
        return np.linalg.solve(self.axes, (theta - self.centre).T).T

    def holds(self, theta: Float[np.ndarray, "m d"]) -> Bool[np.ndarray, " m"]:
        return np.all(np.abs(self.inside(theta)) <= 1 + 1e-9, axis=1)

    def suits(self, mean: Float[np.ndarray, " d"], covariance: Float[np.ndarray, "d d"]) -> bool:
        """Whether a posterior is in its middle, neither much narrower nor wider than it should."""
        inverse = np.linalg.inv(self.axes)
        deviations = np.sqrt(np.linalg.eigvalsh(inverse @ covariance @ inverse.T))
        off = np.abs(self.inside(mean[None])).max()
        return bool(_SUITED[0] < deviations.min() and max(deviations.max(), off) < _SUITED[1])


def _surface(
    frame: _Frame,
    asked: Float[np.ndarray, "m d"],
    found: Float[np.ndarray, "m k"],
    degree: int,
    side: int,
) -> tuple[Float[np.ndarray, "2 d"], Float[np.ndarray, "k ..."]]:
    """The ends of the frame's box along the parameters, and the surface in the cells between.

    A polynomial is fitted to all that was found inside the frame, each value as closely as it is
    near to the maximum: relative errors far below it do not matter.
    """
    used = frame.holds(asked)
    u, values = frame.inside(asked[used]), found[used]
    mean = values.mean(axis=1)
    weights = 1 / (1 + (mean.max() - mean) / _TOLERANCE)
    orders = _orders(degree, u.shape[1])
    terms = weights[:, None] * _terms(u, orders)
    coefficients = np.linalg.lstsq(terms, weights[:, None] * values, rcond=None)[0]

    half = np.abs(frame.axes).sum(axis=1)
    ends = np.clip([frame.centre - half, frame.centre + half], -1.0, 1.0)
    d = len(half)
    cells = _points((np.arange(side) + 0.5) / side, d)
    at = frame.inside(ends[0] + (ends[1] - ends[0]) * cells)
    inside = (np.abs(at) <= 1).all(axis=1)
    surface = np.full((values.shape[1], len(cells)), mean.max() - _FLOOR)
    surface[:, inside] = (_terms(at[inside], orders) @ coefficients).T
    return ends, surface.reshape(-1, *(side,) * d)


def _orders(degree: int, d: int) -> Int[np.ndarray, "t d"]:
    """Of all products of Chebyshev polynomials of at most that total degree."""
    orders = np.indices((degree + 1,) * d).reshape(d, -1).T
    return orders[orders.sum(axis=1) <= degree]


def _terms(u: Float[np.ndarray, "m d"], orders: Int[np.ndarray, "t d"]) -> Float[np.ndarray, "m t"]:
    each = [chebyshev.chebvander(u[:, i], orders.max())[:, orders[:, i]] for i in range(u.shape[1])]
    return np.prod(each, axis=0)


def _finite_ends(prior: Prior) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    low, high = prior.low.astype(np.float64), prior.high.astype(np.float64)
    if not 1 <= len(low) <= MOST:
        raise InputError(
            f"expected one to {MOST} parameters for a grid, got {len(low)}; draw from "
            "LikelihoodPosterior instead"
        )
    if not np.isfinite([low, high]).all():
        raise InputError(
            "expected a prior with finite ends for a grid, got "
            f"{dict(zip(prior.names, zip(low, high, strict=True), strict=True))}"
        )
    return low, high


def _points(axis: Float[np.ndarray, " n"], d: int) -> Float[np.ndarray, "m d"]:
    """All combinations of the axis with itself."""
    return np.stack(np.meshgrid(*[axis] * d, indexing="ij"), -1).reshape(-1, d)


def _named(prior: Prior, theta: np.ndarray) -> str:
    return ", ".join(f"{n} = {v:.4g}" for n, v in zip(prior.names, theta, strict=True))
