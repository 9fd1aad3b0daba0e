"""Whether an operator has the symmetries that a wavefunction is given."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from physgen.errors import InputError
from physgen.spins.operators import PauliSum
from physgen.spins.wavefunction import Image, Wavefunction

LOOKED_AT = 64  # configurations


def require_symmetries(wavefunction: Wavefunction, operator: PauliSum) -> None:
    """Refuse an operator that does not commute with what the wavefunction conserves.

    Raises:
        InputError: it names the symmetry.
    """
    if wavefunction.sector is not None and not conserves_magnetisation(operator):
        raise InputError(
            "expected a Hamiltonian that conserves the total S_z with a sector, got one that does "
            "not; leave the sector out"
        )
    for image in wavefunction.images:
        if not is_symmetric(operator, image):
            what = "flipping all spins" if image[1] else "a reflection or translation"
            raise InputError(
                f"expected a Hamiltonian with the symmetries of the wavefunction, got one that "
                f"{what} changes; leave that symmetry out"
            )


def is_symmetric(operator: PauliSum, image: Image) -> bool:
    """Whether the operator is the same after sites are moved, and all spins are flipped."""
    order, flip = image
    moved: dict[tuple, float] = {}
    for coefficient, letters, sites in operator.strings():
        sign = (-1) ** sum(letter != "X" for letter in letters) if flip else 1
        there = tuple(sorted((order[s], a) for s, a in zip(sites, letters, strict=True)))
        here = tuple(sorted(zip(sites, letters, strict=True)))
        moved[there] = moved.get(there, 0.0) + sign * coefficient
        moved[here] = moved.get(here, 0.0) - coefficient
    return _all_zero(moved.values(), operator)


def could_impose_spin_flip(wavefunction: Wavefunction, operator: PauliSum) -> bool:
    """Whether flipping all spins is a symmetry that the wavefunction could have, and has not."""
    flip = tuple(range(operator.n)), True
    has = any(flipped for _, flipped in wavefunction.images)
    return not has and not wavefunction.sector and is_symmetric(operator, flip)


def conserves_magnetisation(operator: PauliSum) -> bool:
    """Whether the operator commutes with sum Z.

    X = s+ + s- and Y = -i (s+ - s-): no product with more raising than lowering may be left.
    """
    left: dict[tuple, complex] = {}
    for coefficient, letters, sites in operator.strings():
        flips = [(s, a) for a, s in zip(letters, sites, strict=True) if a != "Z"]
        signs = tuple(sorted(s for a, s in zip(letters, sites, strict=True) if a == "Z"))
        for lowered in np.ndindex(*(2,) * len(flips)):
            if 2 * sum(lowered) == len(flips):
                continue
            factors = (
                (1j if low else -1j) for low, (_, a) in zip(lowered, flips, strict=True) if a == "Y"
            )
            where = tuple(sorted((s, low) for low, (s, _) in zip(lowered, flips, strict=True)))
            left[where, signs] = left.get((where, signs), 0) + coefficient * math.prod(factors)
    return _all_zero(left.values(), operator)


def may_be_positive(operator: PauliSum, signs: tuple[int, ...] | None) -> bool:
    """Whether no matrix element off the diagonal is positive, with the signs of a wavefunction.

    The ground state is then positive, up to these (Perron and Frobenius). Looked at in random
    configurations.
    """
    if not operator.real:
        return False
    rng = np.random.default_rng(0)
    configurations = jnp.asarray(rng.integers(0, 2, (LOOKED_AT, operator.n)))
    there, elements = jax.jit(jax.vmap(operator.connected))(configurations)
    parity = (np.asarray(there) - np.asarray(configurations)[:, None]) @ np.asarray(
        signs or np.zeros(operator.n, int)
    )
    return bool((np.asarray(elements) * (-1.0) ** parity <= 1e-9).all())


def _all_zero(values, operator: PauliSum) -> bool:
    largest = max((abs(c) for c, _, _ in operator.strings()), default=0.0)
    return all(abs(value) <= 1e-9 * largest for value in values)
