"""Catalogues: validation, the HDF5 layout, every reader, and bad input of every kind."""

import os
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.integrate import quad

from physgen.errors import InputError
from physgen.galaxies.catalogue import Catalogue, read_catalogue, write_catalogue
from physgen.galaxies.column import Column
from physgen.galaxies.survey import comoving_distance, comoving_positions

SHARED = Path(os.environ.get("PHYSGEN_SHARED", Path(__file__).parents[2] / "shared"))
GALAXIES = SHARED / "data" / "galaxies"
needs_data = pytest.mark.skipif(
    not GALAXIES.is_dir(), reason=f"needs real catalogues at {GALAXIES} (set PHYSGEN_SHARED)"
)


def example(seed=0, boxes=3, galaxies=5, **changes):
    rng = np.random.default_rng(seed)
    shape = (boxes, galaxies)
    mask = np.ones(shape, bool)
    mask[0, -2:] = False
    arguments = {
        "position": rng.uniform(0, 10, (*shape, 3)).astype(np.float32),
        "mask": mask,
        "velocity": rng.normal(size=(*shape, 3)),
        "log_mass": rng.normal(13, 1, shape).astype(np.float32),
        "parameters": rng.uniform(size=(boxes, 2)),
        "parameter_names": ("Omega_m", "sigma_8"),
        "parameter_units": ("", ""),
        "box_size": 10.0,
    }
    return Catalogue(**{**arguments, **changes})


def assert_same(a, b):
    for name in ("position", "mask", "velocity", "log_mass", "parameters"):
        left, right = getattr(a, name), getattr(b, name)
        assert (left is None) == (right is None), name
        if left is not None:
            assert left.dtype == right.dtype, name
            assert left.tobytes() == right.tobytes(), name
    for name in ("parameter_names", "parameter_units", "box_size"):
        assert getattr(a, name) == getattr(b, name), name
    for name in ("position_unit", "velocity_unit", "log_mass_unit"):
        assert getattr(a, name) == getattr(b, name), name


def error_of(call, *args, **kwargs):
    with pytest.raises(InputError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"velocity": None},
        {"log_mass": None, "box_size": None},
        {"parameters": np.zeros((3, 0)), "parameter_names": (), "parameter_units": ()},
        {"position_unit": "kpc", "velocity_unit": "m/s", "box_size": 2e4},
        {"parameter_names": ("Ω_m", "σ_8"), "parameter_units": ("", "Mpc/h")},
    ],
)
def test_round_trip_is_bit_exact(tmp_path, changes):
    catalogue = example(**changes)
    write_catalogue(tmp_path / "a.h5", catalogue)
    assert_same(read_catalogue(tmp_path / "a.h5"), catalogue)
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_columns_keep_their_order(tmp_path):
    names = [f"column_{i}" for i in range(12, 0, -1)]
    columns = tuple(Column(name, np.full((3, 5), i), "yr") for i, name in enumerate(names))
    write_catalogue(tmp_path / "a.h5", example(columns=columns))
    found = read_catalogue(tmp_path / "a.h5").columns
    assert [column.name for column in found] == names
    assert [column.values[-1, -1] for column in found] == list(range(12))


def test_layout_is_readable_with_h5py_alone(tmp_path):
    catalogue = example()
    write_catalogue(tmp_path / "a.h5", catalogue)
    with h5py.File(tmp_path / "a.h5") as file:
        assert set(file) == {"position", "velocity", "log_mass", "mask", "parameters"}
        assert np.array_equal(file["position"][()], catalogue.position)
        assert file["position"].attrs["unit"] == "Mpc/h"
        assert file["velocity"].attrs["unit"] == "km/s"
        assert file["log_mass"].attrs["unit"] == "log10 Msun/h"
        assert file.attrs["box_size"] == 10.0
        assert file.attrs["kind"] in ("catalogue", b"catalogue")
        assert list(file.attrs["parameter_names"]) == ["Omega_m", "sigma_8"]
        assert {"schema_version", "physgen_version", "parameter_units"} <= set(file.attrs)


def test_a_file_of_position_alone_is_a_catalogue(tmp_path):
    position = np.random.default_rng(0).uniform(size=(7, 3))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["position"] = position
    catalogue = read_catalogue(tmp_path / "a.h5", box_size=1.0)
    assert np.array_equal(catalogue.position, position[None])
    assert catalogue.mask.all() and catalogue.parameters.shape == (1, 0)
    assert catalogue.box_size == 1.0


@pytest.mark.parametrize("side", [[2.0], [2.0, 2.0, 2.0], np.float32(2), "2"])
def test_the_box_may_be_one_side_or_three_that_are_equal(tmp_path, side):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["position"], file["box_size"] = np.ones((7, 3)), side
    assert read_catalogue(tmp_path / "a.h5").box_size == 2.0


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_positions_at_the_side_of_the_box_are_at_zero(tmp_path, kind):
    position = np.array([[1, 2, 3], [4, 100.1, 0], [100.1, 5, 100.1]], kind)
    np.save(tmp_path / "a.npy", position[None])
    read = read_catalogue(tmp_path / "a.npy", box_size=100.1).position[0]
    np.testing.assert_array_equal(read, np.where(position == kind(100.1), 0, position))
    np.save(tmp_path / "a.npy", position[None] * kind(1.001))
    assert "outside the box" in error_of(read_catalogue, tmp_path / "a.npy", box_size=100.1)


def test_columns_in_npz_may_be_masked(tmp_path):
    columns = dict(zip("xyz", np.random.default_rng(0).uniform(0, 9, (3, 5)), strict=True))
    np.savez(tmp_path / "a.npz", **columns, mask=np.array([1, 0, 1, 1, 0]))
    catalogue = read_catalogue(tmp_path / "a.npz", box_size=9.0)
    assert catalogue.mask.tolist() == [[True, False, True, True, False]]


def test_the_index_that_pandas_writes_is_no_parameter(tmp_path):
    write_catalogue(tmp_path / "a.h5", example())
    rows = "".join(f"{i},{0.3 + i / 100}\n" for i in range(len(example())))
    (tmp_path / "c.csv").write_text(",Omega_m\n" + rows)
    catalogue = read_catalogue(tmp_path / "a.h5", conditions=tmp_path / "c.csv")
    assert catalogue.parameter_names == ("Omega_m",) and catalogue.parameters[0, 0] == 0.3


def test_write_does_not_overwrite_unless_told(tmp_path):
    write_catalogue(tmp_path / "a.h5", example())
    assert "exists" in error_of(write_catalogue, tmp_path / "a.h5", example(1))
    assert_same(read_catalogue(tmp_path / "a.h5"), example())
    write_catalogue(tmp_path / "a.h5", example(1), overwrite=True)
    assert_same(read_catalogue(tmp_path / "a.h5"), example(1))


def test_select_and_counts():
    catalogue = example()
    assert len(catalogue) == 3
    assert catalogue.counts.tolist() == [3, 5, 5]
    chosen = catalogue.select([2, 0])
    assert np.array_equal(chosen.position, catalogue.position[[2, 0]])
    assert np.array_equal(chosen.parameters, catalogue.parameters[[2, 0]])
    assert len(catalogue.select(slice(1, None))) == 2
    assert np.array_equal(catalogue.select(1).log_mass, catalogue.log_mass[1:2])
    assert np.array_equal(catalogue.select(catalogue.counts == 3).mask, catalogue.mask[:1])


def test_padding_may_hold_anything_and_becomes_zero():
    position = example().position.copy()
    position[0, -1] = np.nan
    position[0, -2] = 1e9
    catalogue = example(position=position)
    assert not catalogue.position[0, -2:].any()
    assert np.isnan(position[0, -1]).all(), "the caller's array must not change"


def test_integers_become_floats():
    assert Catalogue(position=np.ones((1, 2, 3), int)).position.dtype == np.float64


def with_value(value, where=(1, 2, 0), name="position"):
    array = getattr(example(), name).copy()
    array[where] = value
    return {name: array}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (with_value(np.nan), ["1 of 13 galaxies", "galaxy 2 of box 1", "NaN"]),
        (with_value(np.inf, (1,)), ["5 of 13 galaxies", "galaxy 0 of box 1"]),
        (with_value(np.nan, name="velocity"), ["velocity must be finite", "galaxy 2 of box 1"]),
        (with_value(np.inf, (2, 3), "log_mass"), ["log_mass must be finite", "galaxy 3 of box 2"]),
        (with_value(np.nan, (1, 0), "parameters"), ["parameters must be finite", "row 1"]),
        (with_value(10.0), ["1 of 13 galaxies are outside the box [0, 10)", "wrap"]),
        (with_value(-1e-3), ["1 of 13 galaxies are outside", "galaxy 2 of box 1"]),
        ({"box_size": 1e-3}, ["13 of 13 galaxies are outside"]),
        ({"box_size": -1.0}, ["box_size", "positive", "-1"]),
        ({"box_size": 0.0}, ["box_size", "positive"]),
        ({"box_size": np.nan}, ["box_size", "positive", "nan"]),
        ({"position": np.ones((5, 3))}, ["(boxes, galaxies, 3)", "(5, 3)", "leading axis"]),
        ({"position": np.ones((3, 5, 2))}, ["(boxes, galaxies, 3)", "(3, 5, 2)"]),
        ({"position": np.array([["a"]])}, ["position must be an array of numbers"]),
        ({"position": np.ones((3, 5, 3), complex)}, ["position must be an array of numbers"]),
        ({"velocity": np.ones((3, 4, 3))}, ["velocity must have shape (3, 5, 3)", "(3, 4, 3)"]),
        ({"log_mass": np.ones((3, 5, 1))}, ["log_mass must have shape (3, 5)"]),
        ({"mask": np.ones((3, 4), bool)}, ["mask must have shape (3, 5)"]),
        ({"mask": np.full((3, 5), 0.5)}, ["mask must be boolean"]),
        ({"mask": np.zeros((3, 5), bool)}, ["empty"]),
        ({"parameters": np.ones((2, 2))}, ["parameters must have shape (3, 2)", "(2, 2)"]),
        ({"parameter_names": ("a",)}, ["one name for each of the 2 columns"]),
        ({"parameter_units": ("a",)}, ["parameter_units"]),
    ],
)
def test_bad_arrays_are_one_clear_line(changes, expected):
    message = error_of(example, **changes)
    for words in expected:
        assert words in message


def test_an_empty_catalogue_is_an_error():
    for shape in ((0, 5, 3), (3, 0, 3)):
        assert "empty" in error_of(Catalogue, position=np.zeros(shape))


def write_h5(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            file[name] = value


def hdf5_without_position(path):
    write_h5(path, positions=np.ones((1, 2, 3)), mask=np.ones((1, 2), bool))


def hdf5_truncated(path):
    write_catalogue(path, example())
    path.write_bytes(path.read_bytes()[:3000])


def hdf5_newer(path):
    write_catalogue(path, example())
    with h5py.File(path, "a") as file:
        file.attrs["schema_version"] = 1000


def hdf5_of_a_model(path):
    write_catalogue(path, example())
    with h5py.File(path, "a") as file:
        file.attrs["kind"] = "transport"


def hdf5_of_strings(path):
    write_h5(path, position=["one", "two"])


def hdf5_bad_box(path):
    write_catalogue(path, example())
    with h5py.File(path, "a") as file:
        file.attrs["box_size"] = "large"


def hdf5_three_boxes(path):
    write_catalogue(path, example())
    with h5py.File(path, "a") as file:
        file.attrs["box_size"] = np.array([10.0, 10.0, 20.0])


def npz_with_pickle(path):
    np.savez(path, position=np.array([object()], dtype=object))


def npz_truncated(path):
    np.savez(path, position=np.ones((2, 5, 3)))
    path.write_bytes(path.read_bytes()[:200])


def npy_of_numbers(path):
    with path.open("wb") as file:
        np.save(file, np.ones(5))


def fits_broken(path):
    path.write_bytes(b"SIMPLE  =                    T" + b" " * 30)


def fits_truncated(path):
    fits = pytest.importorskip("astropy.io.fits")
    columns = [fits.Column(name, "D", array=np.ones(5000)) for name in ("ra", "dec", "z")]
    fits.BinTableHDU.from_columns(columns).writeto(path)
    path.write_bytes(path.read_bytes()[:20000])


def fits_image(path):
    fits = pytest.importorskip("astropy.io.fits")
    fits.PrimaryHDU(np.ones((4, 4))).writeto(path)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.h5", hdf5_without_position, ["'position'", "['mask', 'positions']"]),
        ("a.h5", hdf5_truncated, ["damaged or incomplete"]),
        ("a.h5", "x,y,z\n1,2,3\n", ["not an HDF5 file"]),
        ("a.h5", "", ["not an HDF5 file"]),
        ("a.h5", hdf5_newer, ["schema version 1000", "upgrade"]),
        ("a.h5", hdf5_of_a_model, ["holds a transport, not a catalogue"]),
        ("a.h5", hdf5_of_strings, ["numbers"]),
        ("a.h5", hdf5_bad_box, ["box_size", "'large'"]),
        ("a.h5", hdf5_three_boxes, ["box_size", "one number"]),
        ("a.npz", npz_with_pickle, ["cannot be read as an NPY or NPZ file", "never loaded"]),
        ("a.npz", npz_truncated, ["cannot be read as an NPY or NPZ file"]),
        ("a.npz", npy_of_numbers, ["position must have shape", "(5,)"]),
        ("a.npy", lambda p: np.save(p, 1.0), ["position must have shape", "()"]),
        ("a.npy", "hello", ["cannot be read as an NPY or NPZ file"]),
        ("a.npz", "hello", ["cannot be read as an NPY or NPZ file"]),
        ("a.npz", lambda p: np.savez(p, q=np.ones(3)), ["x, y, z", "['q']"]),
        ("a.npz", lambda p: np.savez(p, features=np.ones((2, 3))), ["features", "(2, 3)"]),
        ("a.npz", lambda p: np.savez(p, x=[1.0], y=[1.0], z=[1.0, 2.0]), ["one length"]),
        ("a.npz", lambda p: np.savez(p, x=["1"], y=[1.0], z=[1.0]), ["column 'x'", "number"]),
        ("a.fits", "hello", ["cannot be read as a FITS file"]),
        ("a.fits", fits_broken, ["a.fits"]),
        ("a.fits", fits_truncated, ["cannot be read as a FITS file"]),
        ("a.fits", fits_image, ["no binary table"]),
        ("a.csv", "", ["empty"]),
        ("a.csv", "x,y,z\n", ["empty", "no rows"]),
        ("a.csv", "1,2,3\n4,5,6\n", ["first line must name the columns"]),
        ("a.csv", "x,y,z\n1,2\n", ["row 1 has 2 values"]),
        ("a.csv", "x,y,z\n1,2,three\n", ["cannot be read as a table of numbers", "three"]),
        ("a.csv", "x,y,z\n1,2,3\n1,2,3,4\n", ["row 2 has 4 values"]),
        ("a.csv", "x,y,y\n1,2,3\n", ["name of its own"]),
        ("a.csv", "x,y,w\n1,2,3\n", ["x, y, z", "['w', 'x', 'y']"]),
        ("a.csv", "x,y,z,mass\n1,2,3,0\n", ["mass must be positive", "1 rows"]),
        ("a.csv", "x,y,z\n1,2,3\n1,nan,3\n", ["1 of 2 galaxies", "galaxy 1 of box 0"]),
        ("a.csv", "ra,dec,z\n1,95,0.1\n", ["dec must be between -90 and 90", "row 0", "95"]),
        ("a.csv", "ra,dec,z\n1,5,1995.0\n", ["redshift", "name the column cz"]),
        ("a.csv", "ra,dec,z\nnan,5,0.1\n", ["ra must be between"]),
        ("a.csv", b"\xff\xfe\x00\x01", ["cannot be read as a text table"]),
        ("a.dot", "x,y,z\n1,2,3\n", ["unknown format", ".h5", ".npz", ".fits", ".csv"]),
        ("a.h5", None, ["does not exist"]),
        ("a.h5", os.mkdir, ["is a folder"]),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path, name, content, expected):
    path = tmp_path / name
    if callable(content):
        content(path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.write_text(content)
    message = error_of(read_catalogue, path)
    assert name in message
    for words in expected:
        assert words in message


@pytest.mark.parametrize("cut", range(200, 9000, 400))
def test_no_truncated_file_is_read(tmp_path, cut):
    path = tmp_path / "a.h5"
    write_catalogue(path, example())
    whole = path.read_bytes()
    assert len(whole) > cut
    path.write_bytes(whole[:cut])
    assert "a.h5" in error_of(read_catalogue, path)


def test_fits_without_astropy_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "astropy.io", None)
    (tmp_path / "a.fits").write_bytes(b"SIMPLE  =")
    assert "pip install 'physgen[astro]'" in error_of(read_catalogue, tmp_path / "a.fits")


@pytest.mark.parametrize("separator", [",", " ", "\t"])
def test_text_columns(tmp_path, separator):
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.uniform(0, 9, (4, 3)), rng.normal(size=(4, 3))], axis=1)
    mass = 10 ** rng.uniform(12, 15, 4)
    rows = np.column_stack([mass, values])
    header = separator.join(("Mass", "x", "y", "z", "vx", "vy", "vz"))
    np.savetxt(
        tmp_path / "a.txt", rows, delimiter=separator, header=header, comments="# ", fmt="%.17g"
    )
    catalogue = read_catalogue(tmp_path / "a.txt", box_size=9.0)
    assert np.array_equal(catalogue.position[0], values[:, :3])
    assert np.array_equal(catalogue.velocity[0], values[:, 3:])
    assert np.array_equal(catalogue.log_mass[0], np.log10(mass))
    assert catalogue.box_size == 9.0


def test_fits_columns_are_scaled(tmp_path):
    """Unsigned integers are kept in FITS as signed ones and an offset."""
    fits = pytest.importorskip("astropy.io.fits")
    values = np.arange(6, dtype=np.uint16).reshape(3, 2)
    columns = [
        fits.Column(name, "I", bzero=2**15, array=column)
        for name, column in zip("xyz", values, strict=True)
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "a.fits")
    assert np.array_equal(read_catalogue(tmp_path / "a.fits").position[0], values.T)


def test_strings_of_fixed_length_are_read(tmp_path):
    write_catalogue(tmp_path / "a.h5", example())
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file.attrs["parameter_names"] = np.array([b"Omega_m", b"sigma_8"])
        file["position"].attrs["unit"] = np.bytes_(b"Mpc/h")
    assert_same(read_catalogue(tmp_path / "a.h5"), example())


def test_npz_of_catalogue_names(tmp_path):
    catalogue = example()
    np.savez(
        tmp_path / "a.npz",
        position=catalogue.position,
        velocity=catalogue.velocity,
        log_mass=catalogue.log_mass,
        mask=catalogue.mask.astype(float),
        parameters=catalogue.parameters,
        parameter_names=np.array(catalogue.parameter_names),
        box_size=10.0,
    )
    assert_same(read_catalogue(tmp_path / "a.npz"), catalogue)


@pytest.mark.parametrize("width", [4, 5])
def test_npz_of_features_loses_no_column(tmp_path, width):
    features = np.random.default_rng(0).uniform(0, 9, (2, 5, width))
    np.savez(tmp_path / "a.npz", features=features)
    catalogue = read_catalogue(tmp_path / "a.npz")
    assert catalogue.features == ("position", *(f"feature_{i}" for i in range(3, width)))
    for i, column in enumerate(catalogue.columns, start=3):
        assert np.array_equal(column.values, features[..., i])


def test_npz_of_features_and_the_names_of_a_catalogue(tmp_path):
    rng = np.random.default_rng(0)
    features, mask = rng.uniform(0, 9, (2, 5, 3)), np.array([[1] * 5, [1] * 3 + [0] * 2])
    beside = {
        "velocity": rng.normal(size=(2, 5, 3)),
        "log_mass": rng.uniform(12, 14, (2, 5)),
        "mask": mask,
        "parameters": [[0.3, 0.8], [0.2, 0.9]],
        "box_size": 10.0,
    }
    np.savez(tmp_path / "a.npz", features=features, parameter_names=["a", "b"], **beside)
    catalogue = read_catalogue(tmp_path / "a.npz")
    assert catalogue.box_size == 10 and catalogue.parameter_names == ("a", "b")
    assert np.array_equal(catalogue.parameters, beside["parameters"])
    assert np.array_equal(catalogue.mask, mask > 0)
    for name in ("velocity", "log_mass"):
        assert np.array_equal(getattr(catalogue, name)[mask > 0], beside[name][mask > 0])
    np.savez(tmp_path / "b.npz", features=np.ones((2, 5, 7)), **beside)
    message = error_of(read_catalogue, tmp_path / "b.npz")
    assert "velocities in columns 3 to 5 of features" in message and "leave one out" in message


def test_npz_of_columns_says_its_box_and_parameters(tmp_path):
    columns = dict(zip("xyz", np.random.default_rng(0).uniform(0, 9, (3, 5)), strict=True))
    for parameters in ([0.3, 0.8], [[0.3, 0.8]]):
        np.savez(tmp_path / "a.npz", **columns, box_size=10, parameters=parameters)
        catalogue = read_catalogue(tmp_path / "a.npz")
        assert catalogue.box_size == 10
        assert catalogue.parameters.tolist() == [[0.3, 0.8]]
        assert catalogue.parameter_names == ("parameter_0", "parameter_1")
    np.savez(tmp_path / "b.npz", ra=[1.0], dec=[2.0], z=[0.1], box_size=10)
    assert "in no periodic box" in error_of(read_catalogue, tmp_path / "b.npz")


def test_hdf5_of_one_box_with_columns(tmp_path):
    """One box without an axis of boxes; datasets of other names are not read."""
    position, age = np.random.default_rng(0).uniform(size=(7, 3)), np.arange(7.0)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["position"], file["columns/age"], file["parameters"] = position, age, [0.3]
        file.create_dataset("particles", (1 << 60,), np.float32, chunks=(1 << 20,))
    catalogue = read_catalogue(tmp_path / "a.h5")
    assert np.array_equal(catalogue.position, position[None])
    assert np.array_equal(catalogue.columns[0].values, age[None])
    assert catalogue.parameters.tolist() == [[0.3]]


def test_content_decides_before_the_suffix(tmp_path):
    write_catalogue(tmp_path / "a.h5", example())
    os.rename(tmp_path / "a.h5", tmp_path / "a.csv")
    assert_same(read_catalogue(tmp_path / "a.csv"), example())
    with (tmp_path / "b.npz").open("wb") as file:
        np.save(file, example().position)
    catalogue = read_catalogue(tmp_path / "b.npz", box_size=10.0)
    assert np.array_equal(catalogue.position, example().position) and catalogue.box_size == 10


def test_conditions_become_parameters(tmp_path):
    np.savez(tmp_path / "a.npz", features=np.ones((2, 4, 7)), mask=np.eye(2, 4))
    (tmp_path / "c.csv").write_text("a,b\n1,2\n3,4\n")
    catalogue = read_catalogue(tmp_path / "a.npz", conditions=tmp_path / "c.csv")
    assert catalogue.parameter_names == ("a", "b")
    assert np.array_equal(catalogue.parameters, [[1, 2], [3, 4]])
    assert catalogue.counts.tolist() == [1, 1]
    (tmp_path / "c.csv").write_text("a,b\n1,2\n")
    message = error_of(read_catalogue, tmp_path / "a.npz", conditions=tmp_path / "c.csv")
    assert "c.csv for each of 2 boxes" in message and "got 1;" in message


@pytest.mark.parametrize("omega_m", [0.0, 0.3, 1.0])
def test_comoving_distance_against_quadrature(omega_m):
    redshift = np.array([0.0, 1e-4, 0.1, 1.0, 3.0, 10.0])
    expected = [
        2997.92458 * quad(lambda z: (omega_m * (1 + z) ** 3 + 1 - omega_m) ** -0.5, 0, z)[0]
        for z in redshift
    ]
    assert np.allclose(comoving_distance(redshift, omega_m=omega_m), expected, rtol=1e-8)


def test_directions_on_the_sky():
    ra, dec = np.array([0.0, 90.0, 180.0, 33.0]), np.array([0.0, 0.0, 0.0, 90.0])
    position = comoving_positions(ra, dec, np.full(4, 0.1), omega_m=0.3)
    radius = comoving_distance(np.full(4, 0.1), omega_m=0.3)
    expected = np.array([[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    assert np.allclose(position / radius[:, None], expected, atol=1e-12)


@needs_data
def test_sdss_against_astropy():
    pytest.importorskip("astropy")
    from astropy.cosmology import FlatLambdaCDM
    from astropy.io import fits

    path = GALAXIES / "sdss_dr7_volume_limited.fits"
    catalogue = read_catalogue(path, omega_m=0.31)
    assert catalogue.position.shape == (1, 120606, 3)
    assert catalogue.box_size is None and catalogue.position_unit == "Mpc/h"
    redshift = fits.getdata(path)["z"][::1000].astype(float)
    cosmology = FlatLambdaCDM(H0=100, Om0=0.31, Tcmb0=0)
    radius = np.linalg.norm(catalogue.position[0, ::1000], axis=-1)
    assert np.allclose(radius, cosmology.comoving_distance(redshift).value, rtol=1e-6)


@needs_data
def test_mock_survey_in_cz():
    path = GALAXIES / "sdss_like_mock.npz"
    catalogue = read_catalogue(path)
    radius = np.linalg.norm(catalogue.position[0], axis=-1)
    with np.load(path) as file:
        expected = comoving_distance(file["cz"] / 299792.458, omega_m=0.3)
    assert np.allclose(radius, expected, rtol=1e-12)


@needs_data
def test_satellites_of_a_hydrodynamical_simulation():
    path = GALAXIES / "dreams_tng_satellites.npz"
    conditions = GALAXIES / "dreams_tng_conditions.csv"
    catalogue = read_catalogue(path, conditions=conditions)
    with np.load(path) as file:
        assert np.array_equal(catalogue.position, file["features"][..., :3])
        assert np.array_equal(catalogue.velocity, file["features"][..., 3:6])
        assert np.array_equal(catalogue.counts, file["mask"].sum(axis=1))
    assert catalogue.parameters.shape == (204, 13)
    assert catalogue.parameter_names[:2] == ("halo_mvir", "halo_mstar")
    assert catalogue.position_unit == "file units"
    number = catalogue.parameter_names.index("num_subhalos")
    assert np.array_equal(np.minimum(catalogue.parameters[:, number], 50), catalogue.counts)
