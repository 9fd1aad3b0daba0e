"""Densities of outcomes from counts, one for each value of a control: what a model should beat.

Every count starts at one half (Krichevsky & Trofimov 1981), so that no outcome is impossible.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float, Int

HALF = 0.5


@dataclass(frozen=True, eq=False)
class IndependentSites:
    """p(x | v) = prod_i p_i(x_i | v), with p_i(1 | v) = (ones + 1/2) / (shots + 1) in `up`."""

    up: Float[np.ndarray, "v n"]

    @classmethod
    def fit(cls, outcomes: Int[np.ndarray, "b n"], which: Int[np.ndarray, " b"], v: int) -> Self:
        """From shots and the number, below v, of the value at which each was taken."""
        ones = np.zeros((v, outcomes.shape[1]))
        np.add.at(ones, which, outcomes)
        shots = np.bincount(which, minlength=v)[:, None]
        return cls((ones + HALF) / (shots + 2 * HALF))

    def log_prob(
        self, outcomes: Int[np.ndarray, "b n"], which: Int[np.ndarray, " b"]
    ) -> Float[np.ndarray, " b"]:
        """log p of each shot at its value, in nats."""
        up = self.up[which]
        return np.log(np.where(outcomes, up, 1 - up)).sum(axis=1)


@dataclass(frozen=True, eq=False)
class MarkovChains:
    """p(x | v) = p(x_1 | v) prod_i p_i(x_(i+1) | x_i, v), a table of its own for each neighbour.

    first: [value, outcome]. step: [value, site, before, after], (count + 1/2) / (sum of both).
    """

    first: Float[np.ndarray, "v 2"]
    step: Float[np.ndarray, "v links 2 2"]

    @classmethod
    def fit(cls, outcomes: Int[np.ndarray, "b n"], which: Int[np.ndarray, " b"], v: int) -> Self:
        """From shots and the number, below v, of the value at which each was taken."""
        links = outcomes.shape[1] - 1
        first = np.full((v, 2), HALF)
        np.add.at(first, (which, outcomes[:, 0]), 1)
        step = np.full((v, links, 2, 2), HALF)
        np.add.at(step, (which[:, None], np.arange(links), outcomes[:, :-1], outcomes[:, 1:]), 1)
        return cls(*(counts / counts.sum(axis=-1, keepdims=True) for counts in (first, step)))

    def log_prob(
        self, outcomes: Int[np.ndarray, "b n"], which: Int[np.ndarray, " b"]
    ) -> Float[np.ndarray, " b"]:
        """log p of each shot at its value, in nats."""
        sites = np.arange(outcomes.shape[1] - 1)
        step = self.step[which[:, None], sites, outcomes[:, :-1], outcomes[:, 1:]]
        return np.log(self.first[which, outcomes[:, 0]]) + np.log(step).sum(axis=1)
