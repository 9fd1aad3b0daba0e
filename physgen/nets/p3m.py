"""A velocity field for large point clouds in a periodic box: pairs nearby, a mesh far away.

As the particle-particle particle-mesh method of N-body codes (Hockney & Eastwood 1981): a point
sees its nearest neighbours one by one, within a cutoff of about two mean separations, and all
others through fields on a mesh, whose learned charges are filtered in Fourier space. Time and
memory are linear in the number of points.

- Nearby: the radial filters and unit vectors of `PairNetwork`, summed over the k nearest within the
  cutoff. A filter ends smoothly at the cutoff, or at the k-th neighbour where that is nearer, as in
  clumps: what happens beyond it reaches a point there through the mesh and through its neighbours.
- Far away: isotropic filters of the wave number for scalars, and the same times i k / |k| for
  vectors. Translations by whole mesh spacings leave these exact, others up to what the mesh
  resolves.

All filters are expansions in bumps, of log distance and log wave number, whose coefficients depend
on time and context. Permutations and the symmetries of the cube hold by construction.
"""

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from physgen.errors import InputError
from physgen.geometry import Geometry
from physgen.nets.blocks import by_blocks
from physgen.nets.mlp import MLP
from physgen.nets.neighbours import BOX, Neighbours, cell_order, minimum_image, nearest_neighbours
from physgen.nets.pairs import radial_basis, time_features
from physgen.nets.particle_mesh import (
    Shares,
    check_mesh,
    deposit,
    read,
    shares_of,
    to_fields,
    to_modes,
    waves_of,
)


@dataclass(frozen=True)
class P3MSettings:
    """Size of a `P3MNetwork`. Lengths are in units of the box; see `for_points` for defaults.

    vectors, scalars: what a point carries after its position: vectors of three entries, then
    scalars, in units that make them of order one.
    cutoff: how far pairs are seen one by one; neighbours: how many at most, the nearest.
    mesh_size: nodes along a side, an even number, about one for each point in all.
    filters: summed over neighbours, of each kind; carried: of these for each vector.
    channels: charges that a layer puts on the mesh.
    """

    context_size: int
    cutoff: float
    mesh_size: int
    shortest: float
    vectors: int = 0
    scalars: int = 0
    neighbours: int = 32
    width: int = 48
    layers: int = 4
    filters: int = 12
    carried: int = 4
    channels: int = 8
    radial: int = 16
    spectral: int = 10
    conditioning: int = 64

    def __post_init__(self):
        for field in fields(self):
            least = 0 if field.name in ("context_size", "vectors", "scalars") else 1
            value = getattr(self, field.name)
            if field.type in (int, "int") and value < least:
                raise InputError(f"expected {field.name} of at least {least}, got {value}")
        check_mesh(self.mesh_size)
        if not 0 < self.shortest < self.cutoff < 0.5:
            raise InputError(
                "expected 0 < shortest < cutoff < 0.5 (of the box), got "
                f"{self.shortest} and {self.cutoff}"
            )

    @classmethod
    def for_points(
        cls, n: int, context_size: int, vectors: int = 0, scalars: int = 0, **changes
    ) -> "P3MSettings":
        """Settings for clouds of about n points; `changes` replace fields.

        A uniform cloud has 1.25 times as many points within the cutoff as are looked at. The mesh
        has at least as many nodes as there are points, and a size that Fourier transforms like.
        """
        separation = n ** (-1 / 3)
        neighbours = changes.get("neighbours", 32)
        cutoff = separation * (1.25 * neighbours * 3 / (4 * math.pi)) ** (1 / 3)
        derived = {
            "cutoff": min(0.45, cutoff),
            "mesh_size": _even_smooth(1 / separation),
            "shortest": 0.015 * separation,
            "vectors": vectors,
            "scalars": scalars,
        }
        return cls(context_size, **{**derived, **changes})

    def build(self, geometry: Geometry, *, rngs: nnx.Rngs) -> "P3MNetwork":
        """The network, in the geometry of the clouds.

        Raises:
            InputError: if that is not the periodic box of side 1.
        """
        if geometry != BOX:
            raise InputError(
                f"expected the periodic box Torus(1.0), got {geometry}: clouds in open space have "
                "no mesh; use PairSettings"
            )
        return P3MNetwork(self, rngs=rngs)


class P3MNetwork(nnx.Module):
    """v(time, x, context, mask) of the shape of x, (N, 3 + 3 vectors + scalars), for any N."""

    def __init__(self, settings: P3MSettings, *, rngs: nnx.Rngs):
        s = self.settings = settings
        self.conditioner = MLP(
            (time_features(jnp.array(0.0)).size + s.context_size, s.conditioning, s.conditioning),
            rngs=rngs,
        )
        self.initial = nnx.Linear(s.conditioning, s.width, rngs=rngs)
        self.own = nnx.Linear(
            _DENSITIES + s.vectors + s.scalars, s.width, use_bias=False, rngs=rngs
        )
        self.layers = nnx.List([_Layer(s, rngs=rngs) for _ in range(s.layers)])
        self.gates = nnx.Linear(
            s.width,
            (1 + s.vectors) * (s.layers * _made(s) + s.vectors) + s.scalars,
            kernel_init=nnx.initializers.zeros,
            rngs=rngs,
        )

    def __call__(
        self,
        time: Float[Array, ""],
        x: Float[Array, "n f"],
        context: Float[Array, " c"] | None = None,
        mask: Bool[Array, " n"] | None = None,
    ) -> Float[Array, "n f"]:
        s = self.settings
        n, entries = x.shape
        if entries != 3 + 3 * s.vectors + s.scalars:
            raise InputError(
                f"expected {3 + 3 * s.vectors + s.scalars} entries a point (position, {s.vectors} "
                f"vectors, {s.scalars} scalars), got {entries}"
            )
        present = jnp.ones(n, bool) if mask is None else mask
        order = cell_order(x[:, :3], present, s.cutoff)
        cloud = _cloud_of(x[order], present[order], s)

        features = time_features(time)
        if context is not None:
            features = jnp.concatenate([features, context])
        condition = jax.nn.silu(self.conditioner(features))
        lengths = jnp.sqrt(jnp.sum(cloud.vectors**2, axis=-1) + 1e-6)
        density = radial_basis(jnp.log(cloud.radius), *_log_range(s), _DENSITIES).T
        own = jnp.concatenate([density, jnp.arcsinh(lengths), jnp.arcsinh(cloud.scalars)], axis=1)
        h = self.initial(condition)[None] + self.own(own)
        made = [cloud.vectors]
        for layer in self.layers:
            h, vectors = jax.checkpoint(_apply)(layer, h, cloud, condition)
            made.append(vectors)
        vectors = jnp.concatenate(made, axis=1)
        gates, scalars = jnp.split(self.gates(h), [(1 + s.vectors) * vectors.shape[1]], axis=1)
        moved = jnp.einsum("nok,nkc->noc", gates.reshape(n, 1 + s.vectors, -1), vectors)
        velocity = jnp.concatenate([moved.reshape(n, -1), scalars], axis=1)
        return jnp.zeros_like(x).at[order].set(velocity * cloud.weight[:, None])


_DENSITIES = 12  # bumps of the log radius that holds a point's neighbours
_NEIGHBOURS = 32.0  # that a filter typically sums over: sets the size of initial kernels
_BLOCKS = 16  # of points at most, in sums over neighbours


class _Cloud(NamedTuple):
    """The points in the order of their cells, and where they lie to each other."""

    position: Float[Array, "n 3"]
    vectors: Float[Array, "n v 3"]
    scalars: Float[Array, "n s"]
    weight: Float[Array, " n"]
    neighbours: Neighbours
    radius: Float[Array, " n"]
    """Where sums over neighbours end: the cutoff, or the last of the k neighbours."""
    shares: Shares
    density: Float[Array, ""]
    """Points in the box for each node of the mesh."""


def _cloud_of(x, present, settings) -> _Cloud:
    s = settings
    weight = present.astype(x.dtype)
    position, vectors, scalars = jnp.split(x, [3, 3 + 3 * s.vectors], axis=1)
    position = BOX.wrap(position)
    neighbours = nearest_neighbours(position, present, s.cutoff, s.neighbours)
    far = jnp.take_along_axis(  # of all that are found, so that no other row is differentiated
        neighbours.index, jnp.full((len(x), 1), s.neighbours - 1), axis=1
    )
    delta = minimum_image(position[far[:, 0]] - position)
    last = jnp.sqrt(jnp.sum(delta**2, axis=1) + (s.shortest / 4) ** 2)
    return _Cloud(
        position,
        vectors.reshape(len(x), s.vectors, 3) * weight[:, None, None],
        scalars * weight[:, None],
        weight,
        neighbours,
        jnp.where(neighbours.found[:, -1], jnp.minimum(last, s.cutoff), s.cutoff),
        shares_of(position, s.mesh_size),
        jnp.maximum(jnp.sum(weight), 1.0) / s.mesh_size**3,
    )


def _made(settings: P3MSettings) -> int:
    """Vectors that a layer makes for each point."""
    s = settings
    return s.filters + s.vectors * s.carried + s.channels + 2 * s.vectors


def _log_range(settings: P3MSettings) -> tuple[float, float]:
    return math.log(settings.shortest), math.log(settings.cutoff)


def _apply(layer, h, cloud, condition):
    return layer(h, cloud, condition)


class _Filters(nnx.Module):
    """Coefficients of filters in a basis, as functions of the condition."""

    def __init__(self, n: int, basis: int, conditioning: int, scale: float, *, rngs: nnx.Rngs):
        self.at_rest = nnx.Param(scale * jax.random.normal(rngs.params(), (n, basis)))
        self.shift = nnx.Linear(
            conditioning,
            n * basis,
            kernel_init=nnx.initializers.normal(0.1 * scale / conditioning**0.5),
            use_bias=False,
            rngs=rngs,
        )

    def __call__(self, condition: Float[Array, " c"]) -> Float[Array, "n basis"]:
        return self.at_rest[...] + self.shift(condition).reshape(self.at_rest.shape)


class _Layer(nnx.Module):
    def __init__(self, settings: P3MSettings, *, rngs: nnx.Rngs):
        s = self.settings = settings
        zeros = nnx.initializers.zeros
        near = 2 * s.filters + 2 * s.vectors * s.carried
        far = 2 * s.channels + 3 * s.vectors
        made = _made(s)
        self.modulation = nnx.Linear(s.conditioning, 2 * s.width, kernel_init=zeros, rngs=rngs)
        self.norm = nnx.LayerNorm(s.width, use_bias=False, use_scale=False, rngs=rngs)
        self.project = nnx.Linear(s.width, 2 * s.filters + s.channels + s.vectors, rngs=rngs)
        near_scale = (_NEIGHBOURS * s.radial) ** -0.5
        self.near = _Filters(near, s.radial, s.conditioning, near_scale, rngs=rngs)
        self.far = _Filters(far, s.spectral, s.conditioning, 0.5, rngs=rngs)
        self.mix = nnx.Linear(made + s.vectors, made + s.vectors, use_bias=False, rngs=rngs)
        messages = s.filters + s.vectors * s.carried + s.channels + s.vectors
        seen = s.width + messages + 2 * (made + s.vectors)
        self.update = MLP((seen, 2 * s.width, s.width), rngs=rngs)

    def __call__(
        self, h: Float[Array, "n width"], cloud: _Cloud, condition: Float[Array, " conditioning"]
    ) -> tuple[Float[Array, "n width"], Float[Array, "n made 3"]]:
        s = self.settings
        scale, shift = jnp.split(self.modulation(condition), 2)
        seen = self.norm(h) * (1 + scale)[None] + shift[None]
        carried, directed, charge = jnp.split(self.project(seen), [s.filters, 2 * s.filters], 1)
        carried = jnp.concatenate([carried, 1 + directed], axis=1) * cloud.weight[:, None]
        near, near_vectors = self._near(carried, cloud, condition)
        far, far_vectors = self._far((1 + charge) * cloud.weight[:, None], cloud, condition)
        made = jnp.concatenate([near_vectors, far_vectors], axis=1)
        vectors = jnp.concatenate([made, cloud.vectors], axis=1)
        mixed = jnp.einsum("nkc,kl->nlc", vectors, self.mix.kernel[...])
        sizes = [jnp.sum(vectors * vectors, axis=-1), jnp.sum(vectors * mixed, axis=-1)]
        # Sums over neighbours are large in clusters: asinh keeps them linear near zero and tame.
        messages = jnp.arcsinh(jnp.concatenate([near, far, *sizes], axis=1))
        return h + self.update(jnp.concatenate([seen, messages], axis=1)), made

    def _near(self, carried, cloud, condition):
        """Sums over neighbours: scalars (n, filters + flows), vectors (n, filters + carried, 3)."""
        s = self.settings
        kernels = self.near(condition)
        split = np.cumsum([s.filters, s.filters, s.vectors * s.carried])
        others = cloud.vectors.reshape(len(carried), -1)

        def block(position, index, found, radius):
            delta = minimum_image(cloud.position[index] - position[:, None])
            squared = jnp.sum(delta * delta, axis=-1) + (s.shortest / 4) ** 2
            basis = radial_basis(0.5 * jnp.log(squared), *_log_range(s), s.radial)
            ends = jnp.maximum(0.0, 1 - (squared / radius[:, None] ** 2) ** 2) ** 2
            filters = jnp.einsum("rij,kr->ijk", basis, kernels) * (ends * found)[:, :, None]
            scalar, directed, flow, moved = jnp.split(filters, split, axis=2)
            unit = delta * jax.lax.rsqrt(squared)[:, :, None]
            u, charge = jnp.split(carried[index], 2, axis=2)
            sums = [jnp.sum(scalar * u, axis=1)]
            outward = [jnp.einsum("ijf,ijc->ifc", directed * charge, unit)]
            if s.vectors:
                w = others[index].reshape(*index.shape, s.vectors, 3)
                along = jnp.sum(w * unit[:, :, None], axis=-1)
                flow, moved = (
                    part.reshape(*index.shape, s.vectors, s.carried) for part in (flow, moved)
                )
                sums.append(jnp.einsum("ijvp,ijv->ivp", flow, along).reshape(len(index), -1))
                outward.append(jnp.einsum("ijvp,ijvc->ivpc", moved, w).reshape(len(index), -1, 3))
            return jnp.concatenate(sums, axis=1), jnp.concatenate(outward, axis=1)

        rows = (cloud.position, cloud.neighbours.index, cloud.neighbours.found, cloud.radius)
        return by_blocks(block, *rows, most=_BLOCKS)

    def _far(self, charges, cloud, condition):
        """Fields of all points: scalars (n, channels + v), vectors (n, channels + 2 v, 3).

        The last charges weigh the vectors that points carry, whose divergence is one more scalar.
        """
        s = self.settings
        waves = waves_of(s.mesh_size)
        scalar, weights = jnp.split(charges, [s.channels], axis=1)
        flux = (weights[:, :, None] * cloud.vectors).reshape(len(charges), -1)
        mesh = deposit(cloud.shares, jnp.concatenate([scalar, flux], axis=1), s.mesh_size)
        modes = to_modes(mesh) * (waves.compensation / cloud.density)[None]
        scalar, flux = jnp.split(modes, [s.channels])
        flux = flux.reshape(s.vectors, 3, *waves.shell.shape)
        direction = 1j * waves.direction
        divergence = jnp.sum(flux * direction[None], axis=1)
        sources = jnp.concatenate([scalar, divergence])

        filters = self._spectral(condition)[:, waves.shell]
        sums, pushes, carries = jnp.split(filters, np.cumsum([len(sources)] * 2))
        pushed = (sources * pushes)[:, None] * direction[None]
        vectors = jnp.concatenate([pushed, flux * carries[:, None]])
        flat = vectors.reshape(-1, *waves.shell.shape)
        found = read(cloud.shares, to_fields(jnp.concatenate([sources * sums, flat])))
        scalars, vectors = jnp.split(found, [len(sources)], axis=1)
        return scalars, vectors.reshape(len(charges), -1, 3)

    def _spectral(self, condition) -> Float[Array, "filters shells"]:
        """The filters at squared wave numbers 0, 1, 2, ... of the sphere that the mesh resolves."""
        s = self.settings
        most = (s.mesh_size // 2) ** 2
        squared = np.arange(most, dtype=np.float32)
        log_wave = jnp.asarray(0.5 * np.log(np.maximum(squared, 1)))
        basis = radial_basis(log_wave, 0.0, 0.5 * math.log(most), s.spectral)
        ends = (squared > 0) * (1 - (squared / most) ** 2) ** 2
        return self.far(condition) @ basis * ends[None]


def _even_smooth(least: float) -> int:
    """The smallest even number from `least` on, and from 8, with no prime factor above 5."""
    size = 2 * math.ceil(max(8, least - 1e-6) / 2)
    while not _smooth(size):
        size += 2
    return size


def _smooth(number: int) -> bool:
    for prime in (2, 3, 5):
        while number % prime == 0:
            number //= prime
    return number == 1
