"""A step of variational Monte Carlo beside NetKet: the critical Ising chain of 40 sites.

    python benchmarks/variational.py [--steps 300]
    python benchmarks/variational.py --race 300 [--steps 200]

Each core is a device, as on physgen's command line; both share samples out over devices. Processes
that were started with another number say so by XLA_FLAGS=--xla_force_host_platform_device_count=1.

Both take 200 exact samples a step of a recurrent network of 50 gated units in single precision,
with Adam. Blocks of steps alternate, so that whatever else the machine does meets both. The seconds
of a step are medians over the blocks after the first. The bound is the time of the matrix products
that the local energies cannot do without, at the speed that one such product reaches alone.

In a race physgen's default optimiser runs against NetKet with Adam and with minSR, one after the
other: seconds of the processor until the V-score of a block of steps, from its mean energy and
variance, is below 1e-3, 1e-4 and 1e-5, or until so many are over. Compiling, which is in the first
block, is left out. minSR has physgen's learning rate, shift and momentum first, then others: NetKet
does not bound the length of a step.
"""

import argparse
import contextlib
import statistics
import time

import jax
import jax.numpy as jnp
import netket as nk
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh

from physgen.spins import (
    Adam,
    GRUWavefunction,
    StochasticReconfiguration,
    TransverseFieldIsing,
    energy,
)
from physgen.spins.optimisers import Optimiser
from physgen.spins.reference import reference_energy
from physgen.spins.vmc import VMCState, sampled_problem

N, UNITS, SAMPLES, BLOCK = 40, 50, 200, 10
SETTINGS = (
    StochasticReconfiguration(),
    StochasticReconfiguration(learning_rate=0.05, momentum=0.0),
    StochasticReconfiguration(learning_rate=0.05, shift=1e-2, momentum=0.0),
    StochasticReconfiguration(learning_rate=0.02, shift=1e-2, momentum=0.9),
)


@contextlib.contextmanager
def as_alone():
    """Without what NetKet sets for the whole process: double precision, and a mesh of devices."""
    with jax.enable_x64(False), jax.set_mesh(Mesh(np.array(jax.devices()), ("rows",))):
        yield


class Ours:
    """The step of `ground_state`, a block at a time."""

    name = "physgen"

    def __init__(self, steps: int, optimiser: Optimiser = Adam(5e-3)):
        from jax.flatten_util import ravel_pytree

        self.hamiltonian = TransverseFieldIsing(N)
        wavefunction = GRUWavefunction(units=UNITS).build(N, rngs=nnx.Rngs(0))
        self.graph, parameters, self.rest = nnx.split(wavefunction, nnx.Param, ...)
        vector, self.unravel = ravel_pytree(parameters)
        operator = self.hamiltonian.operator

        def step(state, key):
            progress = state.step / state.total_steps
            problem, info = sampled_problem(key, state.parameters, self.at, operator, SAMPLES)
            change, memory = optimiser.update(state.optimiser, problem, progress)
            parameters = state.parameters + change
            following = VMCState(parameters, memory, state.step + 1, state.total_steps)
            return following, info["v_score"]

        self.run = jax.jit(lambda state, keys: jax.lax.scan(step, state, keys))
        total = jnp.full((), steps, jnp.int32)
        self.state = VMCState(vector, optimiser.init(vector), 0 * total, total)
        self.parameters = vector.size

    def at(self, vector):
        return nnx.merge(self.graph, self.unravel(vector), self.rest)

    def block(self) -> float:
        """So many steps; the mean V-score."""
        with as_alone():
            key = jax.random.fold_in(jax.random.key(0), self.state.step)
            self.state, scores = self.run(self.state, jax.random.split(key, BLOCK))
            return float(scores.mean())

    def v_score(self) -> float:
        with as_alone():
            wavefunction = self.at(self.state.parameters)
            return energy(jax.random.key(1), wavefunction, self.hamiltonian, 8192).v_score


class NetKet:
    """FastGRUNet1D with exact autoregressive sampling, trained by Adam or by minSR."""

    name = "NetKet"

    def __init__(self, steps: int, natural: StochasticReconfiguration | None = None):
        hilbert = nk.hilbert.Spin(s=1 / 2, N=N)
        graph = nk.graph.Chain(N, pbc=False)
        hamiltonian = nk.operator.IsingJax(hilbert, graph, h=1.0, J=-1.0)
        model = nk.experimental.models.FastGRUNet1D(
            hilbert=hilbert, layers=2, features=UNITS, param_dtype=jnp.float32
        )
        sampler = nk.sampler.ARDirectSampler(hilbert)
        self.state = nk.vqs.MCState(sampler, model, n_samples=SAMPLES, seed=0)
        if natural is None:
            rate = optax.cosine_decay_schedule(5e-3, steps)
            self.driver = nk.driver.VMC(hamiltonian, optax.adam(rate), variational_state=self.state)
        else:
            length = natural.learning_rate / TransverseFieldIsing(N).operator.scale
            self.driver = nk.driver.VMC_SR(
                hamiltonian,
                optax.sgd(optax.cosine_decay_schedule(length, steps, alpha=0.1)),
                diag_shift=natural.shift,
                momentum=natural.momentum,
                variational_state=self.state,
                use_ntk=True,
            )
        self.hamiltonian = hamiltonian
        self.parameters = self.state.n_parameters

    def block(self) -> float:
        """So many steps; the mean V-score."""
        log = nk.logging.RuntimeLog()
        self.driver.run(BLOCK, show_progress=False, out=log)
        energies = log.data["Energy"]
        scores = N * np.asarray(energies["Variance"]) / np.asarray(energies["Mean"]).real ** 2
        return float(scores.mean())

    def v_score(self) -> float:
        self.state.n_samples = 8192
        found = self.state.expect(self.hamiltonian)
        return N * float(found.variance.real) / float(found.mean.real) ** 2


def bound() -> float:
    """Seconds of the products of the local energies alone, in single precision."""
    lanes, times = N // 2, N - 1
    kernel = jnp.full((3 * UNITS, UNITS), 1e-2, jnp.float32)
    carry = jnp.ones((UNITS, lanes * SAMPLES), jnp.float32)

    @jax.jit
    def products(carry):
        return jax.lax.scan(lambda c, _: ((kernel @ c)[:UNITS], None), carry, None, length=times)[0]

    products(carry).block_until_ready()
    found = []
    for _ in range(10):
        started = time.perf_counter()
        products(carry).block_until_ready()
        found.append(time.perf_counter() - started)
    return min(found)


def race(steps: int, limit: float) -> None:
    """Seconds to each V-score."""
    with as_alone():
        ours = Ours(steps, StochasticReconfiguration())
    sides = {
        "physgen": ours,
        "NetKet, Adam": NetKet(10_000),
        **{
            f"NetKet, rate {s.learning_rate}, shift {s.shift}, momentum {s.momentum}": NetKet(
                steps, s
            )
            for s in SETTINGS
        },
    }
    for name, side in sides.items():
        marks, spent, count = [1e-3, 1e-4, 1e-5], 0.0, 0
        side.block()
        while marks and spent < limit and (count < steps or "Adam" in name):
            started = time.process_time()
            score = side.block()
            spent, count = spent + time.process_time() - started, count + BLOCK
            while marks and score < marks[0]:
                print(f"{name}: V-score {marks.pop(0):.0e} after {spent:.1f} s, {count} steps")
        print(f"{name}: {count} steps in {spent:.1f} s, V-score {score:.1e}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--race", type=float, metavar="SECONDS", help="at most so long for each")
    options = parser.parse_args()
    if options.race is not None:
        race(options.steps, options.race)
        return
    exact = reference_energy(TransverseFieldIsing(N))
    with as_alone():
        ours = Ours(options.steps)
    sides = [ours, NetKet(options.steps)]
    seconds: dict[str, list[float]] = {side.name: [] for side in sides}
    bounds = []
    for _ in range(options.steps // BLOCK):
        for side in sides:
            started = time.perf_counter()
            side.block()
            seconds[side.name].append((time.perf_counter() - started) / BLOCK)
        bounds.append(bound())
    print(f"exact energy {exact.energy:.6f}, {options.steps} steps in blocks of {BLOCK}")
    for side in sides:
        first, *rest = seconds[side.name]
        print(
            f"{side.name}: {side.parameters} parameters, {statistics.median(rest):.4f} s a step "
            f"(fastest {min(rest):.4f}), first block {first * BLOCK:.1f} s, "
            f"V-score {side.v_score():.2e}"
        )
    mine, theirs = (statistics.median(seconds[side.name][1:]) for side in sides)
    print(f"ratio {theirs / mine:.2f}; products alone {statistics.median(bounds):.4f} s a step")


if __name__ == "__main__":
    main()
