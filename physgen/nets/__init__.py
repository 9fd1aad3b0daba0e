"""Networks that take (x, context) and know no physics."""

from physgen.nets.mlp import MLP, VelocityMLP
from physgen.nets.pairs import PairNetwork, PairSettings

__all__ = ["MLP", "PairNetwork", "PairSettings", "VelocityMLP"]
