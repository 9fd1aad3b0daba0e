"""Strict tests: array shapes are checked at run time, and nothing broadcasts by accident."""

import os
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")
# What one test or command has compiled, the next one need not.
CACHE = Path(__file__).resolve().parents[1] / ".pytest_cache" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")

import hypothesis  # noqa: E402
import jax  # noqa: E402
import pytest  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

install_import_hook("physgen", "strict.typechecker")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Compilation makes the first example slow; a failure must be the same failure tomorrow.
hypothesis.settings.register_profile("physgen", deadline=None, derandomize=True)
hypothesis.settings.load_profile("physgen")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data, which is not part of the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("PHYSGEN_SHARED", beside)) / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}: set PHYSGEN_SHARED to the folder that holds data/")
    return folder
