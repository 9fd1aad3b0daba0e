"""Autoregressive densities: each entry has a distribution of its own, given the entries before it.

p(x | context) is the product of p(x_i | x_1 ... x_{i-1}, context), whose parameters come from one
masked network (MADE, Germain et al. 2015, arXiv:1502.03509). Continuous entries are mixtures of
Gaussians, as in RNADE (Uria et al. 2013, arXiv:1306.0186), discrete ones are categorical, and an
event may have both: then the density is one with respect to length times counting.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray
from scipy.special import ndtri

from physgen.density import Density, Shape
from physgen.errors import InputError
from physgen.nets.masked import MaskedMLP

# Logarithms of scales lie within this of where they start, which keeps densities finite.
LOG_RANGE = 10.0


@dataclass(frozen=True)
class MixtureOfGaussians:
    """A continuous entry, standardised; parameters of zero give nearly the standard normal."""

    components: int = 8

    def __post_init__(self):
        if self.components < 1:
            raise InputError(f"expected at least one component, got {self.components}")

    @property
    def size(self) -> int:
        """Parameters of the distribution."""
        return 3 * self.components

    @property
    def features(self) -> int:
        """Numbers that stand for the entry in a network."""
        return 1

    def encode(self, x: Float[Array, ""]) -> Float[Array, " features"]:
        """The entry as a network sees it: logarithmic far out, so that its outputs stay tame."""
        return jnp.arcsinh(x)[None]

    def log_prob(self, raw: Float[Array, " size"], x: Float[Array, ""]) -> Float[Array, ""]:
        """Log-density of x."""
        logits, means, log_scales = self._unpack(raw)
        terms = jax.scipy.stats.norm.logpdf((x - means) * jnp.exp(-log_scales)) - log_scales
        return jax.nn.logsumexp(jax.nn.log_softmax(logits) + terms)

    def sample(self, key: PRNGKeyArray, raw: Float[Array, " size"]) -> Float[Array, ""]:
        """A draw."""
        key_component, key_normal = jax.random.split(key)
        logits, means, log_scales = self._unpack(raw)
        chosen = jax.random.categorical(key_component, logits)
        normal = jax.random.normal(key_normal, dtype=raw.dtype)
        return means[chosen] + jnp.exp(log_scales[chosen]) * normal

    def _unpack(self, raw: Array) -> tuple[Array, Array, Array]:
        # Half of the variance lies between the components: equal ones would stay equal for ever.
        centres = ndtri((np.arange(self.components) + 0.5) / self.components) / np.sqrt(2)
        log_scale = 0.5 * np.log(1 - np.var(centres))
        logits, means, log_scales = raw.reshape(3, self.components)
        log_scales = log_scale + LOG_RANGE * jnp.tanh(log_scales / LOG_RANGE)
        return logits, means + jnp.asarray(centres, raw.dtype), log_scales


@dataclass(frozen=True)
class Categorical:
    """A discrete entry: one of the numbers 0, 1, ... levels - 1, in no order."""

    levels: int

    def __post_init__(self):
        if self.levels < 2:
            raise InputError(f"expected at least two levels, got {self.levels}")

    @property
    def size(self) -> int:
        """Parameters of the distribution."""
        return self.levels

    @property
    def features(self) -> int:
        """Numbers that stand for the entry in a network."""
        return self.levels

    def encode(self, x: Float[Array, ""]) -> Float[Array, " features"]:
        """One at the level, zero elsewhere."""
        return (x == jnp.arange(self.levels)).astype(x.dtype)

    def log_prob(self, raw: Float[Array, " size"], x: Float[Array, ""]) -> Float[Array, ""]:
        """Log-probability of x, minus infinity if it is not a level."""
        here = x == jnp.arange(self.levels)
        picked = jnp.sum(jnp.where(here, jax.nn.log_softmax(raw), 0))
        return jnp.where(jnp.any(here), picked, -jnp.inf)

    def sample(self, key: PRNGKeyArray, raw: Float[Array, " size"]) -> Float[Array, ""]:
        """A draw."""
        return jax.random.categorical(key, raw).astype(raw.dtype)


Conditional = MixtureOfGaussians | Categorical


class Autoregressive(Density):
    """The product of `conditionals`, one for each entry of an event of shape (d,).

    Discrete entries hold their level as a floating-point number. A sample costs one pass of the
    network, as a log-density does.

    Args:
        conditionals: the distribution of each entry, in the order in which they depend.
        context_shape: (c,), or None if unconditional.
        width, depth: of the `MaskedMLP`.
    """

    def __init__(
        self,
        conditionals: Sequence[Conditional],
        context_shape: Shape | None = None,
        *,
        width: int = 64,
        depth: int = 2,
        rngs: nnx.Rngs,
    ):
        """Raises InputError if there are no conditionals, or the context is not a vector."""
        if not conditionals:
            raise InputError("expected a conditional for each entry, got none")
        if context_shape is not None and len(context_shape) != 1:
            raise InputError(
                f"expected a context of shape (c,), got {context_shape}; flatten it, or embed it"
            )
        self.conditionals = tuple(conditionals)
        self.event_shape = (len(conditionals),)
        self.context_shape = context_shape
        self.features = max(c.features for c in conditionals)
        self.network = MaskedMLP(
            len(conditionals),
            context_shape[0] if context_shape else 0,
            max(c.size for c in conditionals),
            width,
            depth,
            features_per_input=self.features,
            rngs=rngs,
        )

    def loss(self, key: PRNGKeyArray, x: Array, context: Array | None = None) -> Float[Array, ""]:
        """-log p(x | context) of one event, in nats; `key` is not used."""
        del key
        return -self._log_prob(x, context)

    def _log_prob(self, x, context):
        x = jnp.asarray(x, jnp.result_type(float))
        raw = self._parameters(x, context)
        total = jnp.zeros((), x.dtype)
        for family, entries in self._families():
            terms = jax.vmap(family.log_prob)(raw[entries, : family.size], x[entries])
            total = total + jnp.sum(terms)
        return total

    def _sample(self, key, context):
        families = [family for family, _ in self._families()]
        which = jnp.array([families.index(c) for c in self.conditionals])
        keys = jax.random.split(key, len(which))

        def draw(family, key, row):
            x = family.sample(key, row[: family.size])
            return jnp.pad(family.encode(x), (0, self.features - family.features)), x

        def entry(i, row):
            return jax.lax.switch(which[i], [partial(draw, f) for f in families], keys[i], row)

        return self.network.generate(entry, context)

    def _parameters(self, x: Array, context: Array | None) -> Float[Array, "d size"]:
        encoded = jnp.zeros((x.shape[0], self.features), x.dtype)
        for family, entries in self._families():
            codes = jax.vmap(family.encode)(x[entries])
            encoded = encoded.at[entries, : family.features].set(codes)
        return self.network(encoded.reshape(-1), context)

    def _families(self) -> list[tuple[Conditional, np.ndarray]]:
        """Each distribution that occurs, and the entries that have it."""
        return [
            (family, np.array([i for i, c in enumerate(self.conditionals) if c == family]))
            for family in dict.fromkeys(self.conditionals)
        ]
