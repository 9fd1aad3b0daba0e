"""Networks that predict each symbol of a sequence from those before it.

All take integers 0 ... symbols - 1 and give `outputs` numbers for each site, unbatched. `start` and
`advance` go through a sequence one symbol at a time, with what they know of it in the carry;
`__call__` sees all of it at once.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from physgen.nets.masked import MaskedMLP
from physgen.nets.recurrent import Cell, MinGRUCell, dense
from physgen.nets.sequence import CausalTransformer

Outputs = Float[Array, " outputs"]


@runtime_checkable
class Autoregressive(Protocol):
    """What every network here does."""

    def start(self) -> tuple[Any, Array]:
        """The carry before any symbol, and the outputs of site 0."""
        ...

    def advance(self, carry: Any, symbol: Array, site: Array) -> tuple[Any, Array]:
        """After the symbol of a site: the carry, and the outputs of the next site."""
        ...

    def __call__(self, symbols: Int[Array, " n"]) -> Float[Array, "n outputs"]: ...


@runtime_checkable
class Parallel(Autoregressive, Protocol):
    """A network that takes many sites at once when it knows the ones before them."""

    def prefix(self, symbols: Int[Array, " n"]) -> tuple[Float[Array, "n outputs"], Any]:
        """The outputs, and a carry from which `suffix` may go on at any site."""
        ...

    def suffix(
        self, carry: Any, symbols: Int[Array, " n"], start: int
    ) -> Float[Array, "m outputs"]:
        """The outputs from site `start` on, of symbols that differ from those of the prefix there.

        The last site before `start` counts as known too.
        """
        ...


class Recurrent(nnx.Module):
    """Cells on top of each other, and a dense layer from the features of the last one.

    make_cell: (size of the input, rngs) -> cell; called once for each layer. The first input, when
    there is no symbol yet, is zero.
    """

    def __init__(
        self,
        make_cell: Callable[[int, nnx.Rngs], Cell],
        symbols: int,
        outputs: int,
        layers: int,
        *,
        rngs: nnx.Rngs,
    ):
        self.symbols = symbols
        cells = [make_cell(symbols, rngs)]
        while len(cells) < layers:
            cells.append(make_cell(cells[-1].size, rngs))
        self.cells = nnx.List(cells)
        self.last = nnx.Linear(cells[-1].size, outputs, rngs=rngs)

    def start(self) -> tuple[Any, Outputs]:
        carry = tuple(cell.initial() for cell in self.cells)
        return self._step(carry, jnp.zeros(self.symbols, self.last.kernel[...].dtype))

    def advance(
        self, carry: Any, symbol: Int[Array, "*b"], site: Any
    ) -> tuple[Any, Float[Array, "outputs *b"]]:
        """The same for any batch axes, which come last in the carry and the outputs."""
        dtype = self.last.kernel[...].dtype
        return self._step(carry, jax.nn.one_hot(symbol, self.symbols, dtype=dtype, axis=0))

    def _step(self, carry: Any, features: Array) -> tuple[Any, Array]:
        carries = []
        for cell, memory in zip(self.cells, carry, strict=True):
            memory, features = cell(memory, features)
            carries.append(memory)
        return tuple(carries), dense(self.last, features)

    def __call__(self, symbols: Int[Array, " n"]) -> Float[Array, "n outputs"]:
        cells = [cell for cell in self.cells if isinstance(cell, MinGRUCell)]
        if len(cells) < len(self.cells):
            return step_by_step(self, symbols)[0]
        one_hot = jax.nn.one_hot(symbols[:-1], self.symbols, dtype=self.last.kernel[...].dtype)
        features = jnp.concatenate([jnp.zeros_like(one_hot, shape=(1, self.symbols)), one_hot])
        for cell in cells:
            features = cell.scan(cell.initial(), features)
        return self.last(features)


class NADE(nnx.Module):
    """Neural autoregressive distribution estimator (Larochelle & Murray 2011; arXiv:1605.02226).

    One layer of hidden units, whose activations are summed up site by site.
    """

    def __init__(self, n: int, symbols: int, outputs: int, width: int, *, rngs: nnx.Rngs):
        normal = nnx.initializers.normal(stddev=(n * symbols) ** -0.5)
        self.inputs = nnx.Param(normal(rngs.params(), (n, symbols, width), jnp.float32))
        self.hidden = nnx.Param(jnp.zeros(width, jnp.float32))
        normal = nnx.initializers.normal(stddev=width**-0.5)
        self.outputs = nnx.Param(normal(rngs.params(), (n, width, outputs), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((n, outputs), jnp.float32))

    def start(self) -> tuple[Any, Outputs]:
        carry = self.hidden[...]
        return carry, self._output(carry, jnp.zeros((), int))

    def advance(self, carry: Any, symbol: Int[Array, ""], site: Any) -> tuple[Any, Outputs]:
        carry = carry + self.inputs[...][site, symbol]
        following = jnp.minimum(site + 1, self.bias.shape[0] - 1)
        return carry, self._output(carry, following)

    def _output(self, carry: Array, site: Array) -> Array:
        return jax.nn.sigmoid(carry) @ self.outputs[...][site] + self.bias[site]

    def __call__(self, symbols: Int[Array, " n"]) -> Float[Array, "n outputs"]:
        sites = jnp.arange(len(symbols) - 1)
        steps = jnp.concatenate([self.hidden[...][None], self.inputs[...][sites, symbols[:-1]]])
        return jax.vmap(self._output)(jnp.cumsum(steps, axis=0), jnp.arange(len(symbols)))


class FVSBN(nnx.Module):
    """Fully visible sigmoid belief network (Neal 1992; Frey, Hinton & Dayan 1996).

    Logistic regression of each symbol on all before it.
    """

    def __init__(self, n: int, symbols: int, outputs: int, *, rngs: nnx.Rngs):
        normal = nnx.initializers.normal(stddev=0.1 * n**-0.5)
        self.weights = nnx.Param(normal(rngs.params(), (n, symbols, n, outputs), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((n, outputs), jnp.float32))

    def start(self) -> tuple[Any, Outputs]:
        return self.bias[...], self.bias[0]

    def advance(self, carry: Any, symbol: Int[Array, ""], site: Any) -> tuple[Any, Outputs]:
        carry = carry + self.weights[...][site, symbol]
        return carry, carry[jnp.minimum(site + 1, self.bias.shape[0] - 1)]

    def __call__(self, symbols: Int[Array, " n"]) -> Float[Array, "n outputs"]:
        n = len(symbols)
        weights = self.weights[...][jnp.arange(n), symbols]  # (n, n, outputs)
        before = jnp.arange(n)[:, None] < jnp.arange(n)[None]
        return self.bias[...] + jnp.sum(jnp.where(before[..., None], weights, 0), axis=0)


class MADE(nnx.Module):
    """Masked autoencoder (Germain et al. 2015, arXiv:1502.03509), see `MaskedMLP`."""

    def __init__(
        self, n: int, symbols: int, outputs: int, width: int, depth: int, *, rngs: nnx.Rngs
    ):
        self.symbols = symbols
        self.mlp = MaskedMLP(n, 0, outputs, width, depth, features_per_input=symbols, rngs=rngs)

    def start(self) -> tuple[Any, Outputs]:
        carry = jnp.zeros(self.mlp.d_in * self.symbols)
        return carry, self.mlp(carry)[0]

    def advance(self, carry: Any, symbol: Int[Array, ""], site: Any) -> tuple[Any, Outputs]:
        carry = carry.at[site * self.symbols + symbol].set(1)
        return carry, self.mlp(carry)[jnp.minimum(site + 1, self.mlp.d_in - 1)]

    def __call__(self, symbols: Int[Array, " n"]) -> Float[Array, "n outputs"]:
        return self.mlp(jax.nn.one_hot(symbols, self.symbols).reshape(-1))

    def prefix(self, symbols: Int[Array, " n"]) -> tuple[Float[Array, "n outputs"], None]:
        return self(symbols), None

    def suffix(
        self, carry: None, symbols: Int[Array, " n"], start: int
    ) -> Float[Array, "m outputs"]:
        return self(symbols)[start:]


class TransformerDecoder(nnx.Module):
    """A causal Transformer (Vaswani et al. 2017, arXiv:1706.03762) that keeps keys and values.

    wavelength: of the slowest rotary position; the longest sequence that is expected.
    """

    def __init__(
        self,
        n: int,
        symbols: int,
        outputs: int,
        width: int,
        heads: int,
        layers: int,
        wavelength: int,
        *,
        rngs: nnx.Rngs,
    ):
        self.n = n
        self.symbols = symbols
        normal = nnx.initializers.normal(stddev=1.0)
        self.tokens = nnx.Param(normal(rngs.params(), (symbols + 1, width), jnp.float32))
        self.transformer = CausalTransformer(width, heads, layers, wavelength, rngs=rngs)
        self.last = nnx.Linear(width, outputs, rngs=rngs)

    def start(self) -> tuple[Any, Outputs]:
        return self._one(self.transformer.caches(self.n), self.symbols, 0)

    def advance(self, carry: Any, symbol: Int[Array, ""], site: Any) -> tuple[Any, Outputs]:
        return self._one(carry, symbol, site + 1)

    def _one(self, carry: Any, token: Any, position: Any) -> tuple[Any, Outputs]:
        features, carry = self.transformer.extend(self.tokens[...][token][None], carry, position)
        return carry, self.last(features[0])

    def _inputs(self, symbols: Int[Array, " n"]) -> Float[Array, "n width"]:
        """The token of each site is the symbol before it."""
        first = jnp.full_like(symbols[:1], self.symbols)
        return self.tokens[...][jnp.concatenate([first, symbols[:-1]])]

    def __call__(self, symbols: Int[Array, " n"]) -> Float[Array, "n outputs"]:
        return self.last(self.transformer(self._inputs(symbols)))

    def prefix(self, symbols: Int[Array, " n"]) -> tuple[Float[Array, "n outputs"], Any]:
        caches = self.transformer.caches(len(symbols))
        features, caches = self.transformer.extend(self._inputs(symbols), caches, 0)
        return self.last(features), caches

    def suffix(
        self, carry: Any, symbols: Int[Array, " n"], start: int
    ) -> Float[Array, "m outputs"]:
        features, _ = self.transformer.extend(self._inputs(symbols)[start:], carry, start)
        return self.last(features)


def step_by_step(
    network: Autoregressive, symbols: Int[Array, " n"]
) -> tuple[Float[Array, "n outputs"], Any]:
    """The outputs of each site, and the carries before its symbol, stacked."""
    carry, outputs = network.start()

    def step(state, inputs):
        carry, outputs = state
        return network.advance(carry, *inputs), (outputs, carry)

    n = len(symbols)
    state = jax.tree.map(jnp.asarray, (carry, outputs))
    (carry, last), (rows, carries) = jax.lax.scan(step, state, (symbols[:-1], jnp.arange(n - 1)))
    rows = jnp.concatenate([rows, last[None]])
    return rows, jax.tree.map(lambda some, one: jnp.concatenate([some, one[None]]), carries, carry)
