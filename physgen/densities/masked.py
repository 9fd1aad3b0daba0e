"""Layers whose map of one coordinate is set by others: autoregressive, and coupling.

The Jacobian is triangular, so its determinant is a product of the slopes of elementwise maps.
"""

import jax.numpy as jnp
from flax import nnx

from physgen.densities.elementwise import Elementwise
from physgen.densities.layers import Layer
from physgen.nets.masked import MaskedMLP
from physgen.nets.mlp import MLP

REACH = 10.0


class AutoregressiveLayer(Layer):
    """Coordinate i is mapped by functions that coordinates 1 ... i - 1 of the data set.

    Papamakarios et al. 2017 (arXiv:1705.07057), with a network of Germain et al. 2015
    (arXiv:1502.03509). `inverse` takes one pass of the network, and so does `forward`, though one
    coordinate after the other.

    Args:
        maps: applied one after the other from base to data.
    """

    def __init__(
        self,
        size: int,
        context_size: int,
        maps: tuple[Elementwise, ...],
        *,
        width: int = 64,
        depth: int = 1,
        rngs: nnx.Rngs,
    ):
        self.size = size
        self.maps = maps
        self.network = MaskedMLP(
            size, context_size, sum(m.size for m in maps), width, depth, rngs=rngs
        )

    def forward(self, z, context=None):
        def entry(i, row):
            x, log_det = _forward(self.maps, z[i, None], row[None])
            return squash(x), (x[0], log_det[0])

        x, log_det = self.network.generate(entry, context)
        return x, jnp.sum(log_det)

    def inverse(self, x, context=None):
        z, log_det = _inverse(self.maps, x, self.network(squash(x), context))
        return z, jnp.sum(log_det)


class CouplingLayer(Layer):
    """The second half of the coordinates is mapped by functions that the first half sets.

    Dinh et al. 2017 (arXiv:1605.08803). Follow it with a permutation, so that all coordinates
    are mapped in turn.
    """

    def __init__(
        self,
        size: int,
        context_size: int,
        maps: tuple[Elementwise, ...],
        *,
        width: int = 64,
        depth: int = 1,
        rngs: nnx.Rngs,
    ):
        self.size = size
        self.kept = size // 2
        self.maps = maps
        self.rows = size - self.kept, sum(m.size for m in maps)
        hidden = (width,) * (depth + 1)
        outputs = self.rows[0] * self.rows[1]
        self.network = MLP((self.kept + context_size, *hidden, outputs), rngs=rngs)

    def forward(self, z, context=None):
        x, log_det = _forward(self.maps, z[self.kept :], self._rows(z, context))
        return jnp.concatenate([z[: self.kept], x]), jnp.sum(log_det)

    def inverse(self, x, context=None):
        z, log_det = _inverse(self.maps, x[self.kept :], self._rows(x, context))
        return jnp.concatenate([x[: self.kept], z]), jnp.sum(log_det)

    def _rows(self, x, context):
        features = squash(x[: self.kept])
        if context is not None:
            features = jnp.concatenate([features, context])
        return self.network(features).reshape(self.rows)


def squash(x):
    """x near zero, logarithmic far out: what networks see, so that their outputs stay finite."""
    return REACH * jnp.arcsinh(x / REACH)


def _forward(maps, z, rows):
    log_det = jnp.zeros_like(z)
    for part, row in zip(maps, _split(maps, rows), strict=True):
        z, step = part.forward(z, row)
        log_det = log_det + step
    return z, log_det


def _inverse(maps, x, rows):
    log_det = jnp.zeros_like(x)
    for part, row in reversed(list(zip(maps, _split(maps, rows), strict=True))):
        x, step = part.inverse(x, row)
        log_det = log_det + step
    return x, log_det


def _split(maps, rows):
    cuts, total = [], 0
    for part in maps[:-1]:
        total += part.size
        cuts.append(total)
    return jnp.split(rows, cuts, axis=-1)
