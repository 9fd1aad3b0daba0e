"""What an emulator's likelihood is worth: inference from maps, and odd maps found.

    python benchmarks/likelihood.py maps EMULATOR HELD_OUT OUT.csv [--posterior POSTERIOR]
    python benchmarks/likelihood.py odd EMULATOR HELD_OUT OUT.png
    python benchmarks/likelihood.py nuts EMULATOR HELD_OUT OUT.json --first MAP

maps: the posterior of each held-out map on a grid, a row for each in OUT.csv (which grows, and is
gone on with), beside the mean of a posterior that was learned from the maps of the emulator's
training, which is what a regression network would say. Then root-mean-square errors, coverage and
time, over all rows.

odd: a detector calibrated on one half of the held-out maps at their own parameters, asked about the
other half as they are, with velocities exchanged among galaxies, with a wrong sigma_8 claimed, and
with a stripe left out.

nuts: the posterior of one map on the grid, and by NUTS from the same likelihood, its probes
included: they differ by what the grid interpolates and by the Monte Carlo error of the draws.
"""

import argparse
import csv
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
from rows import append, has_row
from scipy.stats import chi2

from physgen.cli.maps import clouds_of
from physgen.densities import Hutchinson
from physgen.galaxies import Catalogue, GalaxyEmulator, read_catalogue
from physgen.galaxies.anomaly import AnomalyDetector, score_maps
from physgen.galaxies.emulator import LIKELIHOOD_SOLVER
from physgen.galaxies.likelihood import TRACE, MapLikelihood, clouds, log_likelihoods, padded
from physgen.inference import Posterior
from physgen.inference.mcmc import LikelihoodPosterior, Sampler
from physgen.inference.priors import uniform_prior
from physgen.inference.surface import GridPosterior
from physgen.inference.tempering import Tempering


def main() -> None:
    """One of the three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("maps", "odd", "nuts"))
    parser.add_argument("emulator", type=Path)
    parser.add_argument("held_out", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--posterior", type=Path)
    parser.add_argument("--first", type=int, default=0, help="held-out map")
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--powers", default="0.4,0.6,0.8,1", help="of the likelihood")
    parser.add_argument("--probes", type=int, default=TRACE.number)
    parser.add_argument("--evaluations", type=int, default=LIKELIHOOD_SOLVER.evaluations)
    options = parser.parse_args()
    emulator = GalaxyEmulator.load(options.emulator)
    wanted = slice(options.first, options.first + options.n)
    held_out = read_catalogue(options.held_out).select(wanted)
    held_out = held_out.with_features(emulator.domain.features.modelled)
    if options.what == "maps":
        ask_maps(options, emulator, held_out)
        tell(options.out, emulator)
    elif options.what == "nuts":
        compare_samplers(options, emulator, held_out.select(slice(0, 1)))
    else:
        find_odd(options, emulator, held_out)


def settings_of(options) -> dict[str, Any]:
    """How each likelihood is estimated."""
    solver = replace(LIKELIHOOD_SOLVER, evaluations=options.evaluations)
    return {"trace": Hutchinson(options.probes), "solver": solver}


def ask_maps(options, emulator: GalaxyEmulator, held_out: Catalogue) -> None:
    """A row for each map."""
    domain = emulator.domain
    ends = np.array(domain.parameter_low), np.array(domain.parameter_high)
    prior = uniform_prior(*ends, domain.parameter_names)
    settings = settings_of(options)
    powers = sorted(float(power) for power in options.powers.split(","))
    learned = None
    if options.posterior is not None:
        posterior = Posterior.load(options.posterior)
        draws = posterior.sample_each(
            jax.random.key(1), 2000, clouds_of(held_out, posterior.settings.x_shape[0])
        )
        learned = np.asarray(draws)
    for i, (cloud, mask) in enumerate(zip(*clouds(emulator, held_out), strict=True)):
        number = options.first + i
        if has_row(options.out, map=number):
            continue
        key, started = jax.random.fold_in(jax.random.key(0), number), time.perf_counter()

        def estimates(theta, key=key, cloud=cloud, mask=mask):
            parts = log_likelihoods(key, emulator, cloud, mask, theta, **settings)
            return np.asarray(parts.of_the_set())

        widest = GridPosterior.of(estimates, prior, power=powers[0])
        asked = {
            "map": number,
            "galaxies": int(mask.sum()),
            "seconds": time.perf_counter() - started,
            "evaluations": widest.evaluations,
        }
        for power in powers:
            sharper = widest.log_likelihood * (power / powers[0])
            grid = replace(widest, log_likelihood=sharper, power=power)
            off = grid.mean() - held_out.parameters[i]
            distance = float(off @ np.linalg.solve(grid.covariance(), off))
            row = asked | {"power": power, "distance": distance}
            low, high = grid.interval()
            columns = {
                "truth": held_out.parameters[i],
                "mean": grid.mean(),
                "deviation": np.sqrt(np.diag(grid.covariance())),
                "error": grid.numerical_error(),
                "low": low,
                "high": high,
            }
            if learned is not None:
                columns |= {"learned": learned[i].mean(0), "learned_deviation": learned[i].std(0)}
            for name, values in columns.items():
                row |= {f"{name}_{p}": float(v) for p, v in zip(prior.names, values, strict=True)}
            append(options.out, row)


def tell(table: Path, emulator: GalaxyEmulator) -> None:
    """Errors of the means, the prior's deviation, coverage, and time, for each power."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for power in sorted({row["power"] for row in rows}, key=float):
        print(f"power {power}")
        _tell([row for row in rows if row["power"] == power], emulator)


def _tell(rows: list[dict[str, str]], emulator: GalaxyEmulator) -> None:
    def column(name: str) -> np.ndarray:
        return np.array([float(row[name]) for row in rows])

    for p in emulator.domain.parameter_names:
        truth = column(f"truth_{p}")

        def rmse(name, p=p, truth=truth):
            squares = (column(f"{name}_{p}") - truth) ** 2
            return f"{squares.mean() ** 0.5:.4f}", squares

        ours, squares = rmse("mean")
        inside = (column(f"low_{p}") <= truth) & (truth <= column(f"high_{p}"))
        pulls = (column(f"mean_{p}") - truth) / column(f"deviation_{p}")
        line = (
            f"{p}: {len(rows)} maps, RMSE {ours}, prior's deviation {truth.std():.4f}, "
            f"68% interval holds {inside.mean():.3f}, pulls {pulls.mean():+.2f}, {pulls.std():.2f}"
            f", error from estimates {np.sqrt(np.mean(column(f'error_{p}') ** 2)):.4f}"
        )
        if f"learned_{p}" in rows[0]:
            theirs, others = rmse("learned")
            rng = np.random.default_rng(0)
            drawn = rng.integers(0, len(rows), (2000, len(rows)))
            ratios = np.sqrt(squares[drawn].mean(1) / others[drawn].mean(1))
            line += (
                f"; learned {theirs}, ratio {float(ours) / float(theirs):.3f} +- {ratios.std():.3f}"
            )
        print(line)
    fitting = column("power").mean() * chi2.median(len(emulator.domain.parameter_names))
    print(f"the power that fits them best: {fitting / np.median(column('distance')):.2f}")
    seconds = column("seconds")
    print(f"seconds a map: {np.median(seconds):.1f}, {seconds.min():.1f} to {seconds.max():.1f}")


def compare_samplers(options, emulator: GalaxyEmulator, one: Catalogue) -> None:
    """Means and deviations of both, seconds, and how well the chains agree, as JSON."""
    domain, settings, key = emulator.domain, settings_of(options), jax.random.key(0)
    ends = np.array(domain.parameter_low), np.array(domain.parameter_high)
    prior = uniform_prior(*ends, domain.parameter_names)
    (cloud,), (mask,) = clouds(emulator, one)

    def estimates(theta):
        parts = log_likelihoods(key, emulator, cloud, mask, theta, **settings)
        return np.asarray(parts.of_the_set())

    started = time.perf_counter()
    grid = GridPosterior.of(estimates, prior)
    found: dict[str, Any] = {"map": options.first, "galaxies": int(mask.sum())}
    found["grid"] = described(grid.mean(), np.sqrt(np.diag(grid.covariance())), started)
    found["grid"]["evaluations"] = grid.evaluations

    started = time.perf_counter()
    likelihood = MapLikelihood(emulator, len(cloud), key, **settings)
    few = Sampler(Tempering(particles=32, most=10), chains=4, warmup=50, steps=50, doublings=3)
    posterior = LikelihoodPosterior(likelihood, prior, few)
    draws = posterior.draw(jax.random.key(1), 200, padded(cloud, mask))
    samples = np.asarray(draws.samples)
    found["nuts"] = described(samples.mean(0), samples.std(0), started)
    found["nuts"]["r_hat"] = draws.r_hat.tolist()
    found["nuts"]["effective_sample_size"] = draws.effective_sample_size.tolist()
    options.out.write_text(json.dumps(found, indent=1))
    print(options.out.read_text())


def described(mean: np.ndarray, deviation: np.ndarray, started: float) -> dict[str, Any]:
    """As JSON values."""
    seconds = time.perf_counter() - started
    return {"mean": mean.tolist(), "deviation": deviation.tolist(), "seconds": seconds}


def find_odd(options, emulator: GalaxyEmulator, held_out: Catalogue) -> None:
    """Detection curves, and the fraction found at 5% of false alarms."""
    settings = settings_of(options)
    half = len(held_out) // 2
    usual, asked = held_out.select(slice(0, half)), held_out.select(slice(half, len(held_out)))
    key_usual, key_asked = jax.random.split(jax.random.key(0))
    detector = AnomalyDetector.fit(score_maps(key_usual, emulator, usual, **settings))
    cases = {"as they are": (asked, asked.parameters)}
    if asked.velocity is not None:
        cases["velocities exchanged"] = (exchanged(asked), asked.parameters)
    at = emulator.domain.parameter_names.index("sigma_8")
    for shift in (0.1, 0.2):
        claimed = asked.parameters.copy()
        middle = np.mean([emulator.domain.parameter_low[at], emulator.domain.parameter_high[at]])
        claimed[:, at] += np.where(claimed[:, at] < middle, shift, -shift)
        cases[f"sigma_8 off by {shift}"] = (asked, claimed)
    for width in (0.1, 0.2):
        cases[f"stripe of {width:.0%} left out"] = (without_stripe(asked, width), asked.parameters)
    figure, axes = plt.subplots(figsize=(5.2, 4.2), layout="constrained")
    lines = ["-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1))]
    for (name, (maps, parameters)), line in zip(cases.items(), lines, strict=False):
        p = detector.p_values(score_maps(key_asked, emulator, maps, parameters, **settings))
        level = np.linspace(0, 1, 101)
        axes.plot(level, [(p <= a).mean() for a in level], linestyle=line, label=name)
        print(f"{name}: {len(p)} maps, found at 5%: {(p <= 0.05).mean():.2f}", flush=True)
    axes.set(
        xlabel="p-value below which a map is called odd",
        ylabel="fraction of maps called odd",
        xlim=(0, 1),
        ylim=(0, 1.02),
    )
    axes.legend(loc="lower right")
    figure.savefig(options.out, dpi=150)


def exchanged(maps: Catalogue) -> Catalogue:
    """The velocities of each map in random order."""
    assert maps.velocity is not None, "these maps have velocities"
    rng, velocity = np.random.default_rng(0), maps.velocity.copy()
    for i, mask in enumerate(maps.mask):
        velocity[i, mask] = rng.permutation(velocity[i, mask])
    return replace(maps, velocity=velocity)


def without_stripe(maps: Catalogue, width: float) -> Catalogue:
    """Without the galaxies of a slab; where their number is fixed, they are put elsewhere."""
    side = maps.box_size
    assert side is not None, "these maps are of periodic boxes"
    edge = width * side
    if len(np.unique(maps.counts)) > 1:
        return replace(maps, mask=maps.mask & (maps.position[..., 0] > edge))
    rng, position = np.random.default_rng(0), maps.position.copy()
    inside = position[..., 0] <= edge
    position[inside, 0] = rng.uniform(edge, side, inside.sum())
    return replace(maps, position=position)


if __name__ == "__main__":
    main()
