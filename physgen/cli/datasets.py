"""Commands that make catalogues of others': build, redshift-space."""

import argparse
from pathlib import Path

from physgen.cli.options import add_json, add_output, progress, tell
from physgen.errors import InputError
from physgen.words import counted

AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}


def add_commands(galaxies) -> None:
    """Add the commands to the parser of `physgen galaxies`."""
    parser = galaxies.add_parser("build", help="one training file of many simulations")
    parser.add_argument("folder", type=Path, help="the simulations, in files or folders")
    parser.add_argument(
        "--pattern", required=True, help="which, inside it: '*/groups_004', '*/out_5.list'"
    )
    parser.add_argument(
        "--parameters", type=Path, required=True, metavar="TABLE", help="one row a simulation"
    )
    parser.add_argument(
        "--columns", nargs="+", metavar="NAME", help="parameters to keep; names where it has none"
    )
    parser.add_argument("--partial", action="store_true", help="rows may lack a simulation")
    parser.add_argument("--most", type=int, metavar="N", help="the N most massive of each")
    parser.add_argument("--minimum-mass", type=float, metavar="M", help="Msun/h")
    parser.add_argument("--cut", type=int, default=1, metavar="P", help="P^3 sub-boxes of each")
    add_reading(parser)
    parser.add_argument("--jobs", type=int, default=4, help="files at a time (default 4)")
    add_output(parser, "the catalogue, HDF5")
    add_json(parser)
    parser.set_defaults(run=build)

    parser = galaxies.add_parser("redshift-space", help="move galaxies by their velocities")
    parser.add_argument("catalogue", type=Path)
    parser.add_argument(
        "--line-of-sight", default="z", metavar="AXIS", help="x, y, z or 1,1,0 (default z)"
    )
    parser.add_argument("--observer", metavar="X,Y,Z", help="in open space: the origin of sight")
    parser.add_argument("--omega-m", help="a number, or a parameter (default Omega_m)")
    add_reading(parser)
    add_output(parser, "the catalogue, HDF5")
    add_json(parser)
    parser.set_defaults(run=redshift_space)


def add_reading(parser: argparse.ArgumentParser) -> None:
    """--box, --objects and --redshift."""
    parser.add_argument("--box", type=float, help="side of the periodic box, if the file lacks it")
    parser.add_argument(
        "--objects", choices=("halos", "subhalos"), default="halos", help="of a simulation"
    )
    parser.add_argument("--redshift", type=float, help="of the galaxies, if the file lacks it")


def build(options: argparse.Namespace) -> None:
    """physgen galaxies build."""
    from physgen.galaxies.build import Selection, build_catalogue, find_simulations, match_rows
    from physgen.galaxies.catalogue import write_catalogue
    from physgen.galaxies.readers import read_parameters
    from physgen.galaxies.subboxes import cut
    from physgen.io import require_writable

    require_writable(options.out, options.force)
    if options.cut < 1:
        raise InputError(f"expected --cut of at least 1, got {options.cut}")
    selection = Selection(
        options.most, options.minimum_mass, options.objects, options.box, options.redshift
    )
    paths = find_simulations(options.folder, options.pattern)
    table = read_parameters(options.parameters, options.columns)
    rows = match_rows(paths, options.folder, table, partial=options.partial)
    table = table._replace(values=table.values[rows])
    shown = progress("simulations")
    catalogue = build_catalogue(paths, table, selection, jobs=options.jobs, progress=shown)
    if options.cut > 1:
        catalogue = cut(catalogue, options.cut)
    made = {"command": options.command}
    write_catalogue(options.out, catalogue, overwrite=options.force, provenance=made)
    counts = catalogue.counts
    space = "open space" if catalogue.box_size is None else f"a box of {catalogue.box_size:g}"
    tell(
        options,
        {
            "simulations": len(paths),
            "boxes": len(catalogue),
            "galaxies": [int(counts.min()), int(counts.max())],
            "box_size": catalogue.box_size,
            "parameters": list(catalogue.parameter_names),
            "out": options.out,
        },
        f"{counted(len(paths), 'simulation')}, {counted(len(catalogue), 'box', 'boxes')} of "
        f"{counts.min()} to {counts.max()} galaxies in {space}, "
        f"{', '.join(catalogue.parameter_names)} -> {options.out}",
    )


def redshift_space(options: argparse.Namespace) -> None:
    """physgen galaxies redshift-space."""
    from physgen.galaxies.catalogue import read_catalogue, write_catalogue
    from physgen.galaxies.readers.formats import SIMULATIONS, format_of
    from physgen.galaxies.redshift_space import redshift_space
    from physgen.io import require_writable

    require_writable(options.out, options.force)
    sight = AXES.get(options.line_of_sight) or _three("--line-of-sight", options.line_of_sight)
    if options.redshift is None and format_of(options.catalogue) in SIMULATIONS:
        raise InputError(
            f"expected --redshift of {options.catalogue}, an output of a simulation, got none: "
            "give it, 0 for today"
        )
    observer = None if options.observer is None else _three("--observer", options.observer)
    catalogue = read_catalogue(
        options.catalogue, box_size=options.box, objects=options.objects, redshift=options.redshift
    )
    moved = redshift_space(
        catalogue,
        line_of_sight=sight,
        observer=observer,
        omega_m=_number_or_name(options.omega_m),
        redshift=options.redshift or 0.0,
    )
    made = {"command": options.command}
    write_catalogue(options.out, moved, overwrite=options.force, provenance=made)
    tell(
        options,
        {"boxes": len(moved), "galaxies": int(moved.counts.sum()), "out": options.out},
        f"{counted(int(moved.counts.sum()), 'galaxy', 'galaxies')} of "
        f"{counted(len(moved), 'box', 'boxes')} in redshift space -> {options.out}",
    )


def _three(option, text):
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"expected {option} of three numbers such as 1,1,0, got {text!r}"
        ) from None
    return x, y, z


def _number_or_name(text):
    try:
        return None if text is None else float(text)
    except ValueError:
        return text
