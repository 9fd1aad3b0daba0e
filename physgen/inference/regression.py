"""The linear-Gaussian part of a posterior, by closed forms and one convex fit.

Networks then learn what is left: for a linear simulator with normal noise that is nothing, even
where the prior is a box, and for others it is smaller and rounder than the posterior itself.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.special import log_ndtr

STRENGTHS = np.logspace(-3, 6, 28)
ENOUGH = 20_000


class Linear(NamedTuple):
    """The mean weight x + bias of entries with standard deviations `deviation`."""

    weight: Float[np.ndarray, "d c"]
    bias: Float[np.ndarray, " d"]
    deviation: Float[np.ndarray, " d"]
    strength: Float[np.ndarray, " d"]


def ridge(x: Float[np.ndarray, "n c"], z: Float[np.ndarray, "n d"]) -> Linear:
    """Ridge regression of z on x, its strength chosen for each entry of z.

    The choice is by generalised cross-validation (Golub, Heath & Wahba 1979).
    """
    n, d = z.shape
    x_mean, z_mean = x.mean(axis=0), z.mean(axis=0)
    u, s, vt = np.linalg.svd(x - x_mean, full_matrices=False)
    projected = u.T @ (z - z_mean)
    kept = s[:, None] ** 2 / (s[:, None] ** 2 + STRENGTHS)  # (c, strengths)
    outside = ((z - z_mean) ** 2).sum(axis=0) - (projected**2).sum(axis=0)
    missed = (((1 - kept)[:, :, None] * projected[:, None, :]) ** 2).sum(axis=0)
    freedom = 1 - (1 + kept.sum(axis=0)) / n
    score = (outside[None, :] + missed) / np.maximum(freedom, 1e-3)[:, None] ** 2
    strength = STRENGTHS[score.argmin(axis=0)]
    weight = (vt.T @ (s[:, None] / (s[:, None] ** 2 + strength) * projected)).T
    bias = z_mean - weight @ x_mean
    deviation = (z - x @ weight.T - bias).std(axis=0)
    return Linear(weight, bias, np.maximum(deviation, 1e-6), strength)


def truncated(
    x: Float[np.ndarray, "n c"],
    u: Float[np.ndarray, "n d"],
    start: Linear,
    *,
    widest: float = 10.0,
) -> Linear:
    """The most likely normal regression of u in (0, 1) on x, truncated to that interval.

    Convex in weight / deviation and 1 / deviation (Olsen 1978, Econometrica 46, 1211). It starts at
    the ridge regression `start` and keeps its penalty; `widest` bounds the deviation.
    """
    rows = slice(None, None, max(1, len(x) // ENOUGH))
    design = np.column_stack([x[rows], np.ones(len(x[rows]))])
    n = len(design)
    weight, bias, deviation = start.weight.copy(), start.bias.copy(), start.deviation.copy()
    for i, target in enumerate(u[rows].T):
        penalty = np.full(design.shape[1], start.strength[i] / len(x))
        penalty[-1] = 0.0

        def objective(p, target=target, penalty=penalty):
            slope, inverse = p[:-1], p[-1]
            centre = design @ slope
            t = inverse * target - centre
            log_mass, low, high = _log_mass(-centre, inverse - centre)
            value = t**2 / 2 + log_mass
            total = value.mean() - np.log(inverse) + (penalty * slope**2).sum() / 2
            by_slope = -design.T @ (t + high - low) / n + penalty * slope
            by_inverse = (t * target + high).mean() - 1 / inverse
            return total, np.append(by_slope, by_inverse)

        inverse = 1 / deviation[i]
        first = np.append(np.append(weight[i], bias[i]) * inverse, inverse)
        bounds = [(None, None)] * (len(first) - 1) + [(1 / widest, None)]
        best = minimize(objective, first, jac=True, method="L-BFGS-B", bounds=bounds).x
        weight[i], bias[i], deviation[i] = best[:-2] / best[-1], best[-2] / best[-1], 1 / best[-1]
    return Linear(weight, bias, deviation, start.strength)


def _log_mass(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log (Phi(b) - Phi(a)), and the normal densities at a and at b over that mass."""
    flip = a + b > 0
    low, high = np.where(flip, -b, a), np.where(flip, -a, b)
    larger = log_ndtr(high)
    log_mass = larger + np.log1p(-np.exp(np.minimum(log_ndtr(low) - larger, -1e-12)))
    normal = -0.5 * np.log(2 * np.pi)
    return log_mass, np.exp(normal - a**2 / 2 - log_mass), np.exp(normal - b**2 / 2 - log_mass)


def shrunk_cholesky(z: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "d d"]:
    """Lower Cholesky factor of the covariance of z, shrunk a little towards its diagonal."""
    n, d = z.shape
    covariance = np.atleast_2d(np.cov(z.T))
    diagonal = np.diag(np.diag(covariance))
    covariance = covariance + (d / (n + d)) * (diagonal - covariance) + 1e-10 * np.eye(d)
    return np.linalg.cholesky(covariance)
