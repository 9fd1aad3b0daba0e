"""The contract that every model signs: a density over events, conditional on a context."""

import abc
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.errors import InputError

Shape = tuple[int, ...]


class Buffer(nnx.Variable):
    """Numbers that belong to a model and are not trained."""


def trained_numbers(module: nnx.Module) -> int:
    """How many numbers of a model are trained."""
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(module, nnx.Param)))


class Density(nnx.Module):
    """p(event | context).

    A subclass sets `event_shape` and `context_shape` (None where the density is unconditional)
    and writes the unbatched `_log_prob` and `_sample`. Batching and shape checks live here, once.
    """

    event_shape: Shape
    context_shape: Shape | None

    @abc.abstractmethod
    def _log_prob(self, x: Array, context: Array | None) -> Float[Array, ""]:
        """Log-density of one event of shape `event_shape`."""

    @abc.abstractmethod
    def _sample(self, key: PRNGKeyArray, context: Array | None) -> Array:
        """One event of shape `event_shape`."""

    def log_prob(self, x: ArrayLike, context: ArrayLike | None = None) -> Float[Array, "..."]:
        """Log-density of each event, deterministic.

        Args:
            x: events, shape (..., *event_shape).
            context: contexts, shape (..., *context_shape); leading axes broadcast against x's.

        Returns:
            Log-densities, shape of the broadcast leading axes.

        Raises:
            InputError: if a shape does not end in the event or context shape.
        """
        x = jnp.asarray(x)
        lead = leading_shape("x", x.shape, self.event_shape)
        contexts, context_lead = self._checked_context(context)
        if contexts is None:
            return map_leading(lambda event: self._log_prob(event, None), (x, lead))
        try:
            jnp.broadcast_shapes(lead, context_lead)
        except ValueError:
            raise InputError(
                f"expected leading axes of x {lead} and context {context_lead} that broadcast; "
                "give one context for all events, or one for each"
            ) from None
        return map_leading(self._log_prob, (x, lead), (contexts, context_lead))

    def sample(self, key: PRNGKeyArray, n: int, context: ArrayLike | None = None) -> Array:
        """Independent events, shape (n, *event_shape).

        Args:
            key: the only source of randomness.
            n: how many.
            context: one for all, shape context_shape, or one each, shape (n, *context_shape).

        Raises:
            InputError: if the context has another shape.
        """
        keys = jax.random.split(key, n)
        contexts = self.contexts(n, context)
        if contexts is None:
            return jax.vmap(lambda k: self._sample(k, None))(keys)
        return jax.vmap(self._sample)(keys, contexts)

    def contexts(self, n: int, context: ArrayLike | None) -> Array | None:
        """The context of each of n events, shape (n, *context_shape), checked."""
        given, lead = self._checked_context(context)
        if given is None:
            return None
        shape = self.context_shape or ()
        if lead not in ((), (n,)):
            raise InputError(
                f"expected a context of shape {shape} or {(n, *shape)}, "
                f"got {given.shape}; give one context for all samples, or one for each"
            )
        return jnp.broadcast_to(given, (n, *shape))

    def _checked_context(self, context: ArrayLike | None) -> tuple[Array | None, Shape]:
        if self.context_shape is None:
            if context is not None:
                raise InputError(
                    "expected no context, got one; this density is unconditional: leave it out"
                )
            return None, ()
        if context is None:
            raise InputError(
                f"expected a context of shape {self.context_shape}, got none; "
                "this density is conditional: pass context=..."
            )
        given = jnp.asarray(context)
        return given, leading_shape("context", given.shape, self.context_shape)


def leading_shape(name: str, shape: Shape, trailing: Shape) -> Shape:
    """The axes of `shape` before `trailing`.

    Raises:
        InputError: if `shape` does not end in `trailing`.
    """
    cut = len(shape) - len(trailing)
    if cut < 0 or shape[cut:] != trailing:
        raise InputError(
            f"expected {name} of shape (..., {', '.join(map(str, trailing))}), got {shape}; "
            "reshape it so that its last axes are those"
        )
    return shape[:cut]


def map_leading(function: Callable[..., Any], *arrays: tuple[Array, Shape]) -> Any:
    """`function` mapped over the leading axes of arrays, which broadcast against each other.

    No array is repeated along an axis that it lacks: what depends on a context alone is computed
    once for all of its events.

    Args:
        arrays: each with its leading axes.
    """
    batch = jnp.broadcast_shapes(*(lead for _, lead in arrays))
    leads = [(1,) * (len(batch) - len(lead)) + lead for _, lead in arrays]
    for axis in reversed(range(len(batch))):
        function = jax.vmap(function, [0 if lead[axis] == batch[axis] else None for lead in leads])
    own = [
        array.reshape(
            *(n for n, size in zip(lead, batch, strict=True) if n == size),
            *array.shape[len(given) :],
        )
        for (array, given), lead in zip(arrays, leads, strict=True)
    ]
    return function(*own)
