"""The Frechet distance: how far two ensembles are as Gaussians, free of the bias of their size."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from physgen.validation.two_sample import Pooled, Seed, Strata, contrasts, pool, upper_tail

_SIZES = 8
_SUBSETS = 5  # drawn of each size
_SMALLEST = 0.25  # of the ensembles, the smallest size
_JITTER = 1e-10  # added to variances of order one, so that singular covariances have a root
_CHUNK = 64


@dataclass(frozen=True)
class FrechetDistance:
    """The squared Frechet distance of two ensembles, n and m simulations in `bins` numbers.

    statistic is the distance extrapolated to ensembles of infinite size and `error` the standard
    error of that fit; it is zero on average, and may be negative, for equal ensembles. finite is
    the distance at the sizes given, which is biased up; the p-value is of it, from permutations.
    """

    statistic: float
    error: float
    finite: float
    p_value: float
    n: int
    m: int
    bins: int
    null: str
    name: str = "Frechet"
    note: str = ""


def frechet_distance(
    real: ArrayLike,
    generated: ArrayLike,
    *,
    strata: Strata | None = None,
    draws: int = 199,
    seed: Seed = 0,
) -> FrechetDistance:
    """|mu_r - mu_g|^2 + tr(C_r + C_g - 2 (C_r C_g)^1/2) of real (n, p) and generated (m, p).

    Of statistics standardised by both ensembles together. The bias of finite ensembles falls like
    one over their size: the distance is fitted by a line in it over subsets, whose value at zero is
    the answer (Chong & Forsyth 2020, arXiv:1911.07023; Kansal et al. 2023, arXiv:2211.10295). The
    p-value is from `draws` exchanges of the labels.

    Raises:
        InputError: for shapes that do not fit, fewer than 8 simulations, NaN, no scatter.
    """
    pooled = pool(real, generated, strata=strata, minimum=8)
    rng = np.random.default_rng(seed)
    labels = pooled.labels(draws, rng)
    scores = np.concatenate(
        [_distances(pooled, labels[i : i + _CHUNK]) for i in range(0, len(labels), _CHUNK)]
    )
    limit, error = _extrapolate(pooled, rng)
    few = min(pooled.n, pooled.m) * _SMALLEST < 2 * pooled.bins
    return FrechetDistance(
        limit,
        error,
        float(scores[0]),
        upper_tail(scores),
        pooled.n,
        pooled.m,
        pooled.bins,
        f"{draws} permutations",
        note=(
            f"{pooled.n} and {pooled.m} simulations are few for {pooled.bins} bins: the bias is no "
            f"line yet; {int(2 * pooled.bins / _SMALLEST)} of either are needed."
            if few
            else ""
        ),
    )


def _distances(pooled: Pooled, labels: Float[np.ndarray, "B N"]) -> Float[np.ndarray, " B"]:
    """The distance for each labelling."""
    difference = contrasts(labels, pooled.n, pooled.m) @ pooled.values
    roots, traces = [], 0.0
    for weight, size in ((labels, pooled.n), (1 - labels, pooled.m)):
        covariances = _covariances(pooled.values, weight / size)
        traces = traces + np.trace(covariances, axis1=1, axis2=2)
        roots.append(_roots(covariances))
    return np.sum(difference**2, axis=1) + traces - 2 * _overlap(*roots)


def _covariances(values, weights) -> Float[np.ndarray, "B p p"]:
    mean = weights @ values
    second = np.stack([(values * w[:, None]).T @ values for w in weights])
    return second - mean[:, :, None] * mean[:, None, :]


def _roots(covariances: Float[np.ndarray, "B p p"]) -> Float[np.ndarray, "B p p"]:
    return np.linalg.cholesky(covariances + _JITTER * np.eye(covariances.shape[-1]))


def _overlap(a, b) -> Float[np.ndarray, " B"]:
    """tr (C_a C_b)^1/2 of covariances with Cholesky factors a and b: singular values of a' b."""
    product = np.swapaxes(a, 1, 2) @ b
    squares = np.linalg.eigvalsh(np.swapaxes(product, 1, 2) @ product)
    return np.sqrt(np.maximum(squares, 0)).sum(axis=1)


def _extrapolate(pooled: Pooled, rng: np.random.Generator) -> tuple[float, float]:
    """Intercept of a line in 1 / size over the distances of subsets, and its error."""
    real, generated = pooled.values[: pooled.n], pooled.values[pooled.n :]
    shares = 1 / np.linspace(1, 1 / _SMALLEST, _SIZES)
    inverse, distances = [], []
    for share in shares:
        n, m = max(int(share * pooled.n), 2), max(int(share * pooled.m), 2)
        for _ in range(_SUBSETS if share < 1 else 1):
            rows = (
                real[rng.choice(pooled.n, n, replace=False)],
                generated[rng.choice(pooled.m, m, replace=False)],
            )
            inverse.append(1 / n + 1 / m)
            distances.append(_of_two(*rows))
    design = np.stack([np.ones(len(inverse)), np.array(inverse)], axis=1)
    solution, residual, *_ = np.linalg.lstsq(design, np.array(distances), rcond=None)
    variance = float(residual[0]) / (len(distances) - 2) if len(residual) else 0.0
    error = np.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0])
    return float(solution[0]), float(error)


def _of_two(x: Float[np.ndarray, "n p"], y: Float[np.ndarray, "m p"]) -> float:
    covariances = np.stack([np.cov(part.T, bias=True).reshape(x.shape[1], -1) for part in (x, y)])
    first, second = _roots(covariances)
    trace = np.trace(covariances[0]) + np.trace(covariances[1])
    shift = np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2)
    return float(shift + trace - 2 * _overlap(first[None], second[None])[0])
