"""States from measurements, held against what is known of them.

    python benchmarks/tomography.py FOLDER [ising] [qubits] [snapshots] [ghz] [sweep] [densities]

FOLDER holds tfim1d_data.txt and tfim1d_psi.txt, qubits_train.txt, qubits_train_bases.txt and
qubits_psi.txt (QuCumber), tfim40_h1.00_snapshots.npy, ibmq_ourense_ghz3.npz and
quera_aquila_chain13_lgt.npz. Seconds are of the processor (one core) and, in brackets, of the wall.
"""

import sys
import time
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from physgen.densities.annealing import log_likelihood, log_partition
from physgen.densities.boltzmann import Boltzmann, RestrictedBoltzmann
from physgen.densities.sequences import SequenceDensity
from physgen.nets.autoregressive import FVSBN, MADE, NADE, Recurrent, TransformerDecoder
from physgen.nets.pixelcnn import PixelCNN
from physgen.nets.recurrent import GRUCell
from physgen.nets.stacked import each, stacked
from physgen.spins import (
    Estimate,
    GRUWavefunction,
    diagonal_observables,
    expectations,
    fidelity,
    renyi_2_entropy,
)
from physgen.spins.estimates import mean_of
from physgen.spins.exact import ising_chain
from physgen.spins.operators import PauliSum
from physgen.spins.tomography import (
    Shots,
    TomographySettings,
    amplitudes_of,
    bootstrap,
    control_columns,
    fit_sweep,
    interval_of,
    read_amplitudes,
    read_shots,
    read_shots_and_controls,
    reconstruct,
)
from physgen.spins.tomography.likelihood import fit_density
from physgen.spins.tomography.matrices import (
    linear_inversion,
    maximum_likelihood,
    physical,
    state_fidelity,
)
from physgen.spins.tomography.povm import density_matrix, fit_outcomes, pauli_povm
from physgen.spins.tomography.pure import Model, maximise
from physgen.train import FitSettings, OptimizerSettings, Silent
from physgen.train.contrastive import fit_energy


class Clock:
    def __init__(self):
        self.cpu, self.wall = time.process_time(), time.monotonic()

    def __str__(self):
        return f"{time.process_time() - self.cpu:.1f} s ({time.monotonic() - self.wall:.1f} s)"


def ising(folder: Path) -> None:
    shots = read_shots(folder / "tfim1d_data.txt")
    psi = read_amplitudes(folder / "tfim1d_psi.txt", 10)
    for seed in range(3):
        clock = Clock()
        found = reconstruct(jax.random.key(seed), shots, report=Silent())
        value, took = fidelity(found.wavefunction, psi), str(clock)
        line = f"ising, seed {seed}: fidelity {value:.4f}, {found.best_step} steps, {took}"
        if seed == 0:
            clock = Clock()
            refits = bootstrap(jax.random.key(100), found, 10).fidelities(psi)
            low, high = np.clip(interval_of(value, refits), 0, 1)
            line += f"; 95% {low:.4f} to {high:.4f}, {clock}"
        print(line, flush=True)


def qubits(folder: Path) -> None:
    shots = read_shots(folder / "qubits_train.txt", folder / "qubits_train_bases.txt")
    psi = read_amplitudes(folder / "qubits_psi.txt", 2)
    for seed in range(3):
        clock = Clock()
        found = reconstruct(jax.random.key(seed), shots, report=Silent())
        value, took = fidelity(found.wavefunction, psi), str(clock)
        refits = bootstrap(jax.random.key(100 + seed), found, 20).fidelities(psi)
        low, high = np.clip(interval_of(value, refits), 0, 1)
        print(
            f"qubits, seed {seed}: fidelity {value:.4f}, 95% {low:.4f} to {high:.4f}, {took}",
            flush=True,
        )


def snapshots(folder: Path) -> None:
    n, half, members = 40, 20, 6
    shots = read_shots(folder / "tfim40_h1.00_snapshots.npy")
    clock = Clock()
    found = reconstruct(jax.random.key(0), shots, report=Silent())
    print(f"snapshots: held out {found.held_out_log_likelihood:.3f} +- {found.held_out_error:.3f}, "
          f"{found.best_step} steps, {clock}", flush=True)  # fmt: skip
    refits = bootstrap(jax.random.key(1), found, members)
    print(f"snapshots: with refits {clock}", flush=True)
    chain = ising_chain(n, 1.0, 1.0)
    pairs = [(half - 1 - r // 2, half - 1 - r // 2 + r) for r in (1, 2, 4, 8, 16)]
    strings = PauliSum(n, [(1.0, "XX", pair) for pair in pairs])
    names = [f"<X X> r={j - i}" for i, j in pairs] + [f"<Z Z> r={j - i}" for i, j in pairs]
    names += ["Renyi-2, half"]
    exact = [chain.correlation("X", i, j) for i, j in pairs]
    exact += [chain.correlation("Z", i, j) for i, j in pairs]
    exact += [chain.renyi_2_entropy(half)]

    def seen(wavefunction):
        x = expectations(jax.random.key(2), wavefunction, strings, 4096)
        zz = diagonal_observables(wavefunction.sample(jax.random.key(3), 16_384)).correlations
        entropy = renyi_2_entropy(jax.random.key(4), wavefunction, half, 8192)
        at = tuple(np.array(pairs).T)
        values = [*np.asarray(x.value)[1:], *zz.value[at], entropy.value]
        errors = [*np.asarray(x.error)[1:], *zz.error[at], entropy.error]
        return np.array(values, float), np.array(errors, float)

    value, error = seen(found.wavefunction)
    others = np.array([seen(w)[0] for w in refits.wavefunctions()])
    low, high = interval_of(value, others, error)
    raw = diagonal_observables(shots.outcomes).correlations
    for k, name in enumerate(names):
        inside = low[k] <= exact[k] <= high[k]
        extra = ""
        if k in range(5, 10):
            i, j = pairs[k - 5]
            extra = f", of the shots {raw.value[i, j]:.4f} +- {raw.error[i, j]:.4f}"
        print(f"snapshots: {name}: {value[k]:.4f} (sampling {error[k]:.4f}), 95% {low[k]:.4f} to "
              f"{high[k]:.4f}, exact {exact[k]:.4f}, {'inside' if inside else 'OUTSIDE'}{extra}",
              flush=True)  # fmt: skip


def ghz(folder: Path) -> None:
    shots = read_shots(folder / "ibmq_ourense_ghz3.npz")
    target = np.zeros(8, complex)
    target[[0, 7]] = 0.5**0.5
    rng = np.random.default_rng(0)
    again = [shots[rng.integers(0, len(shots), len(shots))] for _ in range(100)]

    def said(name, function, held_out=""):
        value = function(shots)
        low, high = interval_of(value, np.array([function(some) for some in again]))
        print(f"ghz, {name}: fidelity {value:.4f}, 95% {low:.4f} to {high:.4f}{held_out}",
              flush=True)  # fmt: skip

    train, test = np.arange(len(shots)) % 10 != 0, np.arange(len(shots)) % 10 == 0
    part = maximum_likelihood(shots[train]).rho
    score = mean_log(part, shots[test])
    said("maximum likelihood",
         lambda s: state_fidelity(maximum_likelihood(s, tolerance=1e-5).rho, target),
         f", held out {score[0]:.4f} +- {score[1]:.4f}")  # fmt: skip
    said("linear inversion", lambda s: state_fidelity(linear_inversion(s), target))
    said("linear inversion, made physical",
         lambda s: state_fidelity(physical(linear_inversion(s)), target))  # fmt: skip
    score = mean_log(np.eye(8, dtype=complex) / 8, shots[test])
    print(f"ghz, nothing known: held out {score[0]:.4f}")

    povm = pauli_povm()
    clock = Clock()
    fits = [
        fit_outcomes(jax.random.key(seed), povm, povm.symbols(s), report=Silent())
        for seed, s in enumerate([shots, *again[:5]])
    ]
    values = [state_fidelity(density_matrix(povm, f.density), target) for f in fits]
    nearest = [state_fidelity(physical(density_matrix(povm, f.density)), target) for f in fits]
    smallest = np.linalg.eigvalsh(density_matrix(povm, fits[0].density))[0]
    print(f"ghz, Transformer of outcomes: fidelity {values[0]:.4f}, refits "
          f"{np.round(values[1:], 4)}, 95% {interval_of(values[0], np.array(values[1:]))}, "
          f"nearest state {nearest[0]:.4f}, "
          f"refits {np.round(nearest[1:], 4)}, smallest eigenvalue {smallest:.3f}, held out "
          f"{fits[0].held_out + 3 * np.log(3):.4f} +- {fits[0].error:.4f}, {clock}",
          flush=True)  # fmt: skip
    clock = Clock()
    found = reconstruct(jax.random.key(0), shots, hidden=3, report=Silent())
    value = state_fidelity(found.density_matrix(), target)
    own = np.linalg.eigvalsh(found.density_matrix())
    refits = bootstrap(jax.random.key(1), found, 10)
    values = [reduced_fidelity(w, target) for w in refits.wavefunctions()]
    low, high = interval_of(value, np.array(values))
    mean = found.log_likelihood(shots).mean()
    print(f"ghz, three hidden sites: fidelity {value:.4f}, 95% {low:.4f} to {high:.4f}, held out "
          f"{found.held_out_log_likelihood:.4f} +- {found.held_out_error:.4f}, all {mean:.4f}, "
          f"eigenvalues {np.round(own, 3)}, {clock}", flush=True)  # fmt: skip
    for readout in (None, "learned"):
        found = reconstruct(jax.random.key(0), shots, readout=readout, report=Silent())
        print(f"ghz, pure state, readout {readout}: fidelity "
              f"{fidelity(found.wavefunction, target):.4f}, held out "
              f"{found.held_out_log_likelihood:.4f} +- {found.held_out_error:.4f}",
              flush=True)  # fmt: skip


def reduced_fidelity(wavefunction, target) -> float:
    psi = amplitudes_of(wavefunction).reshape(8, -1)
    return state_fidelity(psi @ psi.conj().T, target)


def mean_log(rho, shots: Shots) -> tuple[float, float]:
    from physgen.spins.tomography.matrices import outcome_probabilities

    p = {basis: outcome_probabilities(rho, basis) for basis in set(shots.strings)}
    numbers = shots.outcomes @ (1 << np.arange(shots.sites)[::-1])
    values = np.log([p[b][k] for b, k in zip(shots.strings, numbers, strict=True)])
    return values.mean(), values.std() / np.sqrt(len(values))


def sweep(folder: Path) -> None:
    file = folder / "quera_aquila_chain13_lgt.npz"
    shots, controls = read_shots_and_controls(file)
    times = control_columns(controls, ["run_time_us"])
    x, n = shots.outcomes, shots.sites
    points, index = np.unique(times[:, 0], return_inverse=True)
    sweeps = []
    for seed in range(5):
        clock = Clock()
        sweeps.append(fit_sweep(jax.random.key(seed), x, times, report=Silent()))
        print(f"sweep, one model of all times, split {seed}: held out "
              f"{in_words(sweeps[-1].log_likelihood)}, over independent sites "
              f"{in_words(sweeps[-1].over_independent)}, over Markov chains "
              f"{in_words(sweeps[-1].over_markov)}, {sweeps[-1].run.best_step} steps, {clock}",
              flush=True)  # fmt: skip

    found = sweeps[0]
    test = np.isin(np.arange(len(x)), found.held_out)
    clock = Clock()
    rows, of = shots.distinct_rows()
    counts = np.zeros((2, len(rows), len(points)), int)
    np.add.at(counts, (test.astype(int), of, index), 1)
    settings = TomographySettings(
        steps=600,
        optimizer=OptimizerSettings(learning_rate=5e-3, weight_decay=0.0, clip_norm=1e3,
                                    ema_decay=0.99),
    )  # fmt: skip
    models = stacked(
        lambda r: Model(GRUWavefunction(units=12).build(n, rngs=r), None), len(points), nnx.Rngs(1)
    )
    models, _ = maximise(
        jax.random.key(0), models, rows, counts[0], settings, None, held_out=counts[1]
    )
    table = jax.jit(lambda m, c: each(m, lambda one: jax.vmap(one.wavefunction.parts)(c)[:, 0]))(
        models, rows.outcomes
    )
    log_p = 2 * np.asarray(table, float)[index[test], of[test]]
    one = np.asarray(found.density.log_prob(x[test], times[test]), float)
    print(f"sweep, a model for each time: held out {in_words(mean_of(log_p))}, one model over it: "
          f"{in_words(mean_of(one - log_p))}, {clock}", flush=True)  # fmt: skip

    z = []
    for k in range(len(points)):
        at = index == k
        drawn = np.asarray(found.density.sample(jax.random.key(100 + k), 4096, points[k : k + 1]))
        for values in (lambda s: s, lambda s: s[:, 1:] * s[:, :-1], lambda s: s[:, 2:] * s[:, :-2]):
            real, made = values(x[at]).astype(float), values(drawn).astype(float)
            error = np.sqrt(made.mean(0) * (1 - made.mean(0)) * (1 / len(real) + 1 / len(made)))
            z.append((made.mean(0) - real.mean(0)) / np.maximum(error, 0.5 / len(real)))
    for name, some in zip(("density", "n_i n_i+1", "n_i n_i+2"), (z[0::3], z[1::3], z[2::3]),
                          strict=True):  # fmt: skip
        some = np.concatenate(some)
        print(f"sweep, {name}: rms z {np.sqrt((some**2).mean()):.2f}, largest {abs(some).max():.1f}"
              f" of {some.size}", flush=True)  # fmt: skip


def in_words(estimate: Estimate) -> str:
    return f"{estimate.value:.4f} +- {estimate.error:.4f}"


def densities(folder: Path) -> None:
    """Held-out likelihood of the same 2000 shots of the Ising chain, for each kind of density."""
    shots = read_shots(folder / "tfim1d_data.txt")
    psi = read_amplitudes(folder / "tfim1d_psi.txt", 10)
    x = shots.outcomes
    train, test = x[:8000], x[8000:]
    truth = np.log(np.abs(psi) ** 2)[test @ (1 << np.arange(10)[::-1])]

    def report(name, log_p, extra=""):
        gap = log_p - truth
        print(f"densities, {name}: {log_p.mean():.4f}, less the truth's {gap.mean():+.4f} +- "
              f"{gap.std() / len(gap)**0.5:.4f}{extra}", flush=True)  # fmt: skip

    report("truth", truth)
    makers = {
        "FVSBN": lambda r: FVSBN(10, 2, 2, rngs=r),
        "NADE, 32 units": lambda r: NADE(10, 2, 2, 32, rngs=r),
        "MADE, 64 units": lambda r: MADE(10, 2, 2, 64, 1, rngs=r),
        "GRU, 16 units": lambda r: Recurrent(
            lambda size, r: GRUCell(size, 16, rngs=r), 2, 2, 1, rngs=r
        ),
        "Transformer, width 16": lambda r: TransformerDecoder(10, 2, 2, 16, 2, 2, 100, rngs=r),
        "PixelCNN, 2 x 5": lambda r: PixelCNN(2, 5, 2, 2, 8, 2, rngs=r),
    }
    for name, make in makers.items():
        clock = Clock()
        found = fit_density(
            jax.random.key(0),
            SequenceDensity(make(nnx.Rngs(0)), 10),
            {"x": train},
            {"x": test[:1000]},
            FitSettings(batch_size=512, steps=600, validate_every=50, patience=4),
            OptimizerSettings(learning_rate=1e-2, weight_decay=0.0, ema_decay=0.98),
            report=Silent(),
        )
        report(name, np.asarray(found.density.log_prob(test), float), f", {clock}")
    for name, model in (
        ("Boltzmann machine", Boltzmann(10, rngs=nnx.Rngs(0))),
        ("restricted Boltzmann machine, 20 hidden", RestrictedBoltzmann(10, 20, rngs=nnx.Rngs(0))),
    ):
        clock = Clock()
        model, _ = fit_energy(
            jax.random.key(0),
            model,
            train,
            FitSettings(batch_size=512, steps=1500),
            OptimizerSettings(learning_rate=1e-2, weight_decay=0.0, ema_decay=0.98),
            report=Silent(),
        )
        z = log_partition(jax.random.key(1), model, chains=512, temperatures=500)
        every = (np.arange(1024)[:, None] >> np.arange(10)[::-1]) & 1
        zero = np.zeros(10, np.float32)
        exact = jax.vmap(lambda one: model.log_weight(one, 1.0, zero))(every)  # noqa: B023
        exact = float(jax.nn.logsumexp(exact))
        report(name, log_likelihood(model, test, z), f" (+- {z.error:.4f} of log Z, which is "
               f"{z.value - exact:+.4f} from the exact one), {clock}")  # fmt: skip


if __name__ == "__main__":
    parts = {f.__name__: f for f in (ising, qubits, snapshots, ghz, sweep, densities)}
    for name in sys.argv[2:] or parts:
        parts[name](Path(sys.argv[1]))
