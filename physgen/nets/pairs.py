"""A velocity field for point clouds, built from the displacements of pairs.

Node features start equal for all points, so all a point can learn about is its displacement to
the others: the field is permutation- and translation-equivariant by construction, and it follows
the reflections and axis permutations of a cube. In each layer, pairs act in three ways:

- attention with a radial bias, as in Graphormer (Ying et al. 2021, arXiv:2106.05234), which may be
  left out;
- a sum over neighbours with radial filters, as in SchNet (Schuett et al. 2017, arXiv:1706.08566);
- the same sum over unit vectors, which gives each point vectors, as in PaiNN
  (Schuett et al. 2021, arXiv:2102.03150).

The radial functions are expansions in bumps of log distance whose coefficients depend on time
and context, so each noise level and each cosmology has its own filters. In a periodic box sums of
vectors may have the longest waves beside, which smooth functions of distance do not tell apart (see
`waves`). The velocity is a gated sum of the vectors.

Points may carry vectors and scalars beside their position. Scalars and lengths enter the node
features, vectors are summed over neighbours with radial filters of their own, and turn with the
cube; what changes them is a gated sum of vectors, or a function of the node features, added to the
velocity that is right for independent normal numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from physgen.errors import InputError
from physgen.geometry import DirectionFactors, Geometry, Torus
from physgen.nets.mlp import MLP
from physgen.nets.waves import Phases, WaveFilters, phases


@dataclass(frozen=True)
class PairSettings:
    """Size of a `PairNetwork`. Lengths are in the units of the positions it is given."""

    context_size: int
    width: int = 48
    layers: int = 4
    heads: int = 4
    """Of the attention; none where 0."""
    filters: int = 8
    radial: int = 16
    conditioning: int = 64
    shortest: float = 0.003
    longest: float = 0.6
    waves: int = 0
    """Largest |k|^2 of the waves in a periodic box, in units of the fundamental; none where 0."""
    anchored: bool = False
    """Whether points also see their displacement from the origin (no translation symmetry)."""
    vectors: int = 0
    scalars: int = 0
    """How many of either a point carries: an event is (N, 3 + 3 vectors + scalars), in that order,
    and what is carried starts from standard normals."""

    def channels(self, layers: int) -> int:
        """Vectors that a point has after so many layers."""
        return self.vectors + layers * self.filters * (2 if self.vectors else 1)

    def build(self, geometry: Geometry, *, rngs: nnx.Rngs) -> "PairNetwork":
        """The network, in the geometry of the clouds."""
        return PairNetwork(geometry, self, rngs=rngs)

    def __post_init__(self):
        if (self.heads and self.width % self.heads) or self.width % self.filters:
            raise InputError(
                f"expected a width that heads and filters divide, got {self.width} for "
                f"{self.heads} heads and {self.filters} filters"
            )
        if self.waves < 0:
            raise InputError(f"expected waves of 0 or more, got {self.waves}; give 0 for none")
        if not 0 < self.shortest < self.longest:
            raise InputError(
                f"expected 0 < shortest < longest, got {self.shortest} and {self.longest}"
            )


class _Pairs(NamedTuple):
    """What layers see of all pairs of points."""

    basis: Float[Array, "radial n n"]
    inverse_distance: Float[Array, "n n"]
    directions: DirectionFactors
    phases: Phases | None


class _Filters(NamedTuple):
    """Functions of the displacement of pairs: of its length, and of the longest waves."""

    radial: Float[Array, "f n n"]
    gains: Float[Array, "w f"] | None

    def scalar_sums(self, charge: Float[Array, "n f c"], pairs: _Pairs) -> Float[Array, "n f c"]:
        """Sum over j of filter_ij charge_j."""
        sums = jnp.einsum("fij,jfc->ifc", self.radial, charge)
        if self.gains is None or pairs.phases is None:
            return sums
        return sums + pairs.phases.scalar_sums(self.gains, charge)

    def vector_sums(self, charge: Float[Array, "n f c"], pairs: _Pairs) -> Float[Array, "n f 3"]:
        """Sum over j of filter_ij charge_j in the direction of x_j - x_i."""
        pull = self.radial * pairs.inverse_distance[None]
        sums = _vector_sums(pull, charge, pairs.directions)
        if self.gains is None or pairs.phases is None:
            return sums
        return sums + pairs.phases.vector_sums(self.gains, charge)


class _Channels(NamedTuple):
    """What the velocity of each point takes of each other one, by each vector filter."""

    kernels: Float[Array, "c radial"]
    gains: Float[Array, "w c"] | None
    charges: Float[Array, "n c"]
    gates: Float[Array, "n c"]
    anchors: Float[Array, "n anchors"]


class PairNetwork(nnx.Module):
    """v(time, x, context), of the shape of x, for any number N of points."""

    def __init__(self, geometry: Geometry, settings: PairSettings, *, rngs: nnx.Rngs):
        self.geometry = geometry
        self.settings = settings
        s = settings
        if s.waves and not isinstance(geometry, Torus):
            raise InputError(
                f"expected waves=0 in open space, got {s.waves}; waves are of a periodic box"
            )
        zeros = nnx.initializers.zeros
        self.conditioner = MLP(
            (_TIME_FEATURES + s.context_size, s.conditioning, s.conditioning), rngs=rngs
        )
        self.initial = nnx.Linear(s.conditioning, s.width, rngs=rngs)
        known = s.vectors + s.scalars
        self.carried = nnx.Linear(known, s.width, use_bias=False, rngs=rngs) if known else None
        self.layers = nnx.List([_PairLayer(s, i, rngs=rngs) for i in range(s.layers)])
        channels = s.channels(s.layers) + int(s.anchored)
        self.gates = nnx.Linear(s.width, (1 + s.vectors) * channels, kernel_init=zeros, rngs=rngs)
        self.scalar = (
            nnx.Linear(s.width, s.scalars, kernel_init=zeros, rngs=rngs) if s.scalars else None
        )

    def __call__(
        self,
        time: Float[Array, ""],
        x: Float[Array, "n d"],
        context: Float[Array, " c"] | None = None,
        mask: Bool[Array, " n"] | None = None,
    ) -> Float[Array, "n d"]:
        s = self.settings
        condition = self._condition(time, context)
        x, carried = x[:, :3], x[:, 3:]
        variance = time**2 + (1 - time) ** 2
        vectors, scalars = jnp.split(carried / jnp.sqrt(variance), [3 * s.vectors], axis=1)
        vectors = vectors.reshape(len(x), s.vectors, 3)

        pairs = self._pairs(x)
        weight = jnp.ones(x.shape[0]) if mask is None else mask.astype(x.dtype)

        h = self._first_features(x, condition)
        if self.carried is not None:
            lengths = jnp.sqrt(jnp.sum(vectors**2, axis=-1) + 1e-6)
            h = h + self.carried(jnp.concatenate([lengths, scalars], axis=1))
        for layer in self.layers:
            h, found = layer(h, vectors, pairs, condition, weight)
            vectors = jnp.concatenate([vectors, found], axis=1)
        if s.anchored:
            vectors = jnp.concatenate([vectors, x[:, None, :]], axis=1)
        gates = self.gates(h).reshape(len(x), 1 + s.vectors, vectors.shape[1])
        moved = jnp.einsum("nvk,nkc->nvc", gates, vectors)
        velocity = moved[:, 0]
        if self.carried is not None:
            changes = [moved[:, 1:].reshape(len(x), 3 * s.vectors)]
            changes += [] if self.scalar is None else [self.scalar(h)]
            correction = jnp.concatenate(changes, axis=1) / jnp.sqrt(variance)
            normal = (2 * time - 1) / variance * carried
            velocity = jnp.concatenate([velocity, normal + correction], axis=1)
        return velocity * weight[:, None]

    def pair_sum(
        self,
        time: Float[Array, ""],
        features_at: Float[Array, "n d"],
        x: Float[Array, "n d"],
        context: Float[Array, " c"] | None = None,
        mask: Bool[Array, " n"] | None = None,
    ) -> tuple[Float[Array, "n d"], Float[Array, ""]] | None:
        """The velocity at x as a sum over pairs, with the node features that points elsewhere have.

        And its divergence while these features stay. None where points carry more than positions.
        """
        s = self.settings
        if self.carried is not None:
            return None
        condition = self._condition(time, context)
        weight = jnp.ones(x.shape[0]) if mask is None else mask.astype(x.dtype)
        channels = self._channels(features_at, condition, weight)
        sent = channels.gates[:, :, None] * channels.kernels[None]
        filters = jnp.einsum("ikr,jk->rij", sent, channels.charges)
        # A point moves with itself, and is not pulled.
        filters = filters * (1 - jnp.eye(len(x), dtype=x.dtype))[None]

        def pull(squared):
            basis, inverse_distance = self._radial_basis(squared)
            return jnp.einsum("rij,rij->ij", filters, basis) * inverse_distance

        squared = self.geometry.squared_distances(x)
        pulls, slopes = jax.jvp(pull, (squared,), (jnp.ones_like(squared),))
        ones = jnp.ones((len(x), 1, 1), x.dtype)
        velocity = _vector_sums(pulls[None], ones, self.geometry.direction_factors(x))[:, 0]
        divergence = jnp.zeros(len(x), x.dtype)
        for axis in range(3):

            def of_points(here, axis=axis):
                squared = self.geometry.squared_distances(here, x)
                return squared, _displacements(self.geometry, here, x, axis)

            along = jnp.zeros_like(x).at[:, axis].set(1)
            (_, displaced), (grown, turned) = jax.jvp(of_points, (x,), (along,))
            divergence += jnp.sum(slopes * grown * displaced + pulls * turned, axis=1)
        waves = self._phases(x)
        if waves is not None and channels.gains is not None:
            pulled = waves.vector_sums(channels.gains, channels.charges[:, :, None])
            velocity += jnp.einsum("nk,nkc->nc", channels.gates, pulled)
            spread = waves.divergence(channels.gains, channels.charges)
            divergence += jnp.sum(channels.gates * spread, axis=1)
        if s.anchored:
            anchors = channels.anchors
            velocity, divergence = velocity + anchors * x, divergence + 3 * anchors[:, 0]
        return velocity * weight[:, None], divergence @ weight

    def _channels(
        self,
        x: Float[Array, "n 3"],
        condition: Float[Array, " conditioning"],
        weight: Float[Array, " n"],
    ) -> _Channels:
        s = self.settings
        pairs = self._pairs(x)
        h, nothing = self._first_features(x, condition), jnp.zeros((len(x), 0, 3), x.dtype)
        kernels, gains, charges = [], [], []
        for layer in self.layers:
            kernels.append(layer.vector_kernels(condition))
            gains.append(layer.vector_gains(condition))
            charges.append(layer.charges(h, condition, weight))
            h, _ = layer(h, nothing, pairs, condition, weight)
        gates, anchors = jnp.split(self.gates(h), [s.layers * s.filters], axis=1)
        return _Channels(
            jnp.concatenate(kernels),
            jnp.concatenate(gains, axis=1) if s.waves else None,
            jnp.concatenate(charges, axis=1),
            gates,
            anchors,
        )

    def _pairs(self, x: Float[Array, "n 3"]) -> _Pairs:
        return _Pairs(
            *self._radial_basis(self.geometry.squared_distances(x)),
            self.geometry.direction_factors(x),
            self._phases(x),
        )

    def _phases(self, x: Float[Array, "n 3"]) -> Phases | None:
        if not self.settings.waves:
            return None
        assert isinstance(self.geometry, Torus)
        return phases(x, self.settings.waves, self.geometry)

    def _condition(
        self, time: Float[Array, ""], context: Float[Array, " c"] | None
    ) -> Float[Array, " conditioning"]:
        features = time_features(time)
        if context is not None:
            features = jnp.concatenate([features, context])
        return jax.nn.silu(self.conditioner(features))

    def _first_features(
        self, x: Float[Array, "n 3"], condition: Float[Array, " conditioning"]
    ) -> Float[Array, "n width"]:
        s = self.settings
        h = jnp.broadcast_to(self.initial(condition), (x.shape[0], s.width))
        if s.anchored:
            radius = jnp.sqrt(jnp.sum(x**2, axis=-1) + s.shortest**2)
            h = h + radial_basis(jnp.log(radius), *self._log_range, s.width).T
        return h

    @property
    def _log_range(self) -> tuple[float, float]:
        return math.log(self.settings.shortest), math.log(self.settings.longest)

    def _radial_basis(
        self, squared: Float[Array, "n n"]
    ) -> tuple[Float[Array, "r n n"], Float[Array, "n n"]]:
        squared = squared + (self.settings.shortest / 4) ** 2
        # Without the barriers XLA recomputes logarithm and basis wherever they are used.
        log_distance = jax.lax.optimization_barrier(0.5 * jnp.log(squared))
        basis = radial_basis(log_distance, *self._log_range, self.settings.radial)
        return jax.lax.optimization_barrier(basis), jax.lax.rsqrt(squared)


_TIME_FEATURES = 16
_NEIGHBOURS = 32.0  # that a filter typically sums over: sets the size of initial kernels
_BIAS_GAIN = 5.0  # attention biases grow large enough to select neighbours by distance


def time_features(time: Float[Array, ""]) -> Float[Array, " features"]:
    """Bumps in log(1 - time): as fine near the data, relative to the noise, as far from it."""
    return radial_basis(jnp.log(1.0 - time + 1e-3), -6.9, 0.0, _TIME_FEATURES)


def radial_basis(x: Array, low: float, high: float, n: int) -> Float[Array, "n ..."]:
    """n smooth bumps (1 - u^2)^2 with centres from low to high, on a new first axis.

    A bump reaches two spacings to either side: four of them act at any point, no exponentials.
    """
    centres = jnp.linspace(low, high, n).reshape((n,) + (1,) * jnp.ndim(x))
    reach = 2 * (high - low) / (n - 1)
    return jnp.maximum(0.0, 1 - ((x[None] - centres) / reach) ** 2) ** 2


class _PairLayer(nnx.Module):
    def __init__(self, settings: PairSettings, layers_before: int, *, rngs: nnx.Rngs):
        s = self.settings = settings
        carries = s.vectors > 0
        n_kernels = s.heads + (3 if carries else 2) * s.filters
        zeros = nnx.initializers.zeros
        self.modulation = nnx.Linear(s.conditioning, 2 * s.width, kernel_init=zeros, rngs=rngs)
        self.norm = nnx.LayerNorm(s.width, use_bias=False, use_scale=False, rngs=rngs)
        self.project = nnx.Linear(s.width, sum(self._projections), rngs=rngs)
        self.kernels = nnx.Param(
            jax.random.normal(rngs.params(), (n_kernels, s.radial))
            / jnp.sqrt(_NEIGHBOURS * s.radial)
        )
        self.kernel_shift = nnx.Linear(
            s.conditioning,
            n_kernels * s.radial,
            kernel_init=nnx.initializers.normal(
                0.1 / (_NEIGHBOURS * s.radial * s.conditioning) ** 0.5
            ),
            use_bias=False,
            rngs=rngs,
        )
        self.waves = (
            WaveFilters(s.waves, (2 if carries else 1) * s.filters, s.conditioning, rngs=rngs)
            if s.waves
            else None
        )
        self.mix = nnx.Linear(s.filters, s.filters, use_bias=False, rngs=rngs)
        self.send = (
            nnx.Linear(s.channels(layers_before), s.filters, use_bias=False, rngs=rngs)
            if carries
            else None
        )
        messages = (2 if s.heads else 1) * s.width + (6 if carries else 2) * s.filters
        self.update = MLP((messages, 2 * s.width, s.width), rngs=rngs)

    def __call__(
        self,
        h: Float[Array, "n width"],
        known: Float[Array, "n k 3"],
        pairs: _Pairs,
        condition: Float[Array, " conditioning"],
        weight: Float[Array, " n"],
    ) -> tuple[Float[Array, "n width"], Float[Array, "n found 3"]]:
        """The node features, and new vectors, from those that are `known`."""
        s = self.settings
        *attending, u, charge = self._projected(h, condition)
        bias, scalar, vector, smooth = self._filters(pairs, condition)

        filtered = scalar.scalar_sums(_split(u, s.filters) * weight[:, None, None], pairs)
        vectors = vector.vector_sums(_charges(charge, weight)[:, :, None], pairs)
        mixed = jnp.einsum("nfc,fg->ngc", vectors, self.mix.kernel[...])
        messages = [self._attended(attending, bias, weight)] if s.heads else []
        messages += [
            filtered.reshape(h.shape),
            jnp.sum(vectors * vectors, axis=-1),
            jnp.sum(vectors * mixed, axis=-1),
        ]
        if self.send is not None:
            sent = jnp.einsum("nkc,kf->nfc", known, self.send.kernel[...])
            arriving = sent * weight[:, None, None]
            smoothed = smooth.scalar_sums(arriving, pairs)
            messages += [
                jnp.sum(vector.vector_sums(arriving, pairs), axis=-1),
                jnp.sum(vectors * sent, axis=-1),
                jnp.sum(smoothed * sent, axis=-1),
                jnp.sum(smoothed * smoothed, axis=-1),
            ]
            vectors = jnp.concatenate([vectors, smoothed], axis=1)
        # Sums over neighbours are large in clusters: asinh keeps them linear near zero and tame.
        return h + self.update(jnp.arcsinh(jnp.concatenate(messages, axis=-1))), vectors

    def vector_kernels(
        self, condition: Float[Array, " conditioning"]
    ) -> Float[Array, "filters radial"]:
        """Of the sums over unit vectors, in the radial basis."""
        s = self.settings
        return self._kernels(condition)[s.heads + s.filters : s.heads + 2 * s.filters]

    def vector_gains(
        self, condition: Float[Array, " conditioning"]
    ) -> Float[Array, "w filters"] | None:
        """Of the same sums, by waves."""
        return self._gains(condition)[0]

    def charges(
        self,
        h: Float[Array, "n width"],
        condition: Float[Array, " conditioning"],
        weight: Float[Array, " n"],
    ) -> Float[Array, "n filters"]:
        """What each point is worth in those sums."""
        return _charges(self._projected(h, condition)[-1], weight)

    def _filters(
        self, pairs: _Pairs, condition: Array
    ) -> tuple[Float[Array, "heads n n"], _Filters, _Filters, _Filters]:
        """Biases of the attention, and filters of scalars, of vectors, and of vectors sent."""
        s = self.settings
        radial = jnp.einsum("kr,rij->kij", self._kernels(condition), pairs.basis)
        bias, *parts = jnp.split(radial, [s.heads, s.heads + s.filters, s.heads + 2 * s.filters])
        scalar, vector, smooth = map(_Filters, parts, [None, *self._gains(condition)])
        return bias, scalar, vector, smooth

    def _gains(self, condition: Array) -> Sequence[Float[Array, "w filters"] | None]:
        if self.waves is None:
            return [None] * 2
        return jnp.split(self.waves(condition), [self.settings.filters], axis=1)

    def _kernels(self, condition: Array) -> Float[Array, "kernels radial"]:
        return self.kernels[...] + self.kernel_shift(condition).reshape(self.kernels.shape)

    def _projected(self, h: Array, condition: Array) -> list[Array]:
        scale, shift = jnp.split(self.modulation(condition), 2)
        projected = self.project(self.norm(h) * (1 + scale)[None] + shift[None])
        return jnp.split(projected, np.cumsum(self._projections)[:-1], axis=-1)

    @property
    def _projections(self) -> list[int]:
        """Widths of query, key and value where there is attention, of messages, and of charges."""
        s = self.settings
        return [s.width] * (4 if s.heads else 1) + [s.filters]

    def _attended(self, projected, bias, weight):
        heads, n, _ = bias.shape
        q, k, v = (_split(x, heads) for x in projected)  # each (n, heads, width / heads)
        logits = jnp.einsum("ihd,jhd->hij", q, k) / q.shape[-1] ** 0.5 + _BIAS_GAIN * bias
        logits = jnp.where(weight[None, None, :] > 0, logits, -1e9)
        attended = jnp.einsum("hij,jhd->ihd", jax.nn.softmax(logits, axis=-1), v)
        return attended.reshape(n, -1)


def _charges(
    charge: Float[Array, "n filters"], weight: Float[Array, " n"]
) -> Float[Array, "n filters"]:
    return (1 + charge) * weight[:, None]


def _split(x: Float[Array, "n width"], parts: int) -> Float[Array, "n parts size"]:
    return x.reshape(x.shape[0], parts, -1)


def _vector_sums(
    filters: Float[Array, "f n n"], charge: Float[Array, "n f c"], directions: DirectionFactors
) -> Float[Array, "n f 3"]:
    """Sum over j of filter_ij charge_j (x_j - x_i), by the factors of the displacement.

    A charge is one number, or one for each component of the displacement.
    """
    a, b = directions
    charges = jnp.concatenate([jnp.broadcast_to(charge, (*charge.shape[:2], 3))] * 2, axis=2)
    sums = jnp.einsum("fij,jfc->ifc", filters, charges * b[:, None, :])
    first, second = jnp.split(a[:, None, :] * sums, 2, axis=-1)
    return first + second


def _displacements(
    geometry: Geometry, here: Float[Array, "n 3"], there: Float[Array, "n 3"], axis: int
) -> Float[Array, "n n"]:
    """One component of what `_vector_sums` adds up."""
    a, _ = geometry.direction_factors(here)
    _, b = geometry.direction_factors(there)
    pair = jnp.array([axis, axis + 3])
    return a[:, pair] @ b[:, pair].T
