"""Renyi-2 entanglement entropy, S_2 = -ln Tr rho_A^2, from samples.

`swap`, for any block: Tr rho_A^2 is the mean over pairs of samples of the ratio of psi after and
before their blocks are exchanged (Hastings et al. 2010, arXiv:1001.2335). That ratio has no bound.
`renyi_2_entropy`, for the first sites: given two left parts a and a', Tr rho_A^2 is the mean of
|F|^2, F being the overlap of the states that they leave on the right. With right parts b from the
equal mixture of both, F is the mean of 2 psi(b|a) psi(b|a')* / (p(b|a) + p(b|a')), which is never
larger than 1: the error falls as it should, however entangled the state is.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from physgen.errors import InputError
from physgen.spins.estimates import Estimate, over_samples
from physgen.spins.local import in_portions, portion
from physgen.spins.wavefunction import Wavefunction


def renyi_2_entropy(
    key: PRNGKeyArray, wavefunction: Wavefunction, block: int, samples: int = 16_384
) -> Estimate:
    """S_2 in nats of the first `block` sites, from pairs of left parts.

    Wavefunctions with symmetries are taken by `swap`.

    Raises:
        InputError: for a block that leaves nothing on one side.
    """
    n = wavefunction.n
    if not 0 < block < n:
        raise InputError(f"expected a block of 1 to {n - 1} sites, got {block}")
    if len(wavefunction.images) > 1:
        return swap(key, wavefunction, np.arange(n) < block, samples)

    def of(wavefunction, keys):
        return jax.lax.map(lambda k: _overlap(k, wavefunction, block), keys, batch_size=256)

    return _entropy(over_samples(key, wavefunction, samples, of))


def swap(
    key: PRNGKeyArray,
    wavefunction: Wavefunction,
    block: Bool[np.ndarray, " n"],
    samples: int = 16_384,
) -> Estimate:
    """S_2 in nats of the sites that `block` marks, from pairs of samples, plainly."""

    def of(wavefunction, keys):
        first, second = _pairs(wavefunction, keys)
        swapped = jnp.where(block, second, first), jnp.where(block, first, second)
        four = jnp.concatenate([*swapped, first, second])
        parts = jax.lax.map(wavefunction.parts, four, batch_size=256).reshape(4, -1, 2)
        difference = parts[0] + parts[1] - parts[2] - parts[3]
        return jnp.exp(difference[:, 0]) * jnp.cos(difference[:, 1])

    return _entropy(over_samples(key, wavefunction, samples, of))


def entropy_profile(
    key: PRNGKeyArray, wavefunction: Wavefunction, samples: int = 16_384
) -> Estimate:
    """S_2 in nats of the first 1 ... n - 1 sites, (n - 1,), by `swap` for all cuts at once."""
    n = wavefunction.n
    changes = np.arange(n) >= np.arange(1, n)[:, None]  # first sites of one, last of the other

    def of(wavefunction, keys):
        def ratios(pair):
            first, second = pair
            there = jnp.asarray(changes)[None]
            swapped = (
                jnp.where(there, second[:, None], first[:, None]),
                jnp.where(there, first[:, None], second[:, None]),
            )
            left, own = wavefunction.variants(first, swapped[0], changes)
            right, other = wavefunction.variants(second, swapped[1], changes)
            difference = left + right - (own + other)[:, None]
            return jnp.exp(difference[..., 0]) * jnp.cos(difference[..., 1])

        return in_portions(ratios, _pairs(wavefunction, keys), portion(wavefunction, changes))

    return _entropy(over_samples(key, wavefunction, samples, of))


def _pairs(
    wavefunction: Wavefunction, keys: Key[Array, " b"]
) -> tuple[Int[Array, "b n"], Int[Array, "b n"]]:
    """Two independent configurations for each key."""
    both = jax.vmap(jax.random.split)(keys)
    return wavefunction.at_keys(both[:, 0]), wavefunction.at_keys(both[:, 1])


def _overlap(key: PRNGKeyArray, wavefunction: Wavefunction, block: int) -> Float[Array, ""]:
    """|F|^2 without bias, from two independent right parts."""
    keys = jax.random.split(key, 6)
    left = jnp.stack([wavefunction.draw(k)[0] for k in keys[:2]])

    def weighted(key_side: PRNGKeyArray, key_right: PRNGKeyArray) -> Float[Array, " 2"]:
        """2 psi(b|a) psi(b|a')* / (p(b|a) + p(b|a')): log modulus and phase."""
        side = jax.random.bernoulli(key_side).astype(int)
        right, _ = wavefunction.draw(key_right, left[side], block)
        both = jnp.where(jnp.arange(wavefunction.n) < block, left, right)
        parts = jax.vmap(wavefunction.site_parts)(both)
        after = parts[:, block:, 0].sum(axis=1)
        log_abs = jnp.log(2.0) + after.sum() - jnp.logaddexp(2 * after[0], 2 * after[1])
        phases = jax.vmap(wavefunction.parts)(both)[:, 1]
        return jnp.stack([log_abs, phases[0] - phases[1]])

    one, two = weighted(keys[2], keys[3]), weighted(keys[4], keys[5])
    return jnp.exp(one[0] + two[0]) * jnp.cos(one[1] - two[1])


def _entropy(purity: Float[np.ndarray, "b ..."]) -> Estimate:
    mean = purity.mean(axis=0)
    error = purity.std(axis=0, ddof=1) / np.sqrt(len(purity)) / np.abs(mean)
    return Estimate(-np.log(np.maximum(mean, 1e-300)), error)
