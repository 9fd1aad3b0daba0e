"""The command that asks which of several emulators a map is of: galaxies compare.

The evidence of a map is the mean of its likelihood over the parameters that an emulator was trained
on. Each evidence takes dozens of likelihoods, so rows are kept in PATH.checkpoint as they come.
"""

import argparse
import csv
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from physgen.cli.kept import KeptRows, made_of
from physgen.cli.likelihoods import add_estimates, grid_of
from physgen.cli.options import (
    add_json,
    add_output,
    add_resume,
    add_seed,
    checkpoint_of,
    count_up,
    free_checkpoint,
    progress,
    require_checkpoint,
    stopped,
    tell,
    use_cores,
)
from physgen.cli.posteriors import SHOWN, require_at_least
from physgen.errors import InputError
from physgen.interrupts import interrupt_flag

if TYPE_CHECKING:
    import numpy as np

    from physgen.galaxies.catalogue import Catalogue
    from physgen.galaxies.emulator import GalaxyEmulator
    from physgen.inference.evidence import CalibratedEvidence


@dataclass(frozen=True)
class Evidences:
    """Of one box: its catalogue, its number there, and each emulator's log-evidence and error."""

    catalogue: str
    box: int
    values: tuple[float, ...]
    errors: tuple[float, ...]


def add_commands(galaxies) -> None:
    """Add the command to the parser of `physgen galaxies`."""
    parser = galaxies.add_parser(
        "compare", help="which of several emulators a map is of, from the evidence of each"
    )
    parser.add_argument("observed", type=Path, help="a catalogue of one box or more")
    parser.add_argument(
        "--emulators",
        type=Path,
        nargs="+",
        required=True,
        metavar="EMULATOR",
        help="files by `physgen galaxies train`, of the same features and box; two or more",
    )
    parser.add_argument(
        "--held-out",
        type=Path,
        nargs="+",
        metavar="CATALOGUE",
        help="boxes that are known to be of each emulator, in their order, ten of each or more: "
        "they say how far to trust the evidences",
    )
    parser.add_argument("--box", type=float, help="side of the periodic box, if a file lacks it")
    add_estimates(parser)
    add_seed(parser)
    add_json(parser)
    add_output(parser, "the table, CSV; a figure .png beside it where boxes are held out")
    add_resume(parser)
    parser.set_defaults(run=compare)


def compare(options: argparse.Namespace) -> int:
    """physgen galaxies compare."""
    require_at_least(2, probes=options.probes, emulators=len(options.emulators))
    held_out = options.held_out or []
    if held_out and len(held_out) != len(options.emulators):
        raise InputError(
            f"expected one --held-out catalogue for each of {len(options.emulators)} emulators, "
            f"got {len(held_out)}"
        )
    names = _names_of(options.emulators)
    _require_free(options)
    use_cores(at_most=4)
    import numpy as np

    from physgen.galaxies.catalogue import read_catalogue
    from physgen.galaxies.emulator import GalaxyEmulator
    from physgen.inference.evidence import CalibratedEvidence

    emulators = [GalaxyEmulator.load(path) for path in options.emulators]
    _require_alike(names, emulators)
    features = emulators[0].domain.features.modelled
    paths = [options.observed, *held_out]
    catalogues = [read_catalogue(p, box_size=options.box).with_features(features) for p in paths]
    _require_enough(paths[1:], catalogues[1:])
    rows = _asked(options, emulators, list(zip(paths, catalogues, strict=True)))
    if len(rows) < sum(map(len, catalogues)):
        return stopped(options)
    observed, known = len(catalogues[0]), None
    if held_out:
        model = np.repeat(np.arange(len(names)), [len(c) for c in catalogues[1:]])
        known = CalibratedEvidence.fit(names, _values(rows[observed:]), model)
    _keep(options, names, rows, observed, known)
    _tell(options, names, rows[:observed], known)
    return 0


def _names_of(emulators: list[Path]) -> list[str]:
    """The stems of the files, or the whole paths where two have one stem."""
    stems = [path.stem for path in emulators]
    names = stems if len(set(stems)) == len(stems) else [str(path) for path in emulators]
    if len(set(names)) < len(names):
        raise InputError(f"expected emulators in different files, got {', '.join(names)}")
    return names


def _require_free(options: argparse.Namespace) -> None:
    from physgen.io import figure_beside, require_writable

    require_checkpoint(options)
    for path in [options.out, *([figure_beside(options.out)] if options.held_out else [])]:
        require_writable(path, options.force or options.resume)


def _require_alike(names: list[str], emulators: "list[GalaxyEmulator]") -> None:
    """Densities of other columns, boxes or units cannot be compared."""
    from physgen.galaxies.units import require_same_units

    domains = [emulator.domain for emulator in emulators]
    kinds = [(", ".join(d.features.modelled), d.box_size) for d in domains]
    for name, domain, kind in zip(names, domains, kinds, strict=True):
        if kind != kinds[0]:
            raise InputError(
                f"expected emulators of the same features and box, got {kinds[0]} of {names[0]} "
                f"and {kind} of {name}; train them on the same columns"
            )
        require_same_units(domains[0].units, domain.units, names[0], name)


def _require_enough(paths: list[Path], catalogues: "list[Catalogue]") -> None:
    from physgen.inference.evidence import FEWEST

    for path, catalogue in zip(paths, catalogues, strict=True):
        if len(catalogue) < FEWEST:
            raise InputError(
                f"expected at least {FEWEST} held-out boxes in {path}, got {len(catalogue)}"
            )


def _asked(
    options: argparse.Namespace,
    emulators: "list[GalaxyEmulator]",
    catalogues: "list[tuple[Path, Catalogue]]",
) -> list[Evidences]:
    """The evidences of all boxes, or of as many as Ctrl-C allowed."""
    import jax
    import numpy as np

    from physgen.galaxies.likelihood import clouds
    from physgen.inference.priors import uniform_prior

    files = [*options.emulators, options.observed, *(options.held_out or [])]
    asked = [options.seed, options.probes, options.evaluations, options.box]
    kept = KeptRows(free_checkpoint(options), made_of(files, asked))
    rows = [Evidences(path, box, tuple(v), tuple(e)) for path, box, v, e in kept.rows]
    domains = [emulator.domain for emulator in emulators]
    priors = [
        uniform_prior(np.array(d.parameter_low), np.array(d.parameter_high), d.parameter_names)
        for d in domains
    ]
    boxes = []
    for path, catalogue in catalogues:
        pairs = [list(zip(*clouds(emulator, catalogue), strict=True)) for emulator in emulators]
        boxes += [(str(path), i, each) for i, each in enumerate(zip(*pairs, strict=True), 1)]
    show = progress("evidences")
    with interrupt_flag() as interrupt:
        for number in range(len(rows), len(boxes)):
            path, box, maps = boxes[number]
            key = jax.random.fold_in(jax.random.key(options.seed), number)
            show_part = count_up(f"box {number + 1}/{len(boxes)}: likelihoods of one emulator")
            grids = [
                grid_of(options, key, emulator, galaxies, prior, show_part)
                for emulator, galaxies, prior in zip(emulators, maps, priors, strict=True)
            ]
            values = tuple(grid.log_evidence for grid in grids)
            errors = tuple(grid.log_evidence_error for grid in grids)
            rows.append(Evidences(path, box, values, errors))
            kept.append(astuple(rows[-1]))
            show(len(rows), len(boxes))
            if interrupt.is_set():
                break
    return rows


def _keep(
    options: argparse.Namespace,
    names: list[str],
    rows: list[Evidences],
    observed: int,
    known: "CalibratedEvidence | None",
) -> None:
    """The table and the figure; the checkpoint goes."""
    from physgen.io import atomic_path, figure_beside

    columns = ["catalogue", "box", *names, *(f"{name}_error" for name in names)]
    more: list[list[float]] = [[] for _ in rows]
    if known is not None:
        columns += [f"{name}_probability" for name in names]
        more = known.probabilities(_values(rows)).round(6).tolist()
    with (
        atomic_path(options.out, True) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(columns)
        for row, chances in zip(rows, more, strict=True):
            writer.writerow([row.catalogue, row.box, *row.values, *row.errors, *chances])
    if known is not None:
        with atomic_path(figure_beside(options.out), True) as temporary:
            known.plot(_values(rows[:observed])).savefig(temporary, dpi=150)
    checkpoint_of(options).unlink(missing_ok=True)


def _values(rows: list[Evidences]) -> "np.ndarray":
    import numpy as np

    return np.array([row.values for row in rows])


def _tell(
    options: argparse.Namespace,
    names: list[str],
    rows: list[Evidences],
    known: "CalibratedEvidence | None",
) -> None:
    from physgen.io import figure_beside

    figures: dict[str, Any] = {
        "out": options.out,
        "emulators": names,
        "boxes": list(map(asdict, rows)),
    }
    lines = []
    for row, facts in zip(rows, figures["boxes"], strict=True):
        each = [
            f"{name} {value:.1f} +- {error:.1f}"
            for name, value, error in zip(names, row.values, row.errors, strict=True)
        ]
        if known is not None:
            facts["probabilities"] = known.probabilities(_values([row]))[0]
            chances = zip(each, facts["probabilities"], strict=True)
            each = [f"{words} (probability {chance:.2g})" for words, chance in chances]
        head = "" if len(rows) == 1 else f"box {row.box}: "
        lines.append(f"{head}log evidence [nats] {', '.join(each)}")
    lines = lines[:SHOWN]
    if known is None:
        lines += [
            "not calibrated: give --held-out before you believe a difference",
            str(options.out),
        ]
    else:
        figure = figure_beside(options.out)
        lines += [known.finding(), f"{options.out}, {figure}"]
        figures |= {
            "figure": figure,
            "scale": known.scale,
            "offsets": known.offsets,
            "held_out": len(known.model),
            "accuracy": known.accuracy(),
            "score": known.score(),
            "plain_score": known.plain_score(),
        }
    tell(options, figures, "\n".join(lines))
