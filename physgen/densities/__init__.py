"""Densities that can be learned and sampled."""

from physgen.densities.annealing import log_partition
from physgen.densities.base import Base, Gaussian, Uniform, WrappedGaussian
from physgen.densities.boltzmann import Boltzmann, RestrictedBoltzmann, hopfield
from physgen.densities.boxmuller import BoxMuller
from physgen.densities.conditionals import Autoregressive, Categorical, MixtureOfGaussians
from physgen.densities.continuous import maximum_likelihood_loss
from physgen.densities.coupling import Coupling, Independent, OptimalTransport
from physgen.densities.elementwise import Affine, Spline
from physgen.densities.embedded import Embedded
from physgen.densities.fields import VelocityField
from physgen.densities.flow import Flow
from physgen.densities.flowmap import FlowMap
from physgen.densities.guidance import Guided, drop_context
from physgen.densities.interpolants import (
    Interpolant,
    LatentNoise,
    Linear,
    Trigonometric,
    VarianceExploding,
    VariancePreserving,
)
from physgen.densities.layers import Chain, Layer, Repeated
from physgen.densities.leaps import Leaps
from physgen.densities.likelihood import LikelihoodEstimate
from physgen.densities.linear import LinearLU, Permutation, Rotation
from physgen.densities.masked import AutoregressiveLayer, CouplingLayer
from physgen.densities.planar import Planar
from physgen.densities.prediction import Bridge, Means, Prediction
from physgen.densities.sequences import SequenceDensity
from physgen.densities.solvers import (
    Adaptive,
    AncestralSteps,
    ChurnedSteps,
    Clock,
    FixedSteps,
    OrdinarySolver,
    Solver,
    StochasticSteps,
)
from physgen.densities.trace import Exact, Hutchinson, HutchPlusPlus, Trace
from physgen.densities.transport import Transport

__all__ = [
    "Adaptive",
    "Affine",
    "AncestralSteps",
    "ChurnedSteps",
    "Autoregressive",
    "AutoregressiveLayer",
    "Base",
    "Boltzmann",
    "BoxMuller",
    "Bridge",
    "Categorical",
    "Chain",
    "Clock",
    "Coupling",
    "CouplingLayer",
    "Embedded",
    "Exact",
    "FixedSteps",
    "Flow",
    "FlowMap",
    "Gaussian",
    "Guided",
    "HutchPlusPlus",
    "Hutchinson",
    "Independent",
    "Interpolant",
    "LatentNoise",
    "Layer",
    "Leaps",
    "LikelihoodEstimate",
    "Linear",
    "LinearLU",
    "Means",
    "MixtureOfGaussians",
    "OptimalTransport",
    "OrdinarySolver",
    "Permutation",
    "Planar",
    "Prediction",
    "Repeated",
    "RestrictedBoltzmann",
    "Rotation",
    "SequenceDensity",
    "Solver",
    "Spline",
    "StochasticSteps",
    "Trace",
    "Transport",
    "Trigonometric",
    "Uniform",
    "VarianceExploding",
    "VariancePreserving",
    "VelocityField",
    "WrappedGaussian",
    "drop_context",
    "hopfield",
    "log_partition",
    "maximum_likelihood_loss",
]
