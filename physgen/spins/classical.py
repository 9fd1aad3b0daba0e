"""Classical Ising models at a temperature: free energies by autoregressive networks, and exactly.

A density q that is normalised and sampled exactly bounds the free energy from above,
F <= <E + T ln q>_q (Wu, Wang & Zhang 2019, arXiv:1809.10606); the same samples weighted by
exp(-E / T) / q estimate F itself. T falls from high values on the way (variational neural
annealing, Hibat-Allah et al. 2021, arXiv:2101.10154). Configurations are integers, 0 for up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray
from scipy.special import logsumexp

from physgen.densities.sequences import SequenceDensity
from physgen.errors import InputError
from physgen.nets.autoregressive import Autoregressive, Recurrent
from physgen.nets.plane import PlaneRecurrent
from physgen.nets.recurrent import GRUCell
from physgen.spins.estimates import Estimate
from physgen.spins.lattice import Chain, Square
from physgen.train import FitResult, FitSettings, OptimizerSettings, Report, fit, gradient_step

ENUMERATED = 20
AT_ONCE = 1000
_COLD = 100.0  # 2 J / T, from where on no exponential of less is seen beside the largest


@dataclass(frozen=True)
class Ising:
    """E = -sum_bonds J_b s_i s_j - sum_i h_i s_i with s = 1 - 2 x.

    coupling: one J for all bonds of the lattice, or one for each, as of a spin glass.
    """

    lattice: Chain | Square
    coupling: float | Sequence[float] = 1.0
    field: float | Sequence[float] = 0.0

    def energy(self, x: Int[Array, "*b n"]) -> Float[Array, "*b"]:
        """Of configurations."""
        first, second = np.array(self.lattice.bonds()).T
        s = 1.0 - 2.0 * x
        pairs = s[..., first] * s[..., second]
        couplings = jnp.broadcast_to(jnp.asarray(self.coupling, s.dtype), (len(first),))
        fields = jnp.broadcast_to(jnp.asarray(self.field, s.dtype), (self.lattice.n,))
        return -pairs @ couplings - s @ fields

    @property
    def symmetric(self) -> bool:
        """Whether flipping all spins changes nothing."""
        return not np.any(self.field)


@dataclass(frozen=True, eq=False)
class FreeEnergy:
    """Totals, not per site.

    bound: <E + T ln q>, below F by chance alone. weighted: of F itself; its error means something
    where `effective`, the samples that carry the weight, are many.
    """

    density: SequenceDensity
    bound: Estimate
    weighted: Estimate
    effective: float
    run: FitResult


def free_energy(
    key: PRNGKeyArray,
    model: Ising,
    temperature: float,
    *,
    units: int = 16,
    steps: int | None = None,
    samples: int = 100,
    final_samples: int = 10_000,
    learning_rate: float = 1e-2,
    report: Report | None = None,
) -> FreeEnergy:
    """The free energy -T ln Z of an Ising model, variational and weighted.

    Args:
        units: of the recurrent network, in two dimensions on a square lattice.
        steps: T falls from ten times its value to it over the first half; by default 1500, and 16
            a site where that is more.

    Raises:
        InputError: for a temperature that is not positive.
    """
    if not temperature > 0:
        raise InputError(f"expected a positive temperature, got {temperature}")
    steps = max(1500, 16 * model.lattice.n) if steps is None else steps
    key_init, key_fit, key_final = jax.random.split(key, 3)
    density = _density(model, units, nnx.Rngs(key_init))
    graph, parameters, rest = nnx.split(density, nnx.Param, ...)
    flip = model.symmetric

    def loss(parameters: Any, key: Array, batch: dict[str, Array]) -> Any:
        there = nnx.merge(graph, parameters, rest)
        x = _draw(jax.lax.stop_gradient(there), key, samples, flip)
        log_q = jax.vmap(partial(_log_q, there, flip=flip))(x)
        cost = batch["beta"] * model.energy(x) + jax.lax.stop_gradient(log_q)
        surrogate = jnp.mean((cost - cost.mean()) * log_q)
        # The value of the loss is the bound; its gradient, that of the surrogate.
        value = surrogate + jax.lax.stop_gradient(cost.mean() - surrogate)
        return value, {"free_energy": cost.mean() / batch["beta"] / model.lattice.n}

    inner = gradient_step(
        parameters,
        loss,
        OptimizerSettings(
            learning_rate=learning_rate, weight_decay=0.0, ema_decay=0.95, second_moment_decay=0.99
        ),
    )

    def step(key: Array, state: Any, batch: None) -> Any:
        warm = jnp.clip(1 - 2 * state.step / state.total_steps, 0, 1)
        return inner.step(key, state, {"beta": 1 / (temperature * (1 + 9 * warm))})

    run = fit(
        key_fit,
        step,
        inner.state,
        None,
        FitSettings(batch_size=samples, steps=steps),
        on_total_steps=inner.on_total_steps,
        report=report,
    )
    density = nnx.merge(graph, inner.unravel(run.state.ema), rest)
    keys = jax.random.split(key_final, -(-final_samples // AT_ONCE))

    @jax.jit
    def final(key, density):
        x = _draw(density, key, AT_ONCE, flip)
        return model.energy(x) / temperature + jax.vmap(partial(_log_q, density, flip=flip))(x)

    cost = np.concatenate([np.asarray(final(k, density), float) for k in keys])
    weights = np.exp(cost.min() - cost)
    mean, size = weights.mean(), len(cost)
    bound = Estimate(temperature * cost.mean(), temperature * cost.std(ddof=1) / size**0.5)
    weighted = Estimate(
        float(temperature * (cost.min() - np.log(mean))),
        float(temperature * weights.std(ddof=1) / size**0.5 / mean),
    )
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    return FreeEnergy(density, bound, weighted, effective, run)


def enumerated_free_energy(model: Ising, temperature: float) -> float:
    """-T ln Z, by all configurations.

    Raises:
        InputError: for more than 20 sites.
    """
    n = model.lattice.n
    if n > ENUMERATED:
        raise InputError(f"expected at most {ENUMERATED} sites to enumerate, got {n}")
    first, second = np.array(model.lattice.bonds()).T
    s = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    couplings = np.broadcast_to(model.coupling, len(first))
    energy = -(s[:, first] * s[:, second]) @ couplings - s @ np.broadcast_to(model.field, n)
    return float(-temperature * np.logaddexp.reduce(-energy / temperature))


def torus_free_energy(rows: int, columns: int, coupling: float, temperature: float) -> float:
    """-T ln Z of the Ising model on a torus, J > 0 and no field.

    Kaufman 1949 (Phys. Rev. 76, 1232).
    """
    k = coupling / temperature
    turns = np.arange(2 * columns)
    cold = min(2 * k, _COLD)
    gamma = np.arccosh(np.cosh(cold) / np.tanh(cold) - np.cos(np.pi * turns / columns))
    gamma += 2 * k - cold
    gamma[0] = 2 * k + np.log(np.tanh(k))
    odd, even = rows * gamma[1::2] / 2, rows * gamma[::2] / 2
    terms = [
        _log_cosh(odd).sum(),
        _log_sinh(odd).sum(),
        _log_cosh(even).sum(),
        _log_sinh(even).sum(),
    ]
    signs = [1, 1, 1, np.sign(even).prod()]
    total = logsumexp(terms, b=signs) - np.log(2)
    return float(-temperature * (rows * columns / 2 * _log_sinh(np.array([2 * k]))[0] + total))


def _log_cosh(x: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """log(2 cosh x)."""
    return np.logaddexp(x, -x)


def _log_sinh(x: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """log(2 sinh |x|)."""
    return np.abs(x) + np.log(-np.expm1(-2 * np.abs(x)) + 1e-300)


def _density(model: Ising, units: int, rngs: nnx.Rngs) -> SequenceDensity:
    lattice = model.lattice
    if isinstance(lattice, Square):
        network: Any = PlaneRecurrent(lattice.rows, lattice.columns, 2, units, rngs=rngs)
    else:
        network = Recurrent(lambda size, rngs: GRUCell(size, units, rngs=rngs), 2, 2, 1, rngs=rngs)
    return SequenceDensity(network, lattice.n)


def _draw(density: SequenceDensity, key: Array, count: int, flip: bool) -> Int[Array, "b n"]:
    """Samples; with `flip` the first spin is up, and then all are turned half of the time."""
    n, network = density.event_shape[0], cast(Autoregressive, density.network)

    def one(key):
        key_sites, key_flip = jax.random.split(key)

        def step(state, inputs):
            carry, outputs = state
            key, site = inputs
            symbol = jax.random.categorical(key, density._conditionals(outputs))
            symbol = jnp.where(flip & (site == 0), 0, symbol)
            return network.advance(carry, symbol, site), symbol

        start = jax.tree.map(jnp.asarray, network.start())
        x = jax.lax.scan(step, start, (jax.random.split(key_sites, n), jnp.arange(n)))[1]
        return x ^ jax.random.bernoulli(key_flip).astype(x.dtype) if flip else x

    return jax.vmap(one)(jax.random.split(key, count))


def _log_q(density: SequenceDensity, x: Int[Array, " n"], *, flip: bool) -> Float[Array, ""]:
    """log q of what `_draw` draws."""
    x = x ^ x[0] if flip else x
    log_p = density._conditionals(density.network(x))
    log_p = jnp.take_along_axis(log_p, x[:, None], axis=1)[:, 0]
    return log_p[1:].sum() - jnp.log(2.0) if flip else log_p.sum()
