"""Modules of one kind side by side: their arrays on a common new axis, initialised in one call."""

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx


def stacked(make: Callable[[nnx.Rngs], nnx.Module], members: int, rngs: nnx.Rngs) -> Any:
    """One module whose arrays hold those of `members` modules on a new first axis."""
    graph, _ = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))))
    keys = jax.random.split(rngs.params(), members)
    return nnx.merge(graph, jax.jit(jax.vmap(lambda key: nnx.state(make(nnx.Rngs(key)))))(keys))


def each(members: Any, function: Callable[..., Any], *mapped: Any) -> Any:
    """function(member, ...) of each of `stacked` modules, on a first axis; so are `mapped`."""
    graph, states = nnx.split(members)
    return jax.vmap(lambda state, *args: function(nnx.merge(graph, state), *args))(states, *mapped)
