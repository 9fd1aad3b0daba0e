"""Mock galaxy catalogues: Lagrangian peaks of a Gaussian field, moved by perturbation theory."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from numpy.typing import ArrayLike
from scipy.stats import qmc

from physgen.errors import InputError
from physgen.galaxies import abundance, linear, lpt, peaks
from physgen.galaxies.catalogue import Catalogue

PARAMETER_NAMES = ("Omega_m", "sigma_8")
PARAMETER_RANGES = ((0.1, 0.5), (0.6, 1.0))
_BATCH = 8
_CELLS_IN_SMOOTHING = 0.75  # fewer, and most of the smallest peaks are missed


@dataclass(frozen=True)
class SimulationSettings:
    """What is simulated. Lengths in Mpc/h, masses in Msun/h.

    points: galaxies a box, or the most there may be where minimum_mass says which are kept.
    box_size: side of the periodic box. grid: cells a side. order: 1 for Zel'dovich, 2 for second-
    order Lagrangian perturbation theory.
    smoothing_mass: peaks are found, and moved, in the linear density smoothed with a Gaussian
    that encloses this mass. Three cells in its length find every peak; the one cell of the
    default misses one in eight.
    """

    points: int = 128
    box_size: float = 128.0
    grid: int = 64
    order: int = 1
    smoothing_mass: float = 1e13
    minimum_mass: float | None = None

    def __post_init__(self):
        if self.points < 1:
            raise InputError(f"points must be at least 1, got {self.points}")
        if not (np.isfinite(self.box_size) and self.box_size > 0):
            raise InputError(f"box_size must be positive (Mpc/h), got {self.box_size}")
        if self.grid < 8 or self.grid % 2:
            raise InputError(f"grid must be even and at least 8, got {self.grid}")
        if self.points > self.grid**3 // 8:
            raise InputError(
                f"a grid of {self.grid} holds at most {self.grid**3 // 8} peaks, "
                f"got points {self.points}: ask for fewer points or a larger grid"
            )
        if self.order not in (1, 2):
            raise InputError(f"order must be 1 (Zel'dovich) or 2 (2LPT), got {self.order}")
        if not (np.isfinite(self.smoothing_mass) and self.smoothing_mass > 0):
            raise InputError(f"smoothing_mass must be positive, got {self.smoothing_mass}")
        if self.minimum_mass is not None and not self.minimum_mass > 0:
            raise InputError(f"minimum_mass must be positive, got {self.minimum_mass}")


class LinearFields(NamedTuple):
    """One box's linear density contrast (g, g, g) and what moves matter, both at z = 0.

    displacement (3, g, g, g) in Mpc/h and velocity (3, g, g, g) in km/s.
    """

    density: Float[Array, "g g g"]
    displacement: Float[Array, "3 g g g"]
    velocity: Float[Array, "3 g g g"]


def sobol_parameters(
    n: int, seed: int, ranges: tuple[tuple[float, float], ...] = PARAMETER_RANGES
) -> np.ndarray:
    """`n` points of a scrambled Sobol sequence over `ranges`, (n, len(ranges)) float64."""
    if n < 1:
        raise InputError(f"n must be at least 1, got {n}")
    low, high = np.array(ranges, dtype=float).T
    if np.any(low >= high):
        raise InputError(f"each range must be (low, high) with low < high, got {ranges}")
    sequence = qmc.Sobol(len(ranges), rng=np.random.default_rng(seed))
    return low + (high - low) * sequence.random_base2(int(n - 1).bit_length())[:n]


def linear_fields(
    key: Key[Array, ""],
    parameters: Float[Array, 2],
    settings: SimulationSettings,
    smoothing: float | Float[Array, ""] = 0.0,
) -> LinearFields:
    """The Gaussian density of one box, smoothed by exp(-k^2 smoothing^2 / 2), and its motion.

    parameters are (Omega_m, sigma_8). Velocities are a H (f_1 Psi_1 + f_2 Psi_2) at z = 0.
    """
    omega_m, sigma_8 = parameters
    power = linear.linear_power(omega_m, sigma_8)
    modes = linear.gaussian_field(key, power, settings.grid, settings.box_size, smoothing)
    displacement = lpt.first_order_displacement(modes, settings.box_size)
    velocity = 100 * linear.growth_rate(omega_m) * displacement
    if settings.order == 2:
        growth, rate = linear.second_order_growth(omega_m)
        second = growth * lpt.second_order_displacement(modes, settings.box_size)
        displacement = displacement + second
        velocity = velocity + 100 * rate * second
    return LinearFields(jnp.fft.irfftn(modes, s=(settings.grid,) * 3), displacement, velocity)


def _simulate_box(key, parameters, settings):
    omega_m, sigma_8 = parameters
    power = linear.linear_power(omega_m, sigma_8)
    radius = linear.gaussian_radius(settings.smoothing_mass, omega_m)
    field_key, shift_key = jax.random.split(key)
    fields = linear_fields(field_key, parameters, settings, radius)
    place, height, count = peaks.highest_peaks(fields.density, settings.points)
    moved = peaks.interpolate(jnp.concatenate([fields.displacement, fields.velocity]), place)

    box_size = settings.box_size
    shift = jax.random.uniform(shift_key, (3,), maxval=box_size)
    position = (place * (box_size / settings.grid) + moved[:, :3] + shift[None]) % box_size
    position = jnp.where(position < box_size, position, 0.0)  # float32 % can round up to the box
    peak_height = height / linear.gaussian_rms(power, radius)
    log_mass = abundance.matched_log_mass(peak_height, power, radius)
    return position, moved[:, 3:], log_mass, count


@functools.partial(jax.jit, static_argnames="settings")
def _simulate_batch(key, index, parameters, settings):
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, index)
    return jax.lax.map(lambda box: _simulate_box(box[0], box[1], settings), (keys, parameters))


def simulate(
    key: Key[Array, ""],
    parameters: ArrayLike,
    settings: SimulationSettings = SimulationSettings(),
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Catalogue:
    """A periodic box of galaxies at z = 0 for each row (Omega_m, sigma_8) of `parameters` (n, 2).

    The `settings.points` highest peaks of the linear density, smoothed on the Lagrangian scale
    of a halo (Bond & Myers 1996; Monaco et al. 2002), move by Lagrangian perturbation theory;
    each box is then translated at random. Positions are in Mpc/h, in [0, box_size), velocities
    in km/s. Masses, log10 Msun/h, are those of haloes as abundant as peaks of that height or
    more; with `settings.minimum_mass` the galaxies above it are kept, a number that varies. Box i
    depends on `key`, i and row i alone. `progress(done, total)` is called as boxes are finished.

    Raises InputError where a box has fewer peaks than points, or more above the minimum mass, for
    parameters outside 0.049 < Omega_m <= 1 and 0 < sigma_8 < 10, and for a grid too coarse for the
    smoothing.
    """
    parameters = _checked(parameters, settings)
    n = len(parameters)

    def run(start):
        index = np.minimum(np.arange(start, start + _BATCH), n - 1)  # one shape, compiled once
        boxes = _simulate_batch(key, index, parameters[index], settings)
        *arrays, count = (np.asarray(array)[: n - start] for array in boxes)
        if settings.minimum_mass is None:
            _check_counts(count, start, parameters, settings)
        return [*arrays, _kept(arrays[2], settings)]

    parts = []
    pool = ThreadPoolExecutor(os.cpu_count())  # XLA leaves cores idle in most of a box
    try:
        for arrays in pool.map(run, range(0, n, _BATCH)):
            parts.append(arrays)
            if progress is not None:
                progress(min(len(parts) * _BATCH, n), n)
    finally:
        pool.shutdown(cancel_futures=True)
    every = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    most = every[-1].sum(axis=1).max()
    position, velocity, log_mass, mask = (array[:, :most] for array in every)
    return Catalogue(
        position=position,
        mask=mask,
        velocity=velocity,
        log_mass=log_mass,
        parameters=parameters,
        parameter_names=PARAMETER_NAMES,
        parameter_units=("", ""),
        box_size=float(settings.box_size),
    )


def _kept(log_mass, settings):
    """Which galaxies are above the minimum mass; the columns are in descending order of mass."""
    if settings.minimum_mass is None:
        return np.ones(log_mass.shape, bool)
    kept = log_mass >= np.log10(settings.minimum_mass)
    full = kept[:, -1]
    if full.any():
        raise InputError(
            f"{full.sum()} of {len(kept)} boxes have {settings.points} or more galaxies above "
            f"minimum_mass {settings.minimum_mass:g}: ask for more points or a larger mass"
        )
    return kept


def _checked(parameters, settings):
    parameters = np.asarray(parameters, np.float32)
    if parameters.ndim != 2 or parameters.shape[1] != 2 or len(parameters) == 0:
        raise InputError(
            f"parameters must have shape (n, 2), one row (Omega_m, sigma_8) a box, "
            f"got {parameters.shape}"
        )
    omega_m, sigma_8 = parameters.T
    good = (omega_m > linear.OMEGA_BARYON) & (omega_m <= 1) & (sigma_8 > 0) & (sigma_8 < 10)
    if not good.all():
        box = int(np.argmin(good))
        raise InputError(
            f"expected {linear.OMEGA_BARYON} < Omega_m <= 1 and 0 < sigma_8 < 10, got Omega_m "
            f"{omega_m[box]:g} and sigma_8 {sigma_8[box]:g} for box {box}; give others"
        )
    smoothing = float(linear.gaussian_radius(settings.smoothing_mass, jnp.max(omega_m)))
    coarsest = smoothing / _CELLS_IN_SMOOTHING
    if settings.box_size / settings.grid > coarsest:
        raise InputError(
            f"grid {settings.grid} is too coarse for smoothing_mass {settings.smoothing_mass:g} at "
            f"Omega_m {omega_m.max():.3g}: ask for a grid of at least "
            f"{2 * int(np.ceil(settings.box_size / coarsest / 2))}, or a smaller box"
        )
    return parameters


def _check_counts(counts, start, parameters, settings):
    worst = int(np.argmin(counts))
    if counts[worst] < settings.points:
        omega_m, sigma_8 = parameters[start + worst]
        raise InputError(
            f"{settings.points} galaxies were asked for and box {start + worst} (Omega_m "
            f"{omega_m:.3g}, sigma_8 {sigma_8:.3g}) has {counts[worst]} peaks: ask for fewer "
            "points, or a larger box"
        )
