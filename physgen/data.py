"""Splits, standardisation, and the order in which a training run sees its data."""

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import ClassVar, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr

from physgen.errors import InputError

Data = TypeVar("Data", np.ndarray, jax.Array)


def seed_of(key: jax.Array) -> int:
    """The bits of a jax key as one integer, to seed a NumPy generator on the host."""
    return int.from_bytes(np.asarray(jax.random.key_data(key)).tobytes(), "little")


def split(
    key_or_rng: jax.Array | np.random.Generator,
    n: int,
    validation_fraction: float,
    most: int | None = None,
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " validation"]]:
    """Disjoint, sorted index arrays of a random split of `n` items.

    A fraction of zero gives an empty validation set; any other leaves at least one item on
    each side, and no more than `most` in it. Raises InputError if that is impossible.
    """
    if not 0.0 <= validation_fraction < 1.0:
        raise InputError(
            f"validation_fraction must lie in [0, 1), got {validation_fraction}; try 0.1"
        )
    if n < (2 if validation_fraction else 1):
        raise InputError(
            f"cannot hold out a fraction {validation_fraction} of {n} item(s): give more data"
        )
    held_out = 0
    if validation_fraction:
        held_out = min(max(round(n * validation_fraction), 1), n - 1, most or n)
    rng = (
        key_or_rng
        if isinstance(key_or_rng, np.random.Generator)
        else np.random.default_rng(seed_of(key_or_rng))
    )
    order = rng.permutation(n)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


@partial(jax.tree_util.register_dataclass, data_fields=["mean", "scale"], meta_fields=[])
@dataclass(frozen=True)
class Standardisation:
    """The affine map to zero mean and unit standard deviation; a pytree of `mean` and `scale`."""

    mean: Float[np.ndarray | jax.Array, "*event"]
    scale: Float[np.ndarray | jax.Array, "*event"]

    @classmethod
    def fit(cls, array: np.ndarray | jax.Array) -> "Standardisation":
        """Moments over the leading axis of (n, *event); a constant column gets scale 1.

        Raises InputError for no items or for non-finite values.
        """
        values = np.asarray(array)
        if values.ndim < 1 or len(values) == 0:
            raise InputError(f"expected at least one item of shape (n, ...), got {values.shape}")
        if not np.isfinite(values).all():
            raise InputError(
                f"expected finite values, got {np.sum(~np.isfinite(values))} NaN or infinite; "
                "remove those items"
            )
        dtype = np.result_type(values.dtype, np.float32)
        constant = values.max(axis=0) == values.min(axis=0)
        mean = np.where(constant, values[0], values.mean(axis=0, dtype=np.float64))
        scale = np.where(constant, 1.0, values.std(axis=0, dtype=np.float64))
        return cls(np.asarray(mean, dtype), np.asarray(scale, dtype))

    def apply(self, x: Data) -> Data:
        """(..., *event) in the data's units -> (..., *event) standardised."""
        return (x - _aligned(self.mean, x)) / _aligned(self.scale, x)

    def invert(self, z: Data) -> Data:
        """(..., *event) standardised -> (..., *event) in the data's units."""
        return z * _aligned(self.scale, z) + _aligned(self.mean, z)


@dataclass(frozen=True)
class NormalScores:
    """The increasing map of one number to a standard normal one, by its quantiles.

    Linear between `knots`, the quantiles of equally spaced scores from -REACH to REACH, the first
    and the last of which are the extremes: `invert` never leaves them, so that a sharp cut-off of
    the data is one of the samples too.
    """

    REACH: ClassVar[float] = 5.0
    KNOTS: ClassVar[int] = 81
    knots: tuple[float, ...]

    @classmethod
    def fit(cls, values: np.ndarray) -> "NormalScores":
        """The map of the values (n,).

        Raises InputError where they are not finite, or all equal.
        """
        values = np.asarray(values, np.float64)
        if not np.isfinite(values).all() or values.size == 0 or values.min() == values.max():
            raise InputError(
                "expected finite values that are not all equal, got NaN, infinity or a constant; "
                "leave that column out"
            )
        scores = np.linspace(-cls.REACH, cls.REACH, cls.KNOTS)
        levels = ndtr(scores)
        levels[0], levels[-1] = 0.0, 1.0
        knots = np.quantile(values, levels)
        # Equal knots, where many values are equal, are moved apart so that the map inverts.
        least = 1e-5 * (knots[-1] - knots[0])
        rising = least * np.arange(cls.KNOTS)
        knots = np.maximum.accumulate(knots - rising) + rising
        low, high = float(values.min()), float(values.max())
        return cls(tuple((low + (knots - low) * (high - low) / (knots[-1] - low)).tolist()))

    def apply(self, x: np.ndarray | jax.Array) -> jax.Array:
        """The scores of x, of any shape; those of the extremes beyond them."""
        return jnp.interp(x, *self._table())

    def invert(self, z: np.ndarray | jax.Array) -> jax.Array:
        """The value of each score, between the extremes."""
        knots, scores = self._table()
        return jnp.interp(z, scores, knots)

    def slope(self, x: np.ndarray | jax.Array) -> jax.Array:
        """dz/dx at x; infinite nowhere, zero beyond the extremes."""
        knots, scores = self._table()
        at = jnp.clip(jnp.searchsorted(knots, x, side="right") - 1, 0, self.KNOTS - 2)
        inside = (x >= knots[0]) & (x <= knots[-1])
        return jnp.where(inside, (jnp.diff(scores) / jnp.diff(knots))[at], 0.0)

    def _table(self) -> tuple[jax.Array, jax.Array]:
        knots = jnp.asarray(self.knots)
        return knots, jnp.linspace(-self.REACH, self.REACH, self.KNOTS)


def _aligned(moment: np.ndarray | jax.Array, x: np.ndarray | jax.Array):
    return moment.reshape((1,) * (x.ndim - moment.ndim) + moment.shape)


def batch_indices(
    seed: int, step0: int, n_steps: int, batch_size: int, n: int
) -> Int[np.ndarray, "n_steps batch_size"]:
    """Item indices of the batches of steps step0 ... step0 + n_steps - 1.

    A pure function of its arguments. The batches cut an endless sequence of shuffled epochs, each
    one a permutation of the `n` items, so a batch may straddle two epochs and no item is left out.
    """
    positions = np.arange(step0 * batch_size, (step0 + n_steps) * batch_size)
    epochs = positions // n
    indices = np.concatenate(
        [
            _epoch_order(seed, int(epoch), n)[positions[epochs == epoch] % n]
            for epoch in np.unique(epochs)
        ]
    )
    return indices.reshape(n_steps, batch_size)


@lru_cache(maxsize=2)
def _epoch_order(seed: int, epoch: int, n: int) -> Int[np.ndarray, " n"]:
    order = np.random.default_rng([seed, epoch]).permutation(n)
    order.flags.writeable = False
    return order
