"""Numbers in different units, and boxes of different sides, are not compared."""

from collections.abc import Mapping

import numpy as np

from physgen.errors import InputError


def require_same_units(
    found: Mapping[str, str], others: Mapping[str, str], whose: str, other: str
) -> None:
    """InputError where a feature that both have is in two units; none said ("") goes with any.

    found, others: the unit of each feature. whose, other: what they are of, for the message.
    """
    for name in found.keys() & others.keys():
        units = found[name], others[name]
        if all(units) and units[0] != units[1]:
            raise InputError(
                f"expected {name} in one unit, got {units[0]} in {whose} and {units[1]} in "
                f"{other}; convert one of them"
            )


def same_side(one: float | None, other: float | None) -> bool:
    """Whether boxes are of one side up to float32 rounding, or both in open space."""
    if one is None or other is None:
        return one is other
    return bool(np.isclose(one, other, rtol=1e-6, atol=0))
