"""python -m physgen: the command line."""

import sys

from physgen.cli import main

sys.exit(main())
