"""The trace of a Jacobian from its products with vectors: exactly, or by random probes."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from physgen.density import Shape
from physgen.errors import InputError

Product = Callable[[Array], Array]


@dataclass(frozen=True)
class Exact:
    """One product for each entry of the event."""

    def probes(self, key: PRNGKeyArray, shape: Shape) -> Float[Array, "..."]:
        """All unit vectors."""
        size = _size(shape)
        return jnp.eye(size).reshape(size, *shape)

    def estimates(self, product: Product, probes: Float[Array, "..."]) -> Float[Array, " 1"]:
        """The trace."""
        return jnp.sum(probes * jax.vmap(product)(probes)).reshape(1)


@dataclass(frozen=True)
class Hutchinson:
    """Unbiased, from vectors of random signs (Hutchinson 1990; FFJORD, arXiv:1810.01367)."""

    number: int = 8

    def __post_init__(self):
        _require_two(self.number)

    def probes(self, key: PRNGKeyArray, shape: Shape) -> Float[Array, "..."]:
        """The vectors."""
        return jax.random.rademacher(key, (self.number, *shape), jnp.result_type(float))

    def estimates(self, product: Product, probes: Float[Array, "..."]) -> Float[Array, " k"]:
        """An estimate of the trace from each vector, independent of the others."""
        products = jax.vmap(product)(probes)
        return jnp.sum(probes * products, axis=tuple(range(1, probes.ndim)))


@dataclass(frozen=True)
class HutchPlusPlus:
    """Exact on the range of `sketch` random vectors, Hutchinson's for the rest.

    Meyer, Musco, Musco & Woodruff 2021 (arXiv:2010.09649), algorithm 1. It pays where a few
    directions hold most of the trace; 2 `sketch` + `number` products.
    """

    number: int = 8
    sketch: int = 8

    def __post_init__(self):
        _require_two(self.number)

    def probes(self, key: PRNGKeyArray, shape: Shape) -> Float[Array, "..."]:
        """The vectors, those of the sketch first."""
        if self.sketch > _size(shape):
            raise InputError(
                f"expected a sketch of at most the {_size(shape)} entries of an event, got "
                f"{self.sketch}; take fewer"
            )
        number = self.sketch + self.number
        return jax.random.rademacher(key, (number, *shape), jnp.result_type(float))

    def estimates(self, product: Product, probes: Float[Array, "..."]) -> Float[Array, " k"]:
        """An estimate of the trace from each vector that is not in the sketch."""
        shape = probes.shape[1:]

        def products(rows: Float[Array, "m n"]) -> Float[Array, "m n"]:
            return jax.vmap(product)(rows.reshape(-1, *shape)).reshape(rows.shape)

        sketch, rest = jnp.split(probes.reshape(len(probes), -1), [self.sketch])
        basis = jnp.linalg.qr(products(sketch).T)[0].T
        rest = rest - (rest @ basis.T) @ basis
        return jnp.sum(basis * products(basis)) + jnp.sum(rest * products(rest), axis=1)


Trace = Exact | Hutchinson | HutchPlusPlus


def _size(shape: Shape) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _require_two(number: int) -> None:
    if number < 2:
        raise InputError(
            f"expected at least two probes, got {number}; their scatter is the standard error"
        )
