"""Commands on catalogues: simulate, stats, info."""

import argparse
from pathlib import Path

from physgen.cli.datasets import add_reading
from physgen.cli.options import add_json, add_output, add_seed, progress, tell
from physgen.errors import InputError
from physgen.words import counted

_LISTED = 8  # numbers that are written one by one


def add_commands(commands, galaxies) -> None:
    """Add the commands to the parsers of `physgen` and `physgen galaxies`."""
    parser = galaxies.add_parser("simulate", help="make mock galaxies with a fast simulator")
    parser.add_argument("--n", type=int, default=2000, help="boxes (default 2000)")
    parser.add_argument("--points", type=int, default=128, help="galaxies a box (default 128)")
    parser.add_argument("--box", type=float, default=128.0, help="side, Mpc/h (default 128)")
    parser.add_argument("--grid", type=int, default=64, help="cells a side (default 64)")
    parser.add_argument("--order", type=int, default=1, choices=(1, 2), help="Zel'dovich or 2LPT")
    parser.add_argument(
        "--minimum-mass",
        type=float,
        metavar="M",
        help="keep galaxies above M (Msun/h), at most --points of them",
    )
    parser.add_argument("--omega-m", type=float, help="one cosmology for all boxes")
    parser.add_argument("--sigma-8", type=float, help="one cosmology for all boxes")
    parser.add_argument(
        "--cosmologies", type=int, metavar="C", help="share the boxes among C cosmologies"
    )
    add_seed(parser)
    add_output(parser, "the catalogue, HDF5")
    add_json(parser)
    parser.set_defaults(run=simulate)

    parser = commands.add_parser("stats", help="summary statistics of a catalogue")
    parser.add_argument("catalogue", type=Path, help="HDF5, NPZ, CSV, FITS, or of a halo finder")
    add_reading(parser)
    parser.add_argument("--omega-m", type=float, default=0.3, help="for redshifts (default 0.3)")
    parser.add_argument("--randoms", type=Path, help="of a survey: random points where it looked")
    for name, what in (("--weights", "galaxies"), ("--random-weights", "randoms")):
        parser.add_argument(name, nargs="+", metavar="COLUMN", help=f"their product weighs {what}")
    parser.add_argument(
        "--edges", type=float, nargs="+", metavar="R", help="separation bins, in the file's unit"
    )
    add_output(parser, "the curves, HDF5; a figure is put beside it", required=False)
    add_json(parser)
    parser.set_defaults(run=stats)

    parser = commands.add_parser("info", help="what is in a file")
    parser.add_argument("file", type=Path)
    add_reading(parser)
    add_json(parser)
    parser.set_defaults(run=info)


def simulate(options: argparse.Namespace) -> None:
    """physgen galaxies simulate."""
    import time

    import jax
    import numpy as np

    from physgen.galaxies.catalogue import write_catalogue
    from physgen.galaxies.simulate import (
        SimulationSettings,
        simulate,
        sobol_parameters,
    )
    from physgen.io import require_writable

    if options.n < 1:
        raise InputError(f"expected --n of at least 1, got {options.n}")
    require_writable(options.out, options.force)
    fixed = options.omega_m, options.sigma_8
    if (fixed[0] is None) != (fixed[1] is None):
        raise InputError("expected --omega-m and --sigma-8 together, got one: give both or neither")
    if fixed[0] is not None:
        parameters = np.tile(fixed, (options.n, 1))
    else:
        each = options.n if options.cosmologies is None else options.cosmologies
        if each < 1 or options.n % each:
            raise InputError(
                f"expected --cosmologies that divides --n {options.n}, got {options.cosmologies}"
            )
        parameters = np.repeat(sobol_parameters(each, options.seed), options.n // each, axis=0)
    settings = SimulationSettings(
        options.points,
        options.box,
        options.grid,
        options.order,
        minimum_mass=options.minimum_mass,
    )
    started = time.monotonic()
    catalogue = simulate(
        jax.random.key(options.seed), parameters, settings, progress=progress("boxes")
    )
    seconds = time.monotonic() - started
    made = {"command": options.command}
    write_catalogue(options.out, catalogue, overwrite=options.force, provenance=made)
    tell(
        options,
        {
            "boxes": options.n,
            "points": options.points,
            "box_size": options.box,
            "seconds": seconds,
            "boxes_per_second": options.n / seconds,
            "out": options.out,
        },
        f"{counted(options.n, 'box', 'boxes')} of {_range(catalogue.counts)} galaxies in "
        f"{seconds:.0f} s -> {options.out}",
    )


def stats(options: argparse.Namespace) -> None:
    """physgen stats."""
    from physgen.galaxies.measure import write_measurement
    from physgen.io import figure_beside, require_writable

    if options.out is not None:
        for path in (options.out, figure_beside(options.out)):
            require_writable(path, options.force)
    measurement = _measured(options) if options.randoms is None else _measured_survey(options)
    text = measurement.table()
    if options.out is not None:
        figure = write_measurement(options.out, measurement, overwrite=options.force)
        text += f"\n-> {options.out}, {figure}"
    tell(options, measurement.to_dict(), text)


def _measured(options):
    from physgen.galaxies.catalogue import read_catalogue
    from physgen.galaxies.measure import measure

    if options.weights or options.random_weights:
        raise InputError("expected --randoms beside --weights, got none: give both or neither")
    catalogue = read_catalogue(
        options.catalogue,
        box_size=options.box,
        omega_m=options.omega_m,
        objects=options.objects,
        redshift=options.redshift,
    )
    return measure(catalogue, edges=options.edges)


def _measured_survey(options):
    from physgen.galaxies.clustering import measure_survey
    from physgen.galaxies.readers import read_survey

    if options.box is not None:
        raise InputError("expected --box or --randoms, got both: a survey is not periodic")
    survey = read_survey(
        options.catalogue,
        options.randoms,
        omega_m=options.omega_m,
        weights=options.weights or (),
        random_weights=options.random_weights,
    )
    return measure_survey(survey, edges=options.edges)


def info(options: argparse.Namespace) -> None:
    """physgen info."""
    from physgen.galaxies.catalogue import read_catalogue
    from physgen.galaxies.readers.formats import format_of
    from physgen.io import describe

    if format_of(options.file) != "hdf5":
        catalogue = read_catalogue(
            options.file,
            box_size=options.box,
            objects=options.objects,
            redshift=options.redshift,
        )
        facts = {
            "kind": "catalogue",
            "boxes": len(catalogue),
            "galaxies": int(catalogue.counts.sum()),
            "galaxies a box": _range(catalogue.counts),
            "position unit": catalogue.position_unit,
            "box_size": catalogue.box_size,
            "parameters": list(catalogue.parameter_names),
            "velocity": catalogue.velocity is not None,
            "log_mass": catalogue.log_mass is not None,
            "columns": [column.name for column in catalogue.columns],
        }
    else:
        facts = describe(options.file)
    tell(options, facts, "\n".join(_lines(facts)))


def _range(counts):
    low, high = counts.min(), counts.max()
    return f"{low}" if low == high else f"{low} to {high}"


def _lines(facts, indent=""):
    for name, value in facts.items():
        if isinstance(value, dict):
            yield f"{indent}{name}:"
            yield from _lines(value, indent + "  ")
        else:
            yield f"{indent}{name}: {_short(value)}"


def _short(value):
    """A value for a person to read: numbers to six digits, tables by their length and range."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if not isinstance(value, list):
        return f"{value}"
    if len(value) > _LISTED and all(isinstance(item, int | float) for item in value):
        return f"{len(value)} numbers from {min(value):.6g} to {max(value):.6g}"
    items = (repr(item) if isinstance(item, str) else _short(item) for item in value)
    return f"[{', '.join(items)}]"
