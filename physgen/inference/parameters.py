"""What parameters are called, and in which units."""

from collections.abc import Sequence

from physgen.errors import InputError


def default_names(d: int) -> tuple[str, ...]:
    """theta_1 ... theta_d."""
    return tuple(f"theta_{i}" for i in range(1, d + 1))


def checked_names(names: Sequence[str] | None, d: int) -> tuple[str, ...]:
    """One name of its own for each of d parameters, `default_names` for None.

    Raises:
        InputError: for another number of names, an empty one, or one that occurs twice.
    """
    given = default_names(d) if names is None else _strings(names)
    if len(given) != d or not all(given):
        raise InputError(f"expected a name for each of {d} parameters, got {given}; name them all")
    if len(set(given)) != d:
        raise InputError(f"expected a name of its own for each parameter, got {given}; rename one")
    return given


def checked_units(units: Sequence[str] | None, d: int) -> tuple[str, ...]:
    """One unit for each of d parameters, empty for None.

    Raises:
        InputError: for another number of units.
    """
    given = ("",) * d if units is None else _strings(units)
    if len(given) != d:
        raise InputError(
            f"expected a unit for each of {d} parameters, got {given}; "
            "give '' to those without dimension"
        )
    return given


def _strings(values: Sequence[str]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(str(value) for value in values)
