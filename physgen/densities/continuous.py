"""Continuous normalizing flows, trained by maximum likelihood: what flow matching saves.

Chen et al. 2018 (arXiv:1806.07366); with the trace estimated, FFJORD (Grathwohl et al. 2019,
arXiv:1810.01367). The model is the same `Transport`, network and all; only the loss differs.
Flow matching evaluates the network once a training event; this solves the equation, with the
trace of the Jacobian, at every step.
"""

from jaxtyping import Array, Float

from physgen.densities.transport import Transport


def maximum_likelihood_loss(
    transport: Transport, x: Array, context: Array | None = None
) -> Float[Array, ""]:
    """-log p(x | context) of one event, in nats, with the exact trace.

    Its minimum over data is their entropy. The gradient is that of the solver's steps, exactly, by
    recursive checkpointing (diffrax's default): it keeps about sqrt(2 n) of the n states and
    computes the others again.

    Training finds out where the solver's error flatters the likelihood: a solver too coarse ends
    below the entropy, with a density that does not integrate to one. Judge with a finer one.
    """
    return -transport._log_prob(x, context)
