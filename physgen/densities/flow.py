"""Normalizing flows: a Gaussian seen through an invertible map with a known Jacobian.

Rezende & Mohamed 2015 (arXiv:1505.05770); Papamakarios et al. 2021 (arXiv:1912.02762).
"""

from physgen.densities.base import Gaussian
from physgen.densities.layers import Layer
from physgen.density import Density, Shape


class Flow(Density):
    """p(x | context) as the image of a standard normal under `layer`.

    Args:
        layer: from base to data; a `Chain` or `Repeated` to use more than one.
        event_shape: (d,).
        context_shape: (c,), or None if unconditional.
    """

    def __init__(self, layer: Layer, event_shape: Shape, context_shape: Shape | None = None):
        self.layer = layer
        self.base = Gaussian()
        self.event_shape = event_shape
        self.context_shape = context_shape

    def _log_prob(self, x, context):
        z, log_det = self.layer.inverse(x, context)
        return self.base.log_prob(z) + log_det

    def _sample(self, key, context):
        x, _ = self.layer.forward(self.base.sample(key, self.event_shape), context)
        return x

    def loss(self, key, x, context=None):
        """-log p(x | context) of one event, in nats; `key` is not used."""
        del key
        return -self._log_prob(x, context)
