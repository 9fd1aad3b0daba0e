"""Pair counts and their kin beside Corrfunc and scipy, in turn in one process.

python benchmarks/counting.py [counts] [large] [velocities] [mocks] [neighbours]

Corrfunc comes with the extra `bench`; where it is not installed it is left out. Seconds are
processor seconds of one process (other work may run beside it) for uniform points in L = 1000, 20
linear bins: median over alternating runs, after a first that compiles. For one thread:
XLA_FLAGS="--xla_cpu_multi_thread_eigen=false" OMP_NUM_THREADS=1 taskset -c 0 python ...
"""

import importlib.metadata
import sys
import time
import warnings

import numpy as np
from scipy.spatial import KDTree

from physgen import stats

SIDE = 1000.0
TURNS = 7


def in_turn(turns, **calls):
    """Results of the first call of each, and median seconds of the alternating others."""
    results = {name: call() for name, call in calls.items()}
    seconds = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            start = time.process_time()
            call()
            seconds[name].append(time.process_time() - start)
    return results, {name: float(np.median(s)) for name, s in seconds.items()}


def report(what, seconds, note=""):
    own = seconds["physgen"]
    text = ", ".join(f"{name} {s:.4f} s (x{own / s:.2f})" for name, s in seconds.items())
    print(f"{what}: {text} {note}", flush=True)


def points(count):
    return np.random.default_rng(0).uniform(0, SIDE, (count, 3))


def corrfunc_counts(positions, edges):
    """The call, or None without Corrfunc. It has no bin from zero: a tiny edge stands for it."""
    try:
        from Corrfunc.theory.DD import DD
    except ImportError:
        return None
    x, y, z = np.ascontiguousarray(positions.T)
    bins = np.maximum(edges, 1e-6)
    return lambda: DD(1, 1, bins, x, y, z, boxsize=SIDE, periodic=True)["npairs"].astype(np.int64)


def scipy_counts(positions, edges):
    def count():
        tree = KDTree(positions, boxsize=SIDE)
        found = tree.count_neighbors(tree, edges, cumulative=False)
        return found[1:] + np.array([found[0] - len(positions)] + [0] * (len(edges) - 2))

    return count


def counts(cases=((5000, 150), (100_000, 50), (100_000, 150)), turns=TURNS):
    for number, reach in cases:
        positions, edges = points(number), np.linspace(0, reach, 21)
        calls = {
            "physgen": lambda p=positions, e=edges: stats.pair_counts(p, e, box_size=SIDE),
            "Corrfunc": corrfunc_counts(positions, edges),
        }
        if number <= 100_000:
            calls["scipy"] = scipy_counts(positions, edges)
        calls = {name: call for name, call in calls.items() if call is not None}
        results, seconds = in_turn(turns, **calls)
        same = all((r == results["physgen"]).all() for r in results.values())
        report(f"pair counts, {number} points to {reach}", seconds, f"equal: {same}")


def large():
    counts(((1_000_000, 50),), 2)


def velocities():
    motions = np.random.default_rng(1).normal(0, 300, (100_000, 3))
    positions = points(100_000)
    for reach in (50, 150):
        edges = np.linspace(0, reach, 21)
        _, seconds = in_turn(
            TURNS,
            physgen=lambda e=edges: stats.pairwise_velocities(positions, motions, e, box_size=SIDE),
            mean=lambda e=edges: stats.mean_relative_velocity(positions, motions, e, box_size=SIDE),
            counts=lambda e=edges: stats.pair_counts(positions, e, box_size=SIDE),
            weighted=lambda e=edges: stats.pair_counts(
                positions, e, box_size=SIDE, weights=motions[:, 0]
            ),
        )
        report(f"counts, v12 and sigma12, 100000 points to {reach}", seconds)
    edges = np.linspace(1, 100, 12)
    few = slice(20_000)
    found = stats.pairwise_velocities(positions[few], motions[few], edges, box_size=SIDE)
    np.savez(
        "velocities.npz",
        positions=positions[few],
        velocities=motions[few],
        edges=edges,
        box_size=SIDE,
        **found._asdict(),
    )
    print("velocities.npz written: see halotools_velocities.py")


def mocks():
    clouds = np.random.default_rng(2).uniform(0, SIDE, (1000, 5000, 3))
    mask = np.random.default_rng(3).uniform(size=(1000, 5000)) < 0.99
    edges = np.linspace(0, 150, 21)
    stats.pair_counts(clouds[:8], edges, box_size=SIDE, mask=mask[:8])
    for _ in range(2):
        wall, start = time.perf_counter(), time.process_time()
        stats.pair_counts(clouds, edges, box_size=SIDE, mask=mask)
        print(
            f"1000 mocks of 5000 points to 150: {time.perf_counter() - wall:.1f} s, "
            f"{time.process_time() - start:.1f} processor seconds",
            flush=True,
        )


def neighbours():
    positions, queries = points(100_000), np.random.default_rng(4).uniform(0, SIDE, (100_000, 3))
    orders = range(1, 9)
    results, seconds = in_turn(
        3,
        physgen=lambda: stats.knn_distances(positions, orders, box_size=SIDE, queries=queries),
        scipy=lambda: KDTree(positions, boxsize=SIDE).query(queries, k=8)[0],
    )
    same = np.array_equal(results["physgen"], results["scipy"])
    report("8 neighbours, 100000 queries in 100000 points", seconds, f"equal: {same}")


def main():
    warnings.filterwarnings("ignore")
    for package in ("numpy", "scipy", "jax", "Corrfunc"):
        try:
            print(package, importlib.metadata.version(package), end="  ")
        except importlib.metadata.PackageNotFoundError:
            print(package, "is not installed", end="  ")
    print()
    parts = {f.__name__: f for f in (counts, large, velocities, mocks, neighbours)}
    for name in sys.argv[1:] or parts:
        parts[name]()


if __name__ == "__main__":
    main()
