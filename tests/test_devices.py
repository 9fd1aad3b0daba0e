"""Work shared out over devices gives what one device gives, in the same order."""

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
from physgen.devices import map_over_devices, over_devices
assert jax.device_count() == 4
for n in (8, 6, 7):
    x, y = jnp.arange(n * 3.0).reshape(n, 3), jnp.arange(float(n))
    result = jax.jit(lambda x, y: map_over_devices(lambda a, b: jnp.sum(a) * b, x, y))(x, y)
    np.testing.assert_allclose(result, np.sum(np.asarray(x), 1) * np.asarray(y), rtol=1e-6)
    p = jnp.array([0.5, -1.0, 2.0])
    gradient = jax.jit(jax.grad(lambda p: over_devices(lambda rows: (rows @ p) ** 2, x).sum()))(p)
    np.testing.assert_allclose(gradient, 2 * x.T @ (x @ p), rtol=1e-5)
"""


VARIATIONAL = """
import jax, jax.numpy as jnp, numpy as np
from flax import nnx
from jax.flatten_util import ravel_pytree
from physgen.spins import GRUWavefunction, TransverseFieldIsing
from physgen.spins.local import local_values
from physgen.spins.vmc import sampled_problem
assert jax.device_count() == 4
operator = TransverseFieldIsing(5).operator
psi = GRUWavefunction(units=4).build(5, rngs=nnx.Rngs(0))
graph, parameters, rest = nnx.split(psi, nnx.Param, ...)
vector, unravel = ravel_pytree(parameters)
key = jax.random.key(3)

@jax.jit
def shared(vector):
    at = lambda vector: nnx.merge(graph, unravel(vector), rest)
    problem, info = sampled_problem(key, vector, at, operator, 16)
    return problem.gradient(), problem.jacobian(), info["energy"]

gradient, jacobian, energy = shared(vector)
rows = psi.at_keys(jax.random.split(key, 16))
local = local_values(psi, operator, rows)[0].real
np.testing.assert_allclose(energy, local.mean() / 5, rtol=1e-5)
def log_abs(vector, row):
    return nnx.merge(graph, unravel(vector), rest).parts(row)[0]
each = jax.vmap(jax.grad(log_abs), in_axes=(None, 0))(vector, rows)
np.testing.assert_allclose(jacobian[:, 0], each, rtol=1e-4, atol=1e-6)
weights = 2 * (local - local.mean()) / 16 / operator.scale
np.testing.assert_allclose(gradient, weights @ each, rtol=1e-4, atol=1e-6)
"""


@pytest.mark.slow
@pytest.mark.parametrize("script", [SCRIPT, VARIATIONAL], ids=["rows", "variational"])
def test_four_devices(script):
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | flags, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
