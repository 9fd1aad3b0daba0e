"""Numbers in different units are not compared."""

from collections.abc import Mapping

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
