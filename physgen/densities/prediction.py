"""What a network predicts: velocity, noise, score or data. Each gives the others.

On a bridge x = sigma(t) e + b(t) x_1 with standard normal e, the means of e and x_1 given x obey

    x = sigma <e> + b <x_1>,    velocity = sigma' <e> + b' <x_1>,    score = -<e> / sigma

(Albergo et al. 2023, arXiv:2303.08797, section 2; Kingma & Gao 2023, arXiv:2303.00848).
"""

import enum
from typing import NamedTuple

from jaxtyping import Array


class Bridge(NamedTuple):
    """sigma and b at one time, and their rates."""

    noise: Array
    data: Array
    noise_rate: Array
    data_rate: Array


class Means(NamedTuple):
    """The means of the noise e and of the data x_1, given x at one time."""

    noise: Array
    data: Array

    def velocity(self, bridge: Bridge) -> Array:
        """The mean velocity of the bridges through x."""
        return bridge.noise_rate * self.noise + bridge.data_rate * self.data


class Prediction(enum.Enum):
    """What the output of a network stands for."""

    VELOCITY = "velocity"
    NOISE = "noise"
    SCORE = "score"
    DATA = "data"

    @property
    def ends(self) -> tuple[float, float]:
        """Times between which the other three follow without a division by nearly zero."""
        match self:
            case Prediction.VELOCITY:
                return 0.0, 1.0
            case Prediction.DATA:
                return 0.0, 1.0 - 1e-3
            case _:
                return 1e-3, 1.0

    def means(self, bridge: Bridge, x: Array, value: Array) -> Means:
        """The means of noise and data where the network says `value` at x."""
        sigma, b, sigma_rate, b_rate = bridge
        match self:
            case Prediction.VELOCITY:
                determinant = sigma * b_rate - sigma_rate * b
                noise = (b_rate * x - b * value) / determinant
                return Means(noise, (sigma * value - sigma_rate * x) / determinant)
            case Prediction.DATA:
                return Means((x - b * value) / sigma, value)
            case Prediction.NOISE:
                return Means(value, (x - sigma * value) / b)
            case Prediction.SCORE:
                return Means(-sigma * value, (x + sigma**2 * value) / b)

    def target(self, bridge: Bridge, means: Means) -> Array:
        """What the network should say, on average, of noise and data that are known."""
        match self:
            case Prediction.VELOCITY:
                return means.velocity(bridge)
            case Prediction.DATA:
                return means.data
            case Prediction.NOISE:
                return means.noise
            case Prediction.SCORE:
                return -means.noise / bridge.noise
