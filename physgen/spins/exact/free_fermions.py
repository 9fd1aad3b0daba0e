"""Ground states of free-fermion chains: the XY chain and the transverse-field Ising chain.

The Jordan-Wigner transformation, a_j = Z_0 ... Z_{j-1} X_j and b_j = Z_0 ... Z_{j-1} Y_j, makes the
Hamiltonian i sum_{jk} a_j M_{jk} b_k, with M = U S V^T solved by its singular values (Lieb, Schultz
& Mattis 1961, Ann. Phys. 16, 407; their A + B is M up to sign). All follows from
G_{jk} = -i <a_j b_k>: correlations are minors of it (Pfeuty 1970, Ann. Phys. 57, 79), entropies
singular values of its blocks (Peschel 2003, arXiv:cond-mat/0212631; Latorre, Rico & Vidal 2004,
arXiv:quant-ph/0304098). Float64 NumPy whatever JAX's settings are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float
from scipy.special import entr

from physgen.errors import InputError

Axis: TypeAlias = Literal["X", "Y", "Z"]
Couplings: TypeAlias = float | Sequence[float] | np.ndarray

TIE = 1e-13  # relative difference of two energies that rounding makes


@dataclass(frozen=True, eq=False)
class GaussianState:
    """The ground state of a chain of free fermions, with a definite parity.

    Where `gap` is zero (to rounding) there are other ground states. This one is then even if an
    even one is among them, and its correlations need not be those of the others.

    Attributes:
        energy: of the ground state.
        gap: to the next level of the spin chain, of either parity; as exact as the energy is.
        parity: +1 or -1, the product over all sites of the Pauli matrix along the field.
        g: -i <a_j b_k> of the Majorana operators, an orthogonal matrix (n, n).
        axes: of the Pauli matrices that couple as a, that couple as b, and along the field.
    """

    energy: float
    gap: float
    parity: int
    g: Float[np.ndarray, "n n"]
    axes: tuple[Axis, Axis, Axis]

    @property
    def n(self) -> int:
        """Sites."""
        return len(self.g)

    def magnetisation(self, axis: str) -> Float[np.ndarray, " n"]:
        """<P_i> at each site, P a Pauli matrix; zero off the field's axis, by parity."""
        _require_axis(axis)
        return np.diag(self.g).copy() if axis == self.axes[2] else np.zeros(self.n)

    def correlation(self, axis: str, i: int, j: int) -> float:
        """<P_i P_j>, not connected, with P a Pauli matrix.

        Along the field two entries of g, else a determinant of |i - j| rows: 0.1 s for 1000.

        Raises:
            InputError: for sites that are not there, or another axis.
        """
        _require_axis(axis)
        if not (0 <= i < self.n and 0 <= j < self.n):
            raise InputError(
                f"expected sites from 0 to {self.n - 1}, got {i} and {j}; count from 0"
            )
        i, j = min(i, j), max(i, j)
        if i == j:
            return 1.0
        if axis == self.axes[2]:
            return float(self.g[i, i] * self.g[j, j] - self.g[i, j] * self.g[j, i])
        g = self.g if axis == self.axes[0] else self.g.T
        return float(np.linalg.det(-g[i + 1 : j + 1, i:j]))

    def renyi_2_entropy(self, k: int) -> float:
        """-ln tr rho^2, in nats, of the first k sites.

        Raises:
            InputError: unless 1 <= k < n.
        """
        return float(-np.log((1 + self._modes(k) ** 2) / 2).sum())

    def von_neumann_entropy(self, k: int) -> float:
        """-tr rho ln rho, in nats, of the first k sites.

        Raises:
            InputError: unless 1 <= k < n.
        """
        nu = self._modes(k)
        return float((entr((1 + nu) / 2) + entr((1 - nu) / 2)).sum())

    def _modes(self, k):
        """The nu of modes that are full with probability (1 + nu) / 2, of the smaller part."""
        if not 1 <= k < self.n:
            raise InputError(
                f"expected a cut after 1 to {self.n - 1} sites, got k={k}; cut the chain in two"
            )
        part = slice(0, k) if 2 * k <= self.n else slice(k, self.n)
        return np.minimum(np.linalg.svd(self.g[part, part], compute_uv=False), 1)


def _require_axis(axis: str) -> None:
    if axis not in ("X", "Y", "Z"):
        raise InputError(f'expected axis "X", "Y" or "Z", got {axis!r}; capital letters')


def xy_chain(
    n: int, jx: Couplings, jy: Couplings, h: Couplings, *, periodic: bool = False
) -> GaussianState:
    """H = -sum_i (jx_i X_i X_{i+1} + jy_i Y_i Y_{i+1}) - sum_i h_i Z_i, with Pauli matrices.

    jx = jy is the XX chain, the XXZ chain without anisotropy; negative couplings are
    antiferromagnetic. A chain of 1000 sites takes seconds, twice as many if periodic.

    Args:
        n: sites, at least 2.
        jx, jy: one number, or one for each bond (i, i + 1): n - 1 of them, n if periodic.
        h: one number, or one for each site.

    Raises:
        InputError: for fewer than 2 sites, and couplings that do not fit or are not finite.
    """
    return _ground_state(n, jx, jy, h, periodic, ("X", "Y", "Z"))


def ising_chain(n: int, j: Couplings, h: Couplings, *, periodic: bool = False) -> GaussianState:
    """H = -sum_i j_i Z_i Z_{i+1} - sum_i h_i X_i, with Pauli matrices.

    The order parameter's <Z_i> is zero by parity: its square is `correlation("Z", i, j)` of sites
    far apart. Arguments and errors are those of `xy_chain`.
    """
    return _ground_state(n, j, 0.0, h, periodic, ("Z", "Y", "X"))


def _ground_state(n, jx, jy, h, periodic, axes) -> GaussianState:
    if n < 2:
        raise InputError(f"expected at least 2 sites, got {n}; a chain has a bond")
    bonds = n if periodic else n - 1
    jx, jy = _spread("couplings", jx, bonds), _spread("couplings", jy, bonds)
    h = _spread("fields", h, n)
    if periodic:  # the bond that closes the ring carries the parity, so each has its own fermions
        sectors = {parity: np.linalg.svd(_matrix(jx, jy, h, parity)) for parity in (1, -1)}
    else:
        sectors = dict.fromkeys((1, -1), np.linalg.svd(_matrix(jx, jy, h, 1)))
    states = {parity: _lowest(*usv, parity) for parity, usv in sectors.items()}
    energy, above = sorted(level for levels, _ in states.values() for level in levels)[:2]
    parity = 1 if states[1][0][0] - energy <= TIE * abs(energy) else -1
    return GaussianState(float(energy), float(above - energy), parity, states[parity][1], axes)


def _matrix(jx, jy, h, parity) -> Float[np.ndarray, "n n"]:
    n = len(h)
    m = np.diag(h)
    i = np.arange(len(jx))
    sign = np.where(i < n - 1, -1, parity)
    np.add.at(m, ((i + 1) % n, i), sign * jx)
    np.add.at(m, (i, (i + 1) % n), sign * jy)
    return m


def _lowest(u, s, vt, parity) -> tuple[tuple[float, float], Float[np.ndarray, "n n"]]:
    """The two lowest energies of one parity, and -i <a b> in the lower.

    Mode k costs 2 s_k, and -i <a b> = U V^T without any; its determinant is the parity.
    """
    right = np.linalg.det(u) * np.linalg.det(vt) * parity > 0
    costs = (0.0, s[-1] + s[-2]) if right else (s[-1], s[-2])
    signs = np.ones(len(s))
    signs[-1] = 1 if right else -1
    return (2 * costs[0] - s.sum(), 2 * costs[1] - s.sum()), (u * signs) @ vt


def _spread(name: str, values: Couplings, count: int) -> Float[np.ndarray, " count"]:
    array = np.asarray(values, np.float64)
    if array.shape not in ((), (count,)) or not np.isfinite(array).all():
        raise InputError(
            f"expected {name} to be one finite number or {count} of them, got {values!r}; "
            "give one for each bond or site"
        )
    return np.full(count, array)
