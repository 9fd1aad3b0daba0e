"""Catalogues as curves."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from physgen import InputError
from physgen.galaxies.catalogue import Catalogue
from physgen.galaxies.summaries import choose_settings, fingerprints, summaries
from physgen.stats import (
    knn_distances,
    mean_relative_velocity,
    radial_profile,
    two_point_correlation,
)


def catalogue(rng, n=5, points=40, box_size=100.0, **features):
    position = rng.uniform(0, box_size or 1.0, (n, points, 3))
    return Catalogue(position - (0 if box_size else 0.5), box_size=box_size, **features)


def by_name(statistics):
    return {s.name: s for s in statistics}


def test_default_bins():
    rng = np.random.default_rng(0)
    settings = choose_settings(catalogue(rng, points=128, box_size=128.0))
    assert settings.correlation_edges == (2, 4, 6, 9, 13, 18, 25, 35, 50)
    assert settings.neighbours == (1, 2, 4, 8) and settings.radial_edges is None
    assert settings.separation_edges[-1] == 64
    small = choose_settings(catalogue(rng, points=128, box_size=70.0))
    assert small.correlation_edges == (2, 4, 6, 9, 13, 18, 25, 35)
    large = choose_settings(catalogue(rng, points=1000, box_size=1000.0))
    assert large.correlation_edges[0] == pytest.approx(7.9) and large.correlation_edges[-1] < 500
    sparse = choose_settings(catalogue(rng, points=3, box_size=1.0))
    assert sparse.neighbours == (1, 2) and sparse.correlation_edges[-1] <= 0.5


@pytest.mark.parametrize("points", [2, 5, 300])
@pytest.mark.parametrize("box_size", [0.01, 1.0, 60.0, 1000.0, 3e5])
def test_default_bins_fit_any_box(points, box_size):
    rng = np.random.default_rng(0)
    boxes = catalogue(rng, n=2, points=points, box_size=box_size)
    assert all(np.isfinite(s.values).any() for s in summaries(boxes))


def test_periodic_catalogue_gives_the_statistics_of_each_box():
    rng = np.random.default_rng(0)
    mask = rng.random((5, 40)) < 0.8
    boxes = catalogue(
        rng, mask=mask, velocity=rng.normal(size=(5, 40, 3)), log_mass=rng.normal(size=(5, 40))
    )
    found = by_name(summaries(boxes))
    assert list(found) == [
        "xi", "power spectrum", "pair separations", "neighbour distances", "v12", "sigma12",
        "redshift-space xi0", "redshift-space xi2", "speeds",
        "mass function", "log masses", "mass correlation", "number of galaxies",
    ]  # fmt: skip
    edges = found["xi"].edges
    x, v, m = (a[2][mask[2]] for a in (boxes.position, boxes.velocity, boxes.log_mass))
    np.testing.assert_array_equal(
        found["xi"].values[2], two_point_correlation(x, edges, box_size=100.0)
    )
    np.testing.assert_array_equal(
        found["v12"].values[2], mean_relative_velocity(x, v, edges, box_size=100.0)
    )
    np.testing.assert_allclose(
        found["neighbour distances"].values[2, 3:6],
        np.quantile(knn_distances(x, 2, box_size=100.0), [0.25, 0.5, 0.75]),
    )
    np.testing.assert_allclose(found["log masses"].values[2, 2], np.median(m))
    np.testing.assert_array_equal(found["number of galaxies"].values[:, 0], mask.sum(axis=1))
    assert found["v12"].unit == "km/s" and found["xi"].bin_unit == "Mpc/h"


def test_power_is_that_of_each_shell_of_waves():
    """Against sums over the points, wave by wave."""
    rng = np.random.default_rng(0)
    mask = rng.random((2, 60)) < 0.9
    boxes = catalogue(rng, n=2, points=60, mask=mask)
    power = by_name(summaries(boxes))["power spectrum"]
    assert (power.unit, power.bin_unit) == ("(Mpc/h)^3", "h/Mpc")
    x, box_size = boxes.position[1][mask[1]], boxes.box_size
    waves = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3), axis=-1).reshape(-1, 3)
    k = 2 * np.pi / box_size * np.linalg.norm(waves, axis=1)
    shot = box_size**3 / len(x)
    modes = np.exp(2j * np.pi / box_size * (waves @ x.T)).sum(axis=1) / len(x)
    expected = [
        np.mean(box_size**3 * np.abs(modes[(k > low) & (k <= high)]) ** 2) - shot
        for low, high in itertools.pairwise(power.edges)
    ]
    assert len(expected) == 6
    np.testing.assert_allclose(power.values[1], expected, atol=0.02 * shot)


def test_open_clouds_have_a_profile_and_no_xi():
    rng = np.random.default_rng(0)
    mask = np.ones((6, 20), bool)
    mask[0, 1:] = False
    mask[1, 5:] = False
    clouds = catalogue(rng, n=6, points=20, box_size=None, mask=mask)
    settings = choose_settings(clouds)
    found = by_name(summaries(clouds, settings))
    assert not {"xi", "power spectrum"} & set(found)
    edges = np.array(settings.radial_edges)
    np.testing.assert_array_equal(
        found["radial profile"].values[3], radial_profile(clouds.position[3], edges)
    )
    assert found["pair separations"].values[2:].sum(axis=1) == pytest.approx(1)
    assert np.isnan(found["pair separations"].values[0]).all()
    assert np.isfinite(found["neighbour distances"].values[1]).tolist() == [True] * 9 + [False] * 3


def test_mass_correlation_sees_heavy_galaxies_together():
    rng = np.random.default_rng(0)
    boxes = catalogue(rng, n=30, points=100)
    gradient = np.abs(boxes.position[..., 0] - 50)
    together = by_name(summaries(replace(boxes, log_mass=gradient)))["mass correlation"].values
    apart = by_name(summaries(replace(boxes, log_mass=rng.permuted(gradient, axis=1))))
    assert np.nanmean(together[:, 3]) > 0.5
    assert abs(np.nanmean(apart["mass correlation"].values[:, 3])) < 0.1


@pytest.mark.parametrize("periodic", [True, False])
def test_fingerprints_know_a_copy_however_it_is_moved(periodic):
    rng = np.random.default_rng(0)
    boxes = catalogue(rng, n=20, points=40, box_size=100.0 if periodic else None)
    moved = boxes.position[:, rng.permutation(40)][..., [2, 0, 1]] * np.array([1, -1, 1])
    moved = (moved + rng.uniform(0, 100, (20, 1, 3))) % 100.0 if periodic else moved + 3.0
    same = fingerprints(replace(boxes, position=moved), boxes)
    own = fingerprints(boxes, boxes)
    other = fingerprints(catalogue(rng, n=20, box_size=boxes.box_size), boxes)
    scale = own.std(axis=0) + 1e-9
    assert np.abs((same - own) / scale).max() < 1e-6
    assert np.sqrt((((other - own) / scale) ** 2).mean(axis=1)).min() > 0.5


def test_lone_galaxies_are_told_in_one_line():
    rng = np.random.default_rng(0)
    for box_size in (100.0, None):
        with pytest.raises(InputError, match="one galaxy") as error:
            summaries(catalogue(rng, points=1, box_size=box_size))
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="no two galaxies at different places"):
        choose_settings(Catalogue(np.zeros((3, 4, 3))))
