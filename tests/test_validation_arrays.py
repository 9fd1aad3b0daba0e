"""`physgen validate` of samples, curves and fields: the statistics, the report, the exit status."""

import json
import re

import h5py
import numpy as np
import pytest
from commands import run
from haloes import haloes, write_rockstar

from physgen import InputError
from physgen.validation import Grade, Kind, field_statistics, validate_arrays


def waves(n, seed=0, size=16):
    """Red noise in 2-D."""
    k = np.fft.fftfreq(size)
    filter_ = 1 / (0.05 + np.hypot(*np.meshgrid(k, k)))
    noise = np.fft.fft2(np.random.default_rng(seed).normal(size=(n, size, size)))
    return np.fft.ifft2(noise * filter_).real


def test_a_plane_wave_has_all_its_power_in_its_shell():
    x = np.arange(16) * 2 * np.pi / 16
    fields = np.stack([np.cos(3 * x)[:, None, None] + np.zeros((16, 16)), waves(16, 1)])
    power, quantiles, *_ = field_statistics(fields, 32.0)
    row = 10 ** np.nan_to_num(power.values[0], nan=-np.inf)
    k = 3 * 2 * np.pi / 32
    (shell,) = np.flatnonzero(row > 1e-10)
    assert power.edges[shell] < k < power.edges[shell + 1]
    assert quantiles.values[0][-1] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("shape", [(12, 12), (11, 11), (8, 8, 8), (7, 7, 7)])
def test_white_noise_has_the_variance_of_a_cell_at_every_scale(shape):
    """P = sigma^2 times the volume of a cell; shells count modes once, of odd and even grids."""
    fields = 3 * np.random.default_rng(0).normal(size=(300, *shape))
    power, *_ = field_statistics(fields, 2.0 * shape[0])
    mean = (10**power.values).mean(axis=0)
    np.testing.assert_allclose(mean, 9 * 2.0 ** len(shape), rtol=0.1)


def test_power_spectra_do_not_see_where_a_field_is():
    fields = waves(3)
    one, two = (field_statistics(f) for f in (fields, np.roll(fields, (3, 5), axis=(1, 2))))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a.values, b.values, rtol=1e-8)


def test_shapes_of_a_field_do_not_see_its_units():
    fields = waves(4)
    *_, peaks, functionals = field_statistics(fields)
    *_, also, same = field_statistics(5 + 3 * fields)
    np.testing.assert_allclose(also.values, peaks.values)
    np.testing.assert_allclose(same.values, functionals.values)
    above = functionals.values[:, functionals.bin_labels.index("area above 0 sigma")]
    share = [np.mean(field >= field.mean()) for field in fields]
    np.testing.assert_allclose(above, share)


def test_equal_ensembles_of_every_kind_pass_and_others_do_not():
    rng = np.random.default_rng(0)
    for real, generated, wrong, kind in (
        (*rng.normal(size=(2, 40, 3)), 3 * rng.normal(size=(40, 3)), "sample"),
        (*rng.normal(size=(2, 40, 8)).cumsum(-1), rng.normal(size=(40, 8)), "curve"),
        (waves(40), waves(40, 1), 2 * waves(40, 2), "field"),
    ):
        report, shown = validate_arrays(generated, real)
        assert report.p_value > 0.01 and report.grade is not Grade.FAKE, report.verdict
        assert f"a {kind}" in report.notes[0] and "count from 1" in report.notes[0]
        assert any(what.title in ("Samples", "Simulations") for what in shown)
        report, _ = validate_arrays(wrong, real)
        assert report.grade is Grade.FAKE and report.p_value <= 0.05


def test_a_difference_of_correlations_alone_is_found_by_the_tests_together():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(150, 2))
    other = rng.normal(size=(150, 2)) @ np.linalg.cholesky([[1, 0.6], [0.6, 1]]).T
    other = (other - other.mean(axis=0)) / other.std(axis=0) * real.std(axis=0) + real.mean(axis=0)
    report, _ = validate_arrays(other, real)
    assert "by no statistic alone" in report.headline and not report.passed
    assert "covariance" in report.findings[0]


def test_moved_copies_of_a_field_are_found():
    train = waves(60)
    copies = np.concatenate([waves(20, 1), np.roll(train[:5], 3, axis=1)])
    report, _ = validate_arrays(copies, waves(25, 2), train)
    assert report.grade is Grade.FAKE and report.memorisation.identical == 5
    assert report.p_value == 0


def test_constants_and_few_simulations_are_noted():
    ones = np.ones((20, 3))
    report, _ = validate_arrays(ones, ones)
    assert report.passed and report.p_value == 1 and not report.joint
    assert any("not tested together" in note for note in report.notes)
    report, _ = validate_arrays(np.random.default_rng(0).normal(size=(20, 3)), ones)
    assert report.grade is Grade.FAKE


@pytest.mark.parametrize(
    ("generated", "kind", "words"),
    [
        (np.zeros((20, 4)), None, "equal shapes"),
        (np.zeros(20), None, r"\(n, p\)"),
        (np.zeros((1, 3)), None, "at least 2"),
        (np.full((20, 3), np.inf), None, "row 1, the first is 1"),
        (np.array([["a"]]), None, "numbers"),
        (np.zeros((20, 3)), Kind.FIELDS, "another kind"),
    ],
)
def test_bad_arrays_are_told_in_one_line(generated, kind, words):
    with pytest.raises(InputError, match=words) as error:
        validate_arrays(generated, np.zeros((20, 3)), kind=kind)
    assert "\n" not in str(error.value)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save("a.npy", rng.normal(size=(40, 3)))
    np.savez("b.npz", x=rng.normal(size=(40, 3)), y=2 * rng.normal(size=(40, 3)))
    with h5py.File("c.h5", "w") as file:
        file["group/samples"] = 2 + rng.normal(size=(40, 3))
    np.save("points.npy", rng.uniform(0, 10, (10, 30, 3)))
    np.save("objects.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("no array")
    np.save("alike.npy", rng.normal(size=(40, 3)))
    np.save("alike_points.npy", rng.uniform(0, 10, (10, 30, 3)))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "b.npz").read_bytes()[:500])
    (tmp_path / "text.npz").write_text("no array")
    (tmp_path / "array.npz").write_bytes((tmp_path / "a.npy").read_bytes())
    (tmp_path / "points.npz").write_bytes((tmp_path / "points.npy").read_bytes())
    return tmp_path


def test_the_command_reads_arrays_writes_a_report_and_fails_a_pipeline(capsys, files):
    status, out, _ = run(capsys, "validate", "a.npy", "c.h5", "--out", "report", "--json")
    summary = json.loads(out)
    assert status == 0 and summary["grade"] == "fake" and summary["p"] < 0.05
    assert [t["name"] for t in summary["joint"]][:2] == ["Hotelling", "covariance"]
    assert json.loads((files / "report" / "summary.json").read_text()) == summary
    page = (files / "report" / "report.html").read_text()
    assert "<canvas" in page and "All statistics together" in page
    assert not re.search(r'(src|href)="(?!data:)', page) and "http" not in re.sub(
        'base64,[^"]*', "", page
    )
    fails = ["--fail-below", 0.01]
    assert run(capsys, "validate", "a.npy", "c.h5", *fails)[0] == 1
    assert run(capsys, "validate", "a.npy", "alike.npy", *fails)[0] == 0


def test_points_in_an_npy_file_are_a_catalogue(capsys, files):
    pair = "points.npy", "alike_points.npy"
    status, out, _ = run(capsys, "validate", *pair, "--box", 10, "--json")
    names = [s["name"] for s in json.loads(out)["statistics"]]
    assert status == 0 and "xi" in names
    assert run(capsys, "validate", "points.npz", pair[1], "--box", 10, "--json")[:2] == (0, out)


def test_an_npy_file_of_another_name_is_an_array(capsys, files):
    status, out, _ = run(capsys, "validate", "array.npz", "alike.npy", "--json")
    assert (status, out) == run(capsys, "validate", "a.npy", "alike.npy", "--json")[:2]
    assert status == 0


def test_haloes_of_a_simulation_are_a_catalogue(capsys, files):
    for number in (4, 5):
        write_rockstar(files / f"out_{number}.list", *haloes(seed=number))
    status, _, err = run(capsys, "validate", "out_4.list", "out_5.list")
    assert status == 2 and "at least 2 boxes" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.npy", "none.npy"], "does not exist"),
        (["a.npy", "text.npy"], "cannot be read"),
        (["a.npy", "objects.npy"], "Python objects"),
        (["a.npy", "b.npz"], "x, y: say which one"),
        (["c.h5", "b.npz", "--name", "z"], "got 'z'"),
        (["points.npy", "a.npy"], "shape"),
        (["a.npy", "alike.npy", "--fail-below", "7"], "between 0 and 1"),
        (["a.npy", "alike.npy", "--features", "position"], "catalogues"),
        (["a.npy", "alike.npy", "--box", "0"], "box_size must be positive"),
        (["a.npy", "alike.npy", "--out", "text.npy"], "is a file"),
        (["a.npy", "alike.npy", "--kind", "fields"], "another kind"),
        (["a.npy", "a.npy"], "got a.npy twice"),
        (["."," a.npy"], "folder"),
        (["cut.npz", "a.npy"], "cut.npz cannot be read as an NPY or NPZ file"),
        (["text.npz", "a.npy"], "text.npz cannot be read as an NPY or NPZ file"),
        (["a.npy", "cut.npz"], "cut.npz cannot be read as an NPY or NPZ file"),
        (["none.npz", "a.npy"], "none.npz does not exist"),
        (["points.npy", "alike_points.npy", "--features", "all"], "among position, got all"),
    ],
)  # fmt: skip
def test_bad_input_ends_with_status_2_and_one_line(capsys, files, arguments, words):
    status, out, err = run(capsys, "validate", *arguments)
    assert status == 2 and out == "" and err.count("\n") == 1 and words in err
