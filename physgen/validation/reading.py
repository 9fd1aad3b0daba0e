"""What the shape of ranks says of a posterior, in words.

Normal scores of the ranks, which are standard normal if ranks are uniform, tell bias from width:
of a Gaussian posterior their mean is its bias and their deviation the factor by which it is too
narrow.
"""

import numpy as np
from scipy.special import ndtri

from physgen.validation.uniformity import RankTest

REGION = 0.68  # the content of the region that sentences speak of

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
        parts.append(
            f"biased {'low' if bias > 0 else 'high'} by {abs(bias):.2g} of its standard deviation: "
            f"the truth is above its median in {share_above(test):.0%} of simulations (expected "
            "50%)"
        )
    if _named(stretched, off):
        parts.append(
            f"{_confidence(stretched)}: its central 68% interval holds the truth in "
            f"{share_central(test):.0%} of simulations"
        )
    return f"{name} is {'; it is '.join(parts)}" if parts else f"{name} is off{_deviation(test)}"


def describe_tarp(test: RankTest) -> str:
    """What is wrong with a joint posterior, from the ranks of distances to random points."""
    _, off, stretched = _bias_and_width(test)
    if _named(stretched, off):
        return (
            f"the joint posterior is {_confidence(stretched)} (TARP): the distance of the truth "
            "from a random point is among the central 68% of those of the draws in "
            f"{share_central(test):.0%} of simulations"
        )
    if _named(off, stretched):
        share = share_above(test)
        return (
            f"the joint posterior is biased (TARP): the truth is "
            f"{'farther' if off > 0 else 'nearer'} than the draws' median from a random point in "
            f"{share if off > 0 else 1 - share:.0%} of simulations (expected 50%)"
        )
    return f"the joint posterior is off (TARP){_deviation(test)}"


def describe_regions(test: RankTest, held: float) -> str:
    """What is wrong with highest-density regions, of which that of 68% `held` so many truths."""
    off = float(test.fractions.mean() - 0.5)
    if abs(off) * np.sqrt(12 * len(test.ranks)) > _SEEN:
        return (
            f"the joint posterior is {_confidence(off)}: its 68% highest-density region holds the "
            f"truth in {held:.0%} of simulations"
        )
    worst = _worst(test)
    return (
        f"the joint posterior is off: its {test.level[worst]:.0%} highest-density region holds the "
        f"truth in {test.share[worst]:.0%} of simulations, beyond chance"
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


def _worst(test: RankTest) -> int:
    return int(np.argmax(np.abs(test.share - test.level)))


def _deviation(test: RankTest) -> str:
    worst = _worst(test)
    return (
        f": {test.share[worst]:.0%} of the ranks are in the lowest {test.level[worst]:.0%}, "
        "beyond chance"
    )
