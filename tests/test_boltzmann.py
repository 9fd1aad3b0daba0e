import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import logsumexp

from physgen.densities.annealing import log_likelihood, log_partition
from physgen.densities.boltzmann import Boltzmann, RestrictedBoltzmann, chains, hopfield
from physgen.densities.sequences import SequenceDensity
from physgen.nets.pixelcnn import PixelCNN
from physgen.train import FitSettings, OptimizerSettings, Silent
from physgen.train.contrastive import fit_energy

N = 6
EVERY = (np.arange(2**N)[:, None] >> np.arange(N)[::-1]) & 1


def restricted():
    model = RestrictedBoltzmann(N, 4, rngs=nnx.Rngs(0))
    model.weights = nnx.Param(jax.random.normal(jax.random.key(1), (N, 4)))
    model.visible = nnx.Param(jax.random.normal(jax.random.key(2), (N,)))
    model.hidden = nnx.Param(jax.random.normal(jax.random.key(3), (4,)))
    return model


def boltzmann():
    model = Boltzmann(N, rngs=nnx.Rngs(0))
    model.couplings = nnx.Param(0.4 * jax.random.normal(jax.random.key(1), (N, N)))
    model.fields = nnx.Param(0.3 * jax.random.normal(jax.random.key(2), (N,)))
    return model


def exact(model, beta=1.0, base=0.0):
    base = jnp.full(N, base)
    return np.asarray(jax.vmap(lambda x: model.log_weight(x, beta, base))(EVERY), float)


def test_energies_are_what_they_say():
    model = restricted()
    w, a, b = (np.asarray(p[...], float) for p in (model.weights, model.visible, model.hidden))
    hidden = (np.arange(16)[:, None] >> np.arange(4)) & 1
    joint = EVERY @ a + ((EVERY @ w + b)[:, None] * hidden[None]).sum(-1).T
    np.testing.assert_allclose(exact(model), logsumexp(joint, axis=0), rtol=1e-5)
    model = boltzmann()
    j, h = np.asarray(model.couplings[...], float), np.asarray(model.fields[...], float)
    s = 1 - 2.0 * EVERY
    pairs = sum(j[i, k] * s[:, i] * s[:, k] for i in range(N) for k in range(i + 1, N))
    np.testing.assert_allclose(exact(model), pairs + s @ h, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [restricted, boltzmann])
@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_moves_leave_their_density_as_it_is(make, beta):
    """By the transition matrix from many moves of every state, to Monte Carlo error."""
    model, base, repeats = make(), jnp.full(N, 0.3), 1000
    p = np.exp(exact(model, beta, 0.3))
    p /= p.sum()
    run = jax.jit(jax.vmap(lambda k, x: model.move(k, x, beta, base)))
    keys = jax.random.split(jax.random.key(0), repeats * len(EVERY))
    moved = np.asarray(run(keys, np.repeat(EVERY, repeats, axis=0)))
    matrix = np.zeros((2**N, 2**N))
    rows = np.repeat(np.arange(2**N), repeats)
    np.add.at(matrix, (rows, moved @ (1 << np.arange(N)[::-1])), 1 / repeats)
    error = np.sqrt((p**2) @ (matrix * (1 - matrix)) / repeats)
    assert np.abs(p @ matrix - p).max() < 5 * error.max()


@pytest.mark.parametrize("make", [restricted, boltzmann])
def test_annealing_finds_the_partition_function(make):
    model = make()
    wanted = logsumexp(exact(model))
    found = log_partition(jax.random.key(0), model, chains=512, temperatures=200)
    assert 0 < found.error < 0.1 and abs(found.value - wanted) < 4 * found.error
    assert 1 < found.effective <= 512
    base = jnp.linspace(-1.0, 1.0, N)
    other = log_partition(jax.random.key(1), model, chains=512, temperatures=200, base=base)
    assert abs(other.value - wanted) < 4 * other.error
    p = np.exp(log_likelihood(model, EVERY, found))
    assert p.sum() == pytest.approx(np.exp(wanted - found.value), rel=1e-4)


def test_training_finds_the_distribution():
    rng = np.random.default_rng(0)
    p = np.exp(exact(boltzmann()))
    p /= p.sum()
    x = EVERY[rng.choice(64, 4000, p=p)]
    settings = FitSettings(batch_size=256, steps=300)
    optimizer = OptimizerSettings(learning_rate=2e-2, ema_decay=0.95, weight_decay=0.0)
    model, _ = fit_energy(
        jax.random.key(0), Boltzmann(N, rngs=nnx.Rngs(1)), x, settings, optimizer, report=Silent()
    )
    q = exact(model) - logsumexp(exact(model))
    assert 0 < (p * (np.log(p) - q)).sum() < 0.03


def test_a_hopfield_network_remembers():
    patterns = np.array([[0, 0, 0, 1, 1, 1], [0, 1, 0, 1, 0, 1]])
    model = hopfield(patterns)
    energies = -exact(model)
    lowest = {tuple(row) for row in EVERY[energies < energies.min() + 1e-4].tolist()}
    assert {tuple(p) for p in patterns.tolist()} <= lowest
    settled = chains(jax.random.key(0), model, jnp.asarray(EVERY), 50)
    assert settled.shape == EVERY.shape


def test_pixelcnn_is_normalised_causal_and_samples_what_it_says():
    density = SequenceDensity(PixelCNN(2, 3, 2, 2, width=4, layers=1, rngs=nnx.Rngs(0)), N)
    p = np.exp(np.asarray(density.log_prob(EVERY), float))
    assert p.sum() == pytest.approx(1, abs=1e-5)
    outputs = density.network(jnp.zeros(N, int))
    for site in range(N):
        changed = density.network(jnp.zeros(N, int).at[site].set(1))
        np.testing.assert_allclose(changed[: site + 1], outputs[: site + 1], atol=1e-6)
        if site < N - 1:
            assert np.abs(np.asarray(changed - outputs))[site + 1 :].max() > 1e-6
    drawn = np.asarray(density.sample(jax.random.key(1), 5000))
    share = np.bincount(drawn @ (1 << np.arange(N)[::-1]), minlength=64) / 5000
    assert np.abs(share - p).max() < 5 * np.sqrt(p.max() / 5000)
