import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

import physgen
from physgen.cli.main import main
from physgen.io import read_model
from physgen.io.npz import read_npz
from physgen.spins import ground_state
from physgen.spins.exact import ising_chain
from physgen.spins.tomography import readers

SMALL = [
    "--n",
    "6",
    "--ansatz",
    "gru",
    "--units",
    "6",
    "--samples",
    "32",
    "--energy-samples",
    "512",
]
GROUND = ["spins", "ground-state", "--hamiltonian", "tfim", "--field", "1.0", *SMALL]


def run(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    return status, capsys.readouterr()


def test_the_path_of_a_user(tmp_path, capsys):
    out = tmp_path / "run"
    status, said = run(capsys, *GROUND, "--steps", 40, "--grow-from", 3, "--out", out, "--json")
    figures = json.loads(said.out)
    assert status == 0 and "self-check" in said.err and "growing to 6 sites" in said.err
    assert "--spin-flip imposes that" in said.err
    assert figures["n"] == 6 and figures["reference"] == "free fermions"
    relative = (figures["energy"] - figures["reference_energy"]) / abs(figures["reference_energy"])
    assert figures["signed_relative_error"] == pytest.approx(relative)
    assert -1e-3 < relative < 0.1
    assert {"energy_error", "variance", "v_score", "steps", "seconds_per_step", "parameters"} < set(
        figures
    )
    assert {path.name for path in out.iterdir()} == {"wavefunction.h5", "training.png"}

    wavefunction = physgen.load(out / "wavefunction.h5")
    every = (np.arange(64)[:, None] >> np.arange(6)[::-1]) & 1
    assert np.exp(2 * np.asarray(wavefunction.log_psi(every)).real).sum() == pytest.approx(1, 1e-5)

    observables = tmp_path / "observables.h5"
    status, said = run(capsys, "spins", "observe", out, "--out", observables, "--samples", 512)
    assert status == 0 and "Renyi-2" in said.out
    assert observables.with_suffix(".png").exists()
    with h5py.File(observables) as file:
        assert file["renyi_2_entropy/value"].shape == (5,)
        assert file["correlation_zz/error"].shape == (6,)
        entropy, chain = file["renyi_2_entropy/exact"][2], ising_chain(6, 1.0, 1.0)
        assert entropy == pytest.approx(chain.renyi_2_entropy(3))
    assert f"exact: {entropy:.4f}" in said.out and "(free fermions)" in said.out

    status, said = run(capsys, *GROUND, "--out", out)
    assert status == 2 and "--force" in said.err and said.err.count("\n") == 1
    before = (out / "wavefunction.h5").read_bytes()
    status, said = run(capsys, *GROUND, "--out", out, "--resume")
    assert status == 2 and "found no checkpoint" in said.err and said.err.count("\n") == 1
    assert (out / "wavefunction.h5").read_bytes() == before


def test_a_chain_that_was_stopped_while_it_grew_is_what_it_is(tmp_path, monkeypatch, capsys):
    def stopped(*arguments, **options):
        return replace(ground_state(*arguments, **options), interrupted=True)

    monkeypatch.setattr("physgen.spins.ground_state", stopped)
    out = tmp_path / "run"
    options = ["--steps", 2, "--grow-from", 3, "--out", out, "--json"]
    status, said = run(capsys, *GROUND, *options)
    figures = json.loads(said.out)
    assert status == 130 and figures["n"] == 3 and figures["interrupted"]
    assert figures["reference_energy"] == pytest.approx(ising_chain(3, 1.0, 1.0).energy)
    observables = tmp_path / "observables.h5"
    status, _ = run(capsys, "spins", "observe", out, "--out", observables, "--samples", 16)
    assert status == 0 and observables.with_suffix(".png").exists()


def test_an_energy_below_the_exact_one_is_kept_and_flagged(tmp_path, capsys):
    out = tmp_path / "run"
    status, said = run(capsys, *GROUND, "--steps", 2, "--reference", "10", "--out", out, "--json")
    assert status == 3 and "WARNING" in said.err and "sigma below" in said.err
    assert json.loads(said.out)["below_exact"] is True
    assert (out / "wavefunction.h5").exists()


def test_an_exact_energy_of_zero_has_no_relative_error(tmp_path, capsys):
    command = [*GROUND, "--steps", 2, "--reference", "0", "--out", tmp_path / "run"]
    status, said = run(capsys, *command)
    assert status == 3 and ": signed error -" in said.out
    assert (tmp_path / "run" / "wavefunction.h5").exists()


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["tfim", "--n", "40"], -50.5694337948),
        (["heisenberg", "--n", "4", "--periodic"], -2.0),
        (["heisenberg", "--n", "100", "--j2", "0.5"], -37.5),
        (["tfim", "--lattice", "2x2", "--field", "0"], -4.0),
    ],
)
def test_exact_energies(capsys, options, wanted):
    status, said = run(capsys, "spins", "exact", "--hamiltonian", *options, "--json")
    assert status == 0
    assert json.loads(said.out)["energy"] == pytest.approx(wanted, rel=1e-10)


def test_terms_come_from_a_file(tmp_path, capsys):
    terms = tmp_path / "terms.txt"
    terms.write_text("# a triangle\n1.0 ZZ 0 1\n1.0 ZZ 1 2\n1.0 ZZ 0 2\n\n0.5\n")
    status, said = run(capsys, "spins", "exact", "--hamiltonian", terms, "--n", 3, "--json")
    assert status == 0 and json.loads(said.out)["energy"] == pytest.approx(-0.5)
    terms.write_text("1.0 ZZ 0 one\n")
    status, said = run(capsys, "spins", "exact", "--hamiltonian", terms, "--n", 3)
    assert status == 2 and "line 1" in said.err and said.err.count("\n") == 1
    terms.write_bytes(b"1.0 ZZ 0 1 # \xff\n")
    status, said = run(capsys, "spins", "exact", "--hamiltonian", terms, "--n", 3)
    assert status == 2 and "which is binary" in said.err and said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["exact", "--hamiltonian", "tfim"], "--n for a chain or --lattice"),
        (["exact", "--hamiltonian", "tfim", "--n", "4", "--j2", "0.1"], "got --j2"),
        (["exact", "--hamiltonian", "nothing", "--n", "4"], "expected one of tfim"),
        (["exact", "--hamiltonian", "heisenberg", "--n", "40"], "take fewer sites"),
        (["exact", "--hamiltonian", "heisenberg", "--n", "5", "--sector", "0"], "2 S_z"),
        (["ground-state", "--hamiltonian", "tfim", "--n", "4", "--sector", "0"], "conserves"),
        (["ground-state", "--hamiltonian", "heisenberg", "--n", "5", "--sector", "0"], "2 S_z"),
        (["ground-state", "--hamiltonian", "tfim", "--n", "4", "--width", "8"], "got --width"),
        (["ground-state", "--hamiltonian", "tfim", "--n", "4", "--steps", "0"], "--steps"),
        (
            ["ground-state", "--hamiltonian", "tfim", "--n", "4", "--reach", "0"],
            "reach of at least",
        ),
        (["ground-state", "--hamiltonian", "tfim", "--n", "4", "--grow-from", "4"], "--grow-from"),
        (["ground-state", "--hamiltonian", "tfim", "--n", "4", "--resume"], "--out with --resume"),
        (["observe", "nowhere", "--out", "o.h5"], "nowhere does not exist"),
        (["observe", "nowhere", "--out", "o.h5", "--samples", "1"], "--samples of at least 2"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    status, said = run(capsys, "spins", *arguments)
    assert status == 2 and message in said.err
    assert "Traceback" not in said.err and said.err.startswith("physgen: ")
    assert not list(tmp_path.iterdir())


def sweep_of_shots(path, **others):
    rng = np.random.default_rng(0)
    time = rng.choice([0.0, 0.5, 1.0], 300)
    first = rng.random(300) < 0.1 + 0.8 * time
    outcomes = np.stack([first, first ^ (rng.random(300) < 0.1)], axis=1).astype(np.uint8)
    np.savez(path, **{"rydberg": outcomes, "time_us": time, "spacing_um": np.array(5.5), **others})


def test_one_model_of_a_sweep(tmp_path, capsys):
    shots, model, out = (tmp_path / name for name in ("shots.npz", "model.h5", "observables.h5"))
    sweep_of_shots(shots)
    command = ["spins", "tomography", shots, "--control", "time_us", "--out", model]
    status, said = run(capsys, *command, "--units", 4, "--steps", 200, "--json")
    figures = json.loads(said.out)
    assert status == 0 and "pooled" not in said.err
    wanted = {"sites": 2, "shots": 300, "control": "time_us", "values": 3, "held_out_shots": 30}
    assert wanted.items() <= figures.items() and figures["seconds"] > 0
    assert figures["stopped_early"] is False and figures["best_step"] <= figures["steps"] == 200
    assert -1.386 < figures["held_out_log_likelihood"] < -0.6
    for name in ("held_out_log_likelihood", "gain_over_independent", "gain_over_markov"):
        assert figures[f"{name}_error"] > 0 and np.isfinite(figures[name])

    assert physgen.load(model).values.tolist() == [[0.0], [0.5], [1.0]]
    assert read_model(model).metadata["control"] == ["time_us"]
    status, said = run(capsys, "spins", "observe", model, "--out", out, "--samples", 4000)
    assert status == 0 and "3 values of time_us" in said.out
    assert out.with_suffix(".png").exists()
    with h5py.File(out) as file:
        assert file["control/time_us"][:].tolist() == [0.0, 0.5, 1.0]
        z, error = file["magnetisation_z/value"][:], file["magnetisation_z/error"][:]
        assert file["neighbours_zz/value"].shape == file["neighbours_zz/error"].shape == (3, 1)
    assert z.shape == (3, 2) and (error > 0).all() and (z[0] > 0.3).all() and (z[2] < -0.3).all()

    status, said = run(capsys, *command)
    assert status == 2 and "--force" in said.err and said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "others", "message"),
    [
        (["--control", "nothing"], {}, "found time_us"),
        (["--control", "spacing_um"], {}, "found time_us"),
        (["--control", "time_us,time_us"], {}, "once"),
        (["--control", "same"], {"same": np.ones(300)}, "a control that varies"),
        (["--control", "time_us"], {"bases": np.array([b"ZZ", b"XX"] * 150)}, "got X, Z"),
        (["--control", "time_us", "--target", "psi.txt"], {}, "no --target with --control"),
        (["--control", "time_us", "--spin-flip"], {}, "no --spin-flip with"),
        (["--control", "time_us", "--members", "4"], {}, "no --members with"),
        (["--control", "time_us", "--ansatz", "nade"], {}, "no --ansatz with"),
        (["--control", "time_us", "--units", "0"], {}, "one unit"),
    ],
)
def test_what_is_no_sweep_is_one_line(tmp_path, monkeypatch, capsys, arguments, others, message):
    monkeypatch.chdir(tmp_path)
    sweep_of_shots("shots.npz", **others)
    status, said = run(capsys, "spins", "tomography", "shots.npz", "--out", "m.h5", *arguments)
    assert status == 2 and message in said.err
    assert said.err.startswith("physgen: ") and said.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["shots.npz"]


def test_a_text_file_has_no_control(tmp_path, capsys):
    (tmp_path / "shots.txt").write_text("01\n10\n" * 30)
    command = ["spins", "tomography", tmp_path / "shots.txt", "--control", "time"]
    status, said = run(capsys, *command, "--out", tmp_path / "m.h5")
    wanted = "an array 'time' with a number for each shot beside them, found none; .npz and .h5"
    assert status == 2 and wanted in said.err


@pytest.mark.parametrize("options", [["--target", "nowhere.txt"], ["--control", "same"]])
def test_a_file_of_shots_is_read_once(tmp_path, monkeypatch, capsys, options):
    monkeypatch.chdir(tmp_path)
    sweep_of_shots("shots.npz", same=np.ones(300))
    reads = []
    monkeypatch.setattr(readers, "read_npz", lambda path: reads.append(path) or read_npz(path))
    run(capsys, "spins", "tomography", "shots.npz", "--out", "m.h5", *options)
    assert len(reads) == 1


def test_pooled_values_are_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    sweep_of_shots("shots.npz", shot=np.arange(300), same=np.ones(300))
    command = ["spins", "tomography", "shots.npz", "--out", "state.h5", "--target", "nowhere.txt"]
    note, error = run(capsys, *command)[1].err.splitlines()
    assert "pooled" in note and "--control time_us or shot makes" in note and "same" not in note
    assert "nowhere.txt" in error
