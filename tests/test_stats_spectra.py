"""Spectra against sums over points and over triangles, and Parseval's theorem."""

import itertools

import numpy as np
import pytest

from physgen import InputError
from physgen.stats import (
    counts_in_cells,
    field_bispectrum,
    field_power_spectrum,
    power_spectrum,
)

SIDE = 10.0


@pytest.mark.parametrize("order", [2, 3, 4])
def test_power_of_points_equals_the_sum_over_points(order):
    """Up to half the Nyquist frequency the images that are left are below a thousandth."""
    rng = np.random.default_rng(0)
    points, weights = rng.uniform(0, SIDE, (200, 3)), rng.uniform(0.5, 2, 200)
    whole = np.array([w for w in itertools.product(range(-5, 6), repeat=3) if any(w)])
    waves = 2 * np.pi / SIDE * whole
    modes = np.exp(-1j * points @ waves.T).T @ weights / weights.sum()
    power, k = np.abs(modes) ** 2 * SIDE**3, np.linalg.norm(waves, axis=1)
    noise = SIDE**3 * np.sum(weights**2) / weights.sum() ** 2
    edges = 2 * np.pi / SIDE * np.array([0.0, 2.5, 3.8, 5.0])
    found = power_spectrum(
        points, edges, 20, box_size=SIDE, weights=weights, ells=(0, 2), order=order
    )
    mu = waves[:, 2] / k
    for i, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = (k > low * (1 + 1e-9)) & (k <= high * (1 + 1e-9))
        assert found.modes[i] == inside.sum()
        assert found.k[i] == pytest.approx(k[inside].mean())
        expected = [power[inside].mean() - noise]
        expected.append(5 * np.mean(power[inside] * (1.5 * mu[inside] ** 2 - 0.5)))
        np.testing.assert_allclose(found.power[:, i], expected, atol=0.02 * noise)
    assert found.shot_noise == pytest.approx(noise)


def test_mass_is_conserved_by_every_kernel():
    points = np.random.default_rng(1).uniform(0, SIDE, (50, 3))
    for order in (1, 2, 3, 4):
        mesh = counts_in_cells(points, 8, box_size=SIDE, order=order)
        assert mesh.sum() == pytest.approx(50)
        assert mesh.min() >= 0
    nearest = np.rint(points * 0.8).astype(int) % 8
    expected = np.zeros((8, 8, 8))
    np.add.at(expected, tuple(nearest.T), 1)
    np.testing.assert_array_equal(counts_in_cells(points, 8, box_size=SIDE), expected)


@pytest.mark.parametrize("shape", [(2, 12, 8), (2, 6, 9, 8)])
def test_field_power_integrates_to_the_variance(shape):
    fields = np.random.default_rng(2).normal(size=shape)
    dimension = len(shape) - 1
    sides = np.array(shape[1:]) * 1.0
    found = field_power_spectrum(fields, [0.0, 0.8, 2.0, np.pi], box_size=sides.tolist())
    axes = tuple(range(1, dimension + 1))
    modes = np.fft.fftn(fields, axes=axes) / np.prod(sides)
    waves = np.meshgrid(*(2 * np.pi * np.fft.fftfreq(n) for n in shape[1:]), indexing="ij")
    k = np.sqrt(sum(w**2 for w in waves))
    for i, (low, high) in enumerate([(0.0, 0.8), (0.8, 2.0), (2.0, np.pi)]):
        inside = (k > low) & (k <= high * (1 + 1e-9))
        assert found.modes[i] == inside.sum()
        expected = (np.abs(modes[:, inside]) ** 2).mean(axis=1) * np.prod(sides)
        np.testing.assert_allclose(found.power[:, i], expected, rtol=1e-10)


def test_bispectrum_equals_the_sum_over_triangles():
    mesh = 8
    field = np.random.default_rng(3).gamma(2.0, size=(1, mesh, mesh, mesh))
    unit = 2 * np.pi / SIDE
    modes = np.fft.fftn(field[0]) / mesh**3
    whole = [w for w in itertools.product(range(-2, 3), repeat=3) if any(w)]
    length = {w: np.linalg.norm(w) for w in whole}
    shells = {c: [w for w in whole if c - 0.4 < length[w] <= c + 0.4] for c in (1.0, 2.0)}
    for triangle in [(1.0, 1.0, 1.0), (1.0, 1.0, 2.0), (2.0, 2.0, 2.0)]:
        third = set(shells[triangle[2]])
        terms = []
        for a, b in itertools.product(shells[triangle[0]], shells[triangle[1]]):
            c = tuple(-(x + y) for x, y in zip(a, b, strict=True))
            if c in third:
                terms.append(modes[a] * modes[b] * modes[c])
        found = field_bispectrum(field, [[unit * t for t in triangle]], 0.8 * unit, box_size=SIDE)
        expected = np.mean(terms).real * SIDE**6 if terms else np.nan
        np.testing.assert_allclose(found[0, 0], expected, rtol=1e-8)


POINTS = np.random.default_rng(0).uniform(0, SIDE, (9, 3))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: power_spectrum(POINTS, [0, 9], 8, box_size=SIDE), "Nyquist"),
        (lambda: power_spectrum(POINTS, [0, 1], 8, box_size=SIDE, ells=(1,)), "even"),
        (lambda: power_spectrum(POINTS, [0, 1], 8, box_size=SIDE, order=5), "order"),
        (lambda: power_spectrum(POINTS, [0, 1], 1, box_size=SIDE), "at least 2 nodes"),
        (lambda: power_spectrum(POINTS, [0, 1], 8, box_size=SIDE, weights=-np.ones(9)), "positive"),
        (lambda: counts_in_cells(POINTS, 8, box_size=None), "periodic box"),
        (lambda: field_power_spectrum(np.ones((4, 4)), [0, 1], box_size=1.0), "fields must"),
        (lambda: field_power_spectrum(np.full((1, 4, 4), np.nan), [0, 1], box_size=1.0), "finite"),
        (
            lambda: field_bispectrum(np.ones((1, 8, 8, 8)), [[9.0] * 3], 0.1, box_size=SIDE),
            "shells",
        ),
        (lambda: field_bispectrum(np.ones((1, 8, 8)), [[1.0] * 3], 0.1, box_size=SIDE), "m, m, m"),
    ],
)
def test_bad_input_is_told_in_one_line(call, words):
    with pytest.raises(InputError, match=words) as error:
        call()
    assert "\n" not in str(error.value)
