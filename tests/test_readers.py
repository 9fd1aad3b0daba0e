"""Readers of halo catalogues, parameter tables and units: what is written comes back, or a line."""

import h5py
import numpy as np
import pytest
from haloes import (
    BOX,
    ROCKSTAR_COLUMNS,
    haloes,
    write_fof,
    write_rockstar,
    write_rockstar_binary,
    write_subfind,
)

from physgen.errors import InputError
from physgen.galaxies.catalogue import Catalogue, read_catalogue, write_catalogue
from physgen.galaxies.readers import read_parameters

QUIJOTE = "ignore:output 00. is taken to be at redshift:UserWarning"


def error_of(call, *args, **kwargs):
    with pytest.raises(InputError) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_read(catalogue, position, velocity, mass, *, rtol=3e-7):
    np.testing.assert_allclose(catalogue.position[0], position, rtol=rtol, atol=1e-4)
    np.testing.assert_allclose(catalogue.velocity[0], velocity, rtol=rtol)
    np.testing.assert_allclose(10 ** catalogue.log_mass[0], mass, rtol=10 * rtol)
    assert catalogue.position_unit == "Mpc/h" and catalogue.parameters.shape == (1, 0)


def test_rockstar_text(tmp_path):
    objects = haloes()
    write_rockstar(tmp_path / "out_5.list", *objects)
    catalogue = read_catalogue(tmp_path / "out_5.list")
    assert_read(catalogue, *objects, rtol=1e-12)
    assert catalogue.box_size == BOX
    assert read_catalogue(tmp_path / "out_5.list", box_size=1001.0).box_size == 1001.0


def test_rockstar_columns_of_any_case_and_of_consistent_trees(tmp_path):
    objects = haloes()
    columns = [name.lower() for name in ROCKSTAR_COLUMNS if name != "Mvir"]
    write_rockstar(tmp_path / "halos_0.0.ascii", *objects, columns=columns)
    assert_read(read_catalogue(tmp_path / "halos_0.0.ascii"), *objects, rtol=1e-12)
    numbered = [f"{name}({i})" for i, name in enumerate(columns)]
    write_rockstar(tmp_path / "hlist_1.0.list", *objects, columns=columns)
    text = (tmp_path / "hlist_1.0.list").read_text()
    text = text.replace("#" + " ".join(columns), "#" + " ".join(numbered))
    text = text.replace("#Box size: 1000.000000 Mpc/h", "#Full box size = 250.000000 Mpc/h")
    (tmp_path / "hlist_1.0.list").write_text(text)
    assert_read(read_catalogue(tmp_path / "hlist_1.0.list", box_size=BOX), *objects, rtol=1e-12)
    assert "outside the box [0, 250)" in error_of(read_catalogue, tmp_path / "hlist_1.0.list")


def test_rockstar_text_in_several_parts(tmp_path):
    """All parts are read, whichever is given, also one without a halo."""
    objects = haloes()
    parts = [np.arange(0, 25), np.arange(25, 25), np.arange(25, 40)]
    for chunk, part in enumerate(parts):
        write_rockstar(tmp_path / f"halos_7.{chunk}.ascii", *(a[part] for a in objects))
    for path in (tmp_path, *sorted(tmp_path.iterdir())):
        catalogue = read_catalogue(path)
        assert_read(catalogue, *objects, rtol=1e-12)
        assert catalogue.box_size == BOX
    write_rockstar(tmp_path / "halos_8.0.ascii", *objects)
    assert_read(read_catalogue(tmp_path / "halos_8.0.ascii"), *objects, rtol=1e-12)
    assert "holds 2 outputs" in error_of(read_catalogue, tmp_path)
    (tmp_path / "halos_7.1.ascii").unlink()
    path = tmp_path / "halos_7.2.ascii"
    assert "without a gap, got [0, 2]" in error_of(read_catalogue, path)
    write_rockstar(tmp_path / "halos_7.1.ascii", *objects, box=500.0)
    message = error_of(read_catalogue, path)
    assert "different box sizes, [1000.0, 500.0, 1000.0]" in message
    write_rockstar(tmp_path / "halos_7.1.ascii", *objects)
    text = (tmp_path / "halos_7.1.ascii").read_text()
    (tmp_path / "halos_7.1.ascii").write_text(text[:-30])
    assert "halos_7.1.ascii: its last halo has" in error_of(read_catalogue, path)


def test_rockstar_hosts_are_chosen_where_parents_are_known(tmp_path):
    position, velocity, mass = haloes()
    pid = np.where(np.arange(len(mass)) % 3 == 0, 7, -1)
    write_rockstar(tmp_path / "a.list", position, velocity, mass, pid=pid)
    hosts = pid < 0
    assert_read(read_catalogue(tmp_path / "a.list"), position[hosts], velocity[hosts], mass[hosts])
    assert_read(read_catalogue(tmp_path / "a.list", objects="subhalos"), position, velocity, mass)


def test_haloes_without_mass_are_left_out_and_rounded_positions_wrapped(tmp_path):
    position, velocity, mass = haloes()
    mass[3] = 0
    position[5] = [BOX, -1e-5, 0]
    write_rockstar(tmp_path / "a.list", position, velocity, mass)
    catalogue = read_catalogue(tmp_path / "a.list")
    assert catalogue.counts[0] == len(mass) - 1
    np.testing.assert_allclose(catalogue.position[0, 4], [0, BOX - 1e-5, 0], rtol=1e-12)


@pytest.mark.parametrize(("revision", "extra"), [(1, 0), (2, 0), (1, 6)])
def test_rockstar_binary(tmp_path, revision, extra):
    objects = haloes()
    for chunk, part in enumerate(np.array_split(np.arange(40), 2)):
        path = tmp_path / f"halos_7.{chunk}.bin"
        write_rockstar_binary(
            path, *(a[part] for a in objects), revision=revision, extra=extra, chunk=chunk
        )
        halo = (path.stat().st_size - 256 - 8 * 3 * len(part)) / len(part)
        assert halo == (288 if extra else 264)
    for path in (tmp_path, tmp_path / "halos_7.1.bin"):
        catalogue = read_catalogue(path)
        assert_read(catalogue, *objects)
        assert catalogue.box_size == BOX


@pytest.mark.filterwarnings(QUIJOTE)
@pytest.mark.parametrize(("snapshot", "redshift", "extra"), [(4, 0.0, 0), (2, 1.0, 1), (3, 0.5, 2)])
def test_groups_of_quijote(tmp_path, snapshot, redshift, extra):
    objects = haloes()
    folder = tmp_path / f"groups_{snapshot:03d}"
    write_fof(folder, *objects, snapshot=snapshot, redshift=redshift, extra=extra)
    for path in (folder, folder / f"group_tab_{snapshot:03d}.1"):
        catalogue = read_catalogue(path, box_size=BOX)
        assert_read(catalogue, *objects)
        assert catalogue.box_size == BOX


def test_the_redshift_of_groups_is_asked_for_or_told(tmp_path):
    position, velocity, mass = haloes()
    write_fof(tmp_path / "groups_001", position, velocity, mass, snapshot=1)
    with pytest.warns(UserWarning, match="redshift 2, as Quijote"):
        read_catalogue(tmp_path / "groups_001", box_size=BOX)
    catalogue = read_catalogue(tmp_path / "groups_001", box_size=BOX, redshift=1.0)
    np.testing.assert_allclose(catalogue.velocity[0], 2 * velocity, rtol=1e-6)
    write_fof(tmp_path / "groups_012", position, velocity, mass, snapshot=12)
    message = error_of(read_catalogue, tmp_path / "groups_012", box_size=BOX)
    assert "redshift of output 012 is not known" in message


@pytest.mark.parametrize("redshift", [-0.5, np.nan, np.inf])
def test_a_redshift_is_finite_and_not_negative(tmp_path, redshift):
    write_fof(tmp_path / "groups_004", *haloes())
    message = error_of(read_catalogue, tmp_path / "groups_004", box_size=BOX, redshift=redshift)
    assert "redshift must be finite and not negative" in message


def test_groups_need_their_box_and_all_their_files(tmp_path):
    folder = tmp_path / "groups_004"
    write_fof(folder, *haloes())
    options = {"box_size": BOX, "redshift": 0.0}
    assert "1000 in Quijote" in error_of(read_catalogue, folder)
    (folder / "group_tab_004.2").rename(tmp_path / "kept")
    message = error_of(read_catalogue, folder, **options)
    assert "has 2 files" in message and "expected 3" in message
    whole = (tmp_path / "kept").read_bytes()
    for size in (0, 10, 24, 100, len(whole) - 1):
        (folder / "group_tab_004.2").write_bytes(whole[:size])
        assert "group_tab_004.2 is truncated" in error_of(read_catalogue, folder, **options)
    other = tmp_path / "other"
    write_fof(other, *haloes(30))
    (folder / "group_tab_004.2").write_bytes((other / "group_tab_004.2").read_bytes())
    assert "holds 37 groups, expected 40" in error_of(read_catalogue, folder, **options)


@pytest.mark.parametrize("chunks", [1, 3, 41])
@pytest.mark.parametrize("name", ["fof_subhalo_tab_033", "groups_099"])
def test_groups_and_subhaloes_in_hdf5(tmp_path, chunks, name):
    position, velocity, mass = haloes()
    write_subfind(tmp_path, position, velocity, mass, name=name, chunks=chunks, redshift=0.5)
    files = sorted(tmp_path.iterdir())
    assert len(files) == chunks
    for path in (tmp_path, files[-1]):
        catalogue = read_catalogue(path)
        assert_read(catalogue, position, velocity, mass)
        assert catalogue.box_size == BOX
    assert_read(read_catalogue(files[0], objects="subhalos"), position, velocity, mass[::-1])


def test_subhaloes_that_are_flagged_are_left_out(tmp_path):
    position, velocity, mass = haloes()
    flags = np.arange(40) % 4 != 0
    write_subfind(tmp_path, position, velocity, mass, flags=flags)
    catalogue = read_catalogue(tmp_path, objects="subhalos")
    assert_read(catalogue, position[flags], velocity[flags], mass[::-1][flags])


def test_units_of_hdf5_groups(tmp_path):
    """A small box in Mpc/h, and units that the header states."""
    objects = haloes(box=25.0)
    write_subfind(tmp_path / "a", *objects, box=25.0, length=1.0)
    assert_read(read_catalogue(tmp_path / "a"), *objects)
    stated = {"UnitLength_in_cm": 3.085678e21, "UnitMass_in_g": 1.989e43}
    stated["UnitVelocity_in_cm_per_s"] = 1e5
    objects = haloes(box=2.0)
    write_subfind(tmp_path / "b", *objects, box=2.0, attributes=stated.items())
    catalogue = read_catalogue(tmp_path / "b")
    assert_read(catalogue, *objects)
    assert catalogue.box_size == 2.0


def test_hdf5_groups_whose_box_is_three_sides_or_is_given(tmp_path):
    objects = haloes()
    write_subfind(tmp_path / "a", *objects, attributes={"BoxSize": np.full(3, 1e6)}.items())
    assert read_catalogue(tmp_path / "a").box_size == BOX
    write_subfind(tmp_path / "b", *objects, attributes={"UnitLength_in_cm": 3.085678e21}.items())
    path = tmp_path / "b" / "fof_subhalo_tab_033.hdf5"
    with h5py.File(path, "a") as file:
        del file["Header"].attrs["BoxSize"]
    assert "has no BoxSize" in error_of(read_catalogue, path)
    catalogue = read_catalogue(path, box_size=BOX)
    assert_read(catalogue, *objects)
    assert catalogue.box_size == BOX


def remove(*names):
    def change(file):
        for name in names:
            del file[name]

    return change


def shorten(file):
    column = file["Group/GroupVel"][()]
    del file["Group/GroupVel"]
    file["Group/GroupVel"] = column[:-3]


def without_time(file):
    del file["Header"].attrs["Redshift"], file["Header"].attrs["Time"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (remove("Group/GroupMass"), "has no Group/GroupMass"),
        (remove("Group"), "has no Group/GroupPos"),
        (shorten, "is damaged: its columns of Group have 40, 37 and 40 rows"),
        (without_time, "neither a Redshift above -1 nor a Time"),
        (lambda file: file["Header"].attrs.__delitem__("BoxSize"), "neither BoxSize nor Unit"),
        (lambda file: file["Header"].attrs.update(Redshift=-1.0, Time=0.0), "a Redshift above -1"),
        (lambda file: file["Header"].attrs.__setitem__("NumFiles", 4), "1 files of this output"),
        (lambda file: file["Group/GroupMass"].__setitem__(slice(None), 0), "no halo with a mass"),
    ],
)
def test_damaged_hdf5_groups_are_one_clear_line(tmp_path, change, words):
    write_subfind(tmp_path, *haloes())
    path = tmp_path / "fof_subhalo_tab_033.hdf5"
    with h5py.File(path, "a") as file:
        change(file)
    message = error_of(read_catalogue, path)
    assert words in message and "fof_subhalo_tab_033" in message


def test_truncated_hdf5_and_binary_haloes_are_refused(tmp_path):
    write_subfind(tmp_path, *haloes())
    write_rockstar_binary(tmp_path / "halos_0.0.bin", *haloes())
    for name in ("fof_subhalo_tab_033.hdf5", "halos_0.0.bin"):
        whole = (tmp_path / name).read_bytes()
        for part in (0.01, 0.3, 0.9, 0.999):
            (tmp_path / name).write_bytes(whole[: int(part * len(whole))])
            assert name in error_of(read_catalogue, tmp_path / name)


def test_other_binary_layouts_are_refused(tmp_path):
    path = tmp_path / "halos_0.0.bin"
    write_rockstar_binary(path, *haloes(), revision=0)
    assert "got revision 0; give the out_*.list" in error_of(read_catalogue, path)
    write_rockstar_binary(path, *haloes(), extra=2)
    assert "truncated or of another layout" in error_of(read_catalogue, path)
    write_rockstar_binary(path, *haloes())
    content = bytearray(path.read_bytes())
    content[256 + 200] += 1  # a halo with one particle more
    path.write_bytes(bytes(content))
    assert "121 particles, its header says 120" in error_of(read_catalogue, path)
    write_rockstar_binary(path, *haloes())
    path.rename(tmp_path / "halos_0.2.bin")
    write_rockstar_binary(path, *haloes())
    assert "without a gap, got [0, 2]" in error_of(read_catalogue, path)


def edited(old, new):
    return lambda text: text.replace(old, new, 1)


def with_a_word(text):
    return text.replace(text.splitlines()[7].split()[8], "seven")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (edited(" X Y Z", " A B C"), "no columns ['x', 'y', 'z']"),
        (edited("Mvir Vmax", "N Vmax"), "no halo with a mass"),
        (
            lambda text: text[: text.rindex(" ")],
            "its last halo has 21 columns, the header names 22",
        ),
        (edited("#ID DescID", "#ID"), "its first halo has 22 columns, the header names 21"),
        (lambda text: "\n".join(text.splitlines()[:5]), "holds no halo"),
        (lambda text: "\n".join(text.splitlines()[5:]), "first line must name the columns"),
        (with_a_word, "is damaged"),
        (lambda text: "", "holds no halo"),
    ],
)
def test_damaged_text_is_one_clear_line(tmp_path, edit, words):
    path = tmp_path / "a.list"
    write_rockstar(path, *haloes())
    path.write_text(edit(path.read_text()))
    message = error_of(read_catalogue, path)
    assert words in message and "a.list" in message


def test_folders_that_hold_nothing_or_too_much(tmp_path):
    assert "is a folder: expected" in error_of(read_catalogue, tmp_path)
    write_subfind(tmp_path, *haloes())
    write_subfind(tmp_path, *haloes(), name="fof_subhalo_tab_032")
    assert "holds 2 outputs" in error_of(read_catalogue, tmp_path)
    assert "expected objects" in error_of(read_catalogue, tmp_path, objects="galaxies")


def saved(path, position, velocity, log_mass, **units):
    fields = {"velocity": velocity[None], "log_mass": log_mass[None]}
    write_catalogue(path, Catalogue(position[None], **fields, **units), overwrite=True)


def test_other_units_are_noticed(tmp_path):
    position, velocity, mass = haloes()
    path, log_mass = tmp_path / "a.h5", np.log10(mass)
    saved(path, 1e3 * position, velocity, log_mass)
    assert "look like kpc/h" in error_of(read_catalogue, path, box_size=BOX)
    saved(path, position, velocity, mass)
    assert "take their log10" in error_of(read_catalogue, path, box_size=BOX)
    for factor in (1e3, 1e5):
        saved(path, position, factor * velocity, log_mass)
        with pytest.warns(UserWarning, match="m/s or cm/s"):
            read_catalogue(path, box_size=BOX)
    saved(path, position, velocity, log_mass - 10)
    with pytest.warns(UserWarning, match="1e10 Msun/h"):
        read_catalogue(path, box_size=BOX)
    saved(path, position, velocity, log_mass)
    with pytest.warns(UserWarning, match="box looks like kpc/h"):
        read_catalogue(path, box_size=1e3 * BOX)
    read_catalogue(path, box_size=BOX)  # without a warning
    for factor in (10, 1000):  # boxes of 1e4 and 1e6
        saved(path, factor * position[:200], velocity[:200], log_mass[:200])
        with pytest.warns(UserWarning, match="they look like kpc/h; divide"):
            read_catalogue(path, box_size=factor * BOX)
    saved(path, 30 * position, velocity, log_mass)
    with pytest.warns(UserWarning, match="positions reach .* Mpc/h: they look like kpc/h"):
        read_catalogue(path)
    saved(path, position, velocity, log_mass, position_unit="kpc/h")
    read_catalogue(path, box_size=BOX)
    saved(path, 0.1 * position, velocity, log_mass, position_unit="kpc/h")
    with pytest.warns(UserWarning, match="a periodic box of 100 kpc/h is too small"):
        read_catalogue(path, box_size=0.1 * BOX)
    saved(path, position, velocity, log_mass)
    saved(path, position, 1e3 * velocity, log_mass, velocity_unit="m/s")
    read_catalogue(path, box_size=BOX)
    (tmp_path / "a.csv").write_text("x,y,z,mass\n1,2,3,13.2\n")
    with pytest.warns(UserWarning, match="logarithms in a column called mass"):
        read_catalogue(tmp_path / "a.csv")


CAMELS = """#Name  Omega_m  sigma_8  A_SN1     A_AGN1  A_SN2  A_AGN2  seed
  LH_0 0.30900 0.97900   3.11234   1.12194 0.66850 0.53182 0
 LH_10 0.30260 0.93940   3.42001   3.96137 1.03311 1.16070 1
"""


@pytest.mark.parametrize(
    ("text", "columns", "names", "labels"),
    [
        (CAMELS, None, ("Omega_m", "sigma_8", "A_SN1", "A_AGN1", "A_SN2", "A_AGN2"), True),
        (CAMELS, ["sigma_8", "Omega_m"], ("sigma_8", "Omega_m"), True),
        (CAMELS, ["seed"], ("seed",), True),
        ("#Omega_m Omega_b h ns s8\n.1 .2 .3 .4 .5\n1 2 3 4 5\n", None, None, False),
        (".1 .2 .3\n1 2 3\n", ["a", "b", "c"], ("a", "b", "c"), False),
        (",a,b\n0,.1,.2\n1,1,2\n", None, ("a", "b"), False),
        (",a,b\nLH_0,.1,.2\nLH_1,1,2\n", None, ("a", "b"), True),
        ("# made by hand today\n# a b\n.1 .2\n1 2\n", None, ("a", "b"), False),
        ("1P_p1_0 .1 .2\n1P_p1_1 1 2\n", ["a", "b"], ("a", "b"), True),
        ("name, a, b\n0, .1, .2\n1, 1, 2\n", None, ("a", "b"), True),
        ("a,b\n.1,.2\n# a comment\n1,2\n", None, ("a", "b"), False),
    ],
)
def test_tables_of_parameters(tmp_path, text, columns, names, labels):
    (tmp_path / "t.txt").write_text(text)
    table = read_parameters(tmp_path / "t.txt", columns)
    names = names or ("Omega_m", "Omega_b", "h", "ns", "s8")
    assert table.names == names and table.values.shape == (2, len(names))
    assert (table.labels is not None) == labels
    if columns == ["sigma_8", "Omega_m"]:
        assert table.values.tolist() == [[0.979, 0.309], [0.9394, 0.3026]]
        assert table.labels == ("LH_0", "LH_10")
    if labels is False and names[0] != "Omega_m":
        assert table.values.tolist() == [[0.1, 0.2, 0.3][: len(names)], [1, 2, 3][: len(names)]]


@pytest.mark.parametrize(
    ("text", "columns", "words"),
    [
        ("", None, "is empty"),
        ("a,b\n", None, "no rows"),
        (".1 .2\n1 2\n", None, "no first line of names"),
        (".1 .2\n1 2\n", ["a"], "for its 2 columns"),
        ("a b\n1 2\n3\n", None, "row 2 has 1 values, expected 2"),
        ("a b\n1 2\n3 x\n", None, "table of numbers"),
        ("a b\n1 2\nx 3\n", None, "table of numbers"),
        ("a a\n1 2\n", None, "name of its own"),
        ("a b\n1 2\n", ["c"], "no columns ['c']"),
        ("a b\n1 2\n", ["A"], "; write a, not A"),
        ("# latin hypercube\n# a b\n1 2\n", None, "2 lines with #, 2 of as many words"),
        ("# a latin hypercube\n# of mine\n1 2 3 4\n", None, "2 lines with #, none of as many"),
    ],
)
def test_bad_tables_are_one_clear_line(tmp_path, text, columns, words):
    (tmp_path / "t.txt").write_text(text)
    assert words in error_of(read_parameters, tmp_path / "t.txt", columns)
