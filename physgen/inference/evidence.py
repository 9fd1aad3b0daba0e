"""Which of several models made an observation, from the evidence of each.

Evidences of models that were learned are not exact: the better trained network wins, and by more
nats than it should. Observations whose model is known say by how much: probabilities are a softmax
of scale * log evidence + offset, fitted to them (Platt 1999; Guo et al. 2017, arXiv:1706.04599).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from physgen.errors import InputError
from physgen.plots.evidences import EvidenceDifferences, evidence_figure

FEWEST = 10  # observations of each model
_MOST_SCALE = 10.0


@dataclass(frozen=True, eq=False)
class CalibratedEvidence:
    """p(model | observation) from log-evidences.

    Args:
        names: of the models.
        scale: of log-evidences, 1 where they are right, less where they are too sure.
        offsets: added to each, in nats, zero in the mean.
        log_evidences: that these were fitted to, (n, models).
        model: that each of these observations is of, its index.
    """

    names: tuple[str, ...]
    scale: float
    offsets: Float[np.ndarray, " models"]
    log_evidences: Float[np.ndarray, "n models"]
    model: Int[np.ndarray, " n"]

    @classmethod
    def fit(cls, names: Sequence[str], log_evidences: ArrayLike, model: ArrayLike) -> Self:
        """From observations whose model is known.

        Args:
            log_evidences: shape (n, models), in nats.
            model: the index of the model of each, shape (n,).

        Raises:
            InputError: for other shapes, values that are not finite, fewer than two models, or
                fewer than 10 observations of one.
        """
        evidences, model = np.asarray(log_evidences, np.float64), np.asarray(model)
        models = len(names)
        if models < 2:
            raise InputError(f"expected at least two models, got {models}; give another")
        if evidences.shape != (len(model), models) or not np.isfinite(evidences).all():
            raise InputError(
                f"expected finite log-evidences of shape ({len(model)}, {models}), one for each "
                f"observation and model, got shape {evidences.shape}"
            )
        counts = np.array([np.sum(model == k) for k in range(models)])
        if counts.min() < FEWEST or counts.sum() != len(model):
            raise InputError(
                f"expected at least {FEWEST} observations of each model, got "
                f"{dict(zip(names, counts.tolist(), strict=True))}; fewer do not calibrate"
            )
        scale, offsets = _fitted(evidences, model)
        return cls(tuple(names), scale, offsets, evidences, model)

    def probabilities(
        self, log_evidences: ArrayLike, prior: ArrayLike | None = None
    ) -> Float[np.ndarray, "... models"]:
        """p(model | observation) of log-evidences (..., models).

        Args:
            prior: probabilities of the models before the observation; equal if None.

        Raises:
            InputError: for another number of models, or a prior that is not positive.
        """
        evidences, models = np.asarray(log_evidences, np.float64), len(self.names)
        if evidences.shape[-1:] != (models,):
            raise InputError(
                f"expected log-evidences of {models} models, {', '.join(self.names)}, got shape "
                f"{evidences.shape}"
            )
        shifts = self.offsets + log_prior_of(models, prior)
        return softmax(self.scale * evidences + shifts, axis=-1)

    def score(self) -> float:
        """The mean log p(model | observation) of known observations, each left out in its turn.

        Guessing has -log(number of models).
        """
        scores = []
        for i, k in enumerate(self.model):
            left = np.arange(len(self.model)) != i
            scale, offsets = _fitted(self.log_evidences[left], self.model[left])
            scores.append(log_softmax(scale * self.log_evidences[i] + offsets)[k])
        return float(np.mean(scores))

    def plain_score(self) -> float:
        """The same of the log-evidences as they are."""
        rows = np.arange(len(self.model))
        return float(np.mean(log_softmax(self.log_evidences, axis=1)[rows, self.model]))

    def accuracy(self) -> float:
        """The fraction of known observations whose own model is the most probable."""
        return float(np.mean(self.probabilities(self.log_evidences).argmax(axis=1) == self.model))

    def plot(self, log_evidences: Float[np.ndarray, "m models"]) -> Figure:
        """How the first model's evidence differs from each other's, with observations in question.

        Args:
            log_evidences: of the observations in question.
        """
        known, asked = (values[:, :1] - values for values in (self.log_evidences, log_evidences))
        panels = [
            EvidenceDifferences(
                first=self.names[0],
                second=self.names[k],
                of_first=known[self.model == 0, k],
                of_second=known[self.model == k, k],
                observed=asked[:, k],
                scale=self.scale,
                offset=float(self.offsets[0] - self.offsets[k]),
            )
            for k in range(1, len(self.names))
        ]
        return evidence_figure(panels)

    def finding(self) -> str:
        """In a line."""
        return (
            f"of {len(self.model)} known observations {self.accuracy():.0%} are given to their "
            f"model; log-evidences times {self.scale:.2g} fit them: mean log probability of the "
            f"right model {self.score():.2f} nats (as they are {self.plain_score():.2f}, guessing "
            f"{-np.log(len(self.names)):.2f})"
        )


def log_prior_of(models: int, prior: ArrayLike | None) -> Float[np.ndarray, " models"]:
    """The logarithm of probabilities of models before an observation, up to a number.

    Raises:
        InputError: if there is not one for each model, or one is not positive.
    """
    weights = np.ones(models) if prior is None else np.asarray(prior, np.float64)
    if weights.shape != (models,) or not (weights > 0).all():
        raise InputError(
            f"expected {models} positive prior probabilities, got {weights.tolist()}; give one for "
            "each model"
        )
    return np.log(weights)


def _fitted(
    evidences: Float[np.ndarray, "n models"], model: Int[np.ndarray, " n"]
) -> tuple[float, Float[np.ndarray, " models"]]:
    """Scale and offsets of the largest likelihood, as if each model had as many observations.

    Platt's targets, of one more observation of each model, keep the scale finite where the models
    do not overlap.
    """
    n, models = evidences.shape
    centred = evidences - evidences.mean(axis=1, keepdims=True)
    counts = np.bincount(model, minlength=models)
    target = np.ones((n, models)) + counts[model][:, None] * np.eye(models)[model]
    target /= target.sum(axis=1, keepdims=True)
    weights = 1 / (models * counts[model])

    def loss(x):
        log_p = log_softmax(x[0] * centred + x[1:], axis=1)
        excess = weights[:, None] * (np.exp(log_p) - target)
        slope = np.concatenate([[np.sum(excess * centred)], excess.sum(axis=0)])
        return -np.sum(weights[:, None] * target * log_p), slope

    start = np.concatenate([[1 / max(1.0, np.abs(centred).mean())], np.zeros(models)])
    bounds = [(0.0, _MOST_SCALE), *[(None, None)] * models]
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return float(best.x[0]), best.x[1:] - best.x[1:].mean()
