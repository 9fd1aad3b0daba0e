"""Runs the Python blocks of a page, in the folder where its figures are kept.

python benchmarks/pages.py docs/bridges.md docs/images
"""

import argparse
import os
import re
import time
from pathlib import Path


def main() -> None:
    """Run all blocks in one scope, and say how long each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("images", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("MPLBACKEND", "Agg")
    blocks = re.findall(r"```python\n(.*?)```", options.page.read_text(), re.DOTALL)
    os.chdir(options.images)
    scope = {"__name__": "__main__"}
    for number, block in enumerate(blocks):
        started = time.perf_counter()
        exec(compile(block, f"block {number}", "exec"), scope)
        print(f"block {number}: {time.perf_counter() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
