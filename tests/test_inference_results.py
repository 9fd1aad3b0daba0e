"""Posterior samples: kept bit for bit, summed up, drawn, and read by others."""

import sys
from statistics import NormalDist

import h5py
import numpy as np
import pytest
from matplotlib.contour import ContourSet

from physgen import InputError
from physgen.inference.results import PosteriorSamples
from physgen.io import write_header
from physgen.plots import SampleSet, triangle
from physgen.plots.style import SETS
from physgen.words import counted

NAMES, UNITS = ("slip_rate", "Omega_m"), ("mm/yr", "")


def make(n=2000, seed=0, **changes):
    rng = np.random.default_rng(seed)
    given = {
        "samples": np.float32(rng.normal(size=(n, 2)) * [3, 0.02] + [20, 0.3]),
        "names": NAMES,
        "units": UNITS,
        "log_prob": np.float32(rng.normal(size=n)),
        "observation": rng.normal(size=(2, 3)),
        "low": [0.0, 0.0],
        "high": [np.inf, 1.0],
        "metadata": {"seed": 3, "simulator": "fault"},
    }
    return PosteriorSamples.from_arrays(**(given | changes))


def test_a_file_holds_them_bit_for_bit(tmp_path):
    samples = make()
    samples.save(tmp_path / "posterior.h5")
    loaded = PosteriorSamples.load(tmp_path / "posterior.h5")
    for name in ("samples", "log_prob", "observation", "low", "high"):
        one, other = getattr(samples, name), getattr(loaded, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert (loaded.names, loaded.units) == (NAMES, UNITS)
    assert loaded.metadata == {"seed": 3, "simulator": "fault"}
    with pytest.raises(InputError, match="exists already"):
        samples.save(tmp_path / "posterior.h5")
    samples.save(tmp_path / "posterior.h5", overwrite=True)


def test_what_is_unknown_stays_unknown(tmp_path):
    PosteriorSamples.from_arrays([1.0, 2.0]).save(tmp_path / "posterior.h5")
    loaded = PosteriorSamples.load(tmp_path / "posterior.h5")
    assert loaded.names == ("theta_1",) and loaded.units == ("",) and len(loaded) == 2
    assert loaded.log_prob is loaded.observation is loaded.low is loaded.high is None
    assert loaded.metadata == {}


def test_another_file_is_refused(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        write_header(file, "catalogue")
    with pytest.raises(InputError, match="holds a catalogue"):
        PosteriorSamples.load(tmp_path / "other.h5")
    with pytest.raises(InputError, match="does not exist"):
        PosteriorSamples.load(tmp_path / "none.h5")


def test_statistics_are_those_of_the_samples():
    samples = make()
    found = samples.statistics()["Omega_m"]
    column = samples.samples[:, 1].astype(np.float64)
    assert found["mean"] == pytest.approx(column.mean())
    assert found["std"] == pytest.approx(column.std())
    for key, level in {"median": 0.5, "low_68": 0.16, "high_68": 0.84, "low_95": 0.025}.items():
        assert found[key] == pytest.approx(np.quantile(column, level))


def test_the_table_shows_two_digits_of_the_error_and_is_aligned():
    quantiles = [NormalDist().inv_cdf((i + 0.5) / 1000) for i in range(1000)]
    values = np.stack([20 + 3 * np.array(quantiles), 0.3 + 0.02 * np.array(quantiles)], axis=1)
    text = make(samples=values, log_prob=None).summary()
    assert text.splitlines() == [
        "parameter           mean    std  median    68% interval    95% interval",
        "slip_rate [mm/yr]   20.0    3.0    20.0    17.0 to 23.0    14.1 to 25.9",
        "Omega_m            0.300  0.020   0.300  0.280 to 0.320  0.261 to 0.339",
    ]


def test_tiny_and_huge_parameters_have_digits():
    values = np.array([NormalDist().inv_cdf((i + 0.5) / 1000) for i in range(1000)])
    samples = np.stack([3e-14 + 2e-15 * values, 3e14 + 1e13 * values], axis=1)
    small, large = PosteriorSamples.from_arrays(samples).summary().splitlines()[1:]
    assert small.split()[1:3] == ["3.00e-14", "2.0e-15"]
    assert large.split()[1].startswith("30000000000000") and "." not in large


def test_a_constant_parameter_has_a_table_too():
    assert "1.000" in PosteriorSamples.from_arrays(np.ones((5, 1))).summary()


def test_arviz_reads_them_without_a_warning():
    pytest.importorskip("arviz", exc_type=ImportError)
    samples = make()
    data = samples.to_arviz()
    assert data.posterior.sizes == {"chain": 1, "draw": 2000}
    for i, name in enumerate(NAMES):
        np.testing.assert_array_equal(data.posterior[name].values[0], samples.samples[:, i])
    assert data.posterior["slip_rate"].attrs["units"] == "mm/yr"
    np.testing.assert_array_equal(data.sample_stats["lp"].values[0], samples.log_prob)
    np.testing.assert_array_equal(data.observed_data["observation"].values, samples.observation)
    bare = make(log_prob=None, observation=None).to_arviz()
    assert bare.groups() == ["posterior"]


def test_without_arviz_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(InputError, match=r"pip install physgen\[arviz\]"):
        make().to_arviz()


def test_getdist_text_has_weights_costs_names_and_ranges(tmp_path):
    samples = make(50, names=("slip rate", "Omega_m"))
    paths = samples.to_getdist_text(tmp_path / "chains.v1")
    assert [path.name for path in paths] == [
        "chains.v1.txt",
        "chains.v1.paramnames",
        "chains.v1.ranges",
    ]
    table = np.loadtxt(paths[0])
    np.testing.assert_array_equal(table[:, 0], 1)
    np.testing.assert_allclose(table[:, 1], -samples.log_prob, rtol=1e-7)
    np.testing.assert_array_equal(np.float32(table[:, 2:]), samples.samples)
    assert paths[1].read_text().splitlines() == [
        r"slip_rate \mathrm{slip\ rate\ [mm/yr]}",
        r"Omega_m \mathrm{Omega\_m}",
    ]
    assert paths[2].read_text() == "slip_rate 0 N\nOmega_m 0 1\n"
    with pytest.raises(InputError, match="exists already"):
        samples.to_getdist_text(tmp_path / "chains.v1")


def test_getdist_text_without_densities_or_bounds(tmp_path):
    paths = make(9, log_prob=None, low=None, high=None).to_getdist_text(tmp_path / "a")
    assert (np.loadtxt(paths[0])[:, 1] == 0).all()
    assert paths[2].read_text() == "slip_rate N N\nOmega_m N N\n"


def test_zero_has_no_sign():
    samples = np.linspace(-1.001, 1, 201)[:, None]
    samples = PosteriorSamples.from_arrays(samples, names=("a",))
    assert "-0.00" not in samples.summary() and " 0.00 " in samples.summary()
    assert counted(1, "box", "boxes") == "1 box" and counted(0, "simulation") == "0 simulations"


def labels_of(figure):
    return {t for ax in figure.axes for t in (ax.get_xlabel(), ax.get_ylabel()) if t}


def test_the_plot_has_names_units_truth_and_a_legend(tmp_path):
    figure = make().plot(truth=[21.0, 0.31], label="spline flow", others={"exact": make(seed=1)})
    assert labels_of(figure) == {"slip_rate [mm/yr]", "Omega_m"}
    assert len(figure.axes) == 3
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown[:3] == ["spline flow", "exact", "truth"]
    assert len({style["linestyle"] for style in SETS}) == len(SETS)
    figure.savefig(tmp_path / "triangle.png")
    row = make().statistics()["slip_rate"]
    up, down = row["high_68"] - row["median"], row["median"] - row["low_68"]
    title = f"median and 68%\n{row['median']:.1f} +{up:.1f} -{down:.1f}"
    assert title in [ax.get_title() for ax in make().plot().axes]


def test_contours_hold_the_stated_shares():
    """Of few samples of a Gaussian, the same shares of many others."""
    rng, held = np.random.default_rng(0), []
    many = rng.normal(size=(20_000, 2))
    for _ in range(10):
        figure = triangle([SampleSet("a", rng.normal(size=(300, 2)))], ["a", "b"], ["", ""])
        lines = next(c for c in figure.axes[1].collections if c.get_linewidth()[0] > 0)
        outer, inner = lines.get_paths()
        held.append([outer.contains_points(many).mean(), inner.contains_points(many).mean()])
    assert np.mean(held, axis=0) == pytest.approx([0.95, 0.68], abs=0.025)


@pytest.mark.parametrize("n", [500, 10_000])
def test_a_flat_pair_has_no_islands_and_a_ridge_keeps_its_contours(n):
    samples = np.random.default_rng(0).uniform(size=(n, 3))
    samples[:, 2] = np.random.default_rng(1).normal(0.5, 0.1, n)
    low, high = [0, 0, -np.inf], [1, 1, np.inf]
    sets = [SampleSet("a", samples), SampleSet("b", samples[::-1])]
    figure = triangle(sets, list("abc"), [""] * 3, low=low, high=high)
    contours = [sum(isinstance(c, ContourSet) for c in ax.collections) for ax in figure.axes]
    assert contours == [0, 0, 0, 3, 3, 0]


def test_a_truth_outside_of_the_samples_and_a_bound_are_seen():
    samples = np.abs(np.random.default_rng(0).normal(size=(500, 2)))
    figure = triangle([SampleSet("a", samples)], ["a", "b"], ["", ""], truth=[9.0, 1.0], low=[0, 0])
    first = next(ax for ax in figure.axes if ax.get_xlabel() == "a")
    assert -0.5 < first.get_xlim()[0] < 0 and first.get_xlim()[1] > 9
    shown = {text.get_text() for text in figure.legends[0].get_texts()}
    assert "edge of the prior" in shown
    edges = [[*line.get_xdata()] for line in first.lines if line.get_linestyle() == "--"]
    assert [0, 0] in edges
    free = triangle([SampleSet("a", samples)], ["a", "b"], ["", ""], low=[-9, -np.inf])
    shown = {text.get_text() for text in free.legends[0].get_texts()}
    assert "edge of the prior" not in shown


def test_the_shades_of_one_parameter_are_its_central_intervals():
    values = np.random.default_rng(0).exponential(size=2000)
    figure = triangle([SampleSet("a", values[:, None])], ["a"], [""])
    spans = [path.get_extents() for c in figure.axes[0].collections for path in c.get_paths()]
    ends = np.quantile(values, [0.025, 0.16, 0.84, 0.975])
    np.testing.assert_allclose([s.x0 for s in spans], ends[:3])
    np.testing.assert_allclose([s.x1 for s in spans], ends[1:])
    shades = [c.get_facecolor()[0, 3] for c in figure.axes[0].collections]
    assert shades[0] == shades[2] < shades[1]
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == ["a", "68% of the samples", "95% of the samples"]


@pytest.mark.parametrize("d", [1, 6])
def test_any_number_of_parameters_can_be_drawn(d, tmp_path):
    samples = np.random.default_rng(0).normal(size=(300, d))
    samples[:, 0] = 1.0
    figure = PosteriorSamples.from_arrays(samples).plot()
    assert len(figure.axes) == d * (d + 1) // 2
    figure.savefig(tmp_path / "triangle.png")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: make(names=("a",)), "2 parameters"),
        (lambda: make(units=("a",)), "2 parameters"),
        (lambda: make(log_prob=np.zeros(3)), "log_prob of shape"),
        (lambda: make(low=[0.0]), "low of shape"),
        (lambda: make(samples=np.full((2000, 2), np.nan)), "NaN"),
        (lambda: PosteriorSamples.from_arrays(np.zeros((0, 2))), "at least one sample"),
        (lambda: PosteriorSamples.from_arrays(np.zeros((2, 2, 2))), r"\(n, d\)"),
        (lambda: make().plot(truth=[1.0]), "truth"),
        (lambda: make().plot(others={"b": make(names=("a", "b"))}), "same parameters"),
        (lambda: make().plot(others={str(i): make(5) for i in range(4)}), "1 to 4 sets"),
    ],
)
def test_bad_input_is_told_in_one_line(call, words):
    with pytest.raises(InputError, match=words) as error:
        call()
    assert "\n" not in str(error.value)
