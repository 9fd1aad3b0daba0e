"""Points on a periodic mesh and back, with isotropic filters between (a particle mesh).

Hockney & Eastwood 1981, chapter 5: charges are shared among the eight nodes around a point
(cloud in cell), filtered in Fourier space, and read back with the same shares. The kernel is
divided out twice, within the sphere of wave numbers that the mesh resolves. The box has side 1.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int

from physgen.errors import InputError


class Shares(NamedTuple):
    """The nodes around each point, as places in the flat mesh, and their shares of it."""

    node: Int[Array, "n 8"]
    share: Float[Array, "n 8"]


class Waves(NamedTuple):
    """The wave vectors of a mesh of m nodes a side, in the layout of `rfftn`."""

    shell: Int[np.ndarray, "m m h"]
    """Squared length in units of the fundamental; beyond the sphere, and at zero, 0."""
    direction: Float[np.ndarray, "3 m m h"]
    """Unit vectors; zero where `shell` is."""
    compensation: Float[np.ndarray, "m m h"]
    """One over the squared window of cloud in cell; zero where `shell` is."""


def check_mesh(mesh_size: int) -> None:
    """Raise InputError if the number of nodes along a side is odd or below 4."""
    if mesh_size < 4 or mesh_size % 2:
        raise InputError(f"expected an even mesh of 4 nodes a side or more, got {mesh_size}")


def shares_of(position: Float[Array, "n 3"], mesh_size: int) -> Shares:
    """Cloud-in-cell shares of points in [0, 1); node i is at i / mesh_size."""
    scaled = position * mesh_size
    lower = jnp.floor(scaled)
    beyond = scaled - lower
    first = lower.astype(int)
    node, share = [], []
    for corner in np.ndindex(2, 2, 2):
        x, y, z = ((first + np.array([corner])) % mesh_size).T
        node.append((x * mesh_size + y) * mesh_size + z)
        share.append(jnp.prod(jnp.where(np.array([corner]), beyond, 1 - beyond), axis=1))
    return Shares(jnp.stack(node, axis=1), jnp.stack(share, axis=1))


def deposit(
    shares: Shares, charges: Float[Array, "n c"], mesh_size: int
) -> Float[Array, "c m m m"]:
    """The sum of the points' charges at each node."""
    mesh = jnp.zeros((mesh_size**3, charges.shape[1]), charges.dtype)
    mesh = mesh.at[shares.node].add(shares.share[:, :, None] * charges[:, None, :])
    return mesh.T.reshape(-1, mesh_size, mesh_size, mesh_size)


def read(shares: Shares, fields: Float[Array, "c m m m"]) -> Float[Array, "n c"]:
    """Fields at the points."""
    table = fields.reshape(len(fields), -1).T
    return jnp.einsum("ns,nsc->nc", shares.share, table[shares.node])


def to_modes(fields: Float[Array, "c m m m"]) -> Complex[Array, "c m m h"]:
    """Fourier modes of fields."""
    return jnp.fft.rfftn(fields, axes=(1, 2, 3))


def to_fields(modes: Complex[Array, "c m m h"]) -> Float[Array, "c m m m"]:
    """Fields of Fourier modes."""
    return jnp.fft.irfftn(modes, s=(modes.shape[1],) * 3, axes=(1, 2, 3))


def waves_of(mesh_size: int) -> Waves:
    """The wave vectors of a mesh."""
    check_mesh(mesh_size)
    axis = np.rint(np.fft.fftfreq(mesh_size, 1 / mesh_size))
    vector = np.stack(np.meshgrid(axis, axis, np.arange(mesh_size // 2 + 1), indexing="ij"))
    squared = np.sum(vector**2, axis=0)
    inside = (squared > 0) & (squared < (mesh_size // 2) ** 2)
    window = np.prod(np.sinc(vector / mesh_size), axis=0) ** 2
    return Waves(
        np.where(inside, squared, 0).astype(np.int32),
        np.where(inside, vector / np.sqrt(np.maximum(squared, 1)), 0).astype(np.float32),
        np.where(inside, window**-2.0, 0).astype(np.float32),
    )
