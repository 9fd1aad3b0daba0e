"""The command line as a user meets it."""

from physgen.cli import main


def run(capsys, *arguments):
    """Exit status, stdout and stderr of one command."""
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        status = int(stop.code or 0)
    out, err = capsys.readouterr()
    return status, out, err
