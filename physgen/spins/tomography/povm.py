"""Mixed states, as densities of the outcomes of an informationally complete measurement.

Carrasquilla et al. 2019 (arXiv:1810.10584); with attention, Cha et al. 2020 (arXiv:2006.12469). The
density of outcomes is the state: rho = sum_a p(a) D_a1 x ... x D_an, with the dual frame D. No
network knows which densities belong to a positive rho: `density_matrix` says how far it is from
one, and `matrices.physical` gives the nearest.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Complex, Float, Int, PRNGKeyArray

from physgen.data import split
from physgen.densities.sequences import SequenceDensity
from physgen.errors import InputError
from physgen.nets.autoregressive import TransformerDecoder
from physgen.spins.tomography.born import ROTATIONS
from physgen.spins.tomography.likelihood import Fitted, fit_density
from physgen.spins.tomography.matrices import SITES
from physgen.spins.tomography.shots import Shots
from physgen.train import FitSettings, OptimizerSettings, Report


@dataclass(frozen=True, eq=False)
class Povm:
    """Effects of one site that sum to 1, (a, 2, 2), in `settings` groups of equal size.

    A setting is chosen by a fair die and measured projectively, as a basis is; 1 for none.
    """

    effects: Complex[np.ndarray, "a 2 2"]
    settings: int

    def duals(self) -> Complex[np.ndarray, "a 2 2"]:
        """D with rho = sum_a tr(E_a rho) D_a for every rho: the canonical dual frame."""
        flat = self.effects.reshape(len(self.effects), 4)
        return np.linalg.pinv(flat.conj()).T.reshape(-1, 2, 2)

    def symbols(self, shots: Shots) -> Int[np.ndarray, "b n"]:
        """Outcomes of measurements in random bases X, Y and Z, as those of `pauli_povm`."""
        if self.settings != 3:
            raise InputError("expected pauli_povm() for shots with bases, got another POVM")
        return 2 * shots.bases + shots.outcomes


def pauli_povm() -> Povm:
    """Each of X, Y and Z a third of the time: a = 2 basis + outcome."""
    effects = [np.outer(row.conj(), row) / 3 for letter in ROTATIONS for row in letter]
    return Povm(np.array(effects, complex), 3)


def tetrahedral_povm() -> Povm:
    """(1 + s_a . sigma) / 4 with s_a at the corners of a tetrahedron, the first along z."""
    s = np.sqrt(2) / 3
    corners = [
        [0, 0, 1],
        [2 * s, 0, -1 / 3],
        [-s, np.sqrt(2 / 3), -1 / 3],
        [-s, -np.sqrt(2 / 3), -1 / 3],
    ]
    sigma = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    return Povm((np.eye(2) + np.tensordot(np.array(corners), sigma, 1)) / 4, 1)


def outcome_density(
    povm: Povm, n: int, *, width: int = 16, heads: int = 2, layers: int = 2, rngs: nnx.Rngs
) -> SequenceDensity:
    """A Transformer's density of the outcomes of n sites."""
    a = len(povm.effects)
    network = TransformerDecoder(n, a, a, width, heads, layers, 100, rngs=rngs)
    return SequenceDensity(network, n, settings=povm.settings)


def fit_outcomes(
    key: PRNGKeyArray,
    povm: Povm,
    outcomes: Int[np.ndarray, "b n"],
    density: SequenceDensity | None = None,
    *,
    held_out: float = 0.1,
    steps: int = 600,
    report: Report | None = None,
) -> Fitted:
    """The density of largest likelihood, stopped by held-out shots.

    Raises:
        InputError: for outcomes that the POVM does not have.
    """
    a = len(povm.effects)
    if outcomes.ndim != 2 or not ((outcomes >= 0) & (outcomes < a)).all():
        raise InputError(
            f"expected rows of outcomes from 0 to {a - 1}, got shape {outcomes.shape}, values from "
            f"{outcomes.min()} to {outcomes.max()}"
        )
    key_split, key_init, key_fit = jax.random.split(key, 3)
    density = density or outcome_density(povm, outcomes.shape[1], rngs=nnx.Rngs(key_init))
    train, test = split(key_split, len(outcomes), held_out)
    return fit_density(
        key_fit,
        density,
        {"x": outcomes[train]},
        {"x": outcomes[test]},
        FitSettings(batch_size=min(512, len(train)), steps=steps, validate_every=50, patience=5),
        OptimizerSettings(learning_rate=5e-3, weight_decay=1e-3, ema_decay=0.98),
        report=report,
    )


def density_matrix(povm: Povm, density: SequenceDensity) -> Complex[np.ndarray, "d d"]:
    """rho from the density of outcomes, by enumeration; Hermitian of trace 1, perhaps not positive.

    Raises:
        InputError: for more sites than a matrix has.
    """
    n, a = density.event_shape[0], len(povm.effects)
    if n > SITES:
        raise InputError(f"expected at most {SITES} sites for a density matrix, got {n}")
    every = np.stack(np.unravel_index(np.arange(a**n), (a,) * n), axis=1)
    log_p = [_log_prob(density, rows) for rows in np.array_split(every, -(-len(every) // 8192))]
    tensor: Any = np.exp(np.concatenate([np.asarray(part, float) for part in log_p]))
    tensor = tensor.reshape((a,) * n)
    for _ in range(n):  # the first remaining outcome becomes the last pair (row, column)
        tensor = np.tensordot(tensor, povm.duals(), (0, 0))
    order = [*range(0, 2 * n, 2), *range(1, 2 * n, 2)]
    return tensor.transpose(order).reshape(2**n, 2**n)


@jax.jit
def _log_prob(density: SequenceDensity, rows: Any) -> Float[Array, " b"]:
    return jax.vmap(lambda x: density._log_prob(x, None))(jnp.asarray(rows))
