"""Mapping over devices gives what a plain map gives, in the same order."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physgen.devices import map_over_devices, memory_of


def test_one_device():
    x = jnp.arange(12.0).reshape(6, 2)
    np.testing.assert_array_equal(
        jax.jit(lambda x: map_over_devices(lambda row: row**2, x))(x), x**2
    )


def test_memory_of_this_machine():
    known = memory_of(jax.devices()[0])
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        pytest.skip("no /proc/meminfo to compare with")
    assert known == 1024 * int(meminfo.read_text().split()[1])


SCRIPT = """
import jax, jax.numpy as jnp, numpy as np
from physgen.devices import map_over_devices
assert jax.device_count() == 4
for n in (8, 6, 7):
    x, y = jnp.arange(n * 3.0).reshape(n, 3), jnp.arange(float(n))
    result = jax.jit(lambda x, y: map_over_devices(lambda a, b: jnp.sum(a) * b, x, y))(x, y)
    np.testing.assert_allclose(result, np.sum(np.asarray(x), 1) * np.asarray(y), rtol=1e-6)
"""


@pytest.mark.slow
def test_four_devices_that_do_and_do_not_divide_the_items():
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=os.environ | flags, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
