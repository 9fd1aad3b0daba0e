"""The parser of all commands, and what becomes of errors and warnings."""

import argparse
import shlex
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

import physgen
from physgen.cli import (
    catalogues,
    datasets,
    emulate,
    evidences,
    infer,
    maps,
    quickstart,
    spins,
    validate,
)
from physgen.cli.options import INTERRUPTED, require_own_output
from physgen.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 for a verdict that was not to be, 2 for bad input,
    130 after Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:2] == ["infer", "benchmark"]:  # where the other `infer` has the name of a file
        given[:2] = ["infer-benchmark"]
    command = argparse.Namespace(command=shlex.join(["physgen", *given]))
    options = _parser().parse_args(given, command)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = _one_line
            require_own_output(options)
            return options.run(options) or 0
    except InputError as error:
        print(f"physgen: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("physgen: interrupted; nothing half-written was left behind", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def _one_line(message, category, filename, lineno, file=None, line=None):
    if issubclass(category, UserWarning):
        print(f"physgen: warning: {message}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """Errors in one line, like all others; subcommands are parsed by the same class."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="physgen", description="Generative models for simulations, judged by physics."
    )
    parser.add_argument("--version", action="version", version=f"physgen {physgen.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    quickstart.add_commands(commands)
    galaxies = commands.add_parser(
        "galaxies", help="simulate, learn, generate and judge galaxy catalogues"
    ).add_subparsers(required=True, metavar="COMMAND")
    catalogues.add_commands(commands, galaxies)
    datasets.add_commands(galaxies)
    validate.add_commands(commands, galaxies)
    emulate.add_commands(galaxies)
    maps.add_commands(galaxies)
    evidences.add_commands(galaxies)
    infer.add_commands(commands)
    spins.add_commands(commands)
    return parser
