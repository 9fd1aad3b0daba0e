"""The shapes of wavefunctions: settings that build one for a lattice."""

import abc
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from flax import nnx

from physgen.errors import InputError
from physgen.nets.autoregressive import (
    FVSBN,
    MADE,
    NADE,
    Autoregressive,
    Recurrent,
    TransformerDecoder,
)
from physgen.nets.recurrent import GRUCell, MinGRUCell, TensorizedCell
from physgen.spins.lattice import Lattice, as_lattice
from physgen.spins.wavefunction import Image, Wavefunction


@dataclass(frozen=True, kw_only=True)
class Ansatz(abc.ABC):
    """What all wavefunctions may have.

    phase: complex; without it psi is positive, up to `marshall`.
    marshall: a factor -1 for each down spin on every second site (Marshall 1955), with which the
        ground state of an unfrustrated antiferromagnet is positive.
    sector: the total 2 S_z of every configuration; None for all.
    spin_flip, reflection, translation: |psi|^2 is the mean over the images of a configuration under
        the group of these; the work grows with their number. Translation needs a ring.
    local_dimension: 2 S + 1 of each spin.
    """

    grows: ClassVar[bool] = True  # whether its weights do not depend on the number of sites

    phase: bool = False
    marshall: bool = False
    sector: int | None = None
    spin_flip: bool = False
    reflection: bool = False
    translation: bool = False
    local_dimension: int = 2

    @abc.abstractmethod
    def network(self, n: int, symbols: int, outputs: int, *, rngs: nnx.Rngs) -> Autoregressive:
        """A network that predicts each of n symbols."""

    def build(self, lattice: int | Lattice, *, rngs: nnx.Rngs) -> Wavefunction:
        """A wavefunction on a lattice, or on an open chain of so many sites.

        Raises:
            InputError: for a sector that does not exist, or that a spin flip leaves, and for
                translations of an open lattice.
        """
        lattice = as_lattice(lattice, periodic=False)
        d = self.local_dimension
        self._require_sector(lattice.n)
        network = self.network(lattice.n, d, 2 * d if self.phase else d, rngs=rngs)
        signs = tuple(lattice.sublattice().tolist()) if self.marshall else None
        return Wavefunction(
            network,
            lattice.n,
            local_dimension=d,
            phase=self.phase,
            sector=self.sector,
            images=self._images(lattice),
            signs=signs,
            made_of=(lattice, self),
        )

    def _require_sector(self, n: int) -> None:
        if self.sector is None:
            return
        largest = n * (self.local_dimension - 1)
        if abs(self.sector) > largest or (largest - self.sector) % 2:
            parity = "an even" if largest % 2 == 0 else "an odd"
            raise InputError(
                f"expected {parity} total 2 S_z from {-largest} to {largest} for {n} sites, got "
                f"sector {self.sector}; choose one of those"
            )
        if self.spin_flip and self.sector:
            raise InputError(
                f"expected sector 0 with spin_flip, which turns 2 S_z around, got {self.sector}; "
                "leave spin_flip out"
            )

    def _images(self, lattice: Lattice) -> tuple[Image, ...]:
        orders = [np.arange(lattice.n)]
        if self.translation:
            orders = lattice.translations()
        if self.reflection:
            orders = [*orders, *(r[o] for r in lattice.reflections() for o in orders)]
        distinct = dict.fromkeys(tuple(order.tolist()) for order in orders)
        flips = (False, True) if self.spin_flip else (False,)
        return tuple((order, flip) for flip in flips for order in distinct)


@dataclass(frozen=True)
class GRUWavefunction(Ansatz):
    """Gated recurrent units, `layers` of them on top of each other."""

    units: int = 50
    layers: int = 1

    def network(self, n: int, symbols: int, outputs: int, *, rngs: nnx.Rngs) -> Recurrent:
        def cell(size: int, rngs: nnx.Rngs) -> GRUCell:
            return GRUCell(size, self.units, rngs=rngs)

        return Recurrent(cell, symbols, outputs, self.layers, rngs=rngs)


@dataclass(frozen=True)
class TensorizedWavefunction(Ansatz):
    """Tensorized recurrent cells."""

    units: int = 50
    layers: int = 1

    def network(self, n: int, symbols: int, outputs: int, *, rngs: nnx.Rngs) -> Recurrent:
        def cell(size: int, rngs: nnx.Rngs) -> TensorizedCell:
            return TensorizedCell(size, self.units, rngs=rngs)

        return Recurrent(cell, symbols, outputs, self.layers, rngs=rngs)


@dataclass(frozen=True)
class MinGRUWavefunction(Ansatz):
    """Recurrent cells that a parallel scan evaluates; two layers or more see the order of spins."""

    units: int = 64
    layers: int = 2

    def network(self, n: int, symbols: int, outputs: int, *, rngs: nnx.Rngs) -> Recurrent:
        def cell(size: int, rngs: nnx.Rngs) -> MinGRUCell:
            return MinGRUCell(size, self.units, rngs=rngs)

        return Recurrent(cell, symbols, outputs, self.layers, rngs=rngs)


@dataclass(frozen=True)
class TransformerWavefunction(Ansatz):
    """A causal Transformer; twice the heads must divide the width.

    wavelength: of the slowest rotary position, the longest chain that is expected.
    """

    width: int = 32
    heads: int = 4
    layers: int = 2
    wavelength: int = 1000

    def network(self, n: int, symbols: int, outputs: int, *, rngs: nnx.Rngs) -> TransformerDecoder:
        s = self
        return TransformerDecoder(
            n, symbols, outputs, s.width, s.heads, s.layers, s.wavelength, rngs=rngs
        )


@dataclass(frozen=True)
class NADEWavefunction(Ansatz):
    """Neural autoregressive distribution estimator."""

    grows: ClassVar[bool] = False

    units: int = 64

    def network(self, n: int, symbols: int, outputs: int, *, rngs: nnx.Rngs) -> NADE:
        return NADE(n, symbols, outputs, self.units, rngs=rngs)


@dataclass(frozen=True)
class MADEWavefunction(Ansatz):
    """Masked autoencoder with residual blocks."""

    grows: ClassVar[bool] = False

    width: int = 128
    depth: int = 1

    def network(self, n: int, symbols: int, outputs: int, *, rngs: nnx.Rngs) -> MADE:
        return MADE(n, symbols, outputs, self.width, self.depth, rngs=rngs)


@dataclass(frozen=True)
class FVSBNWavefunction(Ansatz):
    """Fully visible sigmoid belief network."""

    grows: ClassVar[bool] = False

    def network(self, n: int, symbols: int, outputs: int, *, rngs: nnx.Rngs) -> FVSBN:
        return FVSBN(n, symbols, outputs, rngs=rngs)
