"""A reconstruction that was interrupted ends with the numbers of one that was not."""

import json

import jax
import numpy as np
import pytest
from commands import run
from flax import nnx
from interrupting import Stop

import physgen
from physgen.errors import InputError
from physgen.spins import GRUWavefunction
from physgen.spins.tomography import (
    Readout,
    Shots,
    TomographySettings,
    bootstrap,
    fit_sweep,
    reconstruct,
)
from physgen.train import Silent

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
OUTCOMES = RNG.integers(2, size=(200, 2)) | RNG.integers(2, size=(200, 1))
SHOTS = Shots.of(OUTCOMES, ["ZZ", "XX"] * 100)


def assert_equal(one, other):
    pairs = zip(jax.tree.leaves(nnx.state(one)), jax.tree.leaves(nnx.state(other)), strict=True)
    for a, b in pairs:
        np.testing.assert_array_equal(a, b)


def state(report, readout="learned", **options):
    return reconstruct(
        KEY,
        SHOTS,
        GRUWavefunction(units=2, phase=True),
        readout=readout,
        settings=TomographySettings(steps=60, starts=2),
        report=report,
        **options,
    )


def test_a_state_goes_on_to_the_same_bits(tmp_path):
    file = tmp_path / "run.h5"
    whole = state(Silent())
    assert repr(whole).startswith(f"<Reconstruction from {SHOTS}: held-out log-likelihood -")
    part = state(Stop(), checkpoint=file)
    assert part.run.interrupted and part.run.steps < 60
    rest = state(Silent(), checkpoint=file, resume=True)
    assert not rest.run.interrupted and rest.run.steps == whole.run.steps
    assert_equal(rest.wavefunction, whole.wavefunction)
    assert rest.held_out_log_likelihood == whole.held_out_log_likelihood
    np.testing.assert_array_equal(rest.readout.confusion, whole.readout.confusion)
    with pytest.raises(InputError, match="other identity"):
        state(Silent(), Readout.flips(0.1, 0.1, 2), checkpoint=file, resume=True)
    with pytest.raises(InputError, match="resume from it"):
        state(Silent(), checkpoint=file)


def test_a_sweep_goes_on_to_the_same_bits(tmp_path):
    def sweep(report, **options):
        control = np.arange(200) % 2
        return fit_sweep(KEY, OUTCOMES, control, units=2, steps=60, report=report, **options)

    file = tmp_path / "run.h5"
    whole = sweep(Silent())
    assert sweep(Stop(), checkpoint=file).run.interrupted
    rest = sweep(Silent(), checkpoint=file, resume=True)
    assert rest.log_likelihood == whole.log_likelihood and rest.run.steps == 60
    assert_equal(rest.density, whole.density)


def test_half_trained_refits_are_not_handed_out():
    found = state(Silent(), readout=None)
    with pytest.raises(KeyboardInterrupt):
        bootstrap(KEY, found, 2, report=Stop())


@pytest.mark.parametrize("control", [[], ["--control", "time"]])
def test_the_command_goes_on(tmp_path, monkeypatch, capsys, control):
    monkeypatch.chdir(tmp_path)
    np.savez("shots.npz", outcomes=OUTCOMES, time=np.arange(200) % 2)
    np.savetxt("psi.txt", np.full((4, 1), 0.5))
    more = control or ["--target", "psi.txt", "--members", 2]
    command = ["spins", "tomography", "shots.npz", "--units", 2, "--steps", 60, *more]
    assert "leave out --resume" in run(capsys, *command, "--out", "a.h5", "--resume")[2]
    status, out, _ = run(capsys, *command, "--json", "--out", "whole.h5")
    whole = json.loads(out)
    assert status == 0 and not list(tmp_path.glob("*.checkpoint"))
    with monkeypatch.context() as patched:
        patched.setattr("physgen.train.loop.ProgressLine", Stop)
        status, out, err = run(capsys, *command, "--out", "part.h5")
    assert status == 130 and (tmp_path / "part.h5.checkpoint").exists()
    assert "--resume goes on from part.h5.checkpoint" in out and "refitting" not in err
    status, out, _ = run(capsys, *command, "--json", "--out", "part.h5", "--resume")
    rest = json.loads(out)
    assert status == 0 and not (tmp_path / "part.h5.checkpoint").exists()
    for name in whole:
        if "seconds" not in name:
            assert rest[name] == whole[name], name
    assert_equal(physgen.load("part.h5"), physgen.load("whole.h5"))
