"""The simulator against linear theory, closed forms and brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.stats import qmc

from physgen.errors import InputError
from physgen.galaxies import abundance, linear, lpt, peaks
from physgen.galaxies.simulate import (
    SimulationSettings,
    linear_fields,
    simulate,
    sobol_parameters,
)

FIDUCIAL = np.array([0.3, 0.8], np.float32)
BOX = 128.0
HIGHEST_PEAKS = jax.jit(peaks.highest_peaks, static_argnums=1)


def eisenstein_hu(k, omega_m, omega_b=0.049, h=0.6711, temperature=2.726):
    """The transfer function of Eisenstein & Hu (1998) in float64, k in h/Mpc."""
    wm, wb, fb, theta = omega_m * h**2, omega_b * h**2, omega_b / omega_m, temperature / 2.7
    k = k * h
    z_eq, k_eq = 2.5e4 * wm * theta**-4, 7.46e-2 * wm * theta**-2
    b1 = 0.313 * wm**-0.419 * (1 + 0.607 * wm**0.674)
    b2 = 0.238 * wm**0.223
    z_d = 1291 * wm**0.251 / (1 + 0.659 * wm**0.828) * (1 + b1 * wb**b2)
    r_d, r_eq = (31.5 * wb * theta**-4 * 1000 / z for z in (z_d, z_eq))
    s = np.log((np.sqrt(1 + r_d) + np.sqrt(r_d + r_eq)) / (1 + np.sqrt(r_eq)))
    s *= 2 / (3 * k_eq) * np.sqrt(6 / r_eq)
    k_silk = 1.6 * wb**0.52 * wm**0.73 * (1 + (10.4 * wm) ** -0.95)
    q = k / (13.41 * k_eq)

    def t0(alpha, beta):
        c = 14.2 / alpha + 386 / (1 + 69.9 * q**1.08)
        logarithm = np.log(np.e + 1.8 * beta * q)
        return logarithm / (logarithm + c * q**2)

    a1 = (46.9 * wm) ** 0.670 * (1 + (32.1 * wm) ** -0.532)
    a2 = (12.0 * wm) ** 0.424 * (1 + (45.0 * wm) ** -0.582)
    alpha_c = a1**-fb * a2 ** -(fb**3)
    b1 = 0.944 / (1 + (458 * wm) ** -0.708)
    beta_c = 1 / (1 + b1 * ((1 - fb) ** ((0.395 * wm) ** -0.0266) - 1))
    f = 1 / (1 + (k * s / 5.4) ** 4)
    cold = f * t0(1, beta_c) + (1 - f) * t0(alpha_c, beta_c)
    y = (1 + z_eq) / (1 + z_d)
    root = np.sqrt(1 + y)
    g = y * (-6 * root + (2 + 3 * y) * np.log((root + 1) / (root - 1)))
    alpha_b = 2.07 * k_eq * s * (1 + r_d) ** -0.75 * g
    beta_b = 0.5 + fb + (3 - 2 * fb) * np.sqrt((17.2 * wm) ** 2 + 1)
    s_tilde = s / (1 + (8.41 * wm**0.435 / (k * s)) ** 3) ** (1 / 3)
    baryon = t0(1, 1) / (1 + (k * s / 5.2) ** 2)
    baryon += alpha_b / (1 + (beta_b / (k * s)) ** 3) * np.exp(-((k / k_silk) ** 1.4))
    return fb * baryon * np.sinc(k * s_tilde / np.pi) + (1 - fb) * cold


def top_hat(x):
    return 3 * (np.sin(x) - x * np.cos(x)) / x**3


def power_in_float64(k, omega_m, sigma_8):
    log_k = np.linspace(np.log(1e-5), np.log(2e2), 200_001)
    nodes = np.exp(log_k)
    shape = nodes**0.9624 * eisenstein_hu(nodes, omega_m) ** 2
    integrand = nodes**3 * shape / (2 * np.pi**2) * top_hat(8 * nodes) ** 2
    variance = np.sum(integrand[1:] + integrand[:-1]) / 2 * (log_k[1] - log_k[0])
    return sigma_8**2 / variance * k**0.9624 * eisenstein_hu(k, omega_m) ** 2


def power_at(parameters):
    return linear.linear_power(*jnp.asarray(parameters, jnp.float32))


def wave_numbers(grid, box=BOX):
    k = 2 * np.pi / box * np.fft.fftfreq(grid, 1 / grid)
    return np.meshgrid(k, k, k, indexing="ij")


@pytest.mark.parametrize("parameters", [(0.1, 0.6), (0.3, 0.8), (0.5, 1.0)])
def test_power_spectrum_against_float64(parameters):
    k = np.geomspace(1e-3, 10, 200)
    found = power_at(parameters)(jnp.asarray(k, jnp.float32))
    np.testing.assert_allclose(found, power_in_float64(k, *parameters), rtol=3e-4)


@pytest.mark.parametrize("parameters", [(0.1, 0.6), (0.5, 1.0)])
def test_spectral_moments_against_quadrature(parameters):
    def moment(window, order):
        def integrand(x):
            k = np.exp(x)
            return k ** (3 + 2 * order) * power_in_float64(k, *parameters) * window(k) ** 2

        x = np.linspace(np.log(1e-5), np.log(60), 20_001)
        return np.sqrt(np.trapezoid(integrand(x), x) / (2 * np.pi**2))

    power = power_at(parameters)
    for order in range(3):
        expected = moment(lambda k: np.exp(-((2 * k) ** 2) / 2), order)
        found = linear.gaussian_rms(power, jnp.asarray(2.0), order)
        np.testing.assert_allclose(found, expected, rtol=1e-3)
    radii, rms = linear.top_hat_rms(power)
    np.testing.assert_allclose(np.interp(8, radii, rms), parameters[1], rtol=1e-3)
    expected = [moment(lambda k, r=r: top_hat(k * r), 0) for r in (2.0, 20.0)]
    found = np.exp(np.interp(np.log([2, 20]), np.log(radii), np.log(rms)))
    np.testing.assert_allclose(found, expected, rtol=2e-3)


@pytest.mark.parametrize("omega_m", [0.1, 0.3, 0.5, 1.0])
def test_growth_against_the_differential_equations(omega_m):
    """D'' + (2 + dlnH/dlna) D' = 3/2 Omega D, and the second order driven by D_1^2."""

    def omega(x):
        matter = omega_m * np.exp(-3 * x)
        return matter / (matter + 1 - omega_m)

    def derivative(x, y):
        friction, source = 2 - 1.5 * omega(x), 1.5 * omega(x)
        first, first_rate, second, second_rate = y
        return [
            first_rate,
            source * first - friction * first_rate,
            second_rate,
            source * (second - first**2) - friction * second_rate,
        ]

    a = 1e-4
    start = [a, a, -3 / 7 * a**2, -6 / 7 * a**2]
    end = solve_ivp(derivative, (np.log(a), 0), start, rtol=1e-9, atol=1e-14).y[:, -1]
    growth, rate = linear.second_order_growth(jnp.asarray(omega_m))
    assert linear.growth_rate(jnp.asarray(omega_m)) == pytest.approx(end[1] / end[0], rel=0.02)
    assert growth == pytest.approx(end[2] / end[0] ** 2, rel=0.01)
    assert rate == pytest.approx(end[3] / end[2], rel=0.02)


@pytest.fixture(scope="module")
def many_fields():
    """200 unsmoothed boxes on a coarse grid."""
    settings = SimulationSettings(grid=32, points=16)
    run = jax.jit(lambda key: linear_fields(key, jnp.asarray(FIDUCIAL), settings))
    return [run(key) for key in jax.random.split(jax.random.key(0), 200)]


def box_modes(grid):
    kx, ky, kz = wave_numbers(grid)
    nyquist = np.pi * grid / BOX
    k = np.sqrt(kx**2 + ky**2 + kz**2)
    kept = (np.max(np.abs([kx, ky, kz]), axis=0) < nyquist * (1 - 1e-9)) & (k > 0)
    return k, kept


def test_sigma_8_of_the_fields(many_fields):
    k, kept = box_modes(32)
    window = np.where(kept, top_hat(8 * np.where(kept, k, 1)), 0)
    expected = np.sum(power_in_float64(k[kept], *FIDUCIAL) * window[kept] ** 2) / BOX**3
    smoothed = [np.fft.fftn(f.density) * window for f in many_fields]
    variance = np.mean([np.mean(np.abs(modes) ** 2) / 32**3 for modes in smoothed])
    assert np.sqrt(variance) == pytest.approx(np.sqrt(expected), rel=0.02)


def test_velocity_of_the_fields(many_fields):
    k, kept = box_modes(32)
    expected = np.sum(power_in_float64(k[kept], *FIDUCIAL) / k[kept] ** 2) / BOX**3 / 3
    expected = 100 * 0.3 ** (5 / 9) * np.sqrt(expected)
    measured = np.sqrt(np.mean([np.mean(np.square(f.velocity)) for f in many_fields]))
    assert measured == pytest.approx(expected, rel=0.02)


def test_fields_are_gaussian_with_the_right_spectrum(many_fields):
    k, kept = box_modes(32)
    edges = 2 * np.pi / BOX * np.array([0.5, 1.5, 2.5, 4.5, 8.5, 15.5])
    power = np.mean([np.abs(np.fft.fftn(f.density)) ** 2 for f in many_fields], axis=0)
    power *= BOX**3 / 32**6
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        chosen = kept & (k >= low) & (k < high)
        expected = power_in_float64(k[chosen], *FIDUCIAL)
        error = np.sqrt(2 / (chosen.sum() * 200))
        assert np.mean(power[chosen] / expected) == pytest.approx(1, abs=4 * error)


def test_displacement_diverges_by_minus_the_density(many_fields):
    field = many_fields[0]
    divergence = sum(
        np.fft.ifftn(1j * k * np.fft.fftn(np.asarray(psi, np.float64))).real
        for k, psi in zip(wave_numbers(32), field.displacement, strict=True)
    )
    np.testing.assert_allclose(divergence, -field.density, atol=2e-5)


def plane(grid):
    x = 2 * np.pi * np.arange(grid) / grid
    return x[:, None, None], x[None, :, None], x[None, None, :]


def displacements(density):
    modes = jnp.fft.rfftn(jnp.asarray(density, jnp.float32))
    return [
        np.asarray(f(modes, 2 * np.pi))
        for f in (lpt.first_order_displacement, lpt.second_order_displacement)
    ]


def test_plane_wave_has_no_second_order():
    x, y, z = plane(16)
    phase = 2 * x + y - 3 * z
    first, second = displacements(np.cos(phase))
    direction = np.array([2, 1, -3])[:, None, None, None] / 14
    np.testing.assert_allclose(first, -direction * np.sin(phase), atol=1e-5)
    np.testing.assert_allclose(second, 0, atol=1e-6)


def test_crossed_plane_waves_have_the_second_order_of_the_closed_form():
    """delta = cos x + cos 2y: phi_xx phi_yy = cos x cos 2y, phi_2 = -cos x cos 2y / 5."""
    x, y, z = plane(16)
    first, second = displacements(np.cos(x) + np.cos(2 * y) + 0 * z)
    zero = 0 * (x + y + z)
    expected = [-np.sin(x) + zero, -np.sin(2 * y) / 2 + zero, zero]
    np.testing.assert_allclose(first, expected, atol=1e-5)
    expected = [
        np.sin(x) * np.cos(2 * y) / 5 + zero,
        np.cos(x) * np.sin(2 * y) * 2 / 5 + zero,
        zero,
    ]
    np.testing.assert_allclose(second, expected, atol=1e-5)


def test_second_order_settings_add_the_second_order():
    key, p = jax.random.key(1), jnp.asarray(FIDUCIAL)
    one, two = (
        jax.jit(linear_fields, static_argnums=2)(
            key, p, SimulationSettings(grid=16, points=4, order=order), 8.0
        )
        for order in (1, 2)
    )
    psi = lpt.second_order_displacement(jnp.fft.rfftn(one.density), BOX)
    growth, rate = linear.second_order_growth(p[0])
    np.testing.assert_array_equal(one.density, two.density)
    np.testing.assert_allclose(two.displacement - one.displacement, growth * psi, atol=1e-4)
    np.testing.assert_allclose(two.velocity - one.velocity, 100 * rate * growth * psi, atol=1e-2)


def test_peaks_of_a_closed_form_are_found_between_the_cells():
    """cos(x - a) + cos(2y - b) + cos(3z - c) / 2 has six equal maxima, at known places."""
    grid, shift = 32, np.array([0.3, 1.1, 2.2])
    x, y, z = plane(grid)
    field = np.cos(x - shift[0]) + np.cos(2 * y - shift[1]) + np.cos(3 * z - shift[2]) / 2
    place, height, count = HIGHEST_PEAKS(jnp.asarray(field, jnp.float32), 6)
    assert count == 6
    np.testing.assert_allclose(height, 2.5, atol=1e-3)
    phase = np.asarray(place) * 2 * np.pi / grid * np.array([1, 2, 3]) - shift
    miss = (phase + np.pi) % (2 * np.pi) - np.pi
    assert np.abs(miss).max() < 0.01
    assert len({tuple(np.round(p).astype(int)) for p in np.asarray(place)}) == 6


def test_peaks_against_a_brute_force_search():
    field = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
    around = np.stack(
        [
            np.roll(field, (i, j, k), (0, 1, 2))
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
            for k in (-1, 0, 1)
            if (i, j, k) != (0, 0, 0)
        ]
    )
    maxima = np.argwhere(field > around.max(axis=0))
    place, height, count = HIGHEST_PEAKS(jnp.asarray(field), len(maxima))
    assert count == len(maxima)
    distance = np.asarray(place)[:, None] - maxima[None]
    distance = np.abs((distance + 4) % 8 - 4).max(axis=-1)
    assert (distance.min(axis=0) <= 1).all()
    assert (np.diff(height) <= 0).all()


def test_interpolation_is_exact_for_cubics():
    x = np.arange(12.0)
    cubic = 0.02 * (x - 5) ** 3 - 0.1 * x**2 + x
    fields = np.stack([cubic[:, None, None] * np.ones((12, 12, 12)), np.ones((12, 12, 12))])
    at = np.random.default_rng(0).uniform(2, 9, (50, 3))
    found = peaks.interpolate(jnp.asarray(fields, jnp.float32), jnp.asarray(at, jnp.float32))
    expected = 0.02 * (at[:, 0] - 5) ** 3 - 0.1 * at[:, 0] ** 2 + at[:, 0]
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-4)
    np.testing.assert_allclose(found[:, 1], 1, atol=1e-5)


@pytest.fixture(scope="module")
def resolved_peaks():
    """Peaks of 24 boxes, the smoothing three cells long: (power, radius, places, heights)."""
    radius, settings = 4.0, SimulationSettings(grid=96)
    power = power_at(FIDUCIAL)

    @jax.jit
    def run(key):
        fields = linear_fields(key, jnp.asarray(FIDUCIAL), settings, radius)
        return peaks.highest_peaks(fields.density, 150)[:2]

    found = [run(key) for key in jax.random.split(jax.random.key(5), 24)]
    places, heights = (np.stack(arrays) for arrays in zip(*found, strict=True))
    return power, jnp.asarray(radius), places, heights


@pytest.mark.parametrize("height", [1.5, 2.0, 2.5, 3.0])
def test_abundance_of_peaks_is_that_of_gaussian_statistics(resolved_peaks, height):
    power, radius, _, heights = resolved_peaks
    nu, above = abundance.peak_abundance(power, radius)
    counts = (heights > height * float(linear.gaussian_rms(power, radius))).sum(axis=1)
    assert counts.max() < 150
    error = counts.std() / np.sqrt(len(counts))
    expected = np.interp(height, nu, above) * BOX**3
    assert counts.mean() == pytest.approx(expected, abs=3 * error + 0.02 * expected)


def test_peaks_are_not_tied_to_the_grid(resolved_peaks):
    offset = np.sort((resolved_peaks[2] % 1).ravel())
    distance = np.abs(offset - (np.arange(offset.size) + 0.5) / offset.size).max()
    assert distance < 2 / np.sqrt(offset.size)  # Kolmogorov-Smirnov, p = 7e-4


@pytest.mark.parametrize("parameters", [(0.1, 0.6), (0.3, 0.8), (0.5, 1.0)])
def test_halo_abundance_against_quadrature(parameters):
    power = power_at(parameters)
    radii, rms = (np.asarray(a, np.float64) for a in linear.top_hat_rms(power))
    density = 2.77536627e11 * parameters[0]
    log_m = np.log(4 * np.pi / 3 * density * radii**3)

    def integrand(x):
        sigma = np.exp(np.interp(x, log_m, np.log(rms)))
        slope = np.interp(x + 0.05, log_m, np.log(rms)) - np.interp(x - 0.05, log_m, np.log(rms))
        nu = 0.707 * (1.686 / sigma) ** 2
        f = 0.3222 * np.sqrt(2 * nu / np.pi) * (1 + nu**-0.3) * np.exp(-nu / 2)
        return density * np.exp(-x) * f * -slope / 0.1

    found = abundance.halo_abundance(power)
    for mass in (1e12, 1e13, 1e14):
        x = np.linspace(np.log(mass), np.log(mass) + 8, 4001)
        expected = np.trapezoid(integrand(x), x)
        value = np.exp(np.interp(np.log(mass), found[0], np.log(found[1] + 1e-30)))
        assert value == pytest.approx(expected, rel=0.02)


@pytest.fixture(scope="module")
def boxes():
    return simulate(jax.random.key(2), np.tile(FIDUCIAL, (64, 1)))


def test_shapes_ranges_and_names(boxes):
    assert boxes.position.shape == boxes.velocity.shape == (64, 128, 3)
    assert boxes.log_mass.shape == (64, 128) and boxes.mask.all()
    assert boxes.parameter_names == ("Omega_m", "sigma_8") and boxes.box_size == BOX
    assert (boxes.position >= 0).all() and (boxes.position < BOX).all()
    assert (boxes.log_mass > 13).all() and (boxes.log_mass < 16).all()
    mean = boxes.position.mean(axis=(0, 1))
    error = boxes.position.mean(axis=1).std(axis=0) / 8
    assert (np.abs(mean - BOX / 2) < 4 * error).all()


def test_masses_fall_with_rank_and_have_the_abundance_of_haloes(boxes):
    assert (np.diff(boxes.log_mass, axis=1) <= 0).all()
    assert (np.diff(boxes.log_mass, axis=1) < 0).mean() > 0.99
    log_mass, above = abundance.halo_abundance(power_at(FIDUCIAL))
    counts = (boxes.log_mass > 14.0).sum(axis=1)
    expected = np.interp(14.0 * np.log(10), log_mass, above) * BOX**3
    error = counts.std() / np.sqrt(len(counts))
    assert counts.mean() == pytest.approx(expected, abs=4 * error + 0.1 * expected)


def relative_velocities(catalogue, low, high):
    d = catalogue.position[:, :, None] - catalogue.position[:, None]
    d -= BOX * np.round(d / BOX)
    r = np.linalg.norm(d, axis=-1)
    chosen = (r > low) & (r < high)
    dv = catalogue.velocity[:, :, None] - catalogue.velocity[:, None]
    return np.mean((d * dv).sum(axis=-1)[chosen] / r[chosen])


def test_galaxies_fall_towards_each_other(boxes):
    for low, high in ((3, 8), (8, 15), (15, 30)):
        assert -600 < relative_velocities(boxes, low, high) < -50


def test_velocity_dispersion_is_a_few_hundred_km_s(boxes):
    assert 150 < boxes.velocity.std() < 450


def test_galaxies_trace_matter_with_the_bias_of_their_peaks(boxes):
    """P_gg = b^2 P + 1/n on large scales, b - 1 from how the peaks' number answers a density.

    A long wave delta lowers the threshold by delta: b = 1 - dln n(> nu) / dnu / sigma. The tenth
    that is allowed beside the noise is for what is not linear at k < 0.07 h/Mpc.
    """
    power = power_at(FIDUCIAL)
    radius = linear.gaussian_radius(1e13, jnp.asarray(0.3))
    heights, above = (np.asarray(a, np.float64) for a in abundance.peak_abundance(power, radius))
    nu = np.interp(np.log(128 / BOX**3), np.log(above[-2::-1]), heights[-2::-1])
    slope = np.interp(nu, heights[:-1], np.gradient(np.log(above[:-1]), heights[:-1]))
    bias = 1 - slope / float(linear.gaussian_rms(power, radius))

    n = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    n = n[((n**2).sum(axis=1) > 0) & ((n**2).sum(axis=1) <= 2)]
    phase = 2 * np.pi / BOX * np.einsum("bnd,md->bnm", boxes.position, n)
    modes = np.abs(np.exp(-1j * phase).sum(axis=1)) ** 2 / 128  # n P_gg + 1
    k = 2 * np.pi / BOX * np.sqrt((n**2).sum(axis=1))
    ratio = (modes - 1) * BOX**3 / 128 / power_in_float64(k, *FIDUCIAL)
    per_box = ratio.mean(axis=1)
    error = per_box.std() / np.sqrt(len(per_box))
    assert per_box.mean() == pytest.approx(bias**2, abs=3 * error + 0.1 * bias**2)


def test_same_key_same_numbers_and_boxes_do_not_depend_on_their_number():
    parameters = sobol_parameters(11, 3)
    whole = simulate(jax.random.key(7), parameters)
    again = simulate(jax.random.key(7), parameters)
    part = simulate(jax.random.key(7), parameters[:3])
    other = simulate(jax.random.key(8), parameters[:3])
    for name in ("position", "velocity", "log_mass", "parameters"):
        assert np.array_equal(getattr(whole, name), getattr(again, name))
        assert np.array_equal(getattr(whole, name)[:3], getattr(part, name))
    assert not np.isclose(whole.position[:3], other.position).all(axis=-1).any()
    assert len(np.unique(whole.position[:, 0, 0])) == 11


def test_progress_is_told():
    told = []
    simulate(jax.random.key(0), sobol_parameters(9, 0), progress=lambda *a: told.append(a))
    assert told == [(8, 9), (9, 9)]


def test_an_interrupt_stops_the_simulation():
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(jax.random.key(0), np.tile(FIDUCIAL, (20_000, 1)), progress=interrupt)


def test_second_order_boxes(boxes):
    """The same peaks, moved further by a fraction of the first order's few Mpc/h."""
    second = simulate(jax.random.key(2), FIDUCIAL[None], SimulationSettings(order=2))
    np.testing.assert_allclose(boxes.log_mass[:1], second.log_mass, rtol=1e-5)
    moved = second.position - boxes.position[:1]
    moved -= BOX * np.round(moved / BOX)
    assert 0.1 < moved.std() < 3


def test_sobol_parameters():
    parameters = sobol_parameters(100, 1)
    assert parameters.shape == (100, 2)
    assert np.array_equal(parameters[:10], sobol_parameters(100, 1)[:10])
    assert not np.array_equal(parameters, sobol_parameters(100, 2))
    low, high = np.array([[0.1, 0.6], [0.5, 1.0]])
    assert (parameters >= low).all() and (parameters <= high).all()
    unit = (parameters - low) / (high - low)
    random = np.random.default_rng(0).uniform(size=(100, 2))
    assert qmc.discrepancy(unit) < qmc.discrepancy(random) / 3
    assert sobol_parameters(1, 0).shape == (1, 2)
    wide = sobol_parameters(64, 0, ((2.0, 3.0), (4.0, 5.0), (6.0, 9.0)))
    assert wide.shape == (64, 3) and wide[:, 2].max() > 8


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: SimulationSettings(points=0), ["points", "0"]),
        (lambda: SimulationSettings(box_size=-1.0), ["box_size", "-1"]),
        (lambda: SimulationSettings(grid=31), ["grid", "even", "31"]),
        (lambda: SimulationSettings(order=3), ["order", "3"]),
        (lambda: SimulationSettings(smoothing_mass=0.0), ["smoothing_mass"]),
        (lambda: SimulationSettings(points=10**6), ["at most 32768 peaks", "1000000"]),
        (lambda: sobol_parameters(0, 1), ["n must be at least 1"]),
        (lambda: sobol_parameters(4, 1, ((0.5, 0.1),)), ["low < high"]),
        (lambda: simulate(jax.random.key(0), FIDUCIAL), ["(n, 2)", "(2,)"]),
        (lambda: simulate(jax.random.key(0), np.ones((0, 2))), ["(n, 2)", "(0, 2)"]),
        (lambda: simulate(jax.random.key(0), [[0.3, 0.8], [0.01, 0.8]]), ["Omega_m", "for box 1"]),
        (lambda: simulate(jax.random.key(0), [[0.3, np.nan]]), ["and sigma_8 nan"]),
        (
            lambda: simulate(
                jax.random.key(0), [[0.3, 0.8]], SimulationSettings(box_size=32.0, grid=16)
            ),
            ["128 galaxies", "box 0", "peaks", "ask for fewer points"],
        ),
        (
            lambda: simulate(jax.random.key(0), [[0.3, 0.8]], SimulationSettings(grid=32)),
            ["too coarse", "at least 50"],
        ),
    ],
)
def test_bad_input_is_one_clear_line(call, expected):
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for words in expected:
        assert words in message


def test_galaxies_above_a_mass_are_those_of_the_same_boxes():
    """The heaviest of boxes of a fixed number, where that number is not reached."""
    key, parameters = jax.random.key(4), np.array([[0.3, 0.8], [0.2, 0.9]])
    every = simulate(key, parameters, SimulationSettings(points=60, box_size=64.0, grid=32))
    threshold = np.quantile(every.log_mass, 0.6)
    settings = SimulationSettings(
        points=60, box_size=64.0, grid=32, minimum_mass=float(10**threshold)
    )
    kept = simulate(key, parameters, settings)
    np.testing.assert_array_equal(kept.counts, (every.log_mass >= threshold).sum(axis=1))
    for box in range(2):
        n = kept.counts[box]
        np.testing.assert_array_equal(kept.position[box, :n], every.position[box, :n])


def test_too_many_galaxies_above_a_mass_are_refused():
    settings = SimulationSettings(points=10, box_size=64.0, grid=32, minimum_mass=1e12)
    with pytest.raises(InputError, match="more points or a larger mass"):
        simulate(jax.random.key(0), np.array([[0.3, 0.8]]), settings)
