"""Redshift space against shifts by hand, rotations, and the boost of Kaiser (1987)."""

import numpy as np
import pytest
from scipy.special import jv

from physgen.errors import InputError
from physgen.galaxies import Catalogue, redshift_space

BOX = 100.0


def catalogue(n=2, galaxies=50, seed=0, **changes):
    rng = np.random.default_rng(seed)
    arguments = {
        "position": rng.uniform(0, BOX, (n, galaxies, 3)),
        "velocity": rng.normal(0, 300, (n, galaxies, 3)),
        "mask": np.arange(galaxies) < np.array([[galaxies], [galaxies - 5]])[:n],
        "parameters": np.array([[0.2, 0.8], [0.4, 0.9]])[:n],
        "parameter_names": ("Omega_m", "sigma_8"),
        "box_size": BOX,
    }
    return Catalogue(**(arguments | changes))


def test_a_uniform_flow_shifts_everything_by_v_over_100():
    still = catalogue()
    flow = catalogue(velocity=np.broadcast_to([100.0, 200.0, 700.0], still.position.shape))
    expected = (still.position + [0, 0, 7]) % BOX
    found = redshift_space(flow)
    np.testing.assert_allclose(found.position[0], expected[0], atol=1e-10)
    np.testing.assert_array_equal(found.velocity, flow.velocity)
    assert found.box_size == BOX and not found.position[1, -5:].any()


@pytest.mark.parametrize("redshift", [0.0, 0.5, 3.0])
def test_the_shift_in_length_is_v_one_plus_z_over_h(redshift):
    """H(z) for a, b in numbers: 100 sqrt(Om (1+z)^3 + 1 - Om) km/s per Mpc/h."""
    mocks = catalogue(velocity=np.full((2, 50, 3), 250.0))
    cases = [
        (None, (0.2, 0.4)),
        ("sigma_8", (0.8, 0.9)),
        (0.3, (0.3, 0.3)),
        (np.float32(0.5), (0.5, 0.5)),
    ]
    for chosen, omega in cases:
        found = redshift_space(mocks, omega_m=chosen, redshift=redshift)
        for i in range(2):
            hubble = 100 * np.sqrt(omega[i] * (1 + redshift) ** 3 + 1 - omega[i])
            shift = 250 * (1 + redshift) / hubble
            expected = (mocks.position[i] + [0, 0, shift]) % BOX
            kept = mocks.mask[i]
            np.testing.assert_allclose(found.position[i][kept], expected[kept], atol=1e-9)


def test_minus_v_is_the_way_back():
    mocks = catalogue()
    options = {"line_of_sight": (1, 2, -1), "redshift": 1.0}
    away = redshift_space(mocks, **options)
    assert np.abs(away.position - mocks.position).max() > 1
    back = redshift_space(catalogue(position=away.position, velocity=-mocks.velocity), **options)
    np.testing.assert_allclose(back.position, mocks.position, atol=1e-9)


def test_no_axis_is_special():
    """Along x of a catalogue is along z of the same catalogue with its axes turned."""
    mocks = catalogue()
    turned = catalogue(
        position=np.roll(mocks.position, -1, axis=2), velocity=np.roll(mocks.velocity, -1, axis=2)
    )
    along_x = redshift_space(mocks, line_of_sight=(3, 0, 0)).position
    along_z = redshift_space(turned).position
    np.testing.assert_array_equal(np.roll(along_x, -1, axis=2), along_z)


@pytest.mark.parametrize("growth", [0.4, 0.7])
def test_a_linear_wave_is_boosted_by_one_plus_f_mu_squared(growth):
    """Galaxies at q + A sin(k q) along n with v = 100 f A sin(k q): the mode k of their density is
    the Bessel function J_1 of k A (Jacobi-Anger), in redshift space of k A (1 + f mu^2)."""
    amplitude, k, cells = 0.3, 2 * np.pi / BOX, 64
    q = (np.arange(cells) + 0.5) * BOX / cells
    wave = amplitude * np.sin(k * q)
    position, velocity = np.full((1, cells, 3), 50.0), np.zeros((1, cells, 3))
    position[0, :, 0] = (q + wave) % BOX
    velocity[0, :, 0] = 100 * growth * wave
    mocks = Catalogue(position, velocity=velocity, box_size=BOX)
    for mu in (0.0, 0.6, 1.0):
        sight = (mu, np.sqrt(1 - mu**2), 0.0)
        x = redshift_space(mocks, line_of_sight=sight).position[0, :, 0]
        found = abs(np.exp(-1j * k * x).mean())
        assert found == pytest.approx(jv(1, k * amplitude * (1 + growth * mu**2)), rel=1e-9)


def test_an_observer_sees_radial_shifts():
    mocks = catalogue(box_size=None)
    observer = np.array([10.0, -20.0, 30.0])
    found = redshift_space(mocks, observer=observer)
    for i in range(2):
        kept = mocks.mask[i]
        away = mocks.position[i][kept] - observer
        distance = np.linalg.norm(away, axis=1, keepdims=True)
        radial = (mocks.velocity[i][kept] * away).sum(axis=1, keepdims=True) / distance
        expected = observer + away * (1 + radial / 100 / distance)
        np.testing.assert_allclose(found.position[i][kept], expected, rtol=1e-10)


def test_a_galaxy_at_the_observer_stays():
    mocks = Catalogue(np.ones((1, 2, 3)), velocity=np.full((1, 2, 3), 1e3))
    np.testing.assert_array_equal(redshift_space(mocks, observer=(1, 1, 1)).position, 1)


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"velocity": None}, {}, "needs velocities"),
        ({"velocity_unit": "m/s"}, {}, "Mpc/h and m/s"),
        ({"position_unit": "kpc"}, {}, "kpc and km/s"),
        ({}, {"line_of_sight": (0, 0, 0)}, "got zero"),
        ({}, {"line_of_sight": (0, 1)}, "three finite numbers"),
        ({}, {"line_of_sight": (0, 1, np.nan)}, "three finite numbers"),
        ({}, {"observer": (0, 0, 0)}, "expected a line of sight in a periodic box"),
        ({}, {"redshift": -0.1}, "not negative"),
        ({}, {"redshift": 1.0, "omega_m": "Om"}, "got 'Om'"),
        ({}, {"redshift": 1.0, "omega_m": 2.0}, "between 0 and 1"),
        ({"parameter_names": ("a", "b")}, {"redshift": 1.0}, "got 'Omega_m'"),
    ],
)
def test_bad_input_is_one_clear_line(changes, options, words):
    with pytest.raises(InputError, match=words) as error:
        redshift_space(catalogue(**changes), **options)
    assert "\n" not in str(error.value)
