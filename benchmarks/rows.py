"""A CSV table that grows by one row for each run, so that an interrupted script can go on."""

import csv
from collections.abc import Mapping
from pathlib import Path


def has_row(table: Path, **identity: object) -> bool:
    """Whether a row has these entries."""
    if not table.exists():
        return False
    wanted = {name: str(value) for name, value in identity.items()}
    with table.open(newline="") as file:
        return any(wanted.items() <= row.items() for row in csv.DictReader(file))


def append(table: Path, row: Mapping[str, object]) -> None:
    """Add one row, and say it."""
    new = not table.exists()
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)
    print(row, flush=True)


def read(table: Path) -> list[dict[str, str]]:
    """All rows."""
    with table.open(newline="") as file:
        return list(csv.DictReader(file))
