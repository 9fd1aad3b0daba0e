"""The tutorials run as they are printed."""

import re
from pathlib import Path

import pytest

PAGES = [
    "tutorial-galaxies.md",
    "catalogues.md",
    "howto-catalogues.md",
    "reports.md",
    "tutorial-inference.md",
    "simulators.md",
    "tutorial-spins.md",
    "statistics.md",
    "tutorial-tomography.md",
    "bridges.md",
]
DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_runs(page, tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    scope = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(block, page, "exec"), scope)
