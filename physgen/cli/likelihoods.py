"""The part of `galaxies infer` that asks an emulator for the likelihood of maps."""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from physgen.cli.kept import KeptRows, made_of
from physgen.cli.options import count_up, progress
from physgen.cli.posteriors import require_at_least
from physgen.interrupts import interrupt_flag

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import PRNGKeyArray

    from physgen.galaxies.catalogue import Catalogue
    from physgen.galaxies.emulator import GalaxyEmulator
    from physgen.inference.consistency import Consistency
    from physgen.inference.power import Coverage
    from physgen.inference.priors import Prior
    from physgen.inference.results import PosteriorSamples
    from physgen.inference.surface import GridPosterior


@dataclass(frozen=True, eq=False)
class FromLikelihood:
    """The posterior of one box from its likelihood, draws of it, and what the draws took."""

    grid: "GridPosterior"
    drawn: "PosteriorSamples"
    seconds: float


def add_likelihood(parser: argparse.ArgumentParser) -> None:
    """--emulator and how its likelihood is estimated."""
    parser.add_argument(
        "--emulator",
        type=Path,
        metavar="EMULATOR",
        help="infer from its likelihood too, and say whether both posteriors agree; or from its "
        "likelihood alone, without --simulations",
    )
    add_estimates(parser)
    parser.add_argument(
        "--power",
        type=float,
        default=1.0,
        help="that likelihoods are raised to (default 1); several boxes with known parameters say "
        "which power makes posteriors hold the truth as often as they claim",
    )


def add_estimates(parser: argparse.ArgumentParser) -> None:
    """--probes and --evaluations."""
    parser.add_argument(
        "--probes", type=int, default=4, help="estimates of each likelihood (default 4)"
    )
    parser.add_argument(
        "--evaluations",
        type=int,
        default=18,
        help="of the network for each, a multiple of 3 (default 18)",
    )


def likelihood_path(options: argparse.Namespace, box: int | None) -> Path:
    """Where the draws go: --out itself where nothing else does, STEM_likelihood.h5 beside it."""
    out: Path = options.out
    if options.simulations is None and box is None:
        return out
    stem = out.stem if options.simulations is None else f"{out.stem}_likelihood"
    return out.with_name(f"{stem}{'' if box is None else f'_{box}'}.h5")


def likelihood_checkpoint(options: argparse.Namespace) -> Path:
    """Where likelihoods are kept until all are done; PATH.checkpoint where nothing is trained."""
    path = likelihood_path(options, None)
    return path.with_name(path.name + ".checkpoint")


def from_likelihood(
    options: argparse.Namespace,
    key: "PRNGKeyArray",
    emulator: "GalaxyEmulator",
    observed: "Catalogue",
    prior: "Prior",
) -> tuple[list[FromLikelihood], bool]:
    """The posterior of each box, on a grid, and draws of it; and whether Ctrl-C came.

    All likelihoods are kept in `likelihood_checkpoint`; Ctrl-C leaves out the boxes that follow.
    """
    import jax
    import numpy as np

    from physgen.galaxies.likelihood import clouds
    from physgen.inference.results import PosteriorSamples

    require_at_least(2, probes=options.probes)
    show, found = progress("boxes"), []
    galaxies, masks = clouds(emulator, observed)
    files = [options.emulator, options.observed]
    asked = [options.seed, options.probes, options.evaluations, options.power, options.box]
    kept = KeptRows(likelihood_checkpoint(options), made_of(files, [*asked, prior.low, prior.high]))
    with interrupt_flag() as interrupt:
        for i, cloud in enumerate(zip(galaxies, masks, strict=True)):
            box_key, sample_key = jax.random.split(jax.random.fold_in(key, i))
            known, seconds = kept.rows[i] if i < len(kept.rows) else ([], 0.0)
            answers, started = [np.array(answer) for answer in known], time.monotonic()
            part = count_up(f"box {i + 1}/{len(galaxies)}: likelihoods")
            grid = grid_of(options, box_key, emulator, cloud, prior, part, options.power, answers)
            if i == len(kept.rows):
                seconds = time.monotonic() - started
                kept.append((answers, seconds))
            rows = grid.sample(sample_key, options.samples)
            drawn = PosteriorSamples.from_arrays(
                rows,
                names=prior.names,
                units=prior.units,
                log_prob=grid.log_prob(rows),
                low=prior.low,
                high=prior.high,
                metadata={
                    "observed": str(options.observed),
                    "box": i + 1,
                    "emulator": str(options.emulator),
                    "power": grid.power,
                    **_evidence(grid),
                },
            )
            found.append(FromLikelihood(grid, drawn, seconds))
            show(i + 1, len(galaxies))
            if interrupt.is_set():
                break
    return found, interrupt.is_set()


def grid_of(
    options: argparse.Namespace,
    key: "PRNGKeyArray",
    emulator: "GalaxyEmulator",
    galaxies: "tuple[np.ndarray, np.ndarray]",
    prior: "Prior",
    show: Callable[[int], None],
    power: float = 1.0,
    answers: "list[np.ndarray] | None" = None,
) -> "GridPosterior":
    """The posterior of one box, its cloud and mask, from likelihoods as `add_estimates` says.

    Args:
        show: called with the number of likelihoods so far.
        answers: likelihoods that are known, in the order in which they are asked for; those that
            are not known are added.
    """
    import numpy as np

    from physgen.densities import Hutchinson
    from physgen.galaxies.emulator import LIKELIHOOD_SOLVER
    from physgen.galaxies.likelihood import log_likelihoods
    from physgen.inference.surface import GridPosterior

    trace = Hutchinson(options.probes)
    solver = replace(LIKELIHOOD_SOLVER, evaluations=options.evaluations)

    answers = [] if answers is None else answers
    known = iter(list(answers))

    def estimates(theta):
        answer = next(known, None)
        if answer is None:
            parts = log_likelihoods(key, emulator, *galaxies, theta, trace=trace, solver=solver)
            answer = np.asarray(parts.of_the_set())
            answers.append(answer)
            show(sum(len(each) for each in answers))
        return answer

    return GridPosterior.of(estimates, prior, power=power)


def facts(each: FromLikelihood, agreement: "Consistency | None") -> dict[str, Any]:
    """What --json says of one box."""
    known = {
        **each.drawn.statistics(),
        "numerical_error": each.grid.numerical_error(),
        "power": each.grid.power,
        **_evidence(each.grid),
        "evaluations": each.grid.evaluations,
        "seconds": each.seconds,
    }
    if agreement is None:
        return known
    return known | {
        "consistent": agreement.consistent,
        "shift": agreement.shift,
        "width": agreement.width,
        "effective_fraction": agreement.effective_fraction,
        "pareto_k": agreement.weighted.pareto_k,
    }


def words(each: FromLikelihood, agreement: "Consistency | None") -> str:
    """The same in a few lines."""
    errors = ", ".join(
        f"{name} {error:.2g}"
        for name, error in zip(each.grid.names, each.grid.numerical_error(), strict=True)
    )
    power = each.grid.power
    line = (
        f"{each.grid.evaluations} likelihoods in {each.seconds:.0f} s; error of the means from "
        f"their estimates: {errors}"
    )
    if power == 1:
        line += f"; log evidence {each.grid.log_evidence:.1f} +- {each.grid.log_evidence_error:.1f}"
    lines = [
        "from the likelihood" if power == 1 else f"from the likelihood to the power {power:g}",
        each.drawn.summary(),
        line,
    ]
    return "\n".join(lines + ([] if agreement is None else [agreement.finding()]))


def covered(found: list[FromLikelihood], observed: "Catalogue") -> "Coverage | None":
    """How often the posteriors hold the truth, if it is known of enough boxes."""
    from physgen.inference.power import FEWEST, coverage

    if len(found) < FEWEST or observed.parameter_names != found[0].grid.names:
        return None
    return coverage([each.grid for each in found], observed.parameters)


def coverage_facts(known: "Coverage | None", power: float) -> dict[str, Any]:
    """What --json says of the coverage of likelihoods to a power."""
    if known is None:
        return {}
    inside = dict(zip(known.names, known.inside, strict=True))
    return {"coverage_68": inside, "calibrated_power": power * known.power}


def coverage_words(known: "Coverage | None", power: float) -> list[str]:
    """The same in a line, if there is one."""
    if known is None:
        return []
    return [f"{known.finding()}; --power {power * known.power:.2g} fits them best"]


def _evidence(grid: "GridPosterior") -> dict[str, float]:
    """Of the likelihood, not of a power of it."""
    if grid.power != 1:
        return {}
    return {"log_evidence": grid.log_evidence, "log_evidence_error": grid.log_evidence_error}
