"""Densities that can be learned and sampled."""

from physgen.densities.base import Base, Gaussian, Uniform
from physgen.densities.coupling import Coupling, Independent, OptimalTransport
from physgen.densities.solvers import Adaptive, Clock, FixedSteps, Solver
from physgen.densities.transport import Transport, VelocityField

__all__ = [
    "Adaptive",
    "Base",
    "Clock",
    "Coupling",
    "FixedSteps",
    "Gaussian",
    "Independent",
    "OptimalTransport",
    "Solver",
    "Transport",
    "Uniform",
    "VelocityField",
]
