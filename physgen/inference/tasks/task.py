"""What an inference task is: a prior, a simulator, and what is known of the truth."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from physgen.density import Shape
from physgen.errors import InputError
from physgen.inference.priors import Prior

Simulate = Callable[[PRNGKeyArray, Array], Array]
LogLikelihood = Callable[[Array, Array], Array]
Reference = Callable[[PRNGKeyArray, int, Array], Array]

_OBSERVATIONS = 271828


@dataclass(frozen=True, eq=False)
class Task:
    """A prior and a simulator, with the likelihood that the simulator has.

    Args:
        name: of the task.
        prior: over parameters of shape (d,).
        simulator: (key, theta (d,)) -> x, a JAX function.
        x_shape: the shape of x.
        log_likelihood: (theta (d,), x) -> log p(x | theta), up to a function of x; None if unknown.
        reference: (key, n, x) -> n independent draws of the exact posterior, (n, d); None where
            there is no closed form. `reference_posterior` then draws by Monte Carlo.
    """

    name: str
    prior: Prior
    simulator: Simulate
    x_shape: Shape
    log_likelihood: LogLikelihood | None = None
    reference: Reference | None = None

    def observation(self, number: int) -> tuple[Float[Array, " d"], Float[Array, "..."]]:
        """The task's own test case of that number, 1, 2, ...: true parameters (d,), and x.

        Raises:
            InputError: for a number below 1.
        """
        if number < 1:
            raise InputError(f"expected an observation number of at least 1, got {number}")
        key = jax.random.fold_in(jax.random.key(_OBSERVATIONS), number)
        parameter_key, noise_key = jax.random.split(key)
        theta = self.prior.sample(parameter_key, 1)[0]
        return theta, jax.jit(self.simulator)(noise_key, theta)
