import json

import h5py
import jax
import numpy as np
import pytest

import physgen
from physgen.cli.main import main
from physgen.errors import InputError
from physgen.io import read_model
from physgen.spins import Chain, GRUWavefunction, fidelity
from physgen.spins.tomography import (
    Shots,
    TomographySettings,
    amplitudes_of,
    counts_as_shots,
    read_amplitudes,
    read_shots,
    reconstruct,
    save_amplitudes,
    save_shots,
)
from physgen.train import Silent

ROWS = np.array([[0, 1, 1], [1, 0, 0], [0, 1, 1]])
STRINGS = ["XYZ", "ZZZ", "XYZ"]


def run(capsys, *arguments):
    status = main(["spins", "tomography", *map(str, arguments)])
    return status, capsys.readouterr()


def test_every_format_gives_the_same_shots(tmp_path):
    (tmp_path / "apart.txt").write_text("0 1 1 \n1 0 0\n\n0 1 1\n")
    (tmp_path / "together.txt").write_text("011\n100\n011\n")
    np.save(tmp_path / "a.npy", ROWS.astype(float))
    np.savez(tmp_path / "a.npz", rydberg=ROWS, time=np.zeros(3))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["shots"] = ROWS.astype(np.uint8)
    for name in ("apart.txt", "together.txt", "a.npy", "a.npz", "a.h5"):
        found = read_shots(tmp_path / name)
        np.testing.assert_array_equal(found.outcomes, ROWS)
        assert found.strings == ["ZZZ"] * 3
    (tmp_path / "registers.txt").write_text("00 10\n01 11\n")
    assert read_shots(tmp_path / "registers.txt").outcomes.tolist() == [[0, 0, 1, 0], [0, 1, 1, 1]]
    (tmp_path / "bases.txt").write_text("X Y Z\nZ Z Z\nX Y Z\n")
    (tmp_path / "one.txt").write_text("xyz\n")
    assert read_shots(tmp_path / "a.npy", tmp_path / "bases.txt").strings == STRINGS
    assert read_shots(tmp_path / "a.npy", tmp_path / "one.txt").strings == ["XYZ"] * 3
    assert read_shots(tmp_path / "a.npy", "XXX").strings == ["XXX"] * 3


@pytest.mark.parametrize("name", ["shots.h5", "shots.npz", "shots.json"])
def test_shots_come_back_from_files(tmp_path, name):
    save_shots(tmp_path / name, Shots.of(ROWS, STRINGS))
    found = read_shots(tmp_path / name)
    order = np.lexsort(found.outcomes.T)
    np.testing.assert_array_equal(found.outcomes[order], ROWS[np.lexsort(ROWS.T)])
    assert sorted(found.strings) == sorted(STRINGS)
    with pytest.raises(InputError, match="exists"):
        save_shots(tmp_path / name, found)


def test_counts_of_qiskit_and_others():
    plain = counts_as_shots({"01": 2, "11": 1})
    assert plain.outcomes.tolist() == [[0, 1], [0, 1], [1, 1]]
    by_basis = counts_as_shots({"XX": {"00": 1}, "ZZ": {"0 1": 2}})
    assert by_basis.strings == ["XX", "ZZ", "ZZ"] and by_basis.outcomes[1].tolist() == [0, 1]
    header = {"memory_slots": 3, "metadata": {"basis": "XYZ"}}
    result = {"results": [{"data": {"counts": {"0x6": 2}}, "header": header}]}
    found = counts_as_shots(result)
    assert found.outcomes.tolist() == [[1, 1, 0]] * 2 and found.strings == ["XYZ"] * 2


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"012": 1}, "0 and 1"),
        ({"01": 1.5}, "whole number"),
        ({"01": 1, "1": 1}, "2 sites"),
        ({"0x3": 1}, "memory_slots"),
        ({"01": 0}, "at least one shot"),
        ({"results": [{}]}, "data and counts"),
        ({"results": 5}, "bit strings|0 and 1"),
        ({"XX": [1, 2], "ZZ": {"00": 1}}, "counts such as"),
    ],
)
def test_bad_counts_are_refused(counts, message):
    with pytest.raises(InputError, match=message):
        counts_as_shots(counts)


def test_amplitudes_come_back_from_files(tmp_path):
    psi = np.array([0.5, 0.5j, -0.5, 0.5 - 0.0j])
    save_amplitudes(tmp_path / "psi.txt", psi)
    np.testing.assert_allclose(read_amplitudes(tmp_path / "psi.txt", 2), psi, atol=1e-15)
    np.save(tmp_path / "psi.npy", 3 * psi)
    np.testing.assert_allclose(read_amplitudes(tmp_path / "psi.npy", 2), psi, atol=1e-15)
    with pytest.raises(InputError, match="8 amplitudes for 3 sites"):
        read_amplitudes(tmp_path / "psi.txt", 3)
    (tmp_path / "psi.txt").write_text("0 0\n" * 4)
    with pytest.raises(InputError, match="not all zero"):
        read_amplitudes(tmp_path / "psi.txt", 2)


@pytest.mark.slow
def test_the_path_of_a_user(tmp_path, capsys):
    rng = np.random.default_rng(0)
    p = np.array([0.45, 0.05, 0.05, 0.45])
    rows = (rng.choice(4, 600, p=p)[:, None] >> np.array([1, 0])) & 1
    np.savetxt(tmp_path / "shots.txt", rows, "%d")
    save_amplitudes(tmp_path / "psi.txt", np.sqrt(p).astype(complex))
    out = tmp_path / "state.h5"
    command = [tmp_path / "shots.txt", "--target", tmp_path / "psi.txt", "--units", 4]
    status, said = run(capsys, *command, "--members", 4, "--steps", 100, "--out", out, "--json")
    figures = json.loads(said.out)
    assert status == 0 and "caveat" in said.err
    assert figures["sites"] == 2 and figures["shots"] == 600 and figures["seconds"] > 0
    assert figures["held_out_log_likelihood"] == pytest.approx((p * np.log(p)).sum(), abs=0.3)
    low, high = figures["fidelity_interval"]
    assert figures["fidelity"] > 0.97 and low <= figures["fidelity"] <= high

    wavefunction = physgen.load(out)
    every = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    psi = np.exp(np.asarray(wavefunction.log_psi(every)))
    assert abs(np.sqrt(p) @ psi) ** 2 == pytest.approx(figures["fidelity"], abs=1e-5)
    status, said = run(capsys, *command, "--out", out)
    assert status == 2 and "--force" in said.err

    observables = tmp_path / "observables.h5"
    arguments = ["spins", "observe", str(out), "--out", str(observables), "--samples", "256"]
    assert main(arguments) == 0 and observables.with_suffix(".png").exists()


def test_noise_stops_early_and_the_command_says_so(tmp_path, capsys):
    """Forty fair coins of four sites: all that can be learned of them is noise."""
    rows = np.random.default_rng(0).integers(2, size=(40, 4))
    np.savetxt(tmp_path / "shots.txt", rows, "%d")
    out = tmp_path / "state.h5"
    status, said = run(capsys, tmp_path / "shots.txt", "--units", 4, "--members", 0, "--out", out)
    result = read_model(out).metadata["result"]
    assert status == 0 and result["stopped_early"] and result["best_step"] < result["steps"] < 300
    assert (
        f"{result['steps']} steps (stopped early: best at step {result['best_step']}) in"
        in said.out
    )


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("0 1\n1 2\n", [], "got 2"),
        ("0 1\n1\n", [], "2 sites in every row"),
        ("zero one\n", [], "in row 1"),
        ("", [], "empty"),
        ("0 1\n", [], "give more data"),
        ("0 1\n1 0\n", ["--bases", "ZZZ"], "2 letters"),
        ("0 1\n1 0\n", ["--bases", "ZQ"], "neither"),
        ("0 1\n1 0\n", ["--target", "nowhere.txt"], "amplitudes"),
        ("0 1\n1 0\n", ["--readout", "0.1"], "two probabilities"),
        ("0 1\n1 0\n", ["--readout", "0.1,1.2"], "sum to 1"),
        ("0 1\n1 0\n", ["--members", "1"], "at least 2"),
        ("0 1\n1 0\n", ["--held-out", "1.5"], "between 0 and 1"),
        ("0 1\n1 0\n", ["--width", "3"], "got --width"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, text, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shots.txt").write_text(text)
    status, said = run(capsys, "shots.txt", "--out", "state.h5", *options)
    assert status == 2 and message in said.err
    assert said.err.startswith("physgen: ") and said.err.count("\n") == 1
    assert not (tmp_path / "state.h5").exists()


@pytest.mark.slow
def test_the_ising_chain_of_qucumber(shared_data):
    folder = shared_data / "spins"
    shots, psi = (
        read_shots(folder / "tfim1d_data.txt"),
        read_amplitudes(folder / "tfim1d_psi.txt", 10),
    )
    found = reconstruct(jax.random.key(0), shots, report=Silent())
    assert fidelity(found.wavefunction, psi) >= 0.995
    p = np.abs(amplitudes_of(found.wavefunction)) ** 2
    assert p.sum() == pytest.approx(1, abs=1e-5)


def test_a_lattice_of_another_size_is_refused():
    shots = Shots.of(ROWS)
    with pytest.raises(InputError, match="3 sites"):
        reconstruct(jax.random.key(0), shots, GRUWavefunction(units=2), lattice=Chain(4))
    with pytest.raises(InputError, match="held_out"):
        TomographySettings(held_out=0.0)
