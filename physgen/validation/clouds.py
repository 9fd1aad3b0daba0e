"""Real or fake? A classifier of sets of points that does not know their order.

Each point is described by what surrounds it: distances to its nearest neighbours and, where points
have velocities, how fast these recede. A set is then the average over its points of random Fourier
features of that description, which determines its distribution (Muandet et al. 2012,
arXiv:1202.6504), and any classifier takes it from there. The order of points, and moving, mirroring
or turning the box, change nothing.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from scipy.spatial import KDTree

from physgen.errors import InputError
from physgen.validation.classifier import C2ST, Classifier, RandomForest, c2st
from physgen.validation.two_sample import Strata

_FEATURES = 96
_WIDTHS = (0.5, 1.0, 2.0)  # of the random features, in standard deviations of a description
_SAMPLE = 5000  # points by which descriptions are standardised


def c2st_clouds(
    real: ArrayLike,
    generated: ArrayLike,
    *,
    real_velocities: ArrayLike | None = None,
    generated_velocities: ArrayLike | None = None,
    real_mask: ArrayLike | None = None,
    generated_mask: ArrayLike | None = None,
    box_size: float | None = None,
    neighbours: int = 8,
    classifier: Classifier = RandomForest(),
    folds: int = 5,
    permutations: int = 999,
    strata: Strata | None = None,
    seed: int = 1,
) -> C2ST:
    """The classifier two-sample test of real (n, N, d) and generated (m, M, d) sets of points.

    Velocities have the shapes of the positions; masks (n, N) and (m, M) are True for a real point.
    `box_size` is the side of the periodic box, None in open space. Sets of fewer points than
    `neighbours` + 1 lower it. See `c2st` for the rest.

    Raises:
        InputError: for shapes that do not fit, NaN, sets of one point, points outside the box.
    """
    sets = (
        _Sets(real, real_velocities, real_mask),
        _Sets(generated, generated_velocities, generated_mask),
    )
    if sets[0].points.shape[2] != sets[1].points.shape[2]:
        raise InputError(
            f"expected points of one dimension, got shapes {sets[0].points.shape} and "
            f"{sets[1].points.shape}"
        )
    if (sets[0].velocities is None) != (sets[1].velocities is None):
        raise InputError(
            "expected velocities of both ensembles or of neither, got those of one; leave them out"
        )
    fewest = min(int(s.mask.sum(axis=1).min()) for s in sets)
    if fewest < 2:
        raise InputError("expected at least 2 points in every set, got fewer; leave such sets out")
    k = min(neighbours, fewest - 1)
    described = [cloud for s in sets for cloud in s.describe(k, box_size)]
    features = _mean_embeddings(described, np.random.default_rng(seed))
    n = len(sets[0].points)
    varies = features[:n].std(axis=0) > 0
    found = c2st(
        features[:n, varies],
        features[n:, varies],
        classifier=classifier,
        folds=folds,
        permutations=permutations,
        strata=strata,
        seed=seed,
    )
    return replace(
        found, name="C2ST of points", note=f"{k} neighbours of each point. {found.note}".rstrip()
    )


class _Sets:
    """One ensemble of sets of points, checked."""

    def __init__(self, points: ArrayLike, velocities: ArrayLike | None, mask: ArrayLike | None):
        self.points = np.asarray(points, np.float64)
        if self.points.ndim != 3 or 0 in self.points.shape:
            raise InputError(
                f"expected sets of points (n, N, d), got {self.points.shape}; add an axis for one"
            )
        shape = self.points.shape[:2]
        self.mask: Bool[np.ndarray, "n N"] = (
            np.ones(shape, bool) if mask is None else np.asarray(mask, bool)
        )
        self.velocities = None if velocities is None else np.asarray(velocities, np.float64)
        given = [self.points] + ([] if self.velocities is None else [self.velocities])
        if self.mask.shape != shape or any(a.shape != self.points.shape for a in given):
            raise InputError(
                f"expected a mask {shape} and velocities {self.points.shape}, got "
                f"{self.mask.shape} and {given[-1].shape}"
            )
        if not all(np.isfinite(array[self.mask]).all() for array in given):
            raise InputError("expected finite points, got NaN or infinity; mask them")

    def describe(self, k: int, box_size: float | None) -> list[Float[np.ndarray, "N f"]]:
        """For each set, what surrounds each of its points."""
        return [
            _surroundings(
                points[kept], None if self.velocities is None else self.velocities[i][kept], k,
                box_size,
            )
            for i, (points, kept) in enumerate(zip(self.points, self.mask, strict=True))
        ]  # fmt: skip


def _surroundings(points, velocities, k, box_size) -> Float[np.ndarray, "N f"]:
    if box_size is not None and not ((points >= 0) & (points < box_size)).all():
        raise InputError(
            f"expected points in [0, {box_size:g}), got some outside; wrap them by % box_size"
        )
    distance, which = KDTree(points, boxsize=box_size).query(points, k=k + 1)
    distance, which = np.asarray(distance)[:, 1:], np.asarray(which)[:, 1:]
    found = [np.log(np.maximum(distance, 1e-6 * distance.max()))]
    if velocities is not None:
        apart = points[which] - points[:, None]
        if box_size is not None:
            apart -= box_size * np.round(apart / box_size)
        relative = velocities[which] - velocities[:, None]
        along = np.sum(relative * apart, axis=2) / np.maximum(distance, 1e-12)
        found += [along, np.linalg.norm(velocities, axis=1, keepdims=True)]
    return np.concatenate(found, axis=1)


def _mean_embeddings(
    described: list[Float[np.ndarray, "N f"]], rng: np.random.Generator
) -> Float[np.ndarray, "n c"]:
    """Means over points of the descriptions, and of random cosines of them."""
    sample = np.concatenate(
        [cloud[:: max(1, len(described) * len(cloud) // _SAMPLE)] for cloud in described]
    )
    mean, deviation = sample.mean(axis=0), np.maximum(sample.std(axis=0), 1e-12)
    entries = sample.shape[1]
    widths = np.resize(_WIDTHS, _FEATURES) * np.sqrt(entries)
    frequency = rng.normal(size=(entries, _FEATURES)) / widths
    phase = rng.uniform(0, 2 * np.pi, _FEATURES)
    rows = []
    for cloud in described:
        scaled = np.clip((cloud - mean) / deviation, -10, 10)
        waves = np.cos(scaled @ frequency + phase)
        rows.append(np.concatenate([scaled.mean(axis=0), scaled.std(axis=0), waves.mean(axis=0)]))
    return np.array(rows)
