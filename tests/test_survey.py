"""A survey with randoms: read, weighed, and measured as brute force counts it."""

import json

import numpy as np
import pytest

from physgen.cli import main
from physgen.errors import InputError
from physgen.galaxies import measure_survey, read_survey
from physgen.galaxies.survey import comoving_positions
from physgen.stats import correlation_multipoles

EDGES = [5.0, 20.0, 40.0, 80.0]


def sky(n, seed):
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(150, 160, n), np.degrees(np.arcsin(rng.uniform(0, 0.17, n)))
    columns = {"RA": ra, "DEC": dec, "Z": rng.uniform(0.1, 0.14, n)}
    return columns | {"WEIGHT_FKP": rng.uniform(0.5, 1, n), "WEIGHT_C": rng.uniform(1, 2, n)}


def write(path, columns):
    if path.suffix == ".fits":
        fits = pytest.importorskip("astropy.io.fits")
        table = [fits.Column(name, "D", array=values) for name, values in columns.items()]
        fits.BinTableHDU.from_columns(table).writeto(path)
    elif path.suffix == ".npz":
        np.savez(path, **columns)
    else:
        header = ",".join(columns)
        values = np.column_stack(list(columns.values()))
        np.savetxt(path, values, delimiter=",", header=header, comments="", fmt="%.17g")


@pytest.fixture(params=["fits", "csv"])
def files(request, tmp_path):
    galaxies, randoms = tmp_path / f"g.{request.param}", tmp_path / f"r.{request.param}"
    write(galaxies, sky(60, 0))
    write(randoms, {k: v for k, v in sky(150, 1).items() if k != "WEIGHT_C"})
    return galaxies, randoms


def brute_force(survey):
    """(DD - 2 DR + RR) / RR of every pair, by hand."""

    def counts(one, two, v, w, same):
        distance = np.linalg.norm(one[:, None] - two[None], axis=-1)
        product = np.outer(v, w) * (~np.eye(len(v), dtype=bool) if same else 1)
        bins = [
            product[(distance > low) & (distance <= high)].sum()
            for low, high in zip(EDGES[:-1], EDGES[1:], strict=True)
        ]
        return np.array(bins) / product.sum()

    x, r, w, u = survey.position, survey.random_position, survey.weights, survey.random_weights
    dd, dr, rr = counts(x, x, w, w, True), counts(x, r, w, u, False), counts(r, r, u, u, True)
    return (dd - 2 * dr + rr) / rr


def test_positions_and_weights_of_both(files):
    survey = read_survey(
        *files, omega_m=0.25, weights=["weight_fkp", "WEIGHT_C"], random_weights="WEIGHT_FKP"
    )
    for columns, position in ((sky(60, 0), survey.position), (sky(150, 1), survey.random_position)):
        expected = comoving_positions(columns["RA"], columns["DEC"], columns["Z"], omega_m=0.25)
        np.testing.assert_allclose(position, expected, rtol=1e-12)
    galaxies, randoms = sky(60, 0), sky(150, 1)
    np.testing.assert_allclose(survey.weights, galaxies["WEIGHT_FKP"] * galaxies["WEIGHT_C"])
    np.testing.assert_allclose(survey.random_weights, randoms["WEIGHT_FKP"])
    assert read_survey(*files).weights.tolist() == [1.0] * 60


def test_the_measurement_is_landy_szalay(files):
    survey = read_survey(*files, weights=["WEIGHT_FKP"])
    found = {s.name: s for s in measure_survey(survey, edges=EDGES).statistics}
    np.testing.assert_allclose(found["xi"].values[0], brute_force(survey), rtol=1e-9)
    weights = {"weights": survey.weights, "random_weights": survey.random_weights}
    expected = correlation_multipoles(
        survey.position, EDGES, np.linspace(0, 1, 21), ells=(2, 4),
        randoms=survey.random_position, **weights,
    )  # fmt: skip
    np.testing.assert_array_equal(found["quadrupole"].values[0], expected[0])
    np.testing.assert_array_equal(found["hexadecapole"].values[0], expected[1])


def test_the_command_measures_and_writes(files, capsys, tmp_path):
    galaxies, randoms = (str(path) for path in files)
    command = ["stats", galaxies, "--randoms", randoms, "--weights", "WEIGHT_FKP", "--json"]
    edges = [str(edge) for edge in EDGES]
    assert main([*command, "--edges", *edges, "--out", str(tmp_path / "s.h5")]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert [s["name"] for s in figures["statistics"]][:2] == ["pair counts", "xi"]
    expected = brute_force(read_survey(*files, weights=["WEIGHT_FKP"]))
    np.testing.assert_allclose(figures["statistics"][1]["mean"], expected, rtol=1e-9)
    assert (tmp_path / "s.png").exists()
    assert main(command) == 0
    assert main([*command, "--box", "10"]) == 2
    assert "a survey is not periodic" in capsys.readouterr().err
    assert main(["stats", galaxies, "--weights", "WEIGHT_FKP"]) == 2
    assert "expected --randoms" in capsys.readouterr().err


def test_bad_surveys_are_one_clear_line(tmp_path):
    good, bad = tmp_path / "g.npz", tmp_path / "b.npz"
    write(good, sky(9, 0))

    def error_of(changes, **options):
        write(bad, sky(9, 1) | changes)
        with pytest.raises(InputError) as caught:
            read_survey(good, bad, **options)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    weights = ["WEIGHT_FKP"]
    message = error_of({}, weights=weights, random_weights=["W"])
    assert "b.npz has no columns ['W']" in message and "--random-weights" in message
    assert "not negative, 9 of 9" in error_of({"WEIGHT_FKP": -np.ones(9)}, weights=weights)
    assert "one length" in error_of({"WEIGHT_FKP": np.ones(8)}, weights=weights)
    assert "dec must be between" in error_of({"DEC": np.full(9, 95.0)})
    (tmp_path / "a.list").write_text("#ID\n")
    with pytest.raises(InputError, match="expected a table of a survey"):
        read_survey(tmp_path / "a.list", good)
    for name in ("empty.npz", "empty.csv"):
        write(tmp_path / name, {key: values[:0] for key, values in sky(9, 1).items()})
        with pytest.raises(InputError, match="empty.* (holds no galaxy|is empty)"):
            read_survey(good, tmp_path / name)


@pytest.mark.parametrize("offset", [0, 2**31])
def test_integers_that_stand_for_none_are_no_weights(tmp_path, offset):
    """Signed integers, and unsigned ones, which FITS keeps with an offset."""
    fits = pytest.importorskip("astropy.io.fits")
    columns = [fits.Column(name, "D", array=values) for name, values in sky(9, 0).items()]
    values = np.arange(9, dtype=np.uint32 if offset else np.int32)
    column = fits.Column("W", "J", array=values, null=4 - offset, bzero=offset or None)
    path = tmp_path / "g.fits"
    fits.BinTableHDU.from_columns([*columns, column]).writeto(path)
    with pytest.raises(InputError, match="1 of 9 rows are not"):
        read_survey(path, path, weights="W")
    assert (read_survey(path, path, weights="Z").weights > 0).all()


def test_fits_may_be_compressed(tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    columns = [fits.Column(name, "D", array=values) for name, values in sky(9, 0).items()]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "g.fits.gz")
    write(tmp_path / "g.npz", sky(9, 0))
    survey = read_survey(tmp_path / "g.fits.gz", tmp_path / "g.npz")
    np.testing.assert_array_equal(survey.position, survey.random_position)
    (tmp_path / "g.fits.gz").rename(tmp_path / "g.csv.gz")
    with pytest.raises(InputError, match="compressed by gzip.*gunzip"):
        read_survey(tmp_path / "g.csv.gz", tmp_path / "g.npz")
