"""Boxes are worked on at about their own size: faster, and with the same results."""

import os
import subprocess
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from physgen.densities import FixedSteps
from physgen.galaxies import (
    Catalogue,
    GalaxyEmulator,
    TrainingSettings,
    emulator_settings,
    generate,
    portions,
    train_emulator,
)
from physgen.galaxies.padding import alike_together, cut_to_size, packed, sizes
from physgen.nets import P3MSettings, PairSettings
from physgen.train import FitSettings, Silent

BOX, MOST = 50.0, 96
KEY = jax.random.key(0)


def uneven_catalogue(n=12, seed=0):
    """Boxes of 2 to 96 galaxies with velocities and masses, padding anywhere among them."""
    rng = np.random.default_rng(seed)
    counts = np.concatenate([[MOST, 2, 20, 40], rng.integers(2, MOST + 1, n - 4)])
    return Catalogue(
        position=rng.uniform(0, BOX, (n, MOST, 3)).astype(np.float32),
        mask=rng.permuted(np.arange(MOST) < counts[:, None], axis=1),
        velocity=rng.normal(0, 200, (n, MOST, 3)).astype(np.float32),
        log_mass=(13.5 + rng.exponential(0.3, (n, MOST))).astype(np.float32),
        parameters=rng.uniform(0.1, 0.5, (n, 1)).astype(np.float32),
        parameter_names=("Omega_m",),
        box_size=BOX,
    )


def small_emulator(catalogue, network, carried=None):
    settings = emulator_settings(
        catalogue, network=network, carried=carried, evaluations=2, carried_evaluations=2
    )
    emulator = GalaxyEmulator(settings, rngs=nnx.Rngs(0))
    random = nnx.Rngs(1)  # last layers start at zero, with which nothing depends on positions
    fields = [emulator.transport.network]
    fields += [] if carried is None else [emulator.carried.network.network]
    for field in fields:
        kernel = field.gates.kernel
        kernel[...] = 0.3 * jax.random.normal(random.params(), kernel.shape)
    return emulator


PAIRS = PairSettings(1, width=8, layers=1, heads=2, filters=4)


def of_positions(catalogue, network=PAIRS):
    return small_emulator(catalogue.with_features(("position",)), network)


@pytest.fixture(scope="module")
def catalogue():
    return uneven_catalogue()


def test_sizes_hold_their_boxes_and_are_few():
    for usual in (3, 40, 100, 167, 5000):
        counts = np.arange(0, 2 * usual)
        rows = sizes(counts, usual)
        assert np.all(rows >= counts) and np.all(rows > 0) and rows.max() == counts.max()
        assert len(np.unique(rows)) <= 8 and np.all(np.diff(rows) >= 0)
        np.testing.assert_array_equal(sizes(np.array([usual, usual]), usual), usual)
    found = sizes(np.array([1, 41, 42, 83, 84, 126, 167]), 167)
    np.testing.assert_array_equal(found, [48, 48, 88, 88, 128, 167, 167])
    np.testing.assert_array_equal(sizes(np.array([3, 50]), 50), 50)


def test_galaxies_are_packed_in_their_order():
    rng = np.random.default_rng(0)
    galaxies, mask = rng.normal(size=(5, 9, 2)), rng.random((5, 9)) < 0.5
    first, found = packed(galaxies, mask)
    assert first.shape == (5, mask.sum(axis=1).max(), 2)
    for i in range(5):
        np.testing.assert_array_equal(first[i][found[i]], galaxies[i][mask[i]])
        assert np.all(np.diff(found[i].astype(int)) <= 0)


def loss_of(emulator):
    graph, parameters, rest = nnx.split(emulator, nnx.Param, ...)

    def loss(parameters, key, batch):
        model = nnx.merge(graph, parameters, rest)
        keys = jax.random.split(key, batch["mask"].shape[0])
        losses = jax.vmap(model.loss)(keys, batch["galaxies"], batch["parameters"], batch["mask"])
        return jnp.mean(losses)

    return loss, parameters


def batch_of(emulator, catalogue, rows):
    galaxies, mask = packed(emulator.domain.features.events(catalogue), catalogue.mask)
    batch = {"galaxies": galaxies, "parameters": catalogue.parameters, "mask": mask}
    return {name: jnp.asarray(array[rows]) for name, array in batch.items()}


def test_value_and_gradient_are_those_of_the_padded_box(catalogue):
    emulator = small_emulator(catalogue, PAIRS, replace(PAIRS, vectors=1, scalars=1))
    loss, parameters = loss_of(emulator)
    padded, cut = (
        jax.jit(jax.value_and_grad(function)) for function in (loss, cut_to_size(loss, [24, 96]))
    )
    for box, width in ((1, 24), (2, 24), (0, 96)):
        batch = batch_of(emulator, catalogue, [box])
        value, gradient = padded(parameters, KEY, batch)
        nowhere = batch["galaxies"].at[:, width:].set(jnp.nan)  # what is not read does no harm
        cut_value, cut_gradient = cut(parameters, KEY, batch | {"galaxies": nowhere})
        np.testing.assert_allclose(cut_value, value, rtol=1e-5)
        largest = max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(gradient))
        for ours, full in zip(*map(jax.tree.leaves, (cut_gradient, gradient)), strict=True):
            np.testing.assert_allclose(ours, full, atol=1e-5 * largest)


def test_a_mesh_does_not_see_padding(catalogue):
    small = P3MSettings.for_points(MOST, 1, width=8, layers=1, filters=4, channels=4)
    emulator = of_positions(catalogue, small)
    loss, parameters = loss_of(emulator)
    batch = batch_of(emulator, catalogue, [2])
    padded = jax.jit(loss)(parameters, KEY, batch)
    short = batch | {name: batch[name][:, :24] for name in ("galaxies", "mask")}
    np.testing.assert_allclose(jax.jit(loss)(parameters, KEY, short), padded, rtol=1e-5)


def test_boxes_taken_together_are_alike():
    rng = np.random.default_rng(0)
    counts, batches = rng.integers(0, 100, 50), rng.integers(0, 50, (3, 12))
    arranged = alike_together(batches, counts, 4)
    np.testing.assert_array_equal(np.sort(arranged, axis=1), np.sort(batches, axis=1))
    parts = [counts[arranged[:, i::3]] for i in range(3)]  # as `gradient_step` takes them
    for smaller, larger in zip(parts[:-1], parts[1:], strict=True):
        assert np.all(smaller.max(axis=1) <= larger.min(axis=1))


def test_generated_boxes_do_not_depend_on_those_beside_them(catalogue, monkeypatch):
    emulator = of_positions(catalogue)
    counts, parameters, solver = catalogue.counts, catalogue.parameters, FixedSteps(2)
    monkeypatch.setattr(portions, "_MOST", 5)  # several portions, one not full
    made = generate(KEY, emulator, parameters, counts=counts, solver=solver)
    np.testing.assert_array_equal(made.counts, counts)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(KEY, jnp.arange(len(counts)))
    padded = emulator.sample_boxes(keys, jnp.asarray(parameters), jnp.asarray(made.mask), solver)
    moved = made.position - np.asarray(padded)
    np.testing.assert_allclose(moved - BOX * np.round(moved / BOX), 0, atol=1e-3)


class Stop(Silent):
    """Stops a run after some steps."""

    def __init__(self, step):
        self.step = step

    def status(self, status):
        if status.step >= self.step:
            raise RuntimeError("stopped from outside")


@pytest.mark.slow
def test_training_resumes_exactly(catalogue, tmp_path):
    schedule = FitSettings(
        batch_size=4, steps=6, steps_per_dispatch=2, validate_every=4, checkpoint_every=2
    )
    training = TrainingSettings(schedule, held_out=0.2)
    positions = catalogue.with_features(("position",))
    settings = emulator_settings(positions, network=PAIRS, counts=None)

    def train(**options):
        return train_emulator(KEY, positions, training, settings, **options)

    straight = train(report=Silent())
    path = tmp_path / "checkpoint.h5"
    with pytest.raises(RuntimeError, match="outside"):
        train(checkpoint=path, report=Stop(2))
    resumed = train(checkpoint=path, resume=True, report=Silent())
    assert np.all(np.isfinite(straight.run.history["loss"]))
    for name, values in straight.run.history.items():
        np.testing.assert_array_equal(resumed.run.history[name], values)
    for one, other in zip(
        *(jax.tree.leaves(nnx.state(t.emulator)) for t in (straight, resumed)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


SCRIPT = """
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from test_emulator_padding import KEY, batch_of, loss_of, of_positions, uneven_catalogue
from physgen.galaxies.padding import alike_together, cut_to_size
from physgen.train import OptimizerSettings, gradient_step
from physgen.train.dispatch import mesh_for

catalogue = uneven_catalogue(8)
emulator = of_positions(catalogue)
loss, parameters = loss_of(emulator)
step = gradient_step(parameters, cut_to_size(loss, [48, 96]), OptimizerSettings(), microbatch=2)
rows = alike_together(np.arange(8)[None], catalogue.counts, 2)[0]
batch = batch_of(emulator, catalogue, rows)
mesh = mesh_for(8)
assert mesh.size == 2
shared = jax.device_put(batch, NamedSharding(mesh, PartitionSpec("batch")))
everywhere = jax.device_put(step.state, NamedSharding(mesh, PartitionSpec()))
(one, info), (other, shared_info) = (
    jax.jit(step.step)(KEY, *arguments) for arguments in ((step.state, batch), (everywhere, shared))
)
np.testing.assert_allclose(shared_info["loss"], info["loss"], rtol=1e-5)
moments = [np.asarray(state.optimizer[1].mu) for state in (one, other)]
np.testing.assert_allclose(*moments, atol=1e-5 * np.abs(moments[0]).max())
"""


@pytest.mark.slow
def test_two_devices_share_a_batch_of_unequal_boxes():
    flags = {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path]),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=os.environ | flags, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
