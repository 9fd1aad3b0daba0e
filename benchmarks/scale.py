"""Time and memory of the velocity fields of point clouds, against the number of points.

    python benchmarks/scale.py [--points 128 512 2000 5000 20000 50000] [--sample 5000]

A step is one cloud forward and backward (the gradient of a loss with respect to all parameters), an
evaluation forward alone; seconds are medians of calls after the first. Clouds are uniform, as at
the start of a path, and with --clumped half of the points lie in clumps of 50, as at its end.
`temporary` is what the compiled step needs besides its arguments, as the compiler plans it;
`peak` the largest resident memory of the process, started afresh for each row.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from physgen.geometry import Torus
from physgen.nets import P3MSettings, PairNetwork, PairSettings

BOX = Torus(1.0)
LARGEST_OF_ALL_PAIRS = 2000
EVALUATIONS = 32


def network_of(name: str, n: int) -> nnx.Module:
    if name == "p3m":
        return P3MSettings.for_points(n, 2).build(BOX, rngs=nnx.Rngs(0))
    return PairNetwork(BOX, PairSettings(2, shortest=0.015 * n ** (-1 / 3)), rngs=nnx.Rngs(0))


def cloud_of(n: int, clumped: bool) -> jax.Array:
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.uniform(keys[0], (n, 3))
    if not clumped:
        return x
    centres = jax.random.uniform(keys[1], (n // 100, 3))
    spread = 0.3 * n ** (-1 / 3) * jax.random.normal(keys[2], (n // 100 * 50, 3))
    return x.at[: len(spread)].set(BOX.wrap(jnp.repeat(centres, 50, axis=0) + spread))


def seconds(compiled, *arguments) -> float:
    jax.block_until_ready(compiled(*arguments))
    times = []
    for _ in range(3):
        started = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def measure(name: str, n: int, clumped: bool) -> dict:
    """One row of the table."""
    graph, parameters, rest = nnx.split(network_of(name, n), nnx.Param, ...)
    x, mask, context = cloud_of(n, clumped), jnp.ones(n, bool), jnp.zeros(2)

    def velocity(parameters, x):
        return nnx.merge(graph, parameters, rest)(jnp.array(0.5), x, context, mask)

    def loss(parameters, x):
        return jnp.mean((velocity(parameters, x) - 1.0) ** 2)

    evaluation = jax.jit(velocity).lower(parameters, x).compile()
    started = time.perf_counter()
    step = jax.jit(jax.grad(loss)).lower(parameters, x).compile()
    compiling = time.perf_counter() - started
    return {
        "network": name,
        "points": n,
        "clumped": clumped,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(parameters)),
        "evaluation_seconds": seconds(evaluation, parameters, x),
        "step_seconds": seconds(step, parameters, x),
        "compile_seconds": compiling,
        "temporary_MB": step.memory_analysis().temp_size_in_bytes / 1e6,
        "peak_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }


def sample(n: int) -> dict:
    """Seconds for a cloud out of an emulator that has learned nothing: its points stay uniform."""
    from physgen.galaxies import EmulatorSettings, GalaxyEmulator
    from physgen.galaxies.emulator import Domain

    names, zeros, ones = ("a", "b"), (0.0, 0.0), (1.0, 1.0)
    domain = Domain(n, 1.0, 1.0, names, ("", ""), zeros, ones, zeros, ones)
    settings = EmulatorSettings(domain, P3MSettings.for_points(n, 2), evaluations=EVALUATIONS)
    emulator = GalaxyEmulator(settings, rngs=nnx.Rngs(0))
    times = []
    for _ in range(3):
        started = time.perf_counter()
        jax.block_until_ready(emulator.sample(jax.random.key(0), 1, jnp.zeros(2)))
        times.append(time.perf_counter() - started)
    return {"sampled_points": n, "evaluations": EVALUATIONS, "seconds": min(times[1:])}


def main() -> None:
    """Print a JSON line for each row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--points", type=int, nargs="*", default=[128, 512, 2000, 5000, 20000, 50000]
    )
    parser.add_argument("--clumped", action="store_true")
    parser.add_argument("--sample", type=int)
    parser.add_argument("--one", choices=["p3m", "pairs"], help="in this process")
    options = parser.parse_args()
    if options.one:
        (n,) = options.points
        print(json.dumps(measure(options.one, n, options.clumped)), flush=True)
        return
    for n in options.points:
        for name in ["p3m"] + ["pairs"] * (n <= LARGEST_OF_ALL_PAIRS):
            command = [sys.executable, __file__, "--one", name, "--points", str(n)]
            subprocess.run(command + ["--clumped"] * options.clumped, check=True)
    if options.sample:
        print(json.dumps(sample(options.sample)), flush=True)


if __name__ == "__main__":
    main()
