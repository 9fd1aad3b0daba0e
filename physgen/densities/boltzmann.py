"""Energy models of binary data, p(x) = exp(-E(x)) / Z, sampled by Markov chains.

The likelihood needs Z: `densities/annealing.py` estimates it. Each model is also a path of models
from independent bits (beta 0) to itself (beta 1), which annealing walks along.
"""

from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray
from numpy.typing import ArrayLike


@runtime_checkable
class EnergyModel(Protocol):
    """A path of unnormalised densities of bits (n,); base: the logits of the bits at beta 0."""

    n: int

    def log_weight(self, x: Array, beta: Any, base: Array) -> Float[Array, ""]:
        """log of the unnormalised density at beta."""
        ...

    def move(self, key: PRNGKeyArray, x: Array, beta: Any, base: Array) -> Int[Array, " n"]:
        """The next state of a Markov chain that leaves the density at beta as it is."""
        ...

    def log_partition_of_base(self, base: Array) -> Float[Array, ""]:
        """log Z at beta 0."""
        ...


class RestrictedBoltzmann(nnx.Module):
    """E(x) = -a . x - sum_j ln(1 + exp(b_j + x . W_j)): binary hidden units, summed out.

    Smolensky 1986; `move` draws the hidden units given x and then x (block Gibbs sampling).
    """

    def __init__(self, n: int, hidden: int, *, rngs: nnx.Rngs):
        self.n = n
        normal = nnx.initializers.normal(stddev=0.1)
        self.weights = nnx.Param(normal(rngs.params(), (n, hidden), jnp.float32))
        self.visible = nnx.Param(jnp.zeros(n, jnp.float32))
        self.hidden = nnx.Param(jnp.zeros(hidden, jnp.float32))

    def log_weight(self, x: Int[Array, " n"], beta: Any, base: Array) -> Float[Array, ""]:
        bias = (1 - beta) * base + beta * self.visible[...]
        inputs = beta * (self.hidden[...] + x @ self.weights[...])
        return bias @ x + jax.nn.softplus(inputs).sum()

    def move(self, key: PRNGKeyArray, x: Array, beta: Any, base: Array) -> Int[Array, " n"]:
        key_hidden, key_visible = jax.random.split(key)
        logits = beta * (self.hidden[...] + x @ self.weights[...])
        h = jax.random.bernoulli(key_hidden, jax.nn.sigmoid(logits)).astype(jnp.float32)
        logits = (1 - beta) * base + beta * (self.visible[...] + self.weights[...] @ h)
        return jax.random.bernoulli(key_visible, jax.nn.sigmoid(logits)).astype(int)

    def log_partition_of_base(self, base: Array) -> Float[Array, ""]:
        return jax.nn.softplus(base).sum() + self.hidden[...].size * jnp.log(2.0)


class Boltzmann(nnx.Module):
    """E(x) = -sum_(i<j) J_ij s_i s_j - sum_i h_i s_i with s = 1 - 2 x: no hidden units.

    Ackley, Hinton & Sejnowski 1985; `move` offers a flip to each bit in turn (Metropolis).
    """

    def __init__(self, n: int, *, rngs: nnx.Rngs):
        self.n = n
        normal = nnx.initializers.normal(stddev=0.01)
        self.couplings = nnx.Param(normal(rngs.params(), (n, n), jnp.float32))
        self.fields = nnx.Param(jnp.zeros(n, jnp.float32))

    def symmetric(self) -> Float[Array, "n n"]:
        """J, with zeros on the diagonal."""
        upper = jnp.triu(self.couplings[...], 1)
        return upper + upper.T

    def log_weight(self, x: Int[Array, " n"], beta: Any, base: Array) -> Float[Array, ""]:
        s = 1.0 - 2.0 * x
        energy = -s @ self.symmetric() @ s / 2 - self.fields[...] @ s
        return (1 - beta) * base @ x - beta * energy

    def move(self, key: PRNGKeyArray, x: Array, beta: Any, base: Array) -> Int[Array, " n"]:
        couplings = self.symmetric()

        def offer(s, inputs):
            site, u = inputs
            local = beta * (couplings[site] @ s + self.fields[site]) - (1 - beta) * base[site] / 2
            flip = jnp.log(u) < -2 * s[site] * local
            return s.at[site].multiply(jnp.where(flip, -1.0, 1.0)), None

        u = jax.random.uniform(key, (self.n,), minval=1e-12)
        s, _ = jax.lax.scan(offer, 1.0 - 2.0 * x, (jnp.arange(self.n), u))
        return ((1 - s) / 2).astype(int)

    def log_partition_of_base(self, base: Array) -> Float[Array, ""]:
        return jax.nn.softplus(base).sum()


def hopfield(patterns: ArrayLike) -> Boltzmann:
    """Hebb's couplings of bit patterns (p, n), J = sum_p s_p s_p / n (Hopfield 1982)."""
    s = 1.0 - 2.0 * jnp.asarray(patterns)
    n = s.shape[1]
    model = Boltzmann(n, rngs=nnx.Rngs(0))
    model.couplings = nnx.Param(s.T @ s / n)
    return model


def chains(
    key: PRNGKeyArray, model: EnergyModel, x: Int[Array, "b n"], moves: int
) -> Int[Array, "b n"]:
    """Markov chains from x, so many moves on."""
    base = jnp.zeros(model.n)

    def chain(key, x):
        def step(x, key):
            return model.move(key, x, 1.0, base), None

        return jax.lax.scan(step, x, jax.random.split(key, moves))[0]

    return jax.vmap(chain)(jax.random.split(key, len(x)), x)
