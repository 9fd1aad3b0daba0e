"""The probabilities of measured outcomes, by Born's rule.

An outcome in the basis X or Y is the one in Z after a rotation of that site,
<outcome| U psi> = sum_s U[outcome, s] psi(s). All 2^n amplitudes at once for few sites (`Table`);
for many sites the 2^k configurations that k rotated sites mix, shot by shot (`ByShot`).
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Inexact, Int

from physgen.errors import InputError
from physgen.spins.tomography.shots import Shots, Z
from physgen.spins.wavefunction import Wavefunction

ROTATIONS = np.array([[[1, 1], [1, -1]], [[1, -1j], [1, 1j]], [[2**0.5, 0], [0, 2**0.5]]]) / 2**0.5
TABLE_SITES = 12
MOST_ROTATED = 14
ROWS = 4096  # configurations that are evaluated at once
TINY = 1e-12


@runtime_checkable
class Likelihood(Protocol):
    """Rows of shots as arrays, and log p of each under a wavefunction."""

    def rows(self, shots: Shots) -> dict[str, np.ndarray]: ...

    def __call__(
        self, wavefunction: Wavefunction, rows: dict[str, Any], confusion: Array | None
    ) -> Float[Array, " r"]: ...


def likelihood_of(shots: Shots, *, readout: bool = False, hidden: int = 0) -> "Likelihood":
    """The cheaper of the two for these shots; hidden sites need the table.

    Raises:
        InputError: for a readout error of more sites than a table has, and for too many rotated
            ones.
    """
    rows, _ = shots.distinct_rows()
    rotated = (rows.bases != Z).sum(axis=1)
    if (readout or hidden) and shots.sites + hidden > TABLE_SITES:
        raise InputError(
            f"expected at most {TABLE_SITES} sites with a readout error or hidden sites, whose sum "
            f"runs over all outcomes, got {shots.sites + hidden}; leave it out"
        )
    by_shot = len(rows) * 2.0 ** rotated.max()
    if readout or hidden or (shots.sites <= TABLE_SITES and by_shot > 2**shots.sites):
        return Table(shots.distinct()[0], hidden)
    if rotated.max() > MOST_ROTATED:
        raise InputError(
            f"expected at most {MOST_ROTATED} sites in X or Y at a time, got {rotated.max()}, "
            "which mix too many configurations; leave those shots out"
        )
    return ByShot(int(rotated.max()))


@dataclass(frozen=True, eq=False)
class Table:
    """Of all outcomes in each of m bases, whatever those of the last, `hidden` sites are."""

    bases: Int[np.ndarray, "m n"]
    hidden: int = 0

    def rows(self, shots: Shots) -> dict[str, np.ndarray]:
        known = {tuple(basis): number for number, basis in enumerate(self.bases.tolist())}
        basis = np.array([known[tuple(row)] for row in shots.bases.tolist()])
        return {"basis": basis, "outcome": number_of(shots.outcomes)}

    def probabilities(
        self, wavefunction: Wavefunction, confusion: Array | None = None
    ) -> Float[Array, "m d"]:
        """p of every outcome; `confusion[site, measured, true]` blurs it."""
        n = self.bases.shape[1] + self.hidden
        all_bases = np.pad(self.bases, ((0, 0), (0, self.hidden)), constant_values=Z)
        parts = jax.vmap(wavefunction.parts)(jnp.asarray(configurations(n)))
        modulus = jnp.exp(parts[:, 0])
        psi = jax.lax.complex(modulus * jnp.cos(parts[:, 1]), modulus * jnp.sin(parts[:, 1]))

        def of_basis(basis):
            amplitudes = on_sites(jnp.asarray(ROTATIONS, psi.dtype)[basis], psi)
            p = amplitudes.real**2 + amplitudes.imag**2
            p = p.reshape(-1, 2**self.hidden).sum(axis=1)
            return p if confusion is None else on_sites(confusion, p)

        return jax.vmap(of_basis)(jnp.asarray(all_bases))

    def __call__(
        self, wavefunction: Wavefunction, rows: dict[str, Any], confusion: Array | None = None
    ) -> Float[Array, " r"]:
        p = self.probabilities(wavefunction, confusion)
        return jnp.log(p[rows["basis"], rows["outcome"]] + TINY)


@dataclass(frozen=True)
class ByShot:
    """Of shots with at most so many rotated sites each."""

    rotated: int

    def rows(self, shots: Shots) -> dict[str, np.ndarray]:
        return {"bases": shots.bases, "outcomes": shots.outcomes}

    def __call__(
        self, wavefunction: Wavefunction, rows: dict[str, Any], confusion: Array | None = None
    ) -> Float[Array, " r"]:
        if self.rotated == 0:
            return 2 * jax.vmap(wavefunction.parts)(rows["outcomes"])[:, 0]
        mixed = jnp.asarray(configurations(self.rotated))
        arrays = jnp.asarray(rows["bases"]), jnp.asarray(rows["outcomes"])

        @jax.checkpoint
        def of_shot(row):
            basis, outcome = row
            sites = jnp.argsort(basis == Z)[: self.rotated]  # the rotated ones first
            variants = jnp.broadcast_to(outcome, (len(mixed), len(outcome)))
            variants = variants.at[:, sites].set(mixed)
            entries = jnp.asarray(ROTATIONS, jnp.complex64)[basis[sites], outcome[sites]]
            weights = entries[jnp.arange(self.rotated), mixed].prod(axis=1)
            parts = jax.vmap(wavefunction.parts)(variants)
            largest = jax.lax.stop_gradient(parts[:, 0].max())
            modulus = jnp.exp(parts[:, 0] - largest)
            amplitude = jnp.sum(
                weights
                * jax.lax.complex(modulus * jnp.cos(parts[:, 1]), modulus * jnp.sin(parts[:, 1]))
            )
            return jnp.log(amplitude.real**2 + amplitude.imag**2 + TINY) + 2 * largest

        return jax.lax.map(of_shot, arrays, batch_size=max(ROWS >> self.rotated, 1))


def on_sites(
    matrices: Inexact[Array, "n 2 2"], values: Inexact[Array, " d"]
) -> Inexact[Array, " d"]:
    """(A_1 x A_2 x ... x A_n) values, site by site."""
    n = matrices.shape[0]
    tensor = values.reshape((2,) * n)
    for site in range(n):
        tensor = jnp.moveaxis(jnp.tensordot(matrices[site], tensor, (1, site)), 0, site)
    return tensor.reshape(-1)


def configurations(n: int) -> Int[np.ndarray, "d n"]:
    """All of them, the first site being the most significant bit."""
    return (np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1


def number_of(outcomes: Int[np.ndarray, "b n"]) -> Int[np.ndarray, " b"]:
    """The row of `configurations` that each is."""
    return outcomes @ (1 << np.arange(outcomes.shape[1])[::-1])


def amplitudes_of(wavefunction: Wavefunction) -> Complex[np.ndarray, " d"]:
    """All 2^n of them."""
    return np.exp(np.asarray(wavefunction.log_psi(configurations(wavefunction.n)), complex))
