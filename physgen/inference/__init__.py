"""Inference from simulations: from a prior and a simulator to a calibrated posterior.

A prior (`uniform_prior`, ..., or `as_prior` of any object with `sample` and `log_prob`) says which
parameters to try, `simulate` runs a simulator at draws from it, and `Simulations` are the pairs of
parameters and observations that `fit_posterior` learns p(parameters | observation) from. `check`
tells whether the result can be trusted.
"""

from physgen.inference.architectures import AffineFlow, FlowMatching, SplineFlow
from physgen.inference.check import Check, check
from physgen.inference.consistency import Consistency, consistency
from physgen.inference.fit import fit_posterior
from physgen.inference.misspecification import Misspecification, misspecification
from physgen.inference.observed import read_observation
from physgen.inference.posterior import Posterior
from physgen.inference.priors import (
    Prior,
    as_prior,
    log_normal_prior,
    normal_prior,
    product_prior,
    uniform_prior,
)
from physgen.inference.progress import SimulationLine, SimulationStatus
from physgen.inference.results import PosteriorSamples
from physgen.inference.simulate import simulate
from physgen.inference.simulators import CommandSimulator, JaxSimulator, PythonSimulator, Simulator
from physgen.inference.store import Simulations
from physgen.inference.surface import GridPosterior
from physgen.inference.training import PosteriorTraining, schedule_for

__all__ = [
    "AffineFlow",
    "Check",
    "CommandSimulator",
    "Consistency",
    "FlowMatching",
    "GridPosterior",
    "JaxSimulator",
    "Misspecification",
    "Posterior",
    "PosteriorSamples",
    "PosteriorTraining",
    "Prior",
    "PythonSimulator",
    "SimulationLine",
    "SimulationStatus",
    "Simulations",
    "Simulator",
    "SplineFlow",
    "as_prior",
    "check",
    "consistency",
    "fit_posterior",
    "log_normal_prior",
    "misspecification",
    "normal_prior",
    "product_prior",
    "read_observation",
    "schedule_for",
    "simulate",
    "uniform_prior",
]
