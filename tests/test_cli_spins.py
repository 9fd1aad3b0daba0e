import json

import h5py
import numpy as np
import pytest

import physgen
from physgen.cli.main import main

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

    status, said = run(capsys, *GROUND, "--out", out)
    assert status == 2 and "--force" in said.err and said.err.count("\n") == 1
    before = (out / "wavefunction.h5").read_bytes()
    status, said = run(capsys, *GROUND, "--out", out, "--resume")
    assert status == 2 and "found no checkpoint" in said.err and said.err.count("\n") == 1
    assert (out / "wavefunction.h5").read_bytes() == before


def test_an_energy_below_the_exact_one_is_kept_and_flagged(tmp_path, capsys):
    out = tmp_path / "run"
    status, said = run(capsys, *GROUND, "--steps", 2, "--reference", "10", "--out", out, "--json")
    assert status == 3 and "WARNING" in said.err and "sigma below" in said.err
    assert json.loads(said.out)["below_exact"] is True
    assert (out / "wavefunction.h5").exists()


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
        (["ground-state", "--hamiltonian", "tfim", "--n", "4", "--grow-from", "4"], "--grow-from"),
        (["ground-state", "--hamiltonian", "tfim", "--n", "4", "--resume"], "--out with --resume"),
        (["observe", "nowhere", "--out", "o.h5"], "nowhere does not exist"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    status, said = run(capsys, "spins", *arguments)
    assert status == 2 and message in said.err
    assert "Traceback" not in said.err and said.err.startswith("physgen: ")
    assert not list(tmp_path.iterdir())
