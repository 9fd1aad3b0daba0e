"""What a notebook shows of a result is one line, without its arrays."""

import dataclasses

import jax
import numpy as np
from flax import nnx

from physgen.galaxies import Catalogue, validate_catalogues
from physgen.inference import Simulations
from physgen.nets.stacked import built
from physgen.spins import Energy, GroundState, GRUWavefunction
from physgen.spins.tomography import Shots, SweepDensity
from physgen.spins.tomography.sweep_density import SweepSettings
from physgen.train import FitResult

RNG = np.random.default_rng(0)
BOXES = Catalogue(
    RNG.uniform(0, 64, (40, 30, 3)).astype(np.float32),
    velocity=RNG.normal(size=(40, 30, 3)).astype(np.float32),
    parameters=RNG.uniform(size=(40, 1)),
    parameter_names=("Omega_m",),
    box_size=64.0,
)


def wavefunction(**options):
    ansatz = GRUWavefunction(units=4, **options)
    return built(lambda rngs: ansatz.build(6, rngs=rngs), jax.random.key(0))


def test_catalogues():
    assert repr(BOXES) == (
        "<Catalogue of 40 boxes in 64 Mpc/h of 30 galaxies (position, velocity), given Omega_m>"
    )
    mask = np.array([[True, True, False]])
    cloud = Catalogue(RNG.normal(size=(1, 3, 3)), mask)
    assert repr(cloud) == "<Catalogue of 1 box of 2 galaxies (position)>"
    varying = dataclasses.replace(BOXES, mask=np.arange(30) < np.arange(1, 41)[:, None] % 31)
    assert "of 0 to 30 galaxies" in repr(varying)


def test_simulations():
    found = Simulations.from_arrays(
        RNG.normal(size=(9, 2)), RNG.normal(size=(9, 3)), names=["a", "b"]
    )
    assert repr(found) == "<Simulations, 9 of a, b with observations of shape (3,)>"


def test_reports():
    half = np.arange(40) < 20
    report, _ = validate_catalogues(BOXES.select(half), BOXES.select(~half))
    assert repr(report) == f"<Report: {report.headline}>" and report.headline


def test_runs():
    run = FitResult(None, {"loss": np.zeros(500)}, 500, 75.0, 3.0, False, False, 400, 0.125)
    assert repr(run) == "<FitResult: 500 steps in 1:15, validation loss 0.125 after 400>"
    unjudged = dataclasses.replace(run, best_step=None, best_validation_loss=None)
    assert repr(unjudged) == "<FitResult: 500 steps in 1:15>"


def test_wavefunctions_and_ground_states():
    psi = wavefunction()
    numbers = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(psi, nnx.Param)))
    shown = f"<Wavefunction of 6 sites, positive; {numbers} trained numbers>"
    assert repr(psi) == str(psi) == shown
    assert "real" in repr(wavefunction(marshall=True))
    assert "complex" in repr(wavefunction(phase=True))
    assert "of 3 levels" in repr(wavefunction(local_dimension=3))
    found = GroundState(
        psi, Energy(-7.25, 0.0031, 0.1, 2e-4, 1024), {}, 200, 12.0, 0.06, 3.0, False
    )
    assert repr(found) == (
        f"<GroundState: energy -7.25 +- 0.0031, V-score 0.0002, 200 steps in 0:12; {shown}>"
    )


def test_shots_and_their_densities():
    assert repr(Shots.of([[0, 1], [1, 1]], ["ZZ", "XZ"])) == "<Shots, 2 of 2 sites in 2 bases>"
    settings = SweepSettings(5, 4, ((0.0,), (1.0,), (2.0,)))
    density = SweepDensity(settings, rngs=nnx.Rngs(0))
    assert repr(density).startswith("<SweepDensity of 5 sites at 3 values; ")
