"""Densities that can be learned and sampled."""

from physgen.densities.annealing import log_partition
from physgen.densities.base import Base, Gaussian, Uniform
from physgen.densities.boltzmann import Boltzmann, RestrictedBoltzmann, hopfield
from physgen.densities.boxmuller import BoxMuller
from physgen.densities.conditionals import Autoregressive, Categorical, MixtureOfGaussians
from physgen.densities.continuous import maximum_likelihood_loss
from physgen.densities.coupling import Coupling, Independent, OptimalTransport
from physgen.densities.elementwise import Affine, Spline
from physgen.densities.embedded import Embedded
from physgen.densities.flow import Flow
from physgen.densities.flowmap import FlowMap
from physgen.densities.layers import Chain, Layer, Repeated
from physgen.densities.linear import LinearLU, Permutation, Rotation
from physgen.densities.masked import AutoregressiveLayer, CouplingLayer
from physgen.densities.planar import Planar
from physgen.densities.sequences import SequenceDensity
from physgen.densities.solvers import Adaptive, Clock, FixedSteps, Solver
from physgen.densities.transport import Transport, VelocityField

__all__ = [
    "Adaptive",
    "Affine",
    "Autoregressive",
    "AutoregressiveLayer",
    "Base",
    "Boltzmann",
    "BoxMuller",
    "Categorical",
    "Chain",
    "Clock",
    "Coupling",
    "CouplingLayer",
    "Embedded",
    "FixedSteps",
    "Flow",
    "FlowMap",
    "Gaussian",
    "Independent",
    "Layer",
    "LinearLU",
    "MixtureOfGaussians",
    "OptimalTransport",
    "Permutation",
    "Planar",
    "Repeated",
    "RestrictedBoltzmann",
    "Rotation",
    "SequenceDensity",
    "Solver",
    "Spline",
    "Transport",
    "Uniform",
    "VelocityField",
    "hopfield",
    "log_partition",
    "maximum_likelihood_loss",
]
