"""Is an observation unlike anything that was simulated? Then its posterior means little.

Three scores measure how far an observation is from simulations: its most extreme entry, its
Mahalanobis distance, and the distance to its nearest neighbours, which sees a hole in the middle
of a cloud. One half of the simulations makes the scores, the other half tells how large they are
for simulations: if the observation comes from the same distribution, its rank among them is
uniform, whatever the distribution (a conformal test; Vovk et al. 2005).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from physgen.errors import InputError

FEWEST = 20

_FAR = 5.0  # standardised values beyond are compressed: heavy tails hide what is in the middle
_NEIGHBOURS = 5
_ROWS = 2_000  # simulations in each half at most
_PER_COMPONENT = 5  # simulations needed for each principal component
_CHUNK = 256
_NAMED = 8  # entries that a sentence names
_TIE_BREAK = 1e-6
_ROUNDING = 1e-6  # float32's
_DIGITS = 9  # of a score; the rest is rounding, which would make an order of ties


class UnlikeSimulations(UserWarning):
    """An observation that is unlike the simulations: its posterior means little."""


@dataclass(frozen=True, eq=False)
class Score:
    """How odd an observation is among m simulations, the odder the higher."""

    name: str
    simulated: Float[np.ndarray, " m"]
    observed: float

    @property
    def p_value(self) -> float:
        """The share of simulations at least as odd, the observation among them."""
        return float((1 + np.sum(self.simulated >= self.observed)) / (1 + len(self.simulated)))


@dataclass(frozen=True, eq=False)
class Misspecification:
    """Whether an observation is like the simulations.

    p_value is of all scores together (see `combined`). outside names the entries of the observation
    that are beyond all simulated values, of which chance alone would give `expected_outside`;
    frozen those of them that are the same in all simulations.
    """

    scores: tuple[Score, ...]
    p_value: float
    outside: tuple[str, ...]
    expected_outside: float
    frozen: tuple[str, ...]
    alpha: float

    @property
    def misspecified(self) -> bool:
        """Whether the observation is unlike the simulations."""
        return self.p_value < self.alpha or bool(self.frozen)

    def finding(self, others: str = "the simulations") -> str | None:
        """What is wrong, in words; None where nothing is. `others` is what the observation is
        compared with."""
        if not self.misspecified:
            return None
        parts = [f"the observation is unlike {others}"]
        if self.p_value < self.alpha:
            worst = min(self.scores, key=lambda score: score.p_value)
            parts[0] += (
                f" (p = {self.p_value:.2g}): its {worst.name} is {worst.observed:.3g}, that of 95% "
                f"of simulations below {np.quantile(worst.simulated, 0.95):.3g}"
            )
        if self.outside:
            verb = "entry is" if len(self.outside) == 1 else "entries are"
            parts.append(
                f"{len(self.outside)} {verb} out of the simulated range "
                f"({self.expected_outside:.2g} expected by chance): {_some(self.outside)}"
            )
        if self.frozen:
            parts.append(f"the same in all simulations: {_some(self.frozen)}")
        return "; ".join(parts)


def misspecification(
    observation: ArrayLike,
    simulations: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    alpha: float = 0.01,
    seed: int | np.random.Generator = 0,
) -> Misspecification:
    """Compare an observation (*x) with simulations (n, *x), or embeddings of both.

    Entries that are NaN in the observation are left out; in simulations they count as the median.
    `names` are those of the entries, x[i], x[i, j], ... by default. `seed` fixes the halves.

    Raises:
        InputError: for shapes that do not fit, fewer than 20 simulations, infinite entries, or
            nothing observed at all.
    """
    x, simulated = np.asarray(observation, np.float64), np.asarray(simulations, np.float64)
    if simulated.shape[1:] != x.shape or len(simulated) < FEWEST:
        raise InputError(
            f"expected an observation (*x) and at least {FEWEST} simulations (n, *x), got "
            f"{x.shape} and {simulated.shape}; give simulations of this observation"
        )
    if np.isinf(x).any() or np.isinf(simulated).any():
        raise InputError("expected finite numbers or NaN, got infinity; leave the entry out")
    labels = entry_names(x.shape) if names is None else tuple(names)
    if len(labels) != x.size:
        raise InputError(f"expected {x.size} names, got {len(labels)}; give one for each entry")
    flat, rows = x.ravel(), simulated.reshape(len(simulated), -1)
    seen = np.isfinite(flat) & np.isfinite(rows).any(axis=0)
    if not seen.any():
        raise InputError("expected numbers in the observation, got NaN only; observe something")
    flat, rows = flat[seen], rows[:, seen]
    labels = tuple(compress(labels, seen))
    if np.isnan(rows).any():
        rows = np.where(np.isnan(rows), np.nanmedian(rows, axis=0), rows)
    low, high = rows.min(axis=0), rows.max(axis=0)
    slack = _ROUNDING * np.maximum(np.abs(low), np.abs(high))
    beyond = (flat < low - slack) | (flat > high + slack)
    shuffled = np.random.default_rng(seed).permutation(rows)[: 2 * _ROWS]
    half = len(shuffled) // 2
    scores = _scores(flat, shuffled[:half], shuffled[half:])
    return Misspecification(
        scores,
        combined(scores),
        tuple(compress(labels, beyond)),
        2 * len(flat) / (len(rows) + 1),
        tuple(compress(labels, beyond & (low == high))),
        alpha,
    )


def warn_if_unlike(result: Misspecification, where: str = "", stacklevel: int = 2) -> None:
    """Warn (`UnlikeSimulations`) where an observation is unlike the simulations."""
    if result.misspecified:
        warnings.warn(
            f"{where}{result.finding()}; its posterior means little",
            UnlikeSimulations,
            stacklevel=stacklevel + 1,
        )


def combined(scores: Sequence[Score]) -> float:
    """The p-value of the most telling score, with the choice among them allowed for.

    The smallest p-value of the observation is ranked among those of the simulations, ties broken by
    the mean of the others (Westfall & Young 1993).
    """
    values = np.array([[score.observed, *score.simulated] for score in scores])
    p = rankdata(-values, method="max", axis=1) / values.shape[1]
    telling = p.min(axis=0) + _TIE_BREAK * p.mean(axis=0)
    return float(np.mean(telling <= telling[0]))


def entry_names(shape: tuple[int, ...]) -> tuple[str, ...]:
    """x[i, j] for every entry of an array of some shape, in its order."""
    if not shape:
        return ("x",)
    return tuple(f"x[{', '.join(map(str, index))}]" for index in np.ndindex(*shape))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _scores(observation, reference, others) -> tuple[Score, ...]:
    """Of an observation (k,) and of other simulations (m, k), made from those of reference."""
    median, scale = _location_and_scale(reference)

    def standardise(values):
        z = (values - median) / scale
        beyond = np.maximum(np.abs(z) - _FAR, 0)
        return np.sign(z) * (np.minimum(np.abs(z), _FAR) + np.log1p(beyond))

    z = standardise(reference)
    both = standardise(np.concatenate([observation[None], others]))
    extreme = np.maximum(np.quantile(np.abs(z), 0.99, axis=0), 1.0)
    found = {
        "most extreme entry": np.max(np.abs(both) / extreme, axis=1),
        "Mahalanobis distance": _mahalanobis(both, z),
        "distance to the nearest simulations": _nearest(both, z),
    }
    rounded = {name: np.round(values, _DIGITS) for name, values in found.items()}
    return tuple(Score(name, values[1:], float(values[0])) for name, values in rounded.items())


def _location_and_scale(values: Float[np.ndarray, "n k"]) -> tuple[np.ndarray, np.ndarray]:
    """Median and half the central 68%, or the standard deviation where that vanishes, or 1."""
    low, median, high = np.quantile(values, [0.16, 0.5, 0.84], axis=0)
    scale, deviation = (high - low) / 2, values.std(axis=0)
    scale = np.where(scale > 1e-9 * deviation, scale, deviation)
    tiny = 1e-12 * np.maximum(np.abs(median), 1e-300)
    return median, np.where(scale > tiny, scale, np.where(deviation > 0, deviation, 1.0))


def _mahalanobis(values: Float[np.ndarray, "m k"], reference: Float[np.ndarray, "n k"]):
    """Distances under the covariance of the reference, divided by sqrt(k).

    Of many entries the leading principal components have variances of their own, and the others
    share one (probabilistic principal components, Tipping & Bishop 1999).
    """
    n, k = reference.shape
    centre = reference.mean(axis=0)
    _, singular, axes = np.linalg.svd(reference - centre, full_matrices=False)
    variance = singular**2 / max(n - 1, 1)
    kept = int(min(np.sum(variance > 1e-10 * variance[0]), max(n // _PER_COMPONENT, 1)))
    shared = max(variance[kept:].sum() / max(k - kept, 1), 1e-10 * float(variance[0]), 1e-300)
    centred = values - centre
    along = centred @ axes[:kept].T
    across = np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0)
    squared = (along**2 / np.maximum(variance[:kept], shared)).sum(axis=1) + across / shared
    return np.sqrt(squared / k)


def _nearest(values: Float[np.ndarray, "m k"], reference: Float[np.ndarray, "n k"]):
    """Distance to the fifth-nearest row of the reference, divided by sqrt(k)."""
    rank = min(_NEIGHBOURS, len(reference)) - 1
    length = (reference**2).sum(axis=1)
    squared = np.concatenate(
        [
            np.partition(
                length - 2 * part @ reference.T + (part**2).sum(axis=1)[:, None], rank, axis=1
            )[:, rank]
            for part in np.split(values, range(_CHUNK, len(values), _CHUNK))
        ]
    )
    return np.sqrt(np.maximum(squared, 0) / values.shape[1])
