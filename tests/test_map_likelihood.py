"""Inference from maps and odd maps, with an emulator whose likelihood is known.

Untrained networks move nothing: positions are uniform, features normal, whatever the parameters.
"""

import json
import signal
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import run
from flax import nnx
from scipy.special import gammaln
from scipy.stats import norm

import physgen
from physgen import InputError
from physgen.densities import FixedSteps, Hutchinson
from physgen.galaxies import (
    Catalogue,
    Column,
    GalaxyEmulator,
    emulator_settings,
    likelihood,
    write_catalogue,
)
from physgen.galaxies.anomaly import AnomalyDetector, MapScores, score_maps
from physgen.galaxies.features import Features
from physgen.galaxies.likelihood import MapLikelihood, clouds, log_likelihoods, padded
from physgen.inference.mcmc import HasLikelihood
from physgen.inference.results import PosteriorSamples
from physgen.nets import PairSettings

BOX, POINTS = 50.0, 6
CHEAP = {"trace": Hutchinson(2), "solver": FixedSteps(2)}


def maps(n=30, seed=0, fixed=False):
    rng = np.random.default_rng(seed)
    mask = np.arange(POINTS) < rng.integers(2, POINTS + 1, n)[:, None]
    return Catalogue(
        position=rng.uniform(0, BOX, (n, POINTS, 3)).astype(np.float32),
        mask=np.ones_like(mask) if fixed else mask,
        velocity=rng.normal(0, 200, (n, POINTS, 3)).astype(np.float32),
        log_mass=np.clip(13.5 + rng.uniform(-0.1, 1.1, (n, POINTS)), 13.5, 14.5).astype(np.float32),
        parameters=rng.uniform(0.1, 0.5, (n, 1)).astype(np.float32),
        parameter_names=("Omega_m",),
        box_size=BOX,
    )


def untrained(catalogue):
    network = PairSettings(1, width=4, layers=1, heads=2, filters=2)
    carried = PairSettings(1, width=4, layers=1, heads=2, filters=2, vectors=1, scalars=1)
    if catalogue.velocity is None:
        carried = None
    settings = emulator_settings(catalogue, network=network, carried=carried)
    return GalaxyEmulator(settings, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def emulator():
    return untrained(maps())


@pytest.fixture(scope="module")
def of_positions():
    return untrained(maps().positions_only())


def test_the_parts_of_a_likelihood(emulator):
    catalogue = maps()
    galaxies, mask = clouds(emulator, catalogue)
    i = int(np.argmin(mask.sum(1)))
    n = int(mask[i].sum())
    theta = np.array([[0.2], [0.4]])
    found = log_likelihoods(jax.random.key(0), emulator, galaxies[i], mask[i], theta, **CHEAP)
    assert found.positions.shape == (2, 2)
    np.testing.assert_allclose(found.positions, -3 * n * np.log(BOX), rtol=1e-5)
    np.testing.assert_allclose(found.arrangements, gammaln(n + 1), rtol=1e-5)
    features = emulator.domain.features
    rows = jnp.asarray(galaxies[i, :n, 3:])
    standard = np.asarray(features.standardised(rows))
    slope = float(features.log_slope(rows, jnp.ones(n, bool)))
    np.testing.assert_allclose(found.features, norm.logpdf(standard).sum() + slope, rtol=1e-3)


def test_samplers_ask_the_same_likelihood(of_positions):
    emulator, catalogue = of_positions, maps().positions_only()
    galaxies, mask = clouds(emulator, catalogue)
    i, key = int(np.argmin(mask.sum(1))), jax.random.key(0)
    likelihood = MapLikelihood(emulator, POINTS, key, **CHEAP)
    assert isinstance(likelihood, HasLikelihood) and likelihood.x_shape == (POINTS, 3)
    x = jnp.asarray(padded(galaxies, mask)[i])
    found, slope = jax.jit(jax.value_and_grad(likelihood.log_likelihood))(jnp.array([0.3]), x)
    theta = np.array([[0.3]])
    parts = log_likelihoods(key, emulator, galaxies[i], mask[i], theta, **CHEAP)
    np.testing.assert_allclose(found, np.mean(parts.of_the_set()), rtol=1e-5)
    assert jnp.isfinite(slope).all()


def test_real_galaxies_come_first(emulator):
    catalogue = maps(3)
    names = ("position", "velocity", "log_mass", "mask")
    turned = replace(catalogue, **{name: getattr(catalogue, name)[:, ::-1] for name in names})
    galaxies, mask = clouds(emulator, turned)
    straight, same = clouds(emulator, catalogue)
    np.testing.assert_array_equal(mask, same)
    for one, other, there in zip(galaxies, straight, mask, strict=True):
        np.testing.assert_array_equal(np.sort(one[there], axis=0), np.sort(other[there], axis=0))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"box_size": 60.0}, "box 50.0 Mpc/h"),
        ({"log_mass": np.full((30, POINTS), 16.0, np.float32)}, "log_mass between 13.5"),
    ],
)
def test_maps_of_another_kind_are_refused(emulator, change, words):
    with pytest.raises(InputError, match=words):
        clouds(emulator, replace(maps(), **change))


def test_a_few_extreme_masses_are_taken_to_be_at_the_end(emulator):
    catalogue = maps()
    mass = np.array(catalogue.log_mass)
    mass[0, 0] = 15.0
    with pytest.warns(UserWarning, match="1 of .* galaxies have log_mass outside"):
        galaxies, _ = clouds(emulator, replace(catalogue, log_mass=mass))
    assert galaxies[0, 0, 6] == np.float32(emulator.domain.features.knots[0][-1])


def test_maps_of_another_number_are_refused():
    fixed = untrained(maps(fixed=True).positions_only())
    with pytest.raises(InputError, match="6 galaxies as in the emulator's training"):
        clouds(fixed, maps().positions_only())


@pytest.mark.parametrize(
    "change", [{"position_unit": "kpc/h"}, {"velocity_unit": "cm/s"}, {"log_mass_unit": "Msun"}]
)
def test_maps_in_other_units_are_refused(emulator, change):
    with pytest.raises(InputError, match=f"in one unit.*{next(iter(change.values()))}"):
        clouds(emulator, replace(maps(), **change))


def test_maps_without_a_feature_are_refused(emulator):
    with pytest.raises(InputError, match="velocity"):
        clouds(emulator, maps().positions_only())


def test_scores_are_log_densities_at_the_parameters_of_each_map(of_positions):
    emulator, catalogue = of_positions, maps(4).positions_only()
    done = []
    found = score_maps(
        jax.random.key(0), emulator, catalogue, progress=lambda *d: done.append(d), **CHEAP
    )
    expected = -3 * catalogue.counts * np.log(BOX)
    np.testing.assert_allclose(found.values[:, 0], expected, rtol=1e-5)
    assert done[-1] == (4, 4)
    with pytest.raises(InputError, match="Omega_m of each map"):
        score_maps(jax.random.key(0), emulator, catalogue, np.zeros((4, 2)))


def test_columns_are_known_by_their_names(tmp_path):
    """A file may have them in another order."""
    rng = np.random.default_rng(0)
    columns = tuple(
        Column(name, rng.normal(at, 1, (8, POINTS)).astype(np.float32))
        for name, at in (("spin", 0), ("concentration", 9))
    )
    catalogue = replace(maps(8), columns=columns)
    features = Features.fit(catalogue)
    turned = replace(catalogue, columns=columns[::-1])
    np.testing.assert_array_equal(features.events(turned), features.events(catalogue))


def test_a_map_without_galaxies_has_a_likelihood(emulator):
    events, _ = clouds(emulator, maps(1))
    nothing = np.zeros(events.shape[1], bool)
    theta = np.array([[0.2], [0.3]], np.float32)
    parts = log_likelihoods(jax.random.key(0), emulator, events[0], nothing, theta, **CHEAP)
    given = emulator.domain.standard_parameters(jnp.asarray(theta))
    expected = emulator.counts.log_prob(jnp.zeros(2), given)
    np.testing.assert_allclose(parts.of_the_set(), np.tile(expected[:, None], 2), rtol=1e-5)


def scores(n, seed, shift=0.0):
    """Positions follow a quadratic, features scatter, counts do not vary."""
    rng = np.random.default_rng(seed)
    theta = rng.uniform(-1, 1, (n, 2))
    usual = 5 * theta[:, 0] ** 2 - 3 * theta[:, 0] * theta[:, 1] + theta[:, 1] - 100
    noise = rng.normal(size=(n, 2)) * [2.0, 0.5] + [0.0, shift]
    return MapScores(theta, np.column_stack([usual + noise[:, 0], noise[:, 1], np.zeros(n)]))


def test_usual_maps_are_called_odd_as_often_as_said():
    detector = AnomalyDetector.fit(scores(2000, 0))
    p = detector.p_values(scores(4000, 1))
    for level in (0.05, 0.2):
        assert (p <= level).mean() == pytest.approx(level, abs=4 * np.sqrt(level / 4000) + 0.01)
    excess = detector.excess(scores(4000, 2))
    np.testing.assert_allclose(excess.mean(axis=0), 0, atol=0.25)
    np.testing.assert_allclose(excess.std(axis=0), [2.0, 0.5, 0.0], rtol=0.06)


def test_residuals_are_those_from_the_other_maps():
    held_out = scores(24, 4)
    detector = AnomalyDetector.fit(held_out)
    for i in range(24):
        others = np.delete(held_out.parameters, i, 0), np.delete(held_out.values, i, 0)
        one = MapScores(held_out.parameters[i : i + 1], held_out.values[i : i + 1])
        expected = AnomalyDetector.fit(MapScores(*others)).excess(one)[0]
        np.testing.assert_allclose(detector.residuals[i], expected, rtol=1e-6, atol=1e-9)


def test_few_held_out_maps_raise_no_more_false_alarms():
    found = [
        np.mean(AnomalyDetector.fit(scores(20, seed)).p_values(scores(50, 1000 + seed)) <= 0.05)
        for seed in range(200)
    ]
    assert np.mean(found) == pytest.approx(0.05, abs=4 * np.std(found) / np.sqrt(200) + 0.01)


def test_odd_maps_are_found_on_both_sides():
    detector = AnomalyDetector.fit(scores(500, 0))
    for shift in (-3.0, 3.0):  # six deviations
        assert (detector.p_values(scores(200, 3, shift)) <= 0.05).mean() > 0.99


def test_a_detector_needs_maps():
    with pytest.raises(InputError, match="at least 20 held-out maps, got 5"):
        AnomalyDetector.fit(scores(5, 0))


def test_the_command_infers_from_the_likelihood(tmp_path, capsys, of_positions):
    """The likelihood is that of the count alone, so the posterior is nearly the prior."""
    emulator = of_positions
    emulator.save(tmp_path / "emulator.h5")
    write_catalogue(tmp_path / "maps.h5", maps(20))
    out = tmp_path / "p.h5"
    command = [
        "galaxies", "infer", tmp_path / "maps.h5", "--emulator", tmp_path / "emulator.h5",
        "--out", out, "--probes", 2, "--evaluations", 3, "--samples", 200, "--json",
    ]  # fmt: skip
    status, text, _ = run(capsys, *command)
    found = json.loads(text)
    assert status == 0 and all(box["evaluations"] >= 10 for box in found["boxes"])
    truths = maps(20).parameters[:, 0]
    ends = np.array(
        [[box["Omega_m"][f"{end}_68"] for end in ("low", "high")] for box in found["boxes"]]
    )
    inside = np.mean((ends[:, 0] <= truths) & (truths <= ends[:, 1]))
    assert found["coverage_68"]["Omega_m"] == pytest.approx(inside, abs=0.11)
    assert 0.1 < found["calibrated_power"] < 10
    low, high = emulator.domain.parameter_low[0], emulator.domain.parameter_high[0]
    for box in found["boxes"]:
        assert low < box["Omega_m"]["low_95"] < box["Omega_m"]["high_95"] < high
        assert box["numerical_error"][0] < 1e-6
    assert PosteriorSamples.load(tmp_path / "p_2.h5").samples.shape == (200, 1)
    assert out.with_suffix(".png").stat().st_size > 10_000
    status, _, error = run(capsys, *command)
    assert status == 2 and "--force" in error


def test_the_command_compares_both_posteriors(tmp_path, capsys):
    mocks = maps(60, seed=1).positions_only()
    untrained(mocks).save(tmp_path / "emulator.h5")
    write_catalogue(tmp_path / "maps.h5", maps(1))
    write_catalogue(tmp_path / "mocks.h5", mocks)
    status, text, _ = run(
        capsys, "galaxies", "infer", tmp_path / "maps.h5", "--emulator", tmp_path / "emulator.h5",
        "--simulations", tmp_path / "mocks.h5", "--out", tmp_path / "p.h5", "--probes", 2,
        "--evaluations", 3, "--samples", 500, "--steps", 2, "--density", "maf",
    )  # fmt: skip
    assert status == 0 and "from the likelihood" in text
    assert "consistent: learned posterior against that of the likelihood: Omega_m off by" in text
    for name in ("p.h5", "p_samples.h5", "p_likelihood.h5", "p.png"):
        assert (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["draws.hdf5", "draws"])
def test_draws_go_where_they_are_asked_to(tmp_path, capsys, monkeypatch, of_positions, name):
    monkeypatch.chdir(tmp_path)
    of_positions.save(tmp_path / "emulator.h5")
    write_catalogue(tmp_path / "map.h5", maps(1))
    command = [
        "galaxies", "infer", "map.h5", "--emulator", "emulator.h5", "--probes", 2,
        "--evaluations", 3, "--samples", 50, "--out",
    ]  # fmt: skip
    status, text, _ = run(capsys, *command, name)
    assert status == 0 and f"{name}, draws.png" in text
    assert len(physgen.load(name).samples) == 50
    assert {path.name for path in tmp_path.glob("draws*")} == {name, "draws.png"}
    status, _, error = run(capsys, *command, "draws.png", "--force")
    assert status == 2 and "where their figure goes" in error


@pytest.mark.slow
@pytest.mark.parametrize("trained", [False, True])
def test_it_goes_on_from_where_it_was_interrupted(tmp_path, capsys, monkeypatch, trained):
    monkeypatch.chdir(tmp_path)
    mocks = maps(60, seed=1).positions_only()
    untrained(mocks).save(tmp_path / "emulator.h5")
    write_catalogue(tmp_path / "maps.h5", maps(3))
    write_catalogue(tmp_path / "mocks.h5", mocks)
    learned = ["--simulations", "mocks.h5", "--steps", 2, "--density", "maf"] if trained else []
    command = [
        "galaxies", "infer", "maps.h5", "--emulator", "emulator.h5", *learned, "--probes", 2,
        "--evaluations", 3, "--samples", 200, "--out",
    ]  # fmt: skip
    assert run(capsys, *command, "whole.h5")[0] == 0
    asked, log_likelihoods = [], likelihood.log_likelihoods

    def interrupting(*arguments, **settings):
        asked.append(arguments)
        if len(asked) == 3:
            signal.raise_signal(signal.SIGINT)
        return log_likelihoods(*arguments, **settings)

    monkeypatch.setattr(likelihood, "log_likelihoods", interrupting)
    status, text, _ = run(capsys, *command, "p.h5")
    kept = "p_likelihood.h5.checkpoint" if trained else "p.h5.checkpoint"
    assert status == 130 and text.endswith(f"--resume goes on from {kept}\n")
    assert {path.name for path in tmp_path.glob("p*")} == {kept}
    status, _, error = run(capsys, *command, "p.h5", "--resume", "--power", 0.5)
    assert status == 2 and f"{kept} was made with" in error
    once = len(asked)
    assert run(capsys, *command, "p.h5", "--resume")[0] == 0
    assert not (tmp_path / kept).exists()
    stem = "_likelihood" if trained else ""
    for box in (1, 2, 3):
        whole, parts = (PosteriorSamples.load(f"{n}{stem}_{box}.h5") for n in ("whole", "p"))
        np.testing.assert_array_equal(parts.samples, whole.samples)
    again = len(asked) - once
    assert run(capsys, *command, "p.h5", "--force")[0] == 0
    assert len(asked) - once - again > again  # boxes that were kept were not asked about again
    assert run(capsys, *command, "p.h5", "--resume")[0] == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "expected --simulations, --emulator or both"),
        (["--emulator", "emulator.h5", "--resume"], "to resume from, found none"),
        (["--emulator", "maps.h5"], "maps.h5 holds a catalogue"),
        (["--emulator", "emulator.h5", "--probes", "1"], "--probes of at least 2"),
        (["--emulator", "emulator.h5", "--prior-low", "0.1"], "--prior-high together"),
    ],
)
def test_the_command_says_what_is_amiss(tmp_path, capsys, monkeypatch, emulator, options, words):
    monkeypatch.chdir(tmp_path)
    emulator.save(tmp_path / "emulator.h5")
    write_catalogue(tmp_path / "maps.h5", maps(1))
    status, _, error = run(capsys, "galaxies", "infer", "maps.h5", "--out", "p.h5", *options)
    assert status == 2 and words in error and error.count("\n") == 1
    assert not (tmp_path / "p.h5").exists()
