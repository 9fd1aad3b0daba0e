"""One training file of many simulations: rows, order, selection, and what is refused."""

import json

import h5py
import numpy as np
import pytest
from commands import run
from haloes import BOX, haloes, write_fof, write_rockstar, write_subfind

from physgen.errors import InputError
from physgen.galaxies import (
    ParameterTable,
    Selection,
    build_catalogue,
    find_simulations,
    match_rows,
    read_catalogue,
    tile,
)

COUNTS = (40, 25, 33)


def table(n, labels=None):
    values = np.column_stack([np.linspace(0.1, 0.5, n), np.linspace(0.6, 1, n)])
    return ParameterTable(("Omega_m", "sigma_8"), values, labels)


def simulations(root, numbers=(0, 2, 10), name="{}"):
    """Rockstar catalogues NAME/out_5.list, each of its own number of haloes."""
    for i, (number, count) in enumerate(zip(numbers, COUNTS, strict=False)):
        folder = root / name.format(number)
        folder.mkdir(parents=True)
        write_rockstar(folder / "out_5.list", *haloes(count, seed=i))
    return find_simulations(root, "*/out_5.list")


def error_of(call, *args, **kwargs):
    with pytest.raises(InputError) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_two_comes_before_ten(tmp_path):
    paths = simulations(tmp_path)
    assert [path.parent.name for path in paths] == ["0", "2", "10"]
    assert match_rows(paths, tmp_path, table(3)) == [0, 1, 2]


def test_names_of_the_table_decide_before_the_order(tmp_path):
    paths = simulations(tmp_path, name="LH_{}")
    labels = ("LH_10", "LH_0", "LH_2")
    assert match_rows(paths, tmp_path, table(3, labels)) == [1, 2, 0]
    assert match_rows(paths[:2], tmp_path, table(3, labels), partial=True) == [1, 2]
    files = [tmp_path / f"{label}.list" for label in labels]
    assert match_rows(files, tmp_path, table(3, labels)) == [0, 1, 2]
    message = error_of(match_rows, paths[:2], tmp_path, table(3, labels))
    assert "found 2: none for LH_10; add them" in message
    message = error_of(match_rows, paths, tmp_path, table(3, ("LH_0", "LH_1", "LH_2")))
    assert "LH_10/out_5.list has no row in the table" in message
    message = error_of(match_rows, [*paths, paths[0]], tmp_path, table(3, labels))
    assert "have the same row 1" in message


def test_numbers_of_simulations_and_rows_must_agree(tmp_path):
    paths = simulations(tmp_path, numbers=(0, 1, 3))
    message = error_of(match_rows, paths, tmp_path, table(4))
    assert "each of the 4 rows" in message and "found 3: 0/out_5.list, 1/out_5.list" in message
    assert "none for 2; add them, or leave rows out (--partial" in message
    assert match_rows(paths, tmp_path, table(4), partial=True) == [0, 1, 3]
    assert "narrow or widen" in error_of(match_rows, paths, tmp_path, table(2))
    assert "from 0 to 1" in error_of(match_rows, paths, tmp_path, table(2), partial=True)
    assert "matches '*/x'" in error_of(find_simulations, tmp_path, "*/x")
    assert "pattern of names inside" in error_of(find_simulations, tmp_path, "/etc/*")
    assert "is not a folder" in error_of(find_simulations, tmp_path / "none", "*")


def test_a_folder_that_is_not_there_is_named_before_the_table(capsys, tmp_path):
    folder, out = tmp_path / "none", tmp_path / "mocks.h5"
    table = ["--parameters", folder / "table.csv", "--out", out]
    status, _, err = run(capsys, "galaxies", "build", folder, "--pattern", "*", *table)
    assert status == 2 and err.startswith(f"physgen: {folder} is not a folder")


def test_everything_is_kept_padded_and_masked(tmp_path):
    paths = simulations(tmp_path)
    seen = []
    catalogue = build_catalogue(
        paths, table(3), jobs=2, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert catalogue.position.shape == (3, 40, 3) and catalogue.position.dtype == np.float32
    assert tuple(catalogue.counts) == COUNTS and catalogue.box_size == BOX
    np.testing.assert_array_equal(catalogue.parameters, table(3).values)
    for i, count in enumerate(COUNTS):
        position, velocity, mass = haloes(count, seed=i)
        np.testing.assert_allclose(catalogue.position[i, :count], position, rtol=1e-6)
        np.testing.assert_allclose(catalogue.velocity[i, :count], velocity, rtol=1e-6)
        np.testing.assert_allclose(catalogue.log_mass[i, :count], np.log10(mass), rtol=1e-6)
        assert not catalogue.position[i, count:].any()


@pytest.mark.parametrize(("most", "minimum"), [(10, None), (30, None), (None, 1e14), (8, 2e13)])
def test_the_most_massive_are_kept(tmp_path, most, minimum):
    paths = simulations(tmp_path)
    catalogue = build_catalogue(paths, table(3), Selection(most, minimum), jobs=1)
    for i, count in enumerate(COUNTS):
        position, _, mass = haloes(count, seed=i)
        order = sorted(range(count), key=lambda j: -mass[j])[:most]
        chosen = [j for j in order if minimum is None or mass[j] >= minimum]
        kept = catalogue.mask[i]
        assert kept.sum() == len(chosen)
        np.testing.assert_allclose(catalogue.position[i][kept], position[chosen], rtol=1e-6)


def test_a_simulation_without_any_that_are_wanted_is_an_empty_box(tmp_path):
    paths = simulations(tmp_path)
    largest = [haloes(count, seed=i)[2].max() for i, count in enumerate(COUNTS)]
    minimum = (np.sort(largest)[0] + np.sort(largest)[1]) / 2
    catalogue = build_catalogue(paths, table(3), Selection(minimum_mass=minimum))
    empty = int(np.argmin(largest))
    assert catalogue.counts[empty] == 0 and np.delete(catalogue.counts, empty).all()
    assert not catalogue.position[empty].any() and not catalogue.log_mass[empty].any()
    np.testing.assert_array_equal(catalogue.parameters, table(3).values)


def test_a_simulation_that_is_bad_is_named(tmp_path):
    paths = simulations(tmp_path)
    message = error_of(build_catalogue, paths, table(3), Selection(minimum_mass=1e17))
    assert "expected an object of at least 1e+17 Msun/h" in message and "of all 3 has" in message
    text = paths[1].read_text()
    paths[1].write_text(text[:-60])
    assert "2/out_5.list: its last halo has" in error_of(build_catalogue, paths, table(3))
    write_rockstar(paths[1], *haloes(5, box=500.0), box=500.0)
    message = error_of(build_catalogue, paths, table(3))
    assert "2/out_5.list differs from" in message and "box size, 500.0 and 1000.0" in message
    paths[1].unlink()
    paths[1].mkdir()
    assert "2/out_5.list is a folder" in error_of(build_catalogue, paths, table(3))
    assert "as many rows" in error_of(build_catalogue, paths, table(2))
    assert "jobs" in error_of(build_catalogue, paths, table(3), jobs=0)
    assert "most must be" in error_of(Selection, most=0)
    assert "minimum_mass" in error_of(Selection, minimum_mass=-1.0)


def test_files_without_masses_or_of_several_boxes(tmp_path):
    (tmp_path / "a.csv").write_text("x,y,z\n1,2,3\n")
    np.savez(tmp_path / "b.npz", position=np.ones((2, 4, 3)))
    message = error_of(build_catalogue, [tmp_path / "a.csv"], table(1), Selection(most=1))
    assert "a.csv has no masses" in message
    message = error_of(build_catalogue, [tmp_path / "b.npz"], table(1))
    assert "b.npz holds 2 boxes" in message
    np.savez(tmp_path / "c.npz", features=np.arange(14.0).reshape(1, 2, 7))
    assert build_catalogue([tmp_path / "c.npz"], table(1)).columns[0].values.tolist() == [[6, 13]]
    found = build_catalogue([tmp_path / "a.csv"], table(1))
    assert found.log_mass is None and found.velocity is None and found.box_size is None


QUIJOTE = "#Omega_m Omega_b h ns s8\n" + "\n".join(
    f"{0.1 + i / 10:.1f} 0.05 0.7 0.96 0.8" for i in range(3)
)


def test_the_command_builds_from_quijote(capsys, tmp_path):
    for i, count in enumerate(COUNTS):
        write_fof(tmp_path / "sims" / str(i) / "groups_004", *haloes(count, seed=i))
    folder = tmp_path / "sims" / "1" / "groups_004"
    status, text, _ = run(capsys, "info", folder, "--box", 1000, "--redshift", 0)
    assert status == 0 and "galaxies: 25" in text
    (tmp_path / "t.txt").write_text(QUIJOTE)
    out = tmp_path / "mocks.h5"
    command = [
        "galaxies", "build", tmp_path / "sims", "--pattern", "*/groups_004", "--parameters",
        tmp_path / "t.txt", "--out", out, "--box", 1000, "--redshift", 0, "--most", 20,
    ]  # fmt: skip
    status, text, err = run(capsys, *command, "--json")
    assert status == 0 and "simulations 3/3" in err and "warning" not in err
    assert json.loads(text)["galaxies"] == [20, 20]
    whole = read_catalogue(out)
    assert whole.parameter_names == ("Omega_m", "Omega_b", "h", "ns", "s8")
    np.testing.assert_allclose(whole.parameters[:, 0], [0.1, 0.2, 0.3])
    status, text, _ = run(capsys, *command, "--cut", 2, "--force", "--columns", "Omega_m", "s8")
    assert status == 0 and text.startswith("3 simulations, 24 boxes of ")
    small = read_catalogue(out)
    assert small.box_size == 500.0 and small.parameter_names == ("Omega_m", "s8")
    np.testing.assert_array_equal(
        np.sort(tile(small, 2).position[:, :, 0]), np.sort(whole.position[:, :, 0])
    )


def test_the_command_builds_from_camels_and_leaves_nothing_half_written(capsys, tmp_path):
    for i, count in enumerate(COUNTS):
        write_subfind(tmp_path / "sims" / f"LH_{i}", *haloes(count, seed=i, box=25.0), box=25.0)
    rows = [f"LH_{i} 0.{3 - i} 0.8 1.0 {i}" for i in (2, 0, 1)]
    (tmp_path / "t.txt").write_text("#Name Omega_m sigma_8 A_SN1 seed\n" + "\n".join(rows))
    out = tmp_path / "mocks.h5"
    command = [
        "galaxies", "build", tmp_path / "sims", "--pattern", "*/fof_subhalo_tab_033.hdf5",
        "--parameters", tmp_path / "t.txt", "--objects", "subhalos", "--out", out,
    ]  # fmt: skip
    assert run(capsys, *command)[0] == 0
    built = read_catalogue(out)
    assert built.parameter_names == ("Omega_m", "sigma_8", "A_SN1")
    np.testing.assert_allclose(built.parameters[:, 0], [0.3, 0.2, 0.1])
    assert built.counts.tolist() == list(COUNTS) and built.box_size == 25.0
    out.unlink()
    path = tmp_path / "sims" / "LH_1" / "fof_subhalo_tab_033.hdf5"
    path.write_bytes(path.read_bytes()[:2000])
    status, text, err = run(capsys, *command)
    assert status == 2 and text == ""
    line = [line for line in err.splitlines() if line.startswith("physgen:")]
    assert len(line) == 1 and "LH_1/fof_subhalo_tab_033.hdf5" in line[0]
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".h5"] == []


def test_the_command_moves_galaxies_into_redshift_space(capsys, tmp_path):
    write_rockstar(tmp_path / "out_5.list", *haloes())
    position, velocity, _ = haloes()
    out = tmp_path / "s.h5"
    command = ["galaxies", "redshift-space", tmp_path / "out_5.list", "--out", out]
    status, _, err = run(capsys, *command)
    assert status == 2 and "expected --redshift of" in err
    status, text, _ = run(capsys, *command, "--redshift", 0, "--line-of-sight", "x")
    assert status == 0 and "40 galaxies of 1 box in" in text
    expected = (position + velocity * [0.01, 0, 0]) % BOX
    np.testing.assert_allclose(read_catalogue(out).position[0], expected, atol=1e-9)
    command = ["galaxies", "redshift-space", out, "--out", tmp_path / "t.h5"]
    status, _, err = run(capsys, *command, "--line-of-sight", "1,0")
    assert status == 2 and "three numbers such as 1,1,0, got '1,0'" in err
    command += ["--redshift", 1]
    status, _, err = run(capsys, *command)
    assert status == 2 and "omega_m is needed at redshift 1" in err
    assert run(capsys, *command, "--omega-m", 0.3)[0] == 0
    with h5py.File(tmp_path / "t.h5") as file:
        assert file.attrs["kind"] in ("catalogue", b"catalogue")
