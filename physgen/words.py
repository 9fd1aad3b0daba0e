"""Numbers in sentences."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """ "1 box" or "2 boxes"; the plural is the noun and an s unless it is given."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
