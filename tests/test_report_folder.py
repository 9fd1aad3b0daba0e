"""The report's folder: complete or absent, self-contained, strict JSON."""

import json
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection

from physgen import InputError
from physgen.plots import Curves, Measured, curves, measured
from physgen.validation import Statistic, memorisation_test, validate, write_report
from physgen.validation.figures import report_figures
from physgen.validation.html import p_value


@pytest.fixture(scope="module")
def report():
    rng = np.random.default_rng(0)
    real, generated = rng.normal(size=(2, 20, 3))
    generated = generated + 3
    generated[:, 2] = real[:, 2] = 1
    features = rng.normal(size=(20, 4))

    def statistics(values):
        return [
            Statistic("a <curve>", "a", "km/s", "r", "Mpc/h", values, edges=np.arange(4.0)),
            Statistic("quantiles", "q", "", "quantile", "", values, bin_names=("5%", "50%", "95%")),
        ]

    return validate(
        statistics(real),
        statistics(generated),
        real_parameters=np.full((20, 1), 0.3),
        generated_parameters=np.full((20, 1), 0.3),
        parameter_names=("<b>",),
        memorisation=memorisation_test(features, rng.normal(size=(20, 4)), features),
    )


def test_what_named_bins_are_is_said_in_words_and_above_the_figure(report):
    assert any("quantiles too high at 5% to 50% (quantile)," in text for text in report.findings)
    strips = report_figures(report)[0].figure
    titles = [ax.get_title(loc="left") for ax in strips.axes]
    assert "quantiles: quantile" in titles and "a <curve>: r [Mpc/h]" in titles


def test_p_values_are_never_zero():
    assert p_value(0.0) == "< 0.001" and p_value(0.0004, 4) == "0.0004"
    assert p_value(0.0123, equals="= ") == "= 0.012" and p_value(0.0, equals="= ") == "< 0.001"
    assert p_value(1.0) == "1.000" and p_value(float("nan")) == "n/a"


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.links, self.images, self.text = [], [], 0, []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.links += [values[name] for name in ("src", "href") if name in values]
        self.images += tag == "img"
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1.0, 1e-2, 1e-4], "log"),
        ([1.0, 1e-2, 0.0], "log"),
        ([1.0, -1e-3, 1e-4], "log"),
        ([1.0, -0.5, 1e-4, 1e-4, 1e-4], "symlog"),
        ([3.0, 2.0, 1.0], "linear"),
        ([np.nan, 0.0, 0.0], "linear"),
    ],
)
def test_values_over_decades_stand_on_a_logarithmic_axis(values, scale):
    mean, small = np.array(values), np.full(len(values), 1e-5)
    panel = Curves("", mean, small, small, mean, small, np.zeros_like(mean))
    edges = np.arange(len(values) + 1.0)
    figure = curves([panel], label="n", bin_label="m", edges=edges, bin_names=None)
    assert figure.axes[0].get_yscale() == scale
    low, high = figure.axes[0].get_ylim()
    assert high > 1 or scale == "linear"
    assert scale != "log" or 0 < low < min(abs(value) for value in values if value)


def test_negative_values_on_a_logarithmic_axis_are_open_symbols():
    mean = np.array([1.0, 1e-2, -1e-3])
    panel = Measured("xi", "r", mean, np.full(3, 5e-3), np.arange(4.0), None)
    ax, last = measured([panel] * 3).axes[::2]
    turned = {line.get_label(): line for line in ax.lines}["mean of the boxes, times -1"]
    np.testing.assert_allclose(turned.get_data(), [[2.5], [1e-3]])
    assert turned.get_markerfacecolor() == "white"
    assert "mean of the boxes, times -1" in [t.get_text() for t in ax.get_legend().get_texts()]
    edge, face = ax.collections[0].get_edgecolor(), ax.collections[0].get_facecolor()
    assert np.abs(edge - face).max() > 0.2  # a legend's patch is seen on the band
    lowest = ax.collections[0].get_datalim(ax.transData).y0
    assert 0 < lowest < 1e-3  # the band ends at the axis, not at minus infinity
    assert last.get_position().width > 1.5 * ax.get_position().width  # no blank quarter


def test_report_is_one_page_that_needs_nothing_else(tmp_path, report):
    figures = report_figures(report)
    write_report(tmp_path / "out", report, figures, title="A & B")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["report.html", "summary.json"]
    page = Page()
    page.feed((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    text = "".join(page.text)
    assert not page.open
    assert page.images == len(figures) == 4
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert "Fake, it repeats training boxes" in text
    assert "a <curve> too high at 0-2 Mpc/h" in text and "<b>=0.3" in text
    assert text.index("Fake,") < text.index("rms z") < text.index("Memorisation")
    summary = json.loads(
        (tmp_path / "out" / "summary.json").read_text(), parse_constant=pytest.fail
    )
    assert summary == json.loads(report.to_json())
    assert summary["memorisation"]["copies"] == 20


def test_an_earlier_report_is_replaced_only_when_asked(tmp_path, report):
    folder = tmp_path / "out"
    folder.mkdir()
    write_report(folder, report)
    before = (folder / "report.html").read_text()
    with pytest.raises(InputError, match="not empty"):
        write_report(folder, report, title="new")
    assert (folder / "report.html").read_text() == before
    write_report(folder, report, title="new", overwrite=True)
    assert "<title>new</title>" in (folder / "report.html").read_text()
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_with_other_files_is_never_replaced(tmp_path, report):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="thesis.tex"):
        write_report(tmp_path / "out", report, overwrite=True)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"


def test_a_failure_leaves_nothing_behind(tmp_path, report, monkeypatch):
    monkeypatch.setattr(type(report), "to_json", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(tmp_path / "out", report)
    assert not list(tmp_path.iterdir())


def test_bad_places_are_told_in_one_line(tmp_path, report):
    (tmp_path / "file").write_text("")
    for folder, words in (
        (tmp_path / "file", "is a file"),
        (tmp_path / "no" / "out", "does not exist"),
        ("", "name of a folder"),
    ):
        with pytest.raises(InputError, match=words) as error:
            write_report(folder, report)
        assert "\n" not in str(error.value)


def panel(mean, scatter, z):
    error = 0.1 * scatter
    return Curves("a", mean, scatter, error, mean + z * scatter, error, z)


@pytest.mark.parametrize("size", [1e-3, 1.0, 3e4])
def test_labels_of_vertical_axes_are_whole_and_clear_of_numbers(size):
    """With numbers of many digits above and differences of 21 below."""
    mean = size * np.array([-0.95, 0.15, 0.35])
    figure = curves(
        [panel(mean, np.full(3, 0.1 * size), np.array([20.7, 0.0, -1.0]))],
        label="distance to the k-th neighbour, a long name [Mpc/h]",
        bin_label="r",
        edges=np.arange(1.0, 5.0),
        bin_names=None,
    )
    FigureCanvasAgg(figure).draw()
    for ax in figure.axes:
        label = ax.yaxis.label.get_window_extent()
        assert label.x0 > 0 and label.y0 > 0 and label.y1 < figure.bbox.y1
        numbers = [t.get_window_extent() for t in ax.get_yticklabels() if t.get_text()]
        assert label.x1 < min(box.x0 for box in numbers)


def test_named_bins_have_a_bar_each_and_no_band_from_one_to_the_next():
    mean, scatter, names = np.array([1.0, 3.0, 2.0]), np.full(3, 0.5), ("25%", "75%", "25%")
    drawn = [
        curves(
            [panel(mean, scatter, np.zeros(3))], label="", bin_label="", edges=None, bin_names=names
        ),
        measured([Measured("", "", mean, scatter, None, names)]),
    ]
    for figure in drawn:
        (bars,) = figure.axes[0].containers[:1]
        assert [(b.get_y(), b.get_height()) for b in bars] == [(m - 0.5, 1.0) for m in mean]
        assert not any(isinstance(c, PolyCollection) for c in figure.axes[0].collections)


def test_what_is_far_below_the_scatter_is_not_magnified():
    """Between minus and plus the median of |mean| + scatter the axis is linear."""
    mean = np.array([1.0, 0.2, 0.01, -0.1, 0.002, -0.01])
    figure = curves(
        [panel(mean, np.full(6, 0.1), np.zeros(6))], label="", bin_label="",
        edges=np.arange(1.0, 8.0), bin_names=None,
    )  # fmt: skip
    place = figure.axes[0].transData.transform
    down, up = (place((1.0, y))[1] - place((1.0, 0.0))[1] for y in (-0.05, 0.1))
    assert up == pytest.approx(-2 * down)
