"""`physgen validate`: two ensembles of anything in, one report out."""

import argparse
import sys
from pathlib import Path

from physgen.cli.options import add_json, add_output, add_seed, feature_names, tell
from physgen.errors import InputError

KINDS = ("catalogues", "fields", "curves", "samples")
FAILED = 1


def add_commands(commands, galaxies) -> None:
    """Add the command to the parsers of `physgen` and `physgen galaxies`."""
    parser = commands.add_parser(
        "validate", help="judge generated simulations against held-out ones"
    )
    parser.add_argument("generated", type=Path, help="a catalogue, or an array in HDF5, NPY, NPZ")
    parser.add_argument("held_out", type=Path, help="simulations that the model never saw")
    parser.add_argument("--kind", choices=KINDS, help="what the files hold, if it is not plain")
    parser.add_argument("--name", help="of the array, where a file holds several")
    _add_options(parser)
    parser = galaxies.add_parser("validate", help="judge generated galaxies against held-out ones")
    parser.add_argument("generated", type=Path, help="a catalogue")
    parser.add_argument(
        "--against", dest="held_out", type=Path, required=True, help="held-out catalogue"
    )
    _add_options(parser)
    parser.set_defaults(kind="catalogues", name=None)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--train", type=Path, help="training simulations, to look for copies")
    parser.add_argument(
        "--features",
        metavar="NAMES",
        help="of catalogues, what to judge, e.g. position,velocity (default: what the generator "
        "models, or all)",
    )
    parser.add_argument("--box", type=float, help="side of the periodic box, if a file lacks it")
    parser.add_argument(
        "--fail-below", type=float, metavar="P", help="exit status 1 for a p-value below this"
    )
    add_seed(parser)
    add_output(parser, "folder for report.html and summary.json", required=False)
    add_json(parser)
    parser.set_defaults(run=validate)


def validate(options: argparse.Namespace) -> int:
    """physgen validate; the exit status is 1 if --fail-below says so."""
    from physgen.validation import write_report
    from physgen.validation.folder import require_free

    if options.out is not None:
        require_free(options.out, options.force)
    if options.fail_below is not None and not 0 < options.fail_below < 1:
        raise InputError(f"expected --fail-below between 0 and 1, got {options.fail_below}")
    paths = [options.generated, options.held_out, options.train]
    catalogues = options.kind == "catalogues" or (
        options.kind is None and options.name is None and _is_catalogue(options.generated)
    )
    report, shown = (_catalogues if catalogues else _arrays)(options, paths)
    for note in report.notes:
        if report.pooled and "pooled" in note:
            print(f"physgen: warning: {note}", file=sys.stderr)
    text = "\n".join([report.headline, *(f"- {finding}" for finding in report.findings)])
    if options.out is not None:
        write_report(options.out, report, shown, overwrite=options.force)
        text += f"\n-> {options.out / 'report.html'}"
    tell(options, report.to_dict(), text)
    failed = options.fail_below is not None and report.p_value < options.fail_below
    return FAILED if failed else 0


def _catalogues(options, paths):
    from physgen.galaxies.catalogue import read_catalogue
    from physgen.galaxies.validate import validate_catalogues

    generated, held_out, train = (
        None if path is None else read_catalogue(path, box_size=options.box) for path in paths
    )
    assert generated is not None and held_out is not None
    _require_two(options)
    features = None if options.features is None else feature_names(options.features)
    return validate_catalogues(generated, held_out, train, features=features, seed=options.seed)


def _arrays(options, paths):
    from physgen.validation.arrays import Kind, read_array, validate_arrays

    if options.features is not None:
        raise InputError(
            f"expected catalogues for --features, got {options.generated}; leave it out"
        )
    generated, held_out, train = (
        None if path is None else read_array(path, options.name) for path in paths
    )
    assert generated is not None and held_out is not None
    _require_two(options)
    kind = None if options.kind is None else Kind(options.kind)
    return validate_arrays(
        generated, held_out, train, kind=kind, box_size=options.box, seed=options.seed
    )


def _require_two(options: argparse.Namespace) -> None:
    if options.generated.samefile(options.held_out):
        raise InputError(
            f"expected two files, got {options.generated} twice; a set is always like itself"
        )


def _is_catalogue(path: Path) -> bool:
    """Whether a file holds positions of galaxies: (n, N, 3), or what `read_catalogue` knows."""
    from physgen.galaxies.readers.formats import format_of
    from physgen.io import open_hdf5
    from physgen.io.npz import open_numpy
    from physgen.validation.arrays import read_array

    kind = format_of(path)
    if kind == "npy":
        array = read_array(path)
        return array.ndim == 3 and array.shape[-1] == 3
    if kind == "hdf5":
        with open_hdf5(path) as file:
            return "position" in file
    if kind == "npz":
        with open_numpy(path) as file:
            names = set(file)
        columns = {name.lower() for name in names}
        return bool(names & {"position", "features"}) or {"x", "y", "z"} <= columns
    return True
