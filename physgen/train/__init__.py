"""One training loop for any step, and the step that most models use."""

from physgen.train.gradient import GradientStep, OptimizerSettings, TrainState, gradient_step
from physgen.train.loop import fit
from physgen.train.progress import ProgressLine, Report, Silent, Status
from physgen.train.settings import FitResult, FitSettings, NonFiniteError

__all__ = [
    "FitResult",
    "FitSettings",
    "GradientStep",
    "NonFiniteError",
    "OptimizerSettings",
    "ProgressLine",
    "Report",
    "Silent",
    "Status",
    "TrainState",
    "fit",
    "gradient_step",
]
