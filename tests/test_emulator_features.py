"""Emulators of all that galaxies have: velocities, masses, columns, how many there are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.stats import norm

import physgen
from physgen import InputError
from physgen.densities import FixedSteps
from physgen.galaxies import (
    Catalogue,
    Column,
    GalaxyEmulator,
    TrainingSettings,
    emulator_settings,
    generate,
    read_catalogue,
    train_emulator,
    write_catalogue,
)
from physgen.galaxies.counts import Counts, CountSettings, count_settings, fit_counts
from physgen.galaxies.features import Features
from physgen.nets import PairSettings
from physgen.train import FitSettings, OptimizerSettings, Silent

BOX, POINTS = 50.0, 9


def full_catalogue(n=40, seed=0):
    """Boxes of 3 to 9 galaxies with a mass cut-off and a further column."""
    rng = np.random.default_rng(seed)
    mask = np.arange(POINTS) < rng.integers(3, POINTS + 1, n)[:, None]
    mask[0] = True
    return Catalogue(
        position=rng.uniform(0, BOX, (n, POINTS, 3)).astype(np.float32),
        mask=mask,
        velocity=rng.normal(0, 200, (n, POINTS, 3)).astype(np.float32),
        log_mass=(13.5 + rng.exponential(0.3, (n, POINTS))).astype(np.float32),
        columns=(Column("concentration", rng.lognormal(2, 0.3, (n, POINTS)), "c"),),
        parameters=rng.uniform(0.1, 0.5, (n, 1)).astype(np.float32),
        parameter_names=("Omega_m",),
        box_size=BOX,
    )


@pytest.fixture(scope="module")
def catalogue():
    return full_catalogue()


@pytest.fixture(scope="module")
def emulator(catalogue):
    network = PairSettings(1, width=8, layers=1, heads=2, filters=4)
    carried = PairSettings(1, width=8, layers=1, heads=2, filters=4, vectors=1, scalars=2)
    settings = emulator_settings(catalogue, network=network, carried=carried, evaluations=4)
    return GalaxyEmulator(settings, rngs=nnx.Rngs(0))


def test_a_catalogue_becomes_events_and_back(catalogue):
    features = Features.fit(catalogue)
    assert features.modelled == ("position", "velocity", "log_mass", "concentration")
    events = features.events(catalogue)
    assert events.shape == (40, POINTS, 8) and events.dtype == np.float32
    again = Catalogue(**features.fields(events), mask=catalogue.mask, box_size=BOX)
    np.testing.assert_array_equal(again.velocity, catalogue.velocity)
    np.testing.assert_array_equal(again.log_mass, catalogue.log_mass)
    np.testing.assert_allclose(again.columns[0].values, catalogue.columns[0].values, rtol=1e-6)
    assert again.columns[0].unit == "c" and again.log_mass_unit == catalogue.log_mass_unit


def test_standardised_features_have_unit_spread_and_go_back():
    many = full_catalogue(2000)
    features = Features.fit(many)
    carried = jnp.asarray(features.events(many)[many.mask][:, 3:])
    standard = features.standardised(carried)
    np.testing.assert_allclose(jnp.mean(standard[:, :3] ** 2), 1.0, rtol=1e-4)
    np.testing.assert_allclose(jnp.std(standard[:, 3:], axis=0), 1.0, atol=0.02)
    np.testing.assert_allclose(features.physical(standard), carried, rtol=1e-4)


def test_log_slope_is_the_jacobian_s_determinant(catalogue):
    features = Features.fit(catalogue)
    carried = jnp.asarray(features.events(catalogue)[0, :4, 3:])
    jacobian = jax.jacobian(features.standardised)(carried).reshape(20, 20)
    _, expected = np.linalg.slogdet(np.asarray(jacobian, np.float64))
    slope = features.log_slope(carried, jnp.ones(4, bool))
    assert float(slope) == pytest.approx(expected, rel=1e-3)


def test_generated_galaxies_have_every_feature_and_respect_the_cut_off(emulator, catalogue):
    made = generate(jax.random.key(0), emulator, np.full((6, 1), 0.3))
    assert made.features == catalogue.features == made.modelled
    mass, real = made.log_mass[made.mask], catalogue.log_mass[catalogue.mask]
    assert mass.min() >= real.min() and mass.max() <= real.max() + 1e-5
    assert np.ptp(made.counts) > 0 and made.counts.max() <= 2 * POINTS


def test_galaxies_that_run_away_are_refused(emulator, monkeypatch):
    fast = 101 * emulator.domain.features.velocity_scale

    def sample_boxes(self, keys, parameters, mask, solver=None):
        return np.ones((*mask.shape, self.domain.features.width)) * [1, 1, 1, 1, 1, fast, 14, 0.5]

    monkeypatch.setattr(GalaxyEmulator, "sample_boxes", sample_boxes)
    with pytest.raises(InputError, match="within 100 times .* in a box of 4"):
        generate(jax.random.key(0), emulator, np.full((1, 1), 0.3), counts=[4])


def test_counts_may_be_given(emulator):
    made = generate(jax.random.key(0), emulator, np.full((3, 1), 0.3), counts=[4, 7, 5])
    np.testing.assert_array_equal(made.counts, [4, 7, 5])


def test_a_file_keeps_all_of_it(emulator, tmp_path):
    emulator.save(tmp_path / "emulator.h5")
    loaded = physgen.load(tmp_path / "emulator.h5")
    assert loaded.settings == emulator.settings
    first, second = (
        generate(jax.random.key(2), e, [[0.2], [0.4]], solver=FixedSteps(2))
        for e in (emulator, loaded)
    )
    for name in ("position", "velocity", "log_mass", "mask"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    write_catalogue(tmp_path / "made.h5", first)
    again = read_catalogue(tmp_path / "made.h5")
    np.testing.assert_array_equal(again.columns[0].values, first.columns[0].values)
    assert again.columns[0].unit == "c" and again.modelled == first.modelled


def test_log_prob_of_an_untrained_emulator_is_a_product(emulator, catalogue):
    """Nothing moves: uniform positions, normal velocities and normal scores."""
    features = emulator.domain.features
    x = features.events(catalogue)[0]
    standard = np.asarray(features.standardised(jnp.asarray(x[:, 3:])))
    slopes = float(features.log_slope(jnp.asarray(x[:, 3:]), jnp.ones(POINTS, bool)))
    expected = norm.logpdf(standard).sum() + slopes - 3 * POINTS * np.log(BOX)
    assert float(emulator.log_prob(x, [0.3])) == pytest.approx(expected, rel=1e-3)


def test_a_constant_column_is_refused(catalogue):
    constant = Column("one", np.ones(catalogue.mask.shape))
    with pytest.raises(InputError, match="one: .*not all equal"):
        Features.fit(Catalogue(catalogue.position, columns=(constant,), box_size=BOX))


def test_boxes_that_are_all_drawn_empty_are_refused(emulator):
    sparse = nnx.clone(emulator)
    sparse.counts = Counts(CountSettings(-20.0, 1.0, most=60), 1, rngs=nnx.Rngs(0))
    with pytest.raises(InputError, match="drew none for 3"):
        generate(jax.random.key(0), sparse, np.full((3, 1), 0.3))


def counts_density(most=60):
    settings = count_settings(np.array([3, 20, most // 2]))
    density = Counts(settings, 1, rngs=nnx.Rngs(3))
    return density, settings


def test_probabilities_of_all_counts_sum_to_one():
    density, settings = counts_density()
    counts = jnp.arange(settings.most + 1.0)
    for context in (-1.0, 2.0):
        total = jnp.sum(jnp.exp(density.log_prob(counts, jnp.full((1,), context))))
        assert float(total) == pytest.approx(1.0, abs=1e-4)


def test_sampled_counts_follow_their_probabilities():
    density, settings = counts_density()
    context = jnp.array([0.5])
    drawn = np.asarray(density.sample(jax.random.key(0), 20_000, context)).astype(int)
    expected = np.exp(density.log_prob(jnp.arange(settings.most + 1.0), context))
    found = np.bincount(drawn, minlength=settings.most + 1) / len(drawn)
    error = np.sqrt(expected * (1 - expected) / len(drawn)) + 1e-5
    assert np.max(np.abs(found - expected) / error) < 5


class Still(nnx.Module):
    """Galaxies stay where the base puts them, but for one number that is trained."""

    def __init__(self):
        self.drift = nnx.Param(jnp.zeros(()))

    def __call__(self, time, x, context, mask):
        return self.drift[...] + 0.0 * x


def test_training_learns_how_many_galaxies_there_are():
    """Poisson counts with a mean of 10 exp(2 theta), beside the galaxies' own network."""
    rng = np.random.default_rng(0)
    theta = rng.uniform(0, 0.5, (600, 1)).astype(np.float32)
    mask = np.arange(60) < rng.poisson(10 * np.exp(2 * theta))
    catalogue = Catalogue(
        position=rng.uniform(0, BOX, (600, 60, 3)).astype(np.float32),
        mask=mask,
        parameters=theta,
        parameter_names=("theta",),
        box_size=BOX,
    )
    schedule = FitSettings(batch_size=4, steps=3)
    training = TrainingSettings(schedule, OptimizerSettings(learning_rate=0.1), held_out=0.0)
    emulator = train_emulator(
        jax.random.key(0),
        catalogue,
        training,
        emulator_settings(catalogue, network=None),
        network=Still(),
        report=Silent(),
    ).emulator
    assert emulator.transport.network.drift[...] != 0
    for value in (0.1, 0.4):
        drawn = emulator.sample_counts(jax.random.key(1), jnp.full((2000, 1), value))
        assert float(jnp.mean(drawn)) == pytest.approx(10 * np.exp(2 * value), rel=0.06)
    made = generate(jax.random.key(2), emulator, np.full((40, 1), 0.4))
    assert made.counts.mean() == pytest.approx(10 * np.exp(0.8), rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("spread", ["wide", "narrow"])
def test_learned_counts_scatter_more_or_less_than_poisson(spread):
    rng = np.random.default_rng(0)
    parameter = rng.uniform(-1, 1, (2000, 1))
    mean = 60 * np.exp(0.5 * parameter[:, 0])
    if spread == "wide":
        counts = rng.negative_binomial(5, 5 / (5 + mean))  # variance mean + mean^2 / 5
    else:
        counts = rng.binomial((2 * mean).astype(int), 0.5)  # variance half the mean
    settings = count_settings(counts)
    start = Counts(settings, 1, rngs=nnx.Rngs(0))
    rows = np.arange(2000)
    density = fit_counts(jax.random.key(0), start, counts, parameter, rows[200:], rows[:200])
    for value in (-0.7, 0.7):
        drawn = np.asarray(density.sample(jax.random.key(1), 4000, jnp.array([value])))
        middle = 60 * np.exp(0.5 * value)
        variance = middle + middle**2 / 5 if spread == "wide" else middle / 2
        assert drawn.mean() == pytest.approx(middle, rel=0.1)
        assert drawn.var() == pytest.approx(variance, rel=0.3)


@pytest.mark.slow
def test_no_box_is_drawn_with_the_number_of_another_cosmology():
    rng = np.random.default_rng(0)
    parameter = rng.uniform(-1, 1, (4000, 1))
    counts = rng.poisson(16 * np.exp(2 * parameter[:, 0]))
    start = Counts(count_settings(counts), 1, rngs=nnx.Rngs(0))
    rows = np.arange(4000)
    density = fit_counts(jax.random.key(0), start, counts, parameter, rows[400:], rows[:400])
    for value in (0.5, 0.9):
        far = jnp.arange(16 * np.exp(2 * value) // 3)  # 1e-7 of a Poisson distribution, or less
        chance = jnp.sum(jnp.exp(density.log_prob(far, jnp.array([value]))))
        assert chance < 1e-6
