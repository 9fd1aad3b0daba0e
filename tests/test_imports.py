"""What importing physgen does, and does not do."""

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import physgen

SOURCES = sorted(Path(physgen.__file__).parent.rglob("*.py"))


def python(text):
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_is_light_and_everything_else_is_lazy():
    text = """
import sys, physgen
assert not {"jax", "numpy", "flax", "matplotlib"} & sys.modules.keys(), "physgen is not light"
for name in physgen.__all__:
    getattr(physgen, name)
print(physgen.__version__)
"""
    assert python(text) == f"{physgen.__version__}\n"


def test_every_module_is_imported_silently_and_leaves_the_precision_alone():
    names = [module.name for module in pkgutil.walk_packages(physgen.__path__, "physgen.")]
    names = [name for name in names if not name.endswith("__main__")]
    text = f"""
import importlib
for name in {names}:
    importlib.import_module(name)
import jax
assert not jax.config.jax_enable_x64
assert jax.config.jax_numpy_rank_promotion == "allow"
"""
    assert python(text) == ""


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = physgen.nonsense
    assert set(physgen.__all__) <= set(dir(physgen))


def imported(source):
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def test_nothing_unpickles_and_distrax_has_one_door():
    users = {source.name: set(imported(source)) for source in SOURCES}
    for name in ("pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"):
        assert [source for source, modules in users.items() if name in modules] == []
    assert sum("distrax" in modules for modules in users.values()) <= 1
