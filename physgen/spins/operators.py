"""Sums of Pauli strings, as functions of configurations that jax can compile.

Configurations are integers, 0 for up (z = +1) and 1 for down (z = -1).
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Inexact, Int

from physgen.errors import InputError

PauliString = tuple[float, str, tuple[int, ...]]


@runtime_checkable
class Operator(Protocol):
    """A Hermitian operator on n sites, row by row: <configuration| O |others>.

    `changes` are the sites that each of the k others may differ in.
    """

    @property
    def n(self) -> int: ...

    @property
    def local_dimension(self) -> int: ...

    @property
    def changes(self) -> Bool[np.ndarray, "k n"]: ...

    def diagonal(self, configuration: Int[Array, " n"]) -> Inexact[Array, ""]:
        """<configuration| O |configuration>."""
        ...

    def connected(
        self, configuration: Int[Array, " n"]
    ) -> tuple[Int[Array, "k n"], Inexact[Array, " k"]]:
        """The other configurations, and <configuration| O |each>.

        Where that is zero the configuration itself is given, so that none leaves a sector that O
        conserves.
        """
        ...


class PauliSum:
    """sum of coefficient x P_1 P_2 ..., with Pauli matrices (not S = sigma / 2).

    Args:
        n: sites.
        strings: of a coefficient, the letters X, Y and Z, and the site of each; no letters for a
            constant. PauliSum(3, [(-1.0, "ZZ", (0, 1)), (-0.5, "X", (2,))]).

    Raises:
        InputError: for another letter, a site that is not there or comes twice, or a coefficient
            that is not a finite number.
    """

    local_dimension = 2

    def __init__(self, n: int, strings: Sequence[PauliString]):
        self.n = n
        self._strings = tuple(strings)
        for string in self._strings:
            _require_string(n, string)

    def strings(self) -> tuple[PauliString, ...]:
        """The terms as they were given."""
        return self._strings

    @property
    def trace(self) -> float:
        """Tr O / 2^n: the mean of all eigenvalues."""
        return float(sum(c for c, letters, _ in self._strings if not letters))

    @property
    def scale(self) -> float:
        """The spread of all eigenvalues over the root of n: sqrt(Tr (O - Tr O / 2^n)^2 / 2^n / n).

        One over a time in which single spins move. One where nothing is left to spread.
        """
        squares = sum(abs(c) ** 2 for c, letters, _ in self._strings if letters)
        return float(np.sqrt(squares / self.n)) or 1.0

    @property
    def real(self) -> bool:
        """Whether all matrix elements are."""
        return all(letters.count("Y") % 2 == 0 for _, letters, _ in self._strings)

    @cached_property
    def _rows(self) -> "_Rows":
        return _Rows(self.n, self._strings)

    @property
    def changes(self) -> Bool[np.ndarray, "k n"]:
        return self._rows.flips

    def diagonal(self, configuration: Int[Array, " n"]) -> Inexact[Array, ""]:
        rows, z = self._rows, 1.0 - 2.0 * configuration
        value = self.trace + z @ jnp.asarray(rows.fields, z.dtype)
        if rows.couplings.any():
            value += z @ (jnp.asarray(rows.couplings, z.dtype) @ z)
        if rows.many.coefficients.size:
            value += rows.many(z).sum()
        return value

    def connected(
        self, configuration: Int[Array, " n"]
    ) -> tuple[Int[Array, "k n"], Inexact[Array, " k"]]:
        rows, z = self._rows, 1.0 - 2.0 * configuration
        elements = jax.ops.segment_sum(
            rows.flipping(z), jnp.asarray(rows.group), num_segments=len(rows.flips)
        )
        flips = jnp.asarray(rows.flips, configuration.dtype)
        return configuration[None] ^ (flips * (elements != 0)[:, None]), elements


class _Products:
    """coefficient x product of z over some sites, for each of many terms."""

    def __init__(self, n: int, coefficients: list[complex], sites: list[tuple[int, ...]]):
        values = np.array(coefficients, complex)
        self.coefficients = values if np.imag(values).any() else np.real(values)
        self.sites = np.full((len(sites), max(map(len, sites), default=0)), n)  # n: a site of z = 1
        for row, some in zip(self.sites, sites, strict=True):
            row[: len(some)] = some

    def __call__(self, z: Array) -> Inexact[Array, " terms"]:
        padded = jnp.concatenate([z, jnp.ones(1, z.dtype)])
        dtype = jnp.result_type(z.dtype, 1j) if np.iscomplexobj(self.coefficients) else z.dtype
        return jnp.asarray(self.coefficients, dtype) * padded[self.sites].prod(axis=-1)


class _Rows:
    """The strings sorted by which sites they flip."""

    def __init__(self, n: int, strings: tuple[PauliString, ...]):
        self.fields = np.zeros(n)
        self.couplings = np.zeros((n, n))
        many: list[tuple[complex, tuple[int, ...]]] = []
        flipping: dict[tuple[int, ...], list[tuple[complex, tuple[int, ...]]]] = {}
        for coefficient, letters, sites in strings:
            flipped = tuple(
                sorted(s for letter, s in zip(letters, sites, strict=True) if letter != "Z")
            )
            signs = tuple(s for letter, s in zip(letters, sites, strict=True) if letter != "X")
            if flipped:
                # <s|Y|s'> = -i z_s, <s|Z|s> = z_s
                value = coefficient * (-1j) ** letters.count("Y")
                flipping.setdefault(flipped, []).append((value, signs))
            elif len(sites) == 1:
                self.fields[sites[0]] += coefficient
            elif len(sites) == 2:
                self.couplings[sites] += coefficient
            elif sites:
                many.append((coefficient, sites))
        self.many = _Products(n, [c for c, _ in many], [s for _, s in many])
        terms = [term for group in flipping.values() for term in group]
        self.flipping = _Products(n, [c for c, _ in terms], [s for _, s in terms])
        self.group = np.repeat(np.arange(len(flipping)), [len(g) for g in flipping.values()])
        self.flips = np.zeros((len(flipping), n), bool)
        for row, flipped in zip(self.flips, flipping, strict=True):
            row[list(flipped)] = True


def _require_string(n: int, string: PauliString) -> None:
    coefficient, letters, sites = string
    if not np.isfinite(coefficient):
        raise InputError(f"expected a finite coefficient, got {coefficient} in {string}")
    if len(letters) != len(sites) or set(letters) - set("XYZ"):
        raise InputError(
            f'expected letters X, Y and Z with one site each, as (1.0, "XX", (0, 1)), got {string}'
        )
    if len(set(sites)) < len(sites) or any(not 0 <= site < n for site in sites):
        raise InputError(
            f"expected different sites from 0 to {n - 1}, got {string}; multiply out what acts "
            "twice on a site"
        )
