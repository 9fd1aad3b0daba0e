"""The command line: thin commands over the library.

Every error that a user can mend is one line on stderr and exit status 2; figures go to stdout,
progress to stderr.
"""

from physgen.cli.main import main

__all__ = ["main"]
