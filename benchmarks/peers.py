"""Time to a given held-out loss, and samples a second: physgen beside sbi and flowjax.

python benchmarks/peers.py data DATA.npz              (with physgen: two moons, 10,000 pairs)
python benchmarks/peers.py physgen DATA.npz [4000]    (each with its own package installed)
python benchmarks/peers.py sbi DATA.npz [nsf|maf|fmpe]
python benchmarks/peers.py flowjax DATA.npz
python benchmarks/peers.py race DATA.npz "PYTHON physgen" "PYTHON sbi nsf 20" ...
    (samples a second alone: after training, here of 20 epochs, they draw in turn)

Each prints one JSON object. The loss is the mean of -log q(theta | x) over 2000 pairs that none of
them was trained on. Seconds are of the whole call, compiling included, not of the imports. For one
thread: OMP_NUM_THREADS=1 XLA_FLAGS="--xla_cpu_multi_thread_eigen=false" taskset -c 0 python ...
"""

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

TRAINED, HELD_OUT, DRAWN, TURNS = 10_000, 2000, 10_000, 7


def make_data(path: str) -> None:
    """Pairs of the two moons task."""
    import jax

    from physgen.inference import simulate
    from physgen.inference.simulators import JaxSimulator
    from physgen.inference.tasks import two_moons

    task = two_moons()
    made = simulate(jax.random.key(0), task.prior, JaxSimulator(task.simulator), TRAINED + HELD_OUT)
    np.savez(path, theta=made.parameters, x=made.observations)


def with_physgen(theta, x, test_theta, test_x, option: str = "4000"):
    """`fit_posterior` with a number of steps, `flow-matching`, `distilled` or `members=N`."""
    import dataclasses

    import jax

    from physgen.inference import PosteriorTraining, fit_posterior, schedule_for, uniform_prior
    from physgen.inference.architectures import FlowMatching, SplineFlow
    from physgen.inference.distillation import distil
    from physgen.train import Silent

    prior = uniform_prior([-1.0, -1.0], [1.0, 1.0])
    schedule, density, members = schedule_for(len(theta)), SplineFlow(), 1
    if option in ("flow-matching", "distilled"):
        density = FlowMatching()
    elif option.startswith("members="):
        members = int(option.removeprefix("members="))
    else:
        schedule = dataclasses.replace(schedule, steps=int(option))
    started = time.perf_counter()
    posterior = fit_posterior(
        jax.random.key(1), prior, (theta, x), density=density, members=members,
        training=PosteriorTraining(schedule=schedule), report=Silent(),
    )  # fmt: skip
    if option == "distilled":
        posterior = distil(jax.random.key(2), posterior, (theta, x), report=Silent())
    seconds = time.perf_counter() - started
    loss = -float(np.mean(posterior.log_prob(test_theta, test_x)))
    size = sum(leaf.size for leaf in jax.tree.leaves(posterior.members))

    def draw(seed):
        return np.asarray(posterior.sample(jax.random.key(seed), DRAWN, test_x[0]))

    return seconds, loss, size, posterior.training.steps, draw


def with_sbi(theta, x, test_theta, test_x, option: str = "nsf", epochs: str = "2147483647"):
    """The defaults of sbi, but for the number of epochs if one is given."""
    import torch
    from sbi.inference import FMPE, NPE
    from sbi.utils import BoxUniform

    torch.set_num_threads(1)
    torch.manual_seed(1)
    prior = BoxUniform(-torch.ones(2), torch.ones(2))
    method = FMPE(prior) if option == "fmpe" else NPE(prior, density_estimator=option)
    started = time.perf_counter()
    method.append_simulations(torch.tensor(theta), torch.tensor(x))
    estimator = method.train(max_num_epochs=int(epochs))
    seconds = time.perf_counter() - started
    with torch.no_grad():
        given = torch.tensor(test_theta)[None], torch.tensor(test_x)
        loss = float("nan") if option == "fmpe" else -float(estimator.log_prob(*given).mean())
    posterior = method.build_posterior(estimator)
    size = sum(p.numel() for p in estimator.parameters())

    def draw(seed):
        torch.manual_seed(seed)
        observation = torch.tensor(test_x[0])
        return posterior.sample((DRAWN,), x=observation, show_progress_bars=False).numpy()

    return seconds, loss, size, method.summary["epochs_trained"][-1], draw


def with_flowjax(theta, x, test_theta, test_x, option: str = "coupling"):
    """A coupling or masked autoregressive flow of rational-quadratic splines, on z-scores."""
    import jax
    import jax.numpy as jnp
    from flowjax.bijections import RationalQuadraticSpline
    from flowjax.distributions import Normal
    from flowjax.flows import coupling_flow, masked_autoregressive_flow
    from flowjax.train import fit_to_data

    make = {"coupling": coupling_flow, "maf": masked_autoregressive_flow}[option]
    location, scale = theta.mean(0), theta.std(0)
    z, c = (theta - location) / scale, (x - x.mean(0)) / x.std(0)
    flow = make(
        jax.random.key(0), base_dist=Normal(jnp.zeros(2)), cond_dim=2,
        transformer=RationalQuadraticSpline(knots=10, interval=4),
    )  # fmt: skip
    started = time.perf_counter()
    flow, losses = fit_to_data(
        jax.random.key(1), flow, (jnp.asarray(z), jnp.asarray(c)), max_epochs=500,
        max_patience=20, show_progress=False,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    test_z, test_c = (test_theta - location) / scale, (test_x - x.mean(0)) / x.std(0)
    loss = -float(jnp.mean(flow.log_prob(test_z, test_c))) + float(np.log(scale).sum())
    import equinox as eqx

    size = sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(flow, eqx.is_inexact_array)))
    sample = eqx.filter_jit(lambda key: flow.sample(key, (DRAWN,), condition=test_c[0]))

    def draw(seed):
        return np.asarray(sample(jax.random.key(seed)))

    return seconds, loss, size, len(losses["train"]), draw


def race(path: str, commands: tuple[str, ...]) -> None:
    """Samples a second of several, each in a process of its own, who draw one after the other."""
    racers = []
    for command in commands:
        python, *words = command.split()
        started = [python, __file__, words[0], path, *words[1:], "in-turn"]
        racer = subprocess.Popen(started, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        racers.append(racer)
        print(racer.stdout.readline().strip(), flush=True)  # trained
    seconds = np.array([[turn(racer) for racer in racers] for _ in range(TURNS)])
    for command, row in zip(commands, DRAWN / seconds.T, strict=True):
        rates = [round(float(q)) for q in np.quantile(row, (0.5, 0.25, 0.75))]
        print(json.dumps({"who": command.split()[1:], "samples_per_second": rates}), flush=True)
    for racer in racers:
        racer.stdin.close()
        racer.wait()


def turn(racer: subprocess.Popen) -> float:
    """The seconds of one draw."""
    racer.stdin.write("\n")
    racer.stdin.flush()
    return float(racer.stdout.readline())


def main(which: str, path: str, *options: str) -> None:
    """Run one of them; one that draws `in-turn` waits for a line before each draw."""
    if which == "data":
        make_data(path)
        return
    if which == "race":
        race(path, options)
        return
    waits = options[-1:] == ("in-turn",)
    data = np.load(Path(path))
    theta, x = data["theta"].astype(np.float32), data["x"].astype(np.float32)
    run = {"physgen": with_physgen, "sbi": with_sbi, "flowjax": with_flowjax}[which]
    pairs = theta[:TRAINED], x[:TRAINED], theta[TRAINED:], x[TRAINED:]
    with contextlib.redirect_stdout(sys.stderr):
        seconds, loss, size, steps, draw = run(*pairs, *options[: len(options) - waits])
        draw(0)
    if waits:
        print(f"{which}: trained in {seconds:.0f} s, held-out loss {loss:.3f}", flush=True)
        for seed, _ in enumerate(sys.stdin, start=1):
            print(timed(draw, seed), flush=True)
        return
    times = [timed(draw, seed) for seed in range(1, 6)]
    figures = {
        "who": " ".join([which, *options]),
        "train_seconds": round(seconds, 1),
        "held_out_loss": round(loss, 4),
        "parameters": int(size),
        "steps_or_epochs": int(steps),
        "samples_per_second": round(DRAWN / float(np.median(times))),
    }
    print(json.dumps(figures), flush=True)


def timed(draw, seed: int) -> float:
    """Seconds that a draw takes."""
    started = time.perf_counter()
    draw(seed)
    return time.perf_counter() - started


if __name__ == "__main__":
    main(*sys.argv[1:])
