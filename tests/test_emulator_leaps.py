"""Emulators that sample in few evaluations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import run
from flax import nnx
from interrupting import Stop
from randomised import randomised

from physgen import InputError
from physgen.densities import Clock, FixedSteps, Gaussian, Leaps, Transport
from physgen.galaxies import (
    Catalogue,
    GalaxyEmulator,
    TrainingSettings,
    distil,
    emulator_settings,
    generate,
    train_emulator,
    write_catalogue,
)
from physgen.nets import PairSettings, VelocityMLP
from physgen.train import FitSettings, Silent

BOX, POINTS = 50.0, 9
FEW = TrainingSettings(schedule=FitSettings(batch_size=4, steps=12, steps_per_dispatch=3))


def full_catalogue(n=40):
    rng = np.random.default_rng(0)
    mask = np.arange(POINTS) < rng.integers(3, POINTS + 1, n)[:, None]
    mask[0] = True
    return Catalogue(
        position=rng.uniform(0, BOX, (n, POINTS, 3)).astype(np.float32),
        mask=mask,
        velocity=rng.normal(0, 200, (n, POINTS, 3)).astype(np.float32),
        parameters=rng.uniform(0.1, 0.5, (n, 1)).astype(np.float32),
        parameter_names=("Omega_m",),
        box_size=BOX,
    )


@pytest.fixture(scope="module")
def catalogue():
    return full_catalogue()


@pytest.fixture(scope="module")
def emulator(catalogue):
    network = PairSettings(1, width=4, layers=1, heads=2, filters=2, radial=6)
    carried = PairSettings(1, width=4, layers=1, heads=2, filters=2, radial=6, vectors=1)
    settings = emulator_settings(catalogue, network=network, carried=carried, evaluations=8)
    return randomised(lambda rngs: GalaxyEmulator(settings, rngs=rngs), scale=0.1)


@pytest.fixture(scope="module")
def student(emulator, catalogue):
    given = catalogue.parameters, catalogue.counts
    return distil(
        jax.random.key(1), emulator, given[0], counts=given[1], training=FEW, report=Silent()
    ).emulator


def assert_same(one, other):
    for a, b in zip(*(jax.tree.leaves(nnx.state(model)) for model in (one, other)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_clock_and_its_inverse():
    u = jnp.linspace(0, 1, 11)
    np.testing.assert_allclose(Clock(3.0).inverse(Clock(3.0).time(u)), u, atol=1e-6)


def vectors(leaps=3, warp=3.0):
    transport = Transport(
        randomised(lambda rngs: VelocityMLP(3, 2, 16, 2, rngs=rngs), scale=0.5),
        Gaussian(),
        (3,),
        (2,),
        clock=Clock(warp),
        solver=FixedSteps(64),
    )
    return transport, Leaps(nnx.clone(transport.network), leaps)


@pytest.mark.parametrize("warp", [1.0, 3.0])
def test_paths_are_those_of_the_transport(warp):
    transport, leaps = vectors(100, warp)  # two evaluations for each
    key, context = jax.random.key(2), jnp.array([0.3, -0.5])
    path = leaps.path(transport, key, (3,), context)
    np.testing.assert_array_equal(path[0], transport.base.sample(key, (3,)))
    end = transport.draw(key, (3,), context, solver=FixedSteps(512))
    np.testing.assert_allclose(path[-1], end, atol=2e-3)


def test_a_network_that_knows_the_leaps_draws_the_ends_and_has_no_loss():
    transport, leaps = vectors()
    key, context = jax.random.key(2), jnp.array([0.3, -0.5])
    path, times = leaps.path(transport, key, (3,), context), leaps.times

    def known(time, x, context, mask):
        k = jnp.argmin(jnp.abs(times[:-1] - time))
        return ((path[k + 1] - path[k]) / (times[k + 1] - times[k])).reshape(x.shape)

    leaps.network = known
    np.testing.assert_allclose(leaps.draw(transport, key, (3,), context), path[-1], atol=1e-5)
    assert leaps.loss(path[:, None], context) < 1e-9


def test_standing_still_loses_the_way_and_masked_points_nothing():
    _, leaps = vectors()
    leaps.network = lambda time, x, context, mask: jnp.zeros_like(x)
    path = jax.random.normal(jax.random.key(0), (4, 5, 3))
    mask = jnp.array([True, True, False, True, False])
    way = jnp.sum((path[1:] - path[:1])[:, mask] ** 2, axis=(1, 2))
    parts = jnp.sum(jnp.diff(path, axis=0)[:, mask] ** 2, axis=(1, 2))
    assert leaps.loss(path, None, mask) == pytest.approx(float(jnp.mean(jnp.log1p(way / parts))))
    assert leaps.loss(path.at[:, 2].set(7.0), None, mask) == leaps.loss(path, None, mask)


def test_each_leap_goes_on_from_where_the_one_before_has_ended():
    """Too far by a given vector in the first of three leaps, and back by as much in the second."""
    _, leaps = vectors()
    path = jax.random.normal(jax.random.key(0), (4, 5, 3))
    times = leaps.times
    off = jnp.array([[0.3, 0.0, -0.2]])

    def network(time, x, context, mask):
        k = jnp.argmin(jnp.abs(times[:-1] - time))
        right = (path[k + 1] - path[k]) / (times[k + 1] - times[k])
        return right + jnp.array([1.0, -1.0, 0.0])[k] * off / (times[k + 1] - times[k])

    leaps.network = network
    one = 5 * jnp.sum(off**2) / jnp.sum((path[1] - path[0]) ** 2)
    assert leaps.loss(path) == pytest.approx(float(jnp.log1p(one) / 3), rel=1e-4)


def test_training_shortens_the_way_that_is_missing(emulator, catalogue):
    longer = TrainingSettings(schedule=FitSettings(batch_size=8, steps=150, validate_every=50))
    trained = distil(
        jax.random.key(1), emulator, np.tile(catalogue.parameters, (4, 1)), evaluations=2,
        counts=np.tile(catalogue.counts, 4), training=longer, report=Silent(),
    )  # fmt: skip
    losses = trained.run.history["validation_loss"]
    assert losses[-1] < 0.7 * losses[0]


def test_only_samples_without_a_solver_differ_from_the_teacher(emulator, student, catalogue):
    key, given = jax.random.key(3), catalogue.parameters[:2]
    counts, solver = catalogue.counts[:2], FixedSteps(8)
    few, theirs = (generate(key, one, given, counts=counts) for one in (student, emulator))
    assert few.position.shape == theirs.position.shape
    assert (few.position != theirs.position)[few.mask].any()
    assert ((few.position >= 0) & (few.position < BOX)).all()
    solved = generate(key, student, given, counts=counts, solver=solver)
    np.testing.assert_array_equal(
        solved.position, generate(key, emulator, given, counts=counts, solver=solver).position
    )
    cloud = few.position[0, : counts[0]], few.velocity[0, : counts[0]]
    cloud = jnp.asarray(np.concatenate(cloud, axis=1))
    assert student.log_prob(cloud, given[0]) == emulator.log_prob(cloud, given[0])
    assert_same(student.transport, emulator.transport)


def test_it_is_saved_and_loaded(student, tmp_path):
    student.save(tmp_path / "few.h5")
    assert_same(GalaxyEmulator.load(tmp_path / "few.h5"), student)


def test_an_interrupted_run_goes_on_to_the_same_numbers(emulator, student, catalogue, tmp_path):
    def again(report, resume):
        return distil(
            jax.random.key(1), emulator, catalogue.parameters, counts=catalogue.counts,
            training=FEW, checkpoint=tmp_path / "c", resume=resume, report=report,
        )  # fmt: skip

    assert again(Stop(), False).run.interrupted
    assert_same(again(Silent(), True).emulator, student)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"evaluations": 0}, "at least one evaluation, got 0"),
        ({"parameters": np.full((1, 1), 0.3)}, "at least 2 boxes, got 1"),
        ({"parameters": np.full((4, 2), 0.3)}, "shape .n, 1., one column"),
        ({"parameters": np.full((4, 1), np.nan)}, "finite Omega_m"),
        ({"counts": np.array([3, 4])}, "counts of shape .4,."),
    ],
)
def test_what_cannot_be_distilled_is_refused(emulator, changes, text):
    given = {"parameters": np.full((4, 1), 0.3)} | changes
    with pytest.raises(InputError, match=text):
        distil(jax.random.key(0), emulator, training=FEW, report=Silent(), **given)


def test_leaps_are_not_trained_before_there_is_a_teacher(catalogue):
    settings = emulator_settings(catalogue, leaps=4)
    with pytest.raises(InputError, match="train first, then distil"):
        train_emulator(jax.random.key(0), catalogue, FEW, settings, report=Silent())


def test_the_commands(capsys, emulator, catalogue, tmp_path):
    teacher, mocks, few = (str(tmp_path / name) for name in ("e.h5", "m.h5", "few.h5"))
    emulator.save(teacher)
    write_catalogue(mocks, catalogue)
    command = ["galaxies", "distil", teacher, mocks, "--boxes", "20", "--steps", "3", "--json"]
    status, out, _ = run(capsys, *command, "--evaluations", "2", "--out", few)
    assert status == 0
    assert '"evaluations": 2' in out and '"boxes": 20' in out
    sampled = ["--n", "3", "--parameter", "Omega_m=0.3", "--json", "--out", str(tmp_path / "g.h5")]
    status, out, _ = run(capsys, "galaxies", "sample", few, *sampled)
    assert status == 0
    assert '"evaluations": 2' in out
    wrong = ["galaxies", "distil", teacher, mocks, "--out", tmp_path / "x.h5", "--boxes", "1"]
    status, _, err = run(capsys, *wrong)
    assert status == 2
    assert "--boxes of at least 2, got 1" in err
    assert not (tmp_path / "x.h5").exists()
