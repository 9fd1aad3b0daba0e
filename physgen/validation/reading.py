"""What the shape of ranks says of a posterior, in words.

Normal scores of the ranks, which are standard normal if ranks are uniform, tell bias from width:
of a Gaussian posterior their mean is its bias and their deviation the factor by which it is too
narrow. What is quoted is where the shares of ranks are farthest outside of their band.
"""

import numpy as np
from scipy.special import ndtri

from physgen.validation.uniformity import RankTest

REGION = 0.68  # the content of the central interval whose share is told

_CLEAR = 3.0  # sigma from which bias or width is named beside the other
_SEEN = 2.0  # sigma from which it is named by itself


def share_central(test: RankTest) -> float:
    """The share of ranks among the central 68%."""
    return float(np.mean(np.abs(test.fractions - 0.5) < REGION / 2))


def share_above(test: RankTest) -> float:
    """The share of ranks above the middle, those on it halved."""
    return float(np.mean(test.fractions > 0.5) + np.mean(test.fractions == 0.5) / 2)


def describe_parameter(name: str, test: RankTest) -> str:
    """What is wrong with the posterior of one parameter, from the ranks of its true values."""
    bias, off, stretched = _bias_and_width(test)
    parts = []
    if _named(off, stretched):
        side = "low" if bias > 0 else "high"
        parts.append(f"biased {side} by {abs(bias):.2g} of its standard deviation")
    if _named(stretched, off):
        parts.append(_confidence(stretched))
    level, share = _outside(test)
    return (
        f"{name} is {' and '.join(parts) or 'off'}: the truth is below its {level:.0%} quantile in "
        f"{share}"
    )


def describe_tarp(test: RankTest) -> str:
    """What is wrong with a joint posterior, from the ranks of distances to random points."""
    _, off, stretched = _bias_and_width(test)
    wrong = "off"
    if _named(stretched, off):
        wrong = _confidence(stretched)
    elif _named(off, stretched):
        wrong = "biased"
    level, share = _outside(test)
    return (
        f"the joint posterior is {wrong} (TARP): the distance of the truth from a random point is "
        f"among the lowest {level:.0%} of those of the draws in {share}"
    )


def describe_regions(test: RankTest) -> str:
    """What is wrong with highest-density regions, from the ranks of minus the density."""
    off = float(test.fractions.mean() - 0.5)
    clear = abs(off) * np.sqrt(12 * len(test.ranks)) > _SEEN
    level, share = _outside(test)
    return (
        f"the joint posterior is {_confidence(off) if clear else 'off'}: its {level:.0%} "
        f"highest-density region holds the truth in {share}"
    )


def _bias_and_width(test: RankTest) -> tuple[float, float, float]:
    """Mean of the scores, and how many sigma it and their deviation are off."""
    n, bins = len(test.ranks), test.n_draws + 1
    expected = ndtri((np.arange(bins) + 0.5) / bins).std()
    scores = ndtri(test.fractions)
    off = scores.mean() / expected * np.sqrt(n)
    stretched = (scores.std() / expected - 1) * np.sqrt(2 * n)
    return float(scores.mean()), float(off), float(stretched)


def _named(one: float, other: float) -> bool:
    return abs(one) > _CLEAR or (abs(one) > _SEEN and abs(one) >= abs(other))


def _confidence(stretched: float) -> str:
    return "overconfident" if stretched > 0 else "underconfident"


def _outside(test: RankTest) -> tuple[float, str]:
    """The level at which the band is left farthest, and the share there beside the band."""
    i = int(np.argmax(np.maximum(test.share - test.upper, test.lower - test.share)))
    band = f"{test.lower[i]:.1%} to {test.upper[i]:.1%} by chance"
    return float(test.level[i]), f"{test.share[i]:.1%} of simulations ({band})"
