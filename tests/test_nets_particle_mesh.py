"""The particle mesh against direct sums, and against the mesh of the statistics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physgen import InputError
from physgen.nets.particle_mesh import deposit, read, shares_of, to_fields, to_modes, waves_of
from physgen.stats import counts_in_cells

MESH = 12


def points(n, seed=0):
    return np.random.default_rng(seed).uniform(size=(n, 3)).astype(np.float32)


def test_shares_are_cloud_in_cell():
    x, charge = points(200), np.random.default_rng(1).uniform(size=200).astype(np.float32)
    mesh = deposit(shares_of(jnp.asarray(x), MESH), jnp.asarray(charge)[:, None], MESH)
    expected = counts_in_cells(x, MESH, box_size=1.0, weights=charge, order=2)
    np.testing.assert_allclose(mesh[0], expected, atol=1e-5)


def test_reading_is_the_transpose_of_depositing():
    shares = shares_of(jnp.asarray(points(50)), MESH)
    charges = jax.random.normal(jax.random.key(0), (50, 2))
    fields = jax.random.normal(jax.random.key(1), (2, MESH, MESH, MESH))
    there = jnp.sum(deposit(shares, charges, MESH) * fields)
    back = jnp.sum(charges * read(shares, fields))
    assert float(there) == pytest.approx(float(back), rel=1e-4)


@pytest.mark.parametrize("wave", [(1, 0, 0), (2, -1, 3), (0, 0, 5), (-3, 3, 1)])
def test_the_gradient_of_a_mode_is_exact_at_the_nodes(wave):
    """i k / |k| turns cos(2 pi wave . x) into -(k / |k|) sin(2 pi wave . x)."""
    nodes = np.stack(np.meshgrid(*[np.arange(MESH) / MESH] * 3, indexing="ij"), -1).reshape(-1, 3)
    phase = 2 * np.pi * nodes @ np.array(wave)
    field = jnp.asarray(np.cos(phase), jnp.float32).reshape(1, MESH, MESH, MESH)
    gradient = to_fields(to_modes(field) * (1j * waves_of(MESH).direction))
    at_nodes = read(shares_of(jnp.asarray(nodes, jnp.float32), MESH), gradient)
    direction = np.array(wave) / np.linalg.norm(wave)
    np.testing.assert_allclose(at_nodes, -np.sin(phase)[:, None] * direction, atol=3e-5)


def test_the_window_is_divided_out():
    """Sums over points of one shell of modes, to second order in the mesh spacing."""
    x, charge = points(60), np.random.default_rng(2).normal(size=60)
    waves = np.array([w for w in np.ndindex(7, 7, 7) if sum((np.array(w) - 3) ** 2) == 9]) - 3
    phases = 2 * np.pi * (x @ waves.T)
    exact = np.cos(phases[:, None] - phases[None]).sum(axis=-1) @ charge

    def error(size):
        shares, known = shares_of(jnp.asarray(x), size), waves_of(size)
        mesh = deposit(shares, jnp.asarray(charge, jnp.float32)[:, None], size)
        chosen = to_modes(mesh) * (known.compensation * (known.shell == 9))[None]
        return np.abs(read(shares, to_fields(chosen) * size**3)[:, 0] - exact).max()

    scale = np.abs(exact).max()
    assert error(64) < 0.01 * scale
    assert error(64) < error(16) / 8


def test_waves_end_with_the_sphere_that_the_mesh_resolves():
    shell, direction, compensation = waves_of(MESH)
    assert shell.max() < (MESH // 2) ** 2
    norm = np.sum(direction**2, axis=0)
    np.testing.assert_allclose(norm, (shell > 0).astype(float), atol=1e-6)
    assert compensation[shell > 0].min() >= 1 and not compensation[shell == 0].any()
    with pytest.raises(InputError, match="even mesh"):
        waves_of(9)
