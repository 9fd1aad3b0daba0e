"""A recurrent network of two dimensions, along a snake path (Hibat-Allah et al. 2020)."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from physgen.nets.autoregressive import step_by_step
from physgen.nets.recurrent import GRUCell


class PlaneRecurrent(nnx.Module):
    """Gated units that see the site before and the one above; two symbols.

    Sites are numbered as those of a square lattice whose odd rows run backwards. Each step also
    sees the symbols there, those at the top of the column and at the start of the row, to which a
    torus closes, and whether the row or the column is the first or the last.
    """

    def __init__(self, rows: int, columns: int, outputs: int, units: int, *, rngs: nnx.Rngs):
        self.rows = rows
        self.columns = columns
        self.cell = GRUCell(units + 8, units, rngs=rngs)
        self.last = nnx.Linear(units, outputs, rngs=rngs)

    def start(self) -> tuple[Any, Array]:
        blank = jnp.zeros(self.columns)
        above = jnp.zeros((self.columns, self.cell.size))
        carry = (self.cell.initial(), above, blank, blank, jnp.zeros(()), jnp.zeros(()))
        return self._site(carry, 0)

    def advance(self, carry: Any, symbol: Int[Array, ""], site: Any) -> tuple[Any, Array]:
        h, above, up, top, _, begin = carry
        s = 1.0 - 2.0 * symbol
        row, column = self._place(site)
        above, up = above.at[column].set(h), up.at[column].set(s)
        top = jnp.where(row == 0, top.at[column].set(s), top)
        begin = jnp.where(site % self.columns == 0, s, begin)
        return self._site((h, above, up, top, s, begin), site + 1)

    def _place(self, site: Any) -> tuple[Any, Any]:
        row, along = site // self.columns, site % self.columns
        return row, jnp.where(row % 2 == 0, along, self.columns - 1 - along)

    def _site(self, carry: Any, site: Any) -> tuple[Any, Array]:
        """The carry with the hidden state of a site, and its outputs."""
        h, above, up, top, before, begin = carry
        row, column = self._place(site)
        along = site % self.columns
        places = jnp.stack([row == 0, row == self.rows - 1, along == 0, along == self.columns - 1])
        seen = jnp.stack([before, up[column], top[column], begin])
        inputs = jnp.concatenate([above[column], seen, places.astype(h.dtype)])
        h, features = self.cell(h, inputs)
        return (h, above, up, top, before, begin), self.last(features)

    def __call__(self, symbols: Int[Array, " n"]) -> Float[Array, "n outputs"]:
        return step_by_step(self, symbols)[0]
