"""Sampling a Transformer wavefunction with the keys and values of earlier sites kept, and without.

    python benchmarks/sampling.py [--n 100] [--samples 32]

Without them, every site evaluates the network on the whole configuration. Both draw from the same
uniform numbers, in turn; seconds are medians over five calls after the first.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from physgen.spins import TransformerWavefunction, Wavefunction


@jax.jit
def kept(wavefunction: Wavefunction, keys: jax.Array) -> jax.Array:
    return wavefunction.at_keys(keys)


@jax.jit
def not_kept(wavefunction: Wavefunction, keys: jax.Array) -> jax.Array:
    n = wavefunction.n

    def one(key):
        uniform = jax.random.uniform(jax.random.split(key)[0], (n,))

        def step(configuration, site):
            p = jax.nn.softmax(wavefunction.network(configuration)[site])
            return configuration.at[site].set((uniform[site] >= p[0]).astype(int)), None

        return jax.lax.scan(step, jnp.zeros(n, int), jnp.arange(n))[0]

    return jax.vmap(one)(keys)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--samples", type=int, default=32)
    options = parser.parse_args()
    wavefunction = TransformerWavefunction().build(options.n, rngs=nnx.Rngs(0))
    keys = jax.random.split(jax.random.key(1), options.samples)
    seconds: dict[str, list[float]] = {"kept": [], "not kept": []}
    drawn = {}
    for _ in range(6):
        for name, sample in (("kept", kept), ("not kept", not_kept)):
            started = time.perf_counter()
            drawn[name] = jax.block_until_ready(sample(wavefunction, keys))
            seconds[name].append(time.perf_counter() - started)
    with_, without = (np.median(seconds[name][1:]) for name in ("kept", "not kept"))
    same = float((drawn["kept"] == drawn["not kept"]).all(axis=1).mean())
    print(
        f"{options.n} sites, {options.samples} samples: {with_:.3f} s kept, {without:.3f} s not "
        f"kept, {without / with_:.1f} times; {same:.1%} of the samples are the same"
    )


if __name__ == "__main__":
    main()
