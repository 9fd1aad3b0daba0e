from collections import Counter

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib import colormaps

import physgen
from physgen.errors import InputError
from physgen.io import read_model
from physgen.plots.spins import sweep_images
from physgen.plots.style import SIGNED
from physgen.spins.estimates import Estimate
from physgen.spins.tomography import (
    Shots,
    SweepDensity,
    SweepObservables,
    control_columns,
    fit_sweep,
    read_shots_and_controls,
    save_shots,
    save_sweep,
    sweep_observables,
    varying,
)
from physgen.spins.tomography.baselines import IndependentSites, MarkovChains
from physgen.spins.tomography.born import configurations
from physgen.spins.tomography.sweep_density import SweepSettings
from physgen.train import Silent

TIMES = 5000 + 10 * np.array([0, 1, 2, 4, 5, 6, 7])  # in ns, far from zero and from one
LEFT_OUT = 5030.0
FLIP = 0.2


def angle(t):
    return 0.2 + (np.asarray(t) - 5000) / 60


def exact(t):
    """p of the configurations of three sites: the first two agree but for FLIP, the third turns."""
    up = np.sin(angle(t)) ** 2
    x = configurations(3)
    first = np.where(x[:, 0], up, 1 - up)
    second = np.where(x[:, 0] == x[:, 1], 1 - FLIP, FLIP)
    return first * second * np.where(x[:, 2], 1 - up, up)


@jax.jit
def probabilities(density, control):
    """Of all configurations at each value, (v, 2^n)."""
    every = configurations(density.event_shape[0])
    return jax.vmap(lambda one: jnp.exp(density.log_prob(every, one)))(control)


@pytest.fixture(scope="module")
def sweep():
    rng = np.random.default_rng(0)
    t = rng.choice(TIMES, 14_000)
    x = np.empty((len(t), 3), int)
    for value in TIMES:
        x[t == value] = configurations(3)[rng.choice(8, (t == value).sum(), p=exact(value))]
    found = fit_sweep(jax.random.key(0), x, t, units=8, steps=1000, report=Silent())
    return x, t, found


def test_baselines_are_counts():
    rng = np.random.default_rng(1)
    x, which = rng.integers(0, 2, (60, 3)), rng.integers(0, 2, 60)
    independent = IndependentSites.fit(x, which, 3)
    markov = MarkovChains.fit(x, which, 3)
    every = configurations(3)
    for v in (0, 1, 2):
        rows = [tuple(row) for row in x[which == v]]
        ones = np.array([sum(row[i] for row in rows) for i in range(3)])
        up = (ones + 0.5) / (len(rows) + 1)
        pairs = [Counter((row[i], row[i + 1]) for row in rows) for i in range(2)]

        def step(i, a, b, pairs=pairs):
            return (pairs[i][a, b] + 0.5) / (pairs[i][a, 0] + pairs[i][a, 1] + 1)

        at = np.full(8, v)
        p = np.exp(independent.log_prob(every, at))
        q = np.exp(markov.log_prob(every, at))
        assert p.sum() == pytest.approx(1) and q.sum() == pytest.approx(1)
        for (a, b, c), p_row, q_row in zip(every, p, q, strict=True):
            first = up[0] if a else 1 - up[0]
            wanted = first * (up[1] if b else 1 - up[1]) * (up[2] if c else 1 - up[2])
            assert p_row == pytest.approx(wanted)
            assert q_row == pytest.approx(first * step(0, a, b) * step(1, b, c))
    np.testing.assert_allclose(p, 1 / 8)  # no shots at the last value


def test_a_value_that_was_left_out_is_recovered(sweep):
    *_, found = sweep
    t = np.array([LEFT_OUT, *TIMES], np.float32)
    p = np.asarray(probabilities(found.density, t[:, None]), float)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    wanted = np.stack([exact(value) for value in t])
    np.testing.assert_allclose(p, wanted, atol=0.06)  # of 2000 shots at each value: 0.01
    drawn = np.asarray(found.density.sample(jax.random.key(1), 4000, [LEFT_OUT]))
    share = np.bincount(drawn @ [4, 2, 1], minlength=8) / 4000
    assert (abs(share - p[0]) < 5 * np.sqrt(p[0] / 4000)).all()


def test_likelihood_and_gains_are_those_of_the_held_out_shots(sweep):
    x, t, found = sweep
    test = np.isin(np.arange(len(x)), found.held_out)
    which = np.searchsorted(TIMES, t)
    log_p = np.asarray(found.density.log_prob(x[test], t[test, None]), float)
    assert len(log_p) == 1400
    for estimate, values in (
        (found.log_likelihood, log_p),
        *(
            (gain, log_p - kind.fit(x[~test], which[~test], 7).log_prob(x[test], which[test]))
            for gain, kind in (
                (found.over_independent, IndependentSites),
                (found.over_markov, MarkovChains),
            )
        ),
    ):
        assert estimate.value == pytest.approx(values.mean(), abs=1e-5)
        assert estimate.error == pytest.approx(values.std() / np.sqrt(1399), rel=1e-3)

    p = np.stack([exact(value) for value in TIMES])
    best = np.log(p[which[test], x[test] @ [4, 2, 1]])
    assert abs((log_p - best).mean()) < 0.01
    ones = np.einsum("vk,ki->vi", p, configurations(3))
    product = np.where(configurations(3), ones[:, None], 1 - ones[:, None]).prod(axis=2)
    information = (p * np.log(p / product)).sum(axis=1)[which].mean()
    gain = found.over_independent
    assert gain.value == pytest.approx(information, abs=4 * gain.error + 0.01)
    assert abs(found.over_markov.value) < 0.02  # the shots are from Markov chains


def test_observables_are_those_of_the_density(sweep):
    *_, found = sweep
    density = found.density
    np.testing.assert_array_equal(density.values, TIMES[:, None])
    seen = sweep_observables(jax.random.key(2), density, density.values, 4000)
    p = np.asarray(probabilities(density, density.values.astype(np.float32)), float)
    z = 1 - 2 * configurations(3)
    for estimate, values in (
        (seen.magnetisation, z),
        (seen.neighbours, z[:, 1:] * z[:, :-1]),
    ):
        wanted = p @ values
        np.testing.assert_allclose(estimate.error, np.sqrt((1 - wanted**2) / 4000), rtol=0.2)
        assert (abs(estimate.value - wanted) < 5 * estimate.error).all()
    with pytest.raises(InputError, match=r"shape \(v, 1\)"):
        sweep_observables(jax.random.key(2), density, TIMES, 4000)


def test_the_file_gives_the_same_numbers(sweep, tmp_path):
    found = sweep[-1]
    path = tmp_path / "model.h5"
    save_sweep(path, found.density, ["time_ns"], metadata={"note": "mine"})
    there = physgen.load(path)
    assert isinstance(there, SweepDensity)
    metadata = read_model(path).metadata
    assert metadata == {"note": "mine", "control": ["time_ns"], "letter": "Z"}
    np.testing.assert_array_equal(there.values, found.density.values)
    control = np.array([[LEFT_OUT], [5061.0]], np.float32)
    p, wanted = probabilities(there, control), probabilities(found.density, control)
    np.testing.assert_array_equal(p, wanted)
    with pytest.raises(InputError, match="exists"):
        save_sweep(path, found.density, ["time_ns"])
    with pytest.raises(InputError, match="1 names"):
        save_sweep(tmp_path / "other.h5", found.density, ["a", "b"])


def test_two_columns_of_control():
    rng = np.random.default_rng(2)
    control = rng.integers(0, 2, (400, 2))
    x = np.stack([control[:, 0] ^ (rng.random(400) < 0.02), control[:, 1]], axis=1)
    found = fit_sweep(jax.random.key(0), x, control, units=4, steps=200, report=Silent())
    assert found.density.context_shape == (2,)
    assert found.density.values.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    p = np.asarray(probabilities(found.density, found.density.values.astype(np.float32)))
    wanted = [[0.98, 0, 0.02, 0], [0, 0.98, 0, 0.02], [0.02, 0, 0.98, 0], [0, 0.02, 0, 0.98]]
    np.testing.assert_allclose(p, wanted, atol=0.1)


def test_fast_sines_need_many_values():
    def frequencies(*values):
        return SweepSettings(2, 4, tuple(zip(*values, strict=True))).frequencies

    assert [frequencies(range(v)) for v in (2, 10, 11, 21, 41, 1000)] == [0, 0, 1, 2, 3, 3]
    assert frequencies(range(41), [0.0] * 20 + [1.0] * 21) == 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"outcomes": np.full((40, 2), 2)}, "0 and 1"),
        ({"outcomes": np.zeros((40, 1), int)}, "two sites"),
        ({"units": 0}, "one unit"),
        ({"control": np.zeros(39)}, r"\(40,\) or \(40, columns\)"),
        ({"control": np.zeros((40, 1, 1))}, "a row for each shot"),
        ({"control": np.array(["a"] * 40)}, "numbers"),
        ({"control": np.where(np.arange(40) == 7, np.nan, 1.0)}, "at shot 7 and 1 such"),
        ({"control": np.ones(40)}, r"varies, got \[1.0\]"),
        ({"control": np.arange(40)}, "40 at 40 values"),
        ({"control": 1e9 + np.arange(40) % 2}, "subtract a constant"),
        ({"held_out": 0.0}, "hold out"),
        ({"held_out": 0.03}, "two of them"),
        ({"steps": 0}, "steps must be positive"),
    ],
)
def test_what_is_no_sweep_is_refused(changed, message):
    given = {"outcomes": np.eye(2, dtype=int)[np.arange(40) % 2], "control": np.arange(40) % 4}
    with pytest.raises(InputError, match=message) as error:
        fit_sweep(jax.random.key(0), **{**given, **changed}, report=Silent())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["shots.npz", "shots.h5"])
def test_controls_are_read_beside_the_shots(tmp_path, name):
    arrays = {
        "rydberg": np.eye(3, dtype=int)[[0, 1, 2, 0]],
        "shot": np.arange(4),
        "time": np.array([0.5, 0.5, 1.0, 1.0]),
        "same": np.ones(4),
        "spacing": np.array(5.5),
        "label": np.array([b"a", b"b", b"c", b"d"]),
        "atoms": np.arange(3),
    }
    path = tmp_path / name
    if name.endswith("npz"):
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for key, array in arrays.items():
                file[key] = array
    shots, controls = read_shots_and_controls(path)
    assert len(shots) == 4 and varying(controls) == ["time", "shot"]
    columns = control_columns(controls, ["shot", "time"])
    assert columns.tolist() == [[0, 0.5], [1, 0.5], [2, 1], [3, 1]]
    for names, message in (
        (["atoms"], "found same, shot, time"),
        (["nothing"], "expected an array 'nothing'"),
        (["time", "time"], "once"),
    ):
        with pytest.raises(InputError, match=message):
            control_columns(controls, names)


def test_files_of_shots_alone_have_no_control(tmp_path):
    shots = Shots.of([[0, 1], [1, 1]])
    for name in ("a.json", "a.npz", "a.h5"):
        save_shots(tmp_path / name, shots)
        found, controls = read_shots_and_controls(tmp_path / name)
        assert len(found) == 2 and controls == {}


def test_images_lie_where_the_control_is():
    values = np.array([[0.0, 1.0], [1.0, 1.0], [3.0, 2.0]])
    rng = np.random.default_rng(3)
    seen = SweepObservables(
        *(Estimate(rng.uniform(-1, 1, (3, n)), np.zeros((3, n))) for n in (2, 1))
    )
    left, right = sweep_images(["t"], values[:, :1], seen, "X").axes[:2]
    corners = left.collections[0].get_coordinates()
    np.testing.assert_allclose(corners[0, :, 0], [-0.5, 0.5, 2.0, 4.0])
    np.testing.assert_allclose(corners[:, 0, 1], [-0.5, 0.5, 1.5])
    np.testing.assert_allclose(left.collections[0].get_array(), seen.magnetisation.value.T)
    np.testing.assert_allclose(right.collections[0].get_array(), seen.neighbours.value.T)
    assert left.get_xlabel() == "t"
    largest = max(np.abs(seen.magnetisation.value).max(), np.abs(seen.neighbours.value).max())
    for ax in (left, right):
        assert ax.collections[0].get_clim() == (-largest, largest)


def test_signs_are_told_apart_in_greyscale():
    """Lightness rises all along the colours of signed values, and zero has no colour."""
    colours = colormaps[SIGNED](np.linspace(0, 1, 65))[:, :3]
    assert (np.diff(colours @ [0.299, 0.587, 0.114]) > 0).all()
    assert np.ptp(colours[32]) < 0.05 < min(np.ptp(colours[0]), np.ptp(colours[-1]))


def test_several_columns_are_numbered():
    values = np.array([[0.0, 1.0], [1.0, 1.0], [3.0, 2.0]])
    seen = SweepObservables(*(Estimate(np.ones((3, n)), np.zeros((3, n))) for n in (2, 1)))
    both = sweep_images(["t", "delta"], values, seen, "Z").axes[0]
    assert both.get_xlabel() == "number of the value of t, delta"
