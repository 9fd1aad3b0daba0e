"""A density whose context is first summarised by a network."""

from typing import Any

from jaxtyping import Array, Float, PRNGKeyArray

from physgen.density import Density, Shape
from physgen.nets.embedding import Embedding


class Embedded(Density):
    """p(event | embedding(context)); both are trained together.

    Args:
        density: conditional on features of shape (embedding.size,), with a `loss`.
        embedding: of contexts of shape `context_shape`.
    """

    def __init__(self, density, embedding: Embedding, context_shape: Shape):
        self.density = density
        self.embedding = embedding
        self.event_shape = density.event_shape
        self.context_shape = context_shape

    def loss(self, key: PRNGKeyArray, x: Array, context: Array) -> Float[Array, ""]:
        """The loss of `density` at the features of one context."""
        return self.density.loss(key, x, self.embedding(context))

    def _log_prob(self, x, context: Any):
        return self.density._log_prob(x, self.embedding(context))

    def _sample(self, key, context: Any):
        return self.density._sample(key, self.embedding(context))
