"""The command that shows everything once: demo."""

import argparse
import shutil
import sys
from pathlib import Path

from physgen.cli.options import add_json, add_seed, progress, tell, use_cores


def add_commands(commands) -> None:
    """Add the command to the parser of `physgen`."""
    parser = commands.add_parser(
        "demo", help="simulate, learn, generate and judge galaxies, in about eight minutes"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for the results")
    parser.add_argument("--force", action="store_true", help="replace an earlier demo there")
    parser.add_argument("--minutes", type=float, default=4.5, help="of training (default 4.5)")
    add_seed(parser)
    add_json(parser)
    parser.set_defaults(run=demo)


def demo(options: argparse.Namespace) -> None:
    """physgen demo."""
    use_cores(at_most=4)
    import dataclasses

    import jax

    from physgen.galaxies.demo import FILES, DemoSettings, require_free_folder, run_demo

    settings = DemoSettings()
    schedule = dataclasses.replace(settings.schedule, minutes=options.minutes)
    settings = dataclasses.replace(settings, schedule=schedule)
    if options.force and options.out.is_dir():
        for name in FILES:
            (options.out / name).unlink(missing_ok=True)
        shutil.rmtree(options.out / "report", ignore_errors=True)
    require_free_folder(options.out)
    report = run_demo(
        jax.random.key(options.seed),
        options.out,
        settings,
        progress=progress,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    tell(
        options,
        report.to_dict(),
        f"{report.headline}\n-> {options.out / 'report' / 'report.html'}",
    )
