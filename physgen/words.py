"""Numbers and names in sentences."""

from collections.abc import Iterable


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """ "1 box" or "2 boxes"; the plural is the noun and an s unless it is given."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def of_other_case(given: Iterable[str], known: Iterable[str]) -> str:
    """ "; write Omega_m, not omega_M" where a name differs from a known one in case alone;
    nothing where none does."""
    known = list(known)
    spelled = {name.lower(): name for name in known}
    wrong = [(spelled[n.lower()], n) for n in given if n not in known and n.lower() in spelled]
    return "".join(f"; write {right}, not {name}" for right, name in wrong)


def duration(seconds: float) -> str:
    """[Hours:]minutes:seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def rate(each_second: float, noun: str = "") -> str:
    """ "5.1 steps/s" or "2/s"; "12.4 s each" where a second is much too short for one."""
    if each_second < 0.1:
        return f"{1 / each_second:.3g} s each"
    return f"{each_second:.3g}{f' {noun}' if noun else ''}/s"
