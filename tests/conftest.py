"""Strict tests: array shapes are checked at run time, and nothing broadcasts by accident."""

import os
from pathlib import Path

# Compiling is most of the work, and most of compiling is optimising what runs once. With
# JAX_DISABLE_MOST_OPTIMIZATIONS=0 and an empty XLA_FLAGS all is compiled as users have it. Programs
# are compiled in one piece: the other cores are busy with other tests.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)
os.environ.setdefault("MPLBACKEND", "Agg")

import diffrax  # noqa: F401  # before the hook, behind which they take several seconds more
import distrax  # noqa: F401
import hypothesis
import jax
import pytest
from jaxtyping import install_import_hook

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
