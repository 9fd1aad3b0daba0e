"""The Box-Muller transform: the oldest flow, and one whose density is known."""

import jax.numpy as jnp

from physgen.densities.layers import Layer


class BoxMuller(Layer):
    """Pairs of uniform numbers in (0, 1] to pairs of standard normal numbers.

    Box & Muller 1958 (doi:10.1214/aoms/1177706645): a pair (u, v), one after the other in an event
    of an even number of entries, becomes sqrt(-2 log u) (cos 2 pi v, sin 2 pi v). The inverse's
    log-determinant is the log-density of the standard normal. A u of 0 counts as the smallest
    normal number; past the radius that it stands for, 13 in float32, points cannot come back.
    Ignores the context.
    """

    def forward(self, z, context=None):
        u, v = z[::2], z[1::2]
        log_u = jnp.log(jnp.maximum(u, jnp.finfo(z.dtype).tiny))
        radius, angle = jnp.sqrt(-2 * log_u), 2 * jnp.pi * v
        pairs = jnp.stack([radius * jnp.cos(angle), radius * jnp.sin(angle)], axis=1)
        return pairs.reshape(z.shape), jnp.sum(jnp.log(2 * jnp.pi) - log_u)

    def inverse(self, x, context=None):
        first, second = x[::2], x[1::2]
        log_u = -(first**2 + second**2) / 2
        # The origin has no angle: it is given one, so that gradients are finite there too.
        turn = jnp.arctan2(second, jnp.where(log_u == 0, 1, first)) / (2 * jnp.pi)
        pairs = jnp.stack([jnp.exp(log_u), jnp.where(turn < 0, turn + 1, turn)], axis=1)
        return pairs.reshape(x.shape), jnp.sum(log_u - jnp.log(2 * jnp.pi))
