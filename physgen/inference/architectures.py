"""Which conditional density is learned: settings that build it for any number of dimensions."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from flax import nnx

from physgen.densities.base import Gaussian
from physgen.densities.elementwise import Affine, Spline
from physgen.densities.flow import Flow
from physgen.densities.flowmap import FlowMap
from physgen.densities.layers import Chain, Repeated
from physgen.densities.linear import Permutation
from physgen.densities.masked import AutoregressiveLayer, CouplingLayer
from physgen.densities.solvers import Clock, FixedSteps
from physgen.densities.transport import Transport
from physgen.density import Density
from physgen.nets.velocity import ResidualVelocity


@runtime_checkable
class Architecture(Protocol):
    """Frozen settings of plain values; `build` makes a density that has a `loss`."""

    def build(self, size: int, context_size: int, *, rngs: nnx.Rngs) -> Density: ...


@dataclass(frozen=True)
class SplineFlow:
    """Neural spline flow (Durkan et al. 2019, arXiv:1906.04032), autoregressive or by coupling.

    Each layer is a spline and then an affine map. width, depth: of the network of each layer.
    coupling: samples with one pass a layer instead of one a dimension, and fits less closely; with
    one dimension there is nothing to couple, and the layers are autoregressive.
    """

    layers: int = 3
    bins: int = 8
    width: int = 64
    depth: int = 1
    coupling: bool = False

    def build(self, size: int, context_size: int, *, rngs: nnx.Rngs) -> Flow:
        """A flow over (size,) given features (context_size,)."""
        return _flow(self, (Spline(self.bins), Affine()), size, context_size, rngs)


@dataclass(frozen=True)
class AffineFlow:
    """Masked autoregressive flow (Papamakarios et al. 2017, arXiv:1705.07057).

    coupling: RealNVP (Dinh et al. 2017, arXiv:1605.08803) instead.
    """

    layers: int = 5
    width: int = 64
    depth: int = 1
    coupling: bool = False

    def build(self, size: int, context_size: int, *, rngs: nnx.Rngs) -> Flow:
        """A flow over (size,) given features (context_size,)."""
        return _flow(self, (Affine(),), size, context_size, rngs)


@dataclass(frozen=True)
class FlowMatching:
    """Flow matching (Lipman et al. 2023, arXiv:2210.02747; for posteriors, Wildberger et al. 2023,
    arXiv:2305.17161).

    warp: of the clock, see `Clock`. evaluations: of the network, for one sample.
    """

    width: int = 128
    depth: int = 3
    warp: float = 2.0
    evaluations: int = 32

    def build(self, size: int, context_size: int, *, rngs: nnx.Rngs) -> Transport:
        """A transport over (size,) given features (context_size,)."""
        network = ResidualVelocity(size, context_size, self.width, self.depth, rngs=rngs)
        return Transport(
            network,
            Gaussian(),
            (size,),
            (context_size,),
            clock=Clock(self.warp),
            solver=FixedSteps(self.evaluations),
        )


@dataclass(frozen=True)
class FewSteps:
    """What `distil` makes of `FlowMatching`: samples in few evaluations, see `FlowMap`."""

    teacher: FlowMatching = FlowMatching()
    evaluations: int = 2
    width: int = 128
    depth: int = 3

    def build(self, size: int, context_size: int, *, rngs: nnx.Rngs) -> FlowMap:
        """A flow map over (size,) given features (context_size,)."""
        transport = self.teacher.build(size, context_size, rngs=rngs)
        return FlowMap(transport, self.evaluations, self.width, self.depth, rngs=rngs)


def _flow(settings: SplineFlow | AffineFlow, maps, size, context_size, rngs) -> Flow:
    kind = CouplingLayer if settings.coupling and size > 1 else AutoregressiveLayer

    def make(rngs: nnx.Rngs) -> Chain:
        layer = kind(
            size, context_size, maps, width=settings.width, depth=settings.depth, rngs=rngs
        )
        return Chain([layer, Permutation(range(size)[::-1])])

    return Flow(Repeated(make, settings.layers, rngs=rngs), (size,), (context_size,))
