"""The galaxies' judge: real boxes pass, and what is known to be wrong is named."""

from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest

from physgen import InputError
from physgen.galaxies.catalogue import Catalogue
from physgen.galaxies.simulate import SimulationSettings, simulate
from physgen.galaxies.validate import validate_catalogues
from physgen.validation import Grade

BOX = 100.0
statistics_alone = partial(validate_catalogues, joint=False)
RICHNESS = np.array([[4.0], [12.0]])


def clustered(seed, n=40, points=64, sets=RICHNESS, velocities=True):
    """Boxes of Gaussian clusters (a Thomas process) that fall in on themselves.

    The parameter is the mean number of galaxies in a cluster; n boxes for each.
    """
    rng = np.random.default_rng(seed)
    position, velocity = [], []
    for richness in np.repeat(sets[:, 0], n):
        centres = rng.uniform(0, BOX, (int(points / richness), 3))
        offset = rng.normal(0, 3, (points, 3))
        position.append((centres[rng.integers(0, len(centres), points)] + offset) % BOX)
        velocity.append(-40 * offset + rng.normal(0, 100, (points, 3)))
    return Catalogue(
        np.array(position),
        velocity=np.array(velocity) if velocities else None,
        parameters=np.repeat(sets, n, axis=0),
        parameter_names=("richness",),
        box_size=BOX,
    )


def jittered(boxes, scale, seed=9):
    noise = np.random.default_rng(seed).normal(0, scale, boxes.position.shape)
    return replace(boxes, position=(boxes.position + noise) % boxes.box_size)


@pytest.fixture(scope="module")
def held_out():
    return clustered(0)


@pytest.fixture(scope="module")
def train():
    return clustered(1, n=150)


def test_real_boxes_pass(held_out, train):
    report, figures = validate_catalogues(clustered(2), held_out, train)
    assert report.passed and report.grade is Grade.INDISTINGUISHABLE, report.verdict
    assert report.verdict.startswith("indistinguishable at this sample size")
    assert not report.pooled and len(report.groups) == 2
    for result in report.statistics:
        if not np.isnan(result.rms_z):
            assert result.rms_z < 2 * result.noise_z
    assert [test.name for test in report.joint] == [
        "Hotelling", "covariance", "C2ST", "PQMass", "KPD", "Frechet", "Wasserstein",
        "C2ST of points",
    ]  # fmt: skip
    assert report.p_value > 0.05
    assert [f.title for f in figures] == [
        "Galaxies", "Galaxies in three dimensions", "Where the means differ", "Xi",
        "Power spectrum",
        "Pair separations", "Neighbour distances",
        "V12", "Sigma12", "Redshift-space xi0", "Redshift-space xi2", "Speeds", "Memorisation",
    ]  # fmt: skip


@pytest.mark.parametrize("asked", [None, ("position",)])
def test_what_was_not_judged_is_noted(held_out, asked):
    generated = clustered(2, velocities=asked is not None)
    if asked is None:
        generated = replace(generated, modelled=("position",))
    report, _ = statistics_alone(generated, held_out, features=asked)
    assert report.notes[0] == "Judged by position; not judged: velocity."
    assert not any("v12" in result.statistic.name for result in report.statistics)


def test_a_model_of_velocities_may_be_judged_by_positions_alone(held_out):
    generated = replace(clustered(2), modelled=("position", "velocity"))
    everything, _ = statistics_alone(generated, held_out)
    positions, _ = statistics_alone(generated, held_out, features=("position",))
    assert not any("not judged" in note for note in everything.notes)
    assert len(positions.statistics) < len(everything.statistics)


def test_poisson_points_are_fake(held_out):
    points = np.random.default_rng(3).uniform(0, BOX, held_out.position.shape)
    report, _ = statistics_alone(replace(held_out, position=points), held_out)
    assert report.grade is Grade.FAKE
    assert any(text.startswith("xi too low at 2-") for text in report.findings)
    assert any(text.startswith("neighbour distances too high at k=1") for text in report.findings)


def test_smoothed_positions_are_fake_at_small_scales_only(held_out):
    report, _ = statistics_alone(jittered(clustered(4), 3.0), held_out)
    assert report.grade is Grade.FAKE
    low = next(text for text in report.findings if text.startswith("xi too low"))
    assert low.startswith("xi too low at 2-")


def test_wrong_parameters_are_noticed(held_out):
    wrong = replace(clustered(5, sets=1.5 * RICHNESS), parameters=held_out.parameters)
    report, _ = statistics_alone(wrong, held_out)
    assert not report.passed
    assert any(text.startswith("xi too high") for text in report.findings)


def test_shuffled_velocities_are_fake_in_what_sees_pairs_of_them_alone(held_out):
    honest = clustered(6)
    order = np.random.default_rng(0).permuted(np.tile(np.arange(64), (80, 1)), axis=1)
    shuffled = np.take_along_axis(honest.velocity, order[..., None], axis=1)
    report, _ = statistics_alone(replace(honest, velocity=shuffled), held_out)
    assert report.grade is Grade.FAKE
    assert any("v12" in text for text in report.findings), report.findings
    of_pairs = ("v12 ", "sigma12 ", "redshift-space ")
    for text in report.findings:
        assert any(name in text for name in of_pairs), text


def test_a_copied_training_set_is_fake_however_it_is_moved(held_out, train):
    rng = np.random.default_rng(0)
    rows = np.concatenate([np.arange(40), 150 + np.arange(40)])
    copies = train.select(rows)
    moved = (copies.position[..., [1, 2, 0]] * [1, -1, 1] + rng.uniform(0, BOX, (80, 1, 3))) % BOX
    copies = replace(copies, position=moved[:, rng.permutation(64)], velocity=None)
    report, figures = statistics_alone(copies, replace(held_out, velocity=None), train)
    assert report.grade is Grade.FAKE and "repeats training boxes" in report.headline
    assert report.findings[0].startswith("copies: 80 of 80")
    np.testing.assert_array_equal(report.memorisation.nearest, rows)
    assert figures[-1].title == "Memorisation"


def test_one_moved_copy_is_found(held_out, train):
    mixed = clustered(7).position
    mixed[5] = (train.position[7] + 33.3) % BOX
    mixed = replace(held_out, position=mixed.astype(np.float32) % np.float32(BOX), velocity=None)
    report, _ = statistics_alone(mixed, replace(held_out, velocity=None), train)
    assert report.grade is Grade.FAKE and "repeats training boxes" in report.headline
    assert report.memorisation.identical == 1 and report.memorisation.nearest[5] == 7


def few_galaxies(seed, n, most):
    """Boxes of 0 to `most` galaxies anywhere."""
    rng = np.random.default_rng(seed)
    return Catalogue(
        rng.uniform(0, BOX, (n, most, 3)),
        mask=np.arange(most) < rng.integers(0, most + 1, (n, 1)),
        box_size=BOX,
    )


def test_boxes_of_hardly_any_galaxies_are_no_copies():
    """All without a galaxy, or with one, are alike, and among thousands so are some with two."""
    sets = few_galaxies(0, 60, 8), few_galaxies(1, 60, 8), few_galaxies(2, 3000, 8)
    report, _ = statistics_alone(*sets)
    found = report.memorisation
    assert report.passed and found.identical == found.leaked == 0 and report.notes == ()
    np.testing.assert_array_equal(np.isnan(found.generated_distance), sets[0].counts < 4)
    report, figures = statistics_alone(*(few_galaxies(seed, 60, 3) for seed in range(3)))
    assert report.passed and report.memorisation is None
    assert report.notes[0].startswith("No copies were looked for: boxes of 4 galaxies or more")
    assert "Memorisation" not in [figure.title for figure in figures]


@pytest.mark.parametrize("side", [BOX, None])
def test_boxes_without_a_galaxy_are_not_what_is_drawn(side):
    sets = [few_galaxies(seed, 20, 8) for seed in range(2)]
    for boxes in sets:
        boxes.mask[0] = False
    _, figures = statistics_alone(*(replace(boxes, box_size=side) for boxes in sets))
    assert [figure.title for figure in figures[:2]] == ["Galaxies", "Galaxies in three dimensions"]
    assert len(figures[1].real) and len(figures[1].generated)
    assert "canvas" in figures[1].to_html()


def test_a_twentieth_of_blurred_copies_is_nearest(held_out, train):
    mixed = clustered(7).position
    rows = np.array([0, 1, 40, 41])
    mixed[rows] = train.position[np.array([3, 4, 160, 161])]
    mixed = jittered(replace(held_out, position=mixed), 0.1)
    report, _ = statistics_alone(mixed, held_out, train)
    assert report.memorisation.copies >= 4
    distance = report.memorisation.generated_distance
    assert distance[rows].max() < np.delete(distance, rows).min()


@pytest.mark.slow
def test_simulated_boxes_at_another_sigma_8_are_noticed():
    parameters = np.repeat([[0.3, 0.8]], 24, axis=0).astype(np.float32)
    settings = SimulationSettings(points=24, box_size=64.0, grid=32)
    shift = np.array([0, 0.15], np.float32)
    held_out = simulate(jax.random.key(0), parameters, settings)
    honest = simulate(jax.random.key(1), parameters, settings)
    wrong = simulate(jax.random.key(1), parameters + shift, settings)
    assert statistics_alone(honest, held_out)[0].grade is not Grade.FAKE
    report, _ = statistics_alone(replace(wrong, parameters=parameters), held_out)
    assert not report.passed
    assert any(text.startswith("log masses too high") for text in report.findings)


def test_real_satellites_of_one_simulation_are_not_fake(shared_data):
    """Open clouds of 3 to 50 satellites, each halo with parameters of its own."""
    with np.load(shared_data / "galaxies" / "dreams_tng_satellites.npz") as file:
        features, mask = file["features"], file["mask"] > 0
    clouds = Catalogue(features[..., :3], mask=mask, velocity=features[..., 3:6])
    order = np.random.default_rng(0).permutation(len(clouds))
    one, two = clouds.select(order[:100]), clouds.select(order[100:])
    report, _ = statistics_alone(one, two)
    assert report.grade is not Grade.FAKE, report.verdict
    assert {"radial profile", "pair separations"} <= {r.statistic.name for r in report.statistics}
    report, _ = statistics_alone(replace(one, position=2 * one.position), two)
    assert report.grade is Grade.FAKE
    assert any(text.startswith("radial profile too low") for text in report.findings)


def test_boxes_with_parameters_of_their_own_are_pooled():
    rng = np.random.default_rng(0)
    sets = rng.uniform(4, 12, (30, 1))
    report, _ = statistics_alone(
        clustered(1, n=1, sets=sets), clustered(2, n=1, sets=sets), clustered(3, n=1, sets=sets)
    )
    assert report.pooled and report.grade is not Grade.FAKE
    assert any("pooled" in note for note in report.notes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"velocity": None}, "held-out catalogue has velocity and the generated catalogue has not"),
        ({"log_mass": np.ones((80, 64))}, "generated catalogue has log_mass"),
        ({"box_size": 101.0}, "one size, got 101 and 100"),
        ({"box_size": None}, r"no periodic box and 100; give .*\(--box, box_size=\)"),
        ({"parameter_names": ("mass",)}, "same parameters"),
        ({"position_unit": "kpc"}, "one unit, got kpc"),
        ({"velocity_unit": "m/s"}, "one unit, got m/s"),
        ({"mask": np.arange(64) < np.ones((80, 1))}, "fewer than 2 galaxies"),
    ],
)
def test_catalogues_that_cannot_be_compared_are_told_in_one_line(held_out, change, words):
    with pytest.raises(InputError, match=words) as error:
        statistics_alone(replace(held_out, **change), held_out)
    assert "\n" not in str(error.value)


def test_training_boxes_must_be_of_the_same_space(held_out, train):
    with pytest.raises(InputError, match="training boxes must have one size"):
        statistics_alone(held_out, held_out, replace(train, box_size=None))
