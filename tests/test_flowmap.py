import conjugate
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from physgen.densities.base import Gaussian
from physgen.densities.flowmap import FlowMap
from physgen.densities.solvers import Clock, FixedSteps
from physgen.densities.transport import Transport
from physgen.errors import InputError
from physgen.inference.architectures import AffineFlow, FewSteps, FlowMatching
from physgen.inference.distillation import distil
from physgen.inference.posterior import Posterior, PosteriorSettings
from physgen.inference.scaling import ScalingSettings
from physgen.inference.training import train
from physgen.nets.embedding import NoEmbedding
from physgen.train import Silent

MODES = np.array([[-0.9, -0.9], [0.9, 0.9]], np.float32)
WIDTH = np.sqrt(1 - 0.9**2)


class ToModes(nnx.Module):
    """The exact velocity field from a standard normal to two normal modes of unit variance."""

    def __call__(self, time, x, context, mask):
        variance = (1 - time) ** 2 + (time * WIDTH) ** 2
        residual = x[None] - time * MODES
        weights = jax.nn.softmax(-jnp.sum(residual**2, axis=1) / (2 * variance))
        slope = (time * WIDTH**2 - (1 - time)) / variance
        return weights @ (MODES + slope * residual)


def two_modes(evaluations=2):
    teacher = Transport(ToModes(), Gaussian(), (2,), clock=Clock(2.0), solver=FixedSteps(32))
    return FlowMap(teacher, evaluations, 64, 2, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def distilled():
    rng = np.random.default_rng(0)
    data = MODES[rng.integers(2, size=4000)] + WIDTH * rng.normal(size=(4000, 2))

    def loss(model, key, batch):
        return jnp.mean(jax.vmap(model.loss)(jax.random.split(key, len(batch)), batch))

    model, run = train(
        jax.random.key(0),
        two_modes(),
        loss,
        data.astype(np.float32),
        np.arange(3600),
        np.arange(3600, 4000),
        conjugate.short(1500, batch_size=256),
        identity=None,
        report=Silent(),
    )
    return model, run


@jax.jit
def ends(model, x0):
    """Where paths from x0 end: by the map, in its evaluations, and by the teacher."""
    step = 1 / model.evaluations
    x = x0
    for i in range(model.evaluations):
        s, t = jnp.full((), i * step), jnp.full((), (i + 1) * step)
        x = jax.vmap(lambda x, s=s, t=t: model(s, t, x, None))(x)
    return x, jax.vmap(model.transport.transport)(x0)


def test_paths_end_where_those_of_the_teacher_do(distilled):
    model, run = distilled
    x0 = jax.random.normal(jax.random.key(1), (1000, 2))
    found, expected = ends(model, x0)
    untrained, _ = ends(two_modes(), x0)

    def error(x):
        return float(jnp.sqrt(jnp.mean((x - expected) ** 2)))

    assert error(found) < 0.1 < 0.5 < error(untrained)
    assert run.history["validation_loss"][-1] < 0.05


def test_samples_have_the_modes_and_their_widths(distilled):
    model, _ = distilled
    x = np.asarray(jax.jit(lambda key: model.sample(key, 4000))(jax.random.key(2)))
    upper = x.sum(axis=1) > 0
    assert abs(upper.mean() - 0.5) < 4 * 0.5 / np.sqrt(4000)
    for mode, inside in zip(MODES, (~upper, upper), strict=True):
        np.testing.assert_allclose(x[inside].mean(axis=0), mode, atol=0.05)
        np.testing.assert_allclose(x[inside].std(axis=0), WIDTH, rtol=0.1)


def test_no_time_is_no_move():
    model, x = two_modes(), jnp.array([0.3, -1.2])
    for u in (0.0, 0.4, 1.0):
        np.testing.assert_allclose(model(jnp.array(u), jnp.array(u), x, None), x, rtol=1e-6)


def test_the_log_density_is_that_of_the_teacher():
    model, x = two_modes(), np.array([[0.3, -0.2], [1.0, 0.8]], np.float32)
    squared = ((x[:, None] - MODES) ** 2).sum(axis=2) / WIDTH**2
    exact = np.log(np.exp(-squared / 2).mean(axis=1) / (2 * np.pi * WIDTH**2))
    np.testing.assert_allclose(jax.jit(model.log_prob)(x), exact, atol=0.02)


def test_less_than_one_evaluation_is_refused():
    with pytest.raises(InputError, match="at least one evaluation"):
        two_modes(evaluations=0)


def matching(density=FlowMatching(width=16, depth=1, evaluations=2), members=2):
    """A posterior of untrained networks: the transport to a standard normal."""
    inf = (np.inf, np.inf)
    settings = PosteriorSettings(
        names=("a", "b"),
        units=("", ""),
        low=(-np.inf, -np.inf),
        high=inf,
        x_shape=(3,),
        scaling=ScalingSettings((0, 0, 0)),
        density=density,
        embedding=NoEmbedding(),
        members=members,
    )
    return Posterior(settings, rngs=nnx.Rngs(0))


def test_a_posterior_is_distilled_saved_and_loaded(tmp_path):
    posterior = matching()
    theta, x = conjugate.simulations(400)
    few = distil(
        jax.random.key(3),
        posterior,
        (theta, x),
        evaluations=1,
        width=16,
        depth=1,
        training=conjugate.short(50),
        report=Silent(),
    )
    assert isinstance(few.settings.density, FewSteps)
    before = nnx.state(posterior.members, nnx.Param)
    after = nnx.state(few.members.density.transport, nnx.Param)
    assert all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    )
    few.save(tmp_path / "few.h5")
    samples = few.sample(jax.random.key(4), 100, x[0])
    loaded = Posterior.load(tmp_path / "few.h5")
    np.testing.assert_array_equal(loaded.sample(jax.random.key(4), 100, x[0]), samples)


def test_only_flow_matching_is_distilled():
    theta, x = conjugate.simulations(60)
    with pytest.raises(InputError, match="by AffineFlow"):
        distil(jax.random.key(0), matching(AffineFlow(layers=1, width=8)), (theta, x))
    with pytest.raises(InputError, match="the simulations of this posterior"):
        distil(jax.random.key(0), matching(), (theta, x[:, :2]))
