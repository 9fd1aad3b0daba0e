"""Tasks on which inference is measured: ten of the literature, and a strike-slip fault.

The ten are those of Lueckmann et al. 2021 (AISTATS, arXiv:2101.04653), written from their
definitions.
"""

from physgen.inference.tasks.epidemic import sir
from physgen.inference.tasks.fault import strike_slip_fault
from physgen.inference.tasks.glm import bernoulli_glm, bernoulli_glm_raw
from physgen.inference.tasks.linear import gaussian_linear, gaussian_linear_uniform
from physgen.inference.tasks.mixture import gaussian_mixture
from physgen.inference.tasks.moons import two_moons
from physgen.inference.tasks.predators import lotka_volterra
from physgen.inference.tasks.reference import Tempering, reference_posterior
from physgen.inference.tasks.slcp import slcp, slcp_distractors
from physgen.inference.tasks.stored import StoredObservation, stored_observation
from physgen.inference.tasks.task import Task

BENCHMARK = (
    gaussian_linear,
    gaussian_linear_uniform,
    slcp,
    slcp_distractors,
    bernoulli_glm,
    bernoulli_glm_raw,
    gaussian_mixture,
    two_moons,
    sir,
    lotka_volterra,
)

__all__ = [
    "BENCHMARK",
    "StoredObservation",
    "Task",
    "Tempering",
    "bernoulli_glm",
    "bernoulli_glm_raw",
    "gaussian_linear",
    "gaussian_linear_uniform",
    "gaussian_mixture",
    "lotka_volterra",
    "reference_posterior",
    "sir",
    "slcp",
    "slcp_distractors",
    "stored_observation",
    "strike_slip_fault",
    "two_moons",
]
