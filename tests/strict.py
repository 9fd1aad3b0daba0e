"""The run-time type checker of the tests: beartype, for which an int may stand for a float."""

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep673Exception

_checked = beartype(conf=BeartypeConf(is_pep484_tower=True))


def typechecker(function):
    try:
        return _checked(function)
    except BeartypeDecorHintPep673Exception:  # `Self` means nothing to a method out of its class
        return function
