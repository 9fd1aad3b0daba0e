"""Are ranks uniform? The cumulative shares of ranks, their simultaneous band, and a p-value.

Säilynoja, Bürkner & Vehtari 2022 (arXiv:2103.10522): below each of some levels the number of ranks
is binomial. The statistic is the smallest of the two-sided binomial tail probabilities over the
levels; its distribution under uniform ranks is simulated, which makes the p-value valid and the
band simultaneous.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import binom

from physgen.errors import InputError

_LEVELS = 100  # at most so many are looked at
_ROUNDING = 1e-9
_DIGITS = 10  # of a probability; the rest is rounding, which would make an order of ties


@dataclass(frozen=True, eq=False)
class RankTest:
    """Whether n ranks, each one of 0 ... n_draws, are uniform.

    share (k,) is the share of ranks below level (k,), as a fraction of n_draws + 1; uniform ranks
    stay between lower and upper (k,), for all levels at once and, where several sets of ranks were
    tested together, for all of these at once, with probability 1 - alpha.
    """

    ranks: Int[np.ndarray, " n"]
    n_draws: int
    level: Float[np.ndarray, " k"]
    share: Float[np.ndarray, " k"]
    lower: Float[np.ndarray, " k"]
    upper: Float[np.ndarray, " k"]
    p_value: float
    inside: bool

    @property
    def fractions(self) -> Float[np.ndarray, " n"]:
        """The ranks as fractions in (0, 1), at the middles of n_draws + 1 equal bins."""
        return (self.ranks + 0.5) / (self.n_draws + 1)


def rank_tests(
    ranks: Int[np.ndarray, "n t"],
    n_draws: int,
    *,
    alpha: float = 0.05,
    simulations: int = 4999,
    seed: int | np.random.Generator = 0,
) -> tuple[RankTest, ...]:
    """Test t sets of n ranks, each one of 0 ... n_draws, for uniformity; a result for each set.

    alpha is the chance that any of the t curves leaves its band although all ranks are uniform
    (Bonferroni): `inside` is p_value > alpha / t. The null distribution comes from `simulations`
    sets of uniform ranks.

    Raises:
        InputError: for no ranks, ranks out of range, and too few simulations for such an alpha.
    """
    n, t = ranks.shape
    if n < 1 or n_draws < 1 or ranks.min() < 0 or ranks.max() > n_draws:
        raise InputError(
            f"expected at least one rank, each from 0 to {n_draws} draws, got shape {ranks.shape}; "
            "count how many draws are below the truth"
        )
    reject = int(alpha / t * (simulations + 1) + _ROUNDING)
    if not 0 < alpha < 1 or reject < 1:
        raise InputError(
            f"expected 0 < alpha < 1 and at least {t} / alpha simulations, got alpha={alpha} and "
            f"{simulations}; use more simulations"
        )
    cuts = _cuts(n_draws)
    level = cuts / (n_draws + 1)
    tails = _tails(n, level)
    null = np.sort(_null(tails, n, level, simulations, np.random.default_rng(seed)))
    critical = null[reject - 1]
    allowed = tails >= critical
    lower, upper = allowed.argmax(axis=1) / n, 1 - allowed[:, ::-1].argmax(axis=1) / n
    results = []
    for column in ranks.T:
        counts = np.sum(column[:, None] < cuts, axis=0)
        smallest = tails[np.arange(len(cuts)), counts].min()
        as_small = np.searchsorted(null, smallest, side="right")
        results.append(
            RankTest(
                column,
                n_draws,
                level,
                counts / n,
                lower,
                upper,
                float((1 + as_small) / (simulations + 1)),
                bool(smallest >= critical),
            )
        )
    return tuple(results)


def _cuts(n_draws: int) -> Int[np.ndarray, " k"]:
    """Ranks below which ranks are counted."""
    ends = np.linspace(0, n_draws + 1, min(n_draws + 1, _LEVELS) + 1)
    return np.unique(np.round(ends).astype(int))[1:-1]


def _tails(n: int, level: Float[np.ndarray, " k"]) -> Float[np.ndarray, "k n1"]:
    """2 min(P(X <= x), P(X >= x)) of a binomial X of n trials for x = 0 ... n, a row a level."""
    below = binom.cdf(np.arange(n + 1), n, level[:, None])
    above = 1 - np.concatenate([np.zeros((len(level), 1)), below[:, :-1]], axis=1)
    return np.round(2 * np.minimum(below, above), _DIGITS)


def _null(tails, n, level, simulations, rng) -> Float[np.ndarray, " s"]:
    shares = np.diff(np.concatenate([[0.0], level, [1.0]]))
    counts = np.cumsum(rng.multinomial(n, shares, size=simulations), axis=1)[:, :-1]
    return tails[np.arange(len(level)), counts].min(axis=1)
