"""The coordinates in which the density of an observation is learned, and the way back.

Numbers of many values are scaled, and what is left of a linear regression on the parameters is
made uncorrelated; integers among them are first spread over the unit interval around each
(Theis, van den Oord & Bethge 2016, arXiv:1511.01844). Observations of few levels stay discrete.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from physgen.densities.bijections import Support
from physgen.density import Buffer
from physgen.inference.frame import Frame, Prediction
from physgen.inference.scaling import Scaling, ScalingSettings

MOST_LEVELS = 20

Levels = tuple[tuple[float, ...], ...]


def levels_of(x: Float[np.ndarray, "n c"]) -> Levels | None:
    """The values that each entry takes, if none takes more than `MOST_LEVELS`."""
    found = [np.unique(column) for column in x.T]
    if max(len(values) for values in found) > MOST_LEVELS:
        return None
    return tuple(tuple(values.tolist()) for values in found)


def whole_of(x: Float[np.ndarray, "n c"]) -> tuple[bool, ...]:
    """Which entries are integers in all n observations."""
    return tuple((x == np.round(x)).all(axis=0).tolist())


def spread(
    x: Float[np.ndarray, "n c"], whole: tuple[bool, ...], rng: np.random.Generator
) -> Float[np.ndarray, "n c"]:
    """x, its integers moved to a random point of the unit interval around them."""
    noise = rng.uniform(-0.5, 0.5, x.shape)
    return np.where(np.array(whole), x + noise, x).astype(x.dtype)


class ObservationFrame(nnx.Module):
    """x -> latent coordinates of about zero mean and unit variance, given z, and back.

    z are the parameters, moved to R^d.
    """

    def __init__(
        self, observation: ScalingSettings, parameters: ScalingSettings, whole: tuple[bool, ...]
    ):
        self.whole = whole
        self.scaling = Scaling(observation)
        self.frame = Frame(_everywhere(len(whole)), parameters, (len(parameters.kinds),))
        self.seen_shape = self.frame.seen_shape

    @classmethod
    def fit(
        cls, x: Float[np.ndarray, "n c"], z: Float[np.ndarray, "n d"], whole: tuple[bool, ...]
    ) -> "ObservationFrame":
        """The coordinates of n observations."""
        scaling = Scaling.fit(x)
        scaled = np.asarray(jax.jit(jax.vmap(scaling))(jnp.asarray(x)))
        frame = Frame.fit(_everywhere(x.shape[1]), scaled, z)
        made = cls(scaling.settings, frame.scaling.settings, whole)
        made.scaling, made.frame = scaling, frame
        return made

    def predict(self, z: Float[Array, " d"]) -> Prediction:
        """What the parameters say before any network."""
        return self.frame.predict(z)

    def to_latent(
        self, x: Float[Array, " c"], prediction: Prediction
    ) -> tuple[Float[Array, " c"], Float[Array, ""]]:
        """Latent coordinates and log |det d latent / dx|."""
        latent, log_det = self.frame.to_latent(self.scaling(x), prediction)
        return latent, log_det + jnp.sum(self.scaling.log_slopes(x))

    def to_observation(
        self, latent: Float[Array, " c"], prediction: Prediction
    ) -> Float[Array, " c"]:
        """x, rounded where it is an integer."""
        x = self.scaling.invert(self.frame.to_parameters(latent, prediction))
        return jnp.where(np.array(self.whole), jnp.round(x), x)


class LevelFrame(nnx.Module):
    """x -> the number of the level of each entry, and back."""

    def __init__(self, levels: Levels, parameters: ScalingSettings):
        most = max(map(len, levels))
        padded = [values + (np.nan,) * (most - len(values)) for values in levels]
        self.values = Buffer(jnp.array(padded, jnp.float32))
        self.scaling = Scaling(parameters)
        self.seen_shape = (len(parameters.kinds),)

    @classmethod
    def fit(cls, levels: Levels, z: Float[np.ndarray, "n d"]) -> "LevelFrame":
        """The coordinates of observations of these levels."""
        scaling = Scaling.fit(z)
        made = cls(levels, scaling.settings)
        made.scaling = scaling
        return made

    def predict(self, z: Float[Array, " d"]) -> Prediction:
        """What the parameters say before any network."""
        return Prediction(self.scaling(z), jnp.zeros(len(self.values)))

    def to_latent(
        self, x: Float[Array, " c"], prediction: Prediction
    ) -> tuple[Float[Array, " c"], Float[Array, ""]]:
        """Numbers of levels, and 0: minus infinity for an entry that is none of its levels."""
        here = x[:, None] == self.values[...]
        log_one = jnp.where(jnp.all(jnp.any(here, axis=1)), 0.0, -jnp.inf)
        return jnp.argmax(here, axis=1).astype(x.dtype), log_one

    def to_observation(
        self, latent: Float[Array, " c"], prediction: Prediction
    ) -> Float[Array, " c"]:
        """The level of each entry."""
        return jnp.take_along_axis(self.values[...], latent.astype(int)[:, None], axis=1)[:, 0]


def _everywhere(c: int) -> Support:
    return Support(np.full(c, -np.inf), np.full(c, np.inf))
