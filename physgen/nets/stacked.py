"""Modules initialised in one compiled program: one, or several side by side on a new axis."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
from flax import nnx
from jaxtyping import PRNGKeyArray

Module = TypeVar("Module", bound=nnx.Module)
QUICKLY = {  # for what runs once: compiling is all the work
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}


def built(make: Callable[[nnx.Rngs], Module], key: PRNGKeyArray) -> Module:
    """make(nnx.Rngs(key)); operation by operation it would take several times as long."""
    graph = nnx.graphdef(nnx.eval_shape(lambda: make(nnx.Rngs(0))))
    state = jax.jit(lambda key: nnx.state(make(nnx.Rngs(key))), compiler_options=QUICKLY)(key)
    return nnx.merge(graph, state)


def stacked(make: Callable[[nnx.Rngs], nnx.Module], members: int, rngs: nnx.Rngs) -> Any:
    """One module whose arrays hold those of `members` modules on a new first axis."""
    graph, _ = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))))
    keys = jax.random.split(rngs.params(), members)
    return nnx.merge(graph, jax.jit(jax.vmap(lambda key: nnx.state(make(nnx.Rngs(key)))))(keys))


def each(members: Any, function: Callable[..., Any], *mapped: Any) -> Any:
    """function(member, ...) of each of `stacked` modules, on a first axis; so are `mapped`."""
    graph, states = nnx.split(members)
    return jax.vmap(lambda state, *args: function(nnx.merge(graph, state), *args))(states, *mapped)
