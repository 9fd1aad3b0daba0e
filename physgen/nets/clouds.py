"""The embedding of a point cloud in a periodic box.

Permutations, translations on the torus and the symmetries of the cube change nothing, by
construction: all that a point learns about others are sums over neighbours in shells of distance.
The means over all points of these sums are pair counts and mean relative velocities; the means of
functions of them hold the distances to the k-th neighbour and the counts in spheres. Layers that
sum functions of the neighbours, as in SchNet (Schuett et al. 2017, arXiv:1706.08566), reach beyond.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from physgen.errors import InputError
from physgen.nets.embedding import check_positive, check_shape
from physgen.nets.missing import present_rows
from physgen.nets.residual import ResidualMLP
from physgen.nets.sets import log_number, masked_mean
from physgen.nets.shells import Shells, invariants, shell_volumes, shells_of


@dataclass(frozen=True)
class CloudEmbedding:
    """Size of a `CloudNetwork` for clouds (points, 3 + entries): positions, then what points carry.

    Rows with a NaN are absent: clouds of fewer points are padded with them.
    box_size: the side of the periodic box, in the unit of the positions.
    vectors: how many vectors a point carries, three entries each, right after its position; their
    unit must make them of order one, and only turn with the box. The other entries are scalars,
    such as the logarithm of a mass, best standardised.
    width: entries of a point's representation. layers: of sums over functions of neighbours, each
    of which adds about as much time as there is without any. filters: functions summed by a layer.
    features: the output's size.
    shells, shortest, longest: bumps of log distance, and the radii of the first and the last as
    fractions of the box.
    """

    box_size: float
    vectors: int = 0
    width: int = 24
    layers: int = 0
    filters: int = 8
    features: int = 32
    shells: int = 12
    shortest: float = 0.01
    longest: float = 0.5

    def __post_init__(self):
        check_positive(self, "box_size", "width", "filters", "features")
        if not 0 < self.shortest < self.longest or self.shells < 2:
            raise InputError(
                "expected two shells or more and 0 < shortest < longest (fractions of the box), "
                f"got {self.shells} from {self.shortest} to {self.longest}"
            )

    def build(self, x_shape: tuple[int, ...], *, rngs: nnx.Rngs) -> "CloudNetwork":
        """An embedding of observations of shape `x_shape`.

        Raises:
            InputError: if it has not two axes, or too few entries for the vectors.
        """
        check_shape(self, x_shape, ("points", "entries"))
        scalars = x_shape[1] - 3 * (1 + self.vectors)
        if scalars < 0:
            raise InputError(
                f"expected at least {3 * (1 + self.vectors)} entries a point (its position and "
                f"{self.vectors} vectors), got {x_shape[1]}; change `vectors`"
            )
        return CloudNetwork(scalars, self, rngs=rngs)


class CloudNetwork(nnx.Module):
    """Features of a cloud, for any number of points."""

    def __init__(self, scalars: int, settings: CloudEmbedding, *, rngs: nnx.Rngs):
        s = self.settings = settings
        self.size = s.features
        self.radii = (s.shortest, s.longest)
        self.volumes = shell_volumes(self.radii, s.shells)
        visible = scalars + s.vectors + s.shells * (2 + scalars + 3 * s.vectors)
        self.first = ResidualMLP(visible, s.width, s.width, 1, rngs=rngs)
        self.layers = nnx.List([_Layer(s, rngs=rngs) for _ in range(s.layers)])
        self.last = ResidualMLP(visible + s.width + 1, s.features, 2 * s.width, 1, rngs=rngs)

    def __call__(self, x: Float[Array, "n f"]) -> Float[Array, " c"]:
        s = self.settings
        rows, present = present_rows(x)
        position, vectors, scalars = jnp.split(rows, [3, 3 + 3 * s.vectors], axis=1)
        position = position / s.box_size
        vectors = vectors.reshape(len(x), s.vectors, 3)
        shells = shells_of(position, present, self.radii, self.volumes)
        seen = invariants(shells, position, scalars, vectors, self.radii)
        lengths = jnp.sqrt(jnp.sum(vectors**2, axis=-1) + 1e-6)
        # Sums over neighbours are large in clusters: asinh keeps them linear near zero and tame.
        visible = jnp.arcsinh(jnp.concatenate([scalars, lengths, seen], axis=1))
        h = self.first(visible)
        for layer in self.layers:
            h = layer(h, shells)
        means = [masked_mean(part, present) for part in (visible, h)]
        return self.last(jnp.concatenate([*means, log_number(present)]))


class _Layer(nnx.Module):
    def __init__(self, settings: CloudEmbedding, *, rngs: nnx.Rngs):
        s = settings
        self.norm = nnx.LayerNorm(s.width, rngs=rngs)
        self.send = nnx.Linear(s.width, s.filters, rngs=rngs)
        self.update = ResidualMLP(
            s.width + s.shells * s.filters, s.width, s.width, depth=0, rngs=rngs
        )

    def __call__(self, h: Float[Array, "n width"], shells: Shells) -> Float[Array, "n width"]:
        sums = jnp.swapaxes(shells.sums(self.send(self.norm(h))), 0, 1)
        received = jnp.arcsinh(sums.reshape(len(h), -1))
        return h + self.update(jnp.concatenate([h, received], axis=1))
