"""Losses of stacked networks, and the pairs that they are taken over."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from physgen.nets.stacked import each


def mean_loss(function: Callable[..., Array], members: Any, key: PRNGKeyArray, batch: Any) -> Array:
    """The mean of function(member, key, batch) over stacked modules, each with its own key."""
    size = len(jax.tree.leaves(nnx.state(members))[0])
    keys = jax.random.split(key, size)
    return jnp.mean(each(members, lambda member, key: function(member, key, batch), keys))


def pair_loss(members: Any, key: PRNGKeyArray, batch: Mapping[str, Array]) -> Array:
    """The mean loss of stacked densities over the pairs of `in_frame`."""

    def one(member: Any, key: PRNGKeyArray, batch: Any) -> Array:
        keys = jax.random.split(key, len(batch["latent"]))
        return jnp.mean(jax.vmap(member.loss)(keys, batch["latent"], batch["seen"]))

    return mean_loss(one, members, key, batch)


def in_frame(
    frame: Any, events: np.ndarray, contexts: np.ndarray
) -> dict[str, Float[np.ndarray, "n ..."]]:
    """Pairs as networks see them, by a `frame`: latent events, and what is seen of contexts."""
    latent, seen = _in_frame(frame, jnp.asarray(events), jnp.asarray(contexts))
    return {"latent": np.asarray(latent), "seen": np.asarray(seen)}


@jax.jit
def _in_frame(frame, events, contexts):
    def one(event, context):
        prediction = frame.predict(context)
        return frame.to_latent(event, prediction)[0], prediction.seen

    return jax.vmap(one)(events, contexts)
