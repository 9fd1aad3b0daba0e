"""The emulator: what it promises whatever it has learned, and that it learns."""

from dataclasses import replace

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import physgen
from physgen import InputError
from physgen.densities import Adaptive, FixedSteps
from physgen.galaxies import (
    Catalogue,
    EmulatorSettings,
    GalaxyEmulator,
    OutsideTrainingRange,
    TrainingSettings,
    emulator_settings,
    generate,
    train_emulator,
)
from physgen.galaxies.portions import boxes_at_once, microbatch
from physgen.nets import P3MSettings, PairSettings
from physgen.train import FitSettings, OptimizerSettings, Silent

POINTS, BOX = 12, 50.0
NETWORK = {"width": 16, "layers": 2, "heads": 2, "filters": 4}
MESHED = P3MSettings.for_points(POINTS, 1, width=16, layers=2, filters=4, channels=4)


def pairs_catalogue(n, seed, separation=2.0, box_size=BOX, points=POINTS):
    """Galaxies in pairs of one separation, which is the first parameter."""
    rng = np.random.default_rng(seed)
    first = rng.uniform(0, BOX, (n, points // 2, 3))
    direction = rng.normal(size=first.shape)
    direction *= separation / np.linalg.norm(direction, axis=-1, keepdims=True)
    position = np.concatenate([first, first + direction], axis=1).astype(np.float32)
    if box_size is not None:
        position = np.minimum(position % box_size, np.nextafter(np.float32(box_size), 0))
    return Catalogue(
        position=position,
        parameters=rng.uniform(0.1, 0.5, (n, 1)).astype(np.float32),
        parameter_names=("Omega_m",),
        parameter_units=("",),
        box_size=box_size,
    )


def small_settings(catalogue):
    chosen = emulator_settings(catalogue)
    network = PairSettings(
        1, shortest=chosen.network.shortest, anchored=chosen.network.anchored, **NETWORK
    )
    return emulator_settings(catalogue, network=network, evaluations=8)


@pytest.fixture(scope="module")
def emulator():
    return GalaxyEmulator(small_settings(pairs_catalogue(8, 0)), rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def meshed():
    settings = emulator_settings(pairs_catalogue(8, 0), network=MESHED, evaluations=8)
    return GalaxyEmulator(settings, rngs=nnx.Rngs(0))


PARAMETERS = jnp.array([0.3])


def test_samples_stay_in_the_box_and_repeat_with_the_key(emulator):
    first, second = (emulator.sample(jax.random.key(1), 5, PARAMETERS) for _ in range(2))
    assert first.shape == (5, POINTS, 3)
    assert jnp.all((first >= 0) & (first < BOX))
    np.testing.assert_array_equal(first, second)


def test_a_box_does_not_depend_on_how_many_are_made(emulator):
    many = generate(jax.random.key(2), emulator, np.full((3, 1), 0.3))
    one = generate(jax.random.key(2), emulator, np.full((1, 1), 0.3))
    np.testing.assert_allclose(many.position[0], one.position[0], atol=1e-4)
    assert many.modelled == ("position",)


def test_counts_of_each_box(emulator):
    with pytest.warns(OutsideTrainingRange, match="5 galaxies in a box are other than the 12"):
        catalogue = generate(jax.random.key(3), emulator, np.full((3, 1), 0.3), counts=[5, 12, 7])
    np.testing.assert_array_equal(catalogue.counts, [5, 12, 7])


@pytest.mark.parametrize("which", ["emulator", "meshed"])
def test_save_and_load_are_bit_identical(which, request, tmp_path):
    emulator, path = request.getfixturevalue(which), tmp_path / "emulator.h5"
    emulator.save(path, training={"steps": 0})
    loaded = physgen.load(path)
    assert isinstance(loaded, GalaxyEmulator)
    assert loaded.settings == emulator.settings
    np.testing.assert_array_equal(
        loaded.sample(jax.random.key(4), 2, PARAMETERS),
        emulator.sample(jax.random.key(4), 2, PARAMETERS),
    )
    with pytest.raises(InputError, match="exists"):
        emulator.save(path)


def test_a_damaged_file_is_refused(emulator, tmp_path):
    path = tmp_path / "emulator.h5"
    emulator.save(path)
    with h5py.File(path, "r+") as file:
        del file["parameters/transport/network/gates/kernel"]
    with pytest.raises(InputError, match="gates"):
        physgen.load(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError):
        physgen.load(path)


class Spring(nnx.Module):
    """A user's own network: pull towards the middle of the box."""

    def __init__(self):
        self.strength = nnx.Param(jnp.array(0.5))

    def __call__(self, time, x, context, mask):
        return self.strength[...] * (0.5 - x)


def test_a_network_of_the_user_s_own(tmp_path):
    settings = EmulatorSettings(emulator_settings(pairs_catalogue(4, 0)).domain, network=None)
    emulator = GalaxyEmulator(settings, Spring(), rngs=nnx.Rngs(0))
    emulator.save(tmp_path / "own.h5")
    with pytest.raises(InputError, match="pass network"):
        physgen.load(tmp_path / "own.h5")
    loaded = physgen.load(tmp_path / "own.h5", network=Spring())
    x = loaded.sample(jax.random.key(0), 3, PARAMETERS, solver=Adaptive(1e-5, 1e-6))
    np.testing.assert_array_equal(
        x, emulator.sample(jax.random.key(0), 3, PARAMETERS, solver=Adaptive(1e-5, 1e-6))
    )
    # dx/dt = 0.5 (1/2 - x) shrinks distances from the middle by exp(-1/2).
    assert jnp.max(jnp.abs(x / BOX - 0.5)) <= 0.5 * np.exp(-0.5) + 1e-4


def test_log_prob_is_a_density_in_the_units_of_the_positions():
    """Spring flow: log p = -3N log L + 3N / 2 inside the shrunken cube."""
    settings = EmulatorSettings(emulator_settings(pairs_catalogue(4, 0, points=4)).domain, None)
    emulator = GalaxyEmulator(settings, Spring(), rngs=nnx.Rngs(0))
    x = jnp.full((4, 3), 0.45 * BOX)
    expected = 12 * (0.5 - np.log(BOX))
    assert float(emulator.log_prob(x, PARAMETERS)) == pytest.approx(expected, rel=1e-3)


def test_parameters_outside_the_training_range_warn(emulator):
    with pytest.warns(OutsideTrainingRange, match="Omega_m = 0.9 is outside the training range"):
        generate(jax.random.key(0), emulator, [[0.9]], solver=FixedSteps(2))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (np.ones((2, 3)), "one column for each of Omega_m"),
        ([[np.nan]], "finite"),
        ([[0.3], [-0.3]], "Omega_m above zero, got -0.3"),
    ],
)
def test_bad_parameters(emulator, parameters, message):
    with pytest.raises(InputError, match=message):
        generate(jax.random.key(0), emulator, parameters)


def test_more_galaxies_than_any_box_of_the_training_warn(emulator):
    with pytest.warns(OutsideTrainingRange, match=f"more than the {POINTS} of the training"):
        generate(jax.random.key(0), emulator, [[0.3]], counts=[2 * POINTS], solver=FixedSteps(2))


@pytest.mark.parametrize("counts", [[3, 4], [-1], [2.5], [0]])
def test_bad_counts(emulator, counts):
    with pytest.raises(InputError, match="one number of galaxies for each box"):
        generate(jax.random.key(0), emulator, [[0.3]], counts=counts)


def test_galaxies_that_are_not_finite_are_refused(emulator):
    broken = nnx.clone(emulator)
    nnx.update(broken, jax.tree.map(lambda leaf: leaf * jnp.nan, nnx.state(broken, nnx.Param)))
    with pytest.raises(InputError, match="got NaN or beyond in a box of"):
        generate(jax.random.key(0), broken, [[0.3]], solver=FixedSteps(2))


def test_padding_is_not_learned():
    catalogue = pairs_catalogue(4, 0)
    padded = replace(
        catalogue,
        position=np.pad(catalogue.position, ((0, 0), (0, 7), (0, 0))),
        mask=np.pad(catalogue.mask, ((0, 0), (0, 7))),
    )
    assert emulator_settings(padded) == emulator_settings(catalogue)


def test_boxes_of_one_galaxy_cannot_be_learned():
    lonely = Catalogue(position=np.ones((3, 1, 3), np.float32), box_size=BOX)
    with pytest.raises(InputError, match="at least 2 galaxies"):
        emulator_settings(lonely)


def test_large_periodic_boxes_are_given_a_mesh():
    few, many = (pairs_catalogue(3, 0, points=n) for n in (300, 302))
    open_space = pairs_catalogue(3, 0, points=302, box_size=None)
    assert isinstance(emulator_settings(few).network, PairSettings)
    assert isinstance(emulator_settings(many).network, P3MSettings)
    assert isinstance(emulator_settings(open_space).network, PairSettings)
    assert [emulator_settings(each).evaluations for each in (few, many, open_space)] == [16, 32, 32]
    assert emulator_settings(few, diffusion=True).evaluations == 32
    with pytest.raises(InputError, match="open space"):
        GalaxyEmulator(emulator_settings(open_space, network=MESHED), rngs=nnx.Rngs(0))


def test_large_boxes_are_worked_on_in_small_portions(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    assert [boxes_at_once(n, 64) for n in (128, 1000, 5000, 10**6)] == [64, 20, 4, 1]
    assert [microbatch(n, 16, 4) for n in (128, 5000, 6000, 50_000)] == [4, 4, 2, 1]
    assert microbatch(50_000, 16, None) is None
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    assert [boxes_at_once(n, 64) for n in (128, 6000, 10**6)] == [64, 2, 2]


def test_open_space_is_told_before_training():
    class Notes(Silent):
        def note(self, text):
            told.append(text)

    for box_size, expected in ((None, 1), (BOX, 0)):
        told = []
        lonely = pairs_catalogue(4, 0, box_size=box_size)
        lonely = replace(lonely, mask=np.arange(POINTS) < np.ones((4, 1)))
        with pytest.raises(InputError, match="at least 2 galaxies"):
            train_emulator(jax.random.key(0), lonely, report=Notes())
        assert len(told) == expected and all("(--box, box_size=)" in text for text in told)


@pytest.mark.slow
@pytest.mark.parametrize(("box_size", "meshed"), [(BOX, False), (BOX, True), (None, False)])
def test_training_finds_the_pairs(box_size, meshed):
    """Galaxies come in pairs 2 Mpc/h apart; noise has its nearest neighbours much farther."""
    catalogue = pairs_catalogue(512, 1, box_size=box_size)
    settings = small_settings(catalogue)
    if meshed:
        settings = emulator_settings(catalogue, network=MESHED, evaluations=8)
    training = TrainingSettings(
        schedule=FitSettings(batch_size=32, steps=400, validate_every=200),
        optimizer=OptimizerSettings(learning_rate=5e-3, clip_norm=0.1, second_moment_decay=0.99),
    )
    trained = train_emulator(jax.random.key(0), catalogue, training, settings, report=Silent())
    made = generate(jax.random.key(1), trained.emulator, np.full((64, 1), 0.3))

    def nearest(position):
        delta = position[:, :, None] - position[:, None]
        if box_size is not None:
            delta -= box_size * np.round(delta / box_size)
        distance = np.sqrt(np.sum(delta**2, axis=-1))
        return np.median(np.min(distance + 1e3 * np.eye(POINTS), axis=1))

    assert nearest(catalogue.position[:64]) == pytest.approx(2.0, rel=0.05)
    untrained = GalaxyEmulator(settings, rngs=nnx.Rngs(0))
    noise = generate(jax.random.key(1), untrained, np.full((64, 1), 0.3))
    assert nearest(made.position) < 0.5 * nearest(noise.position)
