"""Reference posteriors: in closed form where there is one, else by tempered Monte Carlo."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.errors import InputError
from physgen.inference.tasks.task import Task
from physgen.inference.tempering import LogLikelihood, Target, Tempering, tempered


def reference_posterior(
    task: Task, key: PRNGKeyArray, n: int, x: ArrayLike, tempering: Tempering = Tempering()
) -> Float[Array, "n d"]:
    """n draws of the posterior of a task at x: exact where the task has a closed form.

    Raises:
        InputError: for a task without likelihood, an x of another shape, or one of likelihood zero
            at all draws of the prior.
    """
    x = jnp.asarray(x, float)
    if x.shape != task.x_shape:
        raise InputError(f"expected x of shape {task.x_shape}, got {x.shape}; give one observation")
    if task.reference is not None:
        return task.reference(key, n, x)
    log_likelihood = task.log_likelihood
    if log_likelihood is None:
        raise InputError(f"expected a task with a log_likelihood, got {task.name}; give it one")
    target = Target(task.prior, LogLikelihood(lambda theta: log_likelihood(theta, x)))
    z = tempered(key, n, target, tempering)
    return jax.vmap(task.prior.support.constrain)(z)[0]
