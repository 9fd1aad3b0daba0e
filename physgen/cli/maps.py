"""The command that infers parameters from galaxy maps: galaxies infer.

A posterior of galaxy maps takes clouds (N, 3 + ...): positions in the catalogue's unit, then, where
they are used, velocities in units of 300 km/s and log10 mass - 13. Clouds of fewer galaxies are
padded with rows of NaN.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from physgen.cli.likelihoods import (
    FromLikelihood,
    add_likelihood,
    coverage_facts,
    coverage_words,
    covered,
    facts,
    from_likelihood,
    likelihood_checkpoint,
    likelihood_path,
    words,
)
from physgen.cli.options import (
    INTERRUPTED,
    require_checkpoint,
    require_parameters_of,
    stopped,
    tell,
    use_cores,
)
from physgen.cli.posteriors import (
    SHOWN,
    add_training,
    check_as_asked,
    facts_of,
    keep,
    prior_ends,
    require_at_least,
    require_enough_to_check,
    require_free,
    train,
    with_prior,
    words_of,
)
from physgen.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import PRNGKeyArray

    from physgen.galaxies.catalogue import Catalogue
    from physgen.galaxies.domain import Domain
    from physgen.galaxies.emulator import GalaxyEmulator
    from physgen.inference.misspecification import Misspecification
    from physgen.inference.priors import Prior
    from physgen.inference.results import PosteriorSamples
    from physgen.inference.store import Simulations

Boxes = Sequence[int | None]

VELOCITY_UNIT = 300.0  # km/s
LOG_MASS_ORIGIN = 13.0  # log10 Msun/h
BATCH_SIZE = 32  # the pairs of more clouds at a time leave the cache
COMPARED = 1000


def add_commands(galaxies) -> None:
    """Add the command to the parser of `physgen galaxies`."""
    parser = galaxies.add_parser(
        "infer",
        help="p(parameters | galaxies), learned from mocks or from an emulator's likelihood",
    )
    parser.add_argument("observed", type=Path, help="a catalogue of one box or more")
    parser.add_argument("--simulations", type=Path, metavar="MOCKS", help="with parameters")
    parser.add_argument("--conditions", type=Path, help="CSV table of parameters for the mocks")
    parser.add_argument("--box", type=float, help="side of the periodic box, if a file lacks it")
    parser.add_argument(
        "--features",
        choices=("all", "position"),
        default="all",
        help="what to learn from: positions, velocities and masses where both catalogues have "
        "them, or positions alone; with --emulator, what the emulator has",
    )
    add_likelihood(parser)
    add_training(parser)
    parser.set_defaults(run=infer)


def infer(options: argparse.Namespace) -> int:
    """physgen galaxies infer."""
    use_cores(at_most=4)
    import jax
    import numpy as np

    from physgen.galaxies.catalogue import read_catalogue
    from physgen.galaxies.emulator import GalaxyEmulator
    from physgen.inference.consistency import consistency
    from physgen.inference.priors import uniform_prior
    from physgen.nets.clouds import CloudEmbedding

    observed = read_catalogue(options.observed, box_size=options.box)
    boxes: Boxes = [None] if len(observed) == 1 else list(range(1, len(observed) + 1))
    _require_free(options, boxes)
    emulator = None if options.emulator is None else GalaxyEmulator.load(options.emulator)
    keys = jax.random.split(jax.random.key(options.seed), 4)
    fit_key, sample_key, likelihood_key, check_key = keys
    if emulator is not None:
        observed = observed.with_features(emulator.domain.features.modelled)
    if options.simulations is None:
        if emulator is None:
            raise InputError("expected --simulations, --emulator or both, got neither")
        if options.check is not None:
            raise InputError("expected --simulations beside --check, got none: give both")
        return _infer_from_likelihood(options, likelihood_key, emulator, observed, boxes)

    mocks = read_catalogue(options.simulations, box_size=options.box, conditions=options.conditions)
    if emulator is not None:
        require_parameters_of(emulator, mocks, options.simulations)
        mocks = mocks.with_features(emulator.domain.features.modelled)
    observed, mocks = _alike(observed, mocks, options.features)
    width = int(max(observed.counts.max(), mocks.counts.max()))
    simulations = with_prior(options, _simulations(mocks, width))
    require_enough_to_check(options, simulations)
    found: list[FromLikelihood] = []
    if emulator is not None:
        box = simulations.low, simulations.high
        prior = uniform_prior(*box, simulations.parameter_names, simulations.parameter_units)
        found, stop = from_likelihood(options, likelihood_key, emulator, observed, prior)
        if stop:
            return stopped(options, likelihood_checkpoint(options))
    embedding = CloudEmbedding(
        box_size=mocks.box_size or np.inf, vectors=0 if mocks.velocity is None else 1
    )
    posterior = train(options, fit_key, simulations, embedding, BATCH_SIZE)
    clouds = clouds_of(observed, width)
    likenesses = _likenesses(posterior, simulations, clouds, boxes)
    drawn = _draw(options, sample_key, posterior, clouds, boxes)

    known = len(drawn) == 1 and observed.parameter_names == mocks.parameter_names
    truth = observed.parameters[0] if known else None
    paths, figure = keep(options, posterior, drawn, truth)
    agreements = [
        consistency(each.grid, learned) for each, learned in zip(found, drawn, strict=False)
    ]
    coverage = covered(found, observed)
    if found:
        _keep_likelihoods(options, found, boxes, observed, drawn[0])
    if not posterior.training.interrupted:
        likelihood_checkpoint(options).unlink(missing_ok=True)
    figures = facts_of(options, posterior) | {
        "samples": paths,
        "figure": figure,
        "low": posterior.low,
        "high": posterior.high,
        "units": dict(zip(posterior.names, posterior.units, strict=True)),
        "boxes": [each.statistics() for each in drawn],
        "misspecified": [each.misspecified for each in likenesses],
        "misspecification_p": [each.p_value for each in likenesses],
        "likelihood": [facts(*pair) for pair in zip(found, agreements, strict=True)],
        **coverage_facts(coverage, options.power),
    }
    likeness = likenesses[0] if len(likenesses) == 1 else None
    checked, check_words = check_as_asked(options, check_key, posterior, likeness=likeness)
    tables = [each.summary() for each in drawn[:SHOWN]]
    if found:
        asked = map(words, found, agreements)
        tables = [f"{learned}\n{other}" for learned, other in zip(tables, asked, strict=False)]
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    tell(
        options,
        figures | checked,
        "\n".join(
            [
                *_headed(boxes, tables),
                *coverage_words(coverage, options.power),
                words_of(options, posterior, f"{paths[0]}{more}", figure),
                *check_words,
            ]
        ),
    )
    return INTERRUPTED if posterior.training.interrupted else 0


def _infer_from_likelihood(
    options: argparse.Namespace,
    key: "PRNGKeyArray",
    emulator: "GalaxyEmulator",
    observed: "Catalogue",
    boxes: Boxes,
) -> int:
    from physgen.io import figure_beside

    prior = _prior_of(options, emulator.domain)
    found, _ = from_likelihood(options, key, emulator, observed, prior)
    if len(found) < len(observed):
        return stopped(options)
    _keep_likelihoods(options, found, boxes, observed)
    likelihood_checkpoint(options).unlink(missing_ok=True)
    coverage = covered(found, observed)
    tables = [words(each, None) for each in found[:SHOWN]]
    paths = [likelihood_path(options, box) for box in boxes]
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    figure = figure_beside(options.out)
    tell(
        options,
        {
            "samples": paths,
            "figure": figure,
            "boxes": [facts(each, None) for each in found],
            **coverage_facts(coverage, options.power),
        },
        "\n".join(
            [
                *_headed(boxes, tables),
                *coverage_words(coverage, options.power),
                f"{paths[0]}{more}, {figure}",
            ]
        ),
    )
    return 0


def _likenesses(posterior, simulations, clouds, boxes) -> "list[Misspecification]":
    """Whether each box is like the simulations, by its features; a warning where it is not."""
    from physgen.inference.misspecification import misspecification, warn_if_unlike

    simulated = posterior.features(simulations.observations[:COMPARED])
    names = [f"learned feature {i}" for i in range(1, simulated.shape[1] + 1)]
    found = [misspecification(x, simulated, names=names) for x in posterior.features(clouds)]
    for box, each in zip(boxes, found, strict=True):
        warn_if_unlike(each, "" if box is None else f"box {box}: ")
    return found


def _draw(options, key, posterior, clouds, boxes) -> "list[PosteriorSamples]":
    import numpy as np

    from physgen.inference.results import PosteriorSamples

    samples = np.asarray(posterior.sample_each(key, options.samples, clouds))
    return [
        PosteriorSamples.from_arrays(
            rows,
            names=posterior.names,
            units=posterior.units,
            log_prob=posterior.log_prob(rows, cloud),
            low=posterior.low,
            high=posterior.high,
            metadata={"observed": str(options.observed), "box": box or 1},
        )
        for box, cloud, rows in zip(boxes, clouds, samples, strict=True)
    ]


def _headed(boxes: Boxes, tables: list[str]) -> list[str]:
    return [
        table if box is None else f"box {box}\n{table}"
        for box, table in zip(boxes, tables, strict=False)
    ]


def _require_free(options: argparse.Namespace, boxes: Boxes) -> None:
    from physgen.io import figure_beside, require_writable

    asked = [] if options.emulator is None else [likelihood_checkpoint(options)]
    if options.simulations is not None:
        require_free(options, boxes, asked)
    else:
        require_checkpoint(options)
    for path in asked if options.force and not options.resume else []:
        path.unlink(missing_ok=True)
    if options.emulator is not None:
        require_at_least(2, samples=options.samples)
        for path in [figure_beside(options.out), *(likelihood_path(options, b) for b in boxes)]:
            require_writable(path, options.force or options.resume)


def _prior_of(options: argparse.Namespace, domain: "Domain") -> "Prior":
    """Uniform where the emulator was trained, or between --prior-low and --prior-high."""
    import numpy as np

    from physgen.inference.priors import uniform_prior

    names = domain.parameter_names
    trained = np.array(domain.parameter_low), np.array(domain.parameter_high)
    low, high = prior_ends(options, names) or trained
    return uniform_prior(low, high, names, domain.parameter_units)


def _keep_likelihoods(
    options: argparse.Namespace,
    found: "list[FromLikelihood]",
    boxes: Boxes,
    observed: "Catalogue",
    learned: "PosteriorSamples | None" = None,
) -> None:
    """Write the draws, and a figure of the first box with what was learned beside it."""
    from physgen.io import atomic_path, figure_beside

    overwrite = options.force or options.resume
    for each, box in zip(found, boxes, strict=True):
        each.drawn.save(likelihood_path(options, box), overwrite=overwrite)
    first = found[0].drawn
    known = len(found) == 1 and observed.parameter_names == first.names
    figure = first.plot(
        truth=observed.parameters[0] if known else None,
        label="likelihood",
        others=None if learned is None else {"learned": learned},
    )
    with atomic_path(figure_beside(options.out), True) as temporary:
        figure.savefig(temporary, dpi=150)


def _alike(
    observed: "Catalogue", mocks: "Catalogue", features: str
) -> "tuple[Catalogue, Catalogue]":
    """Both catalogues with the features that they share."""
    from physgen.galaxies.units import require_same_units

    if not mocks.parameter_names:
        raise InputError(
            "expected mocks with parameters, got none; store them, or give --conditions"
        )
    if mocks.box_size is None or observed.box_size != mocks.box_size:
        raise InputError(
            f"expected both catalogues in one periodic box, got sides {observed.box_size} and "
            f"{mocks.box_size}; give mocks of the observed box, or --box"
        )
    known = () if features == "position" else ("velocity", "log_mass")
    shared = tuple(n for n in known if n in observed.features and n in mocks.features)
    observed, mocks = observed.with_features(shared), mocks.with_features(shared)
    require_same_units(observed.units, mocks.units, "the observed catalogue", "the mocks")
    return observed, mocks


def _simulations(mocks: "Catalogue", width: int) -> "Simulations":
    """Pairs of parameters and clouds, with the box that the parameters seem to come from.

    A uniform variable that was drawn m times lies in a range that is wider than that of the draws
    by one part in m - 1 on either side, on average.
    """
    import numpy as np

    from physgen.inference.store import Simulations

    theta = np.asarray(mocks.parameters, np.float64)
    distinct = np.array([len(np.unique(column)) for column in theta.T])
    margin = np.ptp(theta, axis=0) / np.maximum(distinct - 1, 1)
    return Simulations.from_arrays(
        mocks.parameters,
        clouds_of(mocks, width),
        names=mocks.parameter_names,
        units=mocks.parameter_units,
        low=theta.min(axis=0) - margin,
        high=theta.max(axis=0) + margin,
        missing=True,
    )


def clouds_of(catalogue: "Catalogue", width: int) -> "np.ndarray":
    """(boxes, width, 3 + ...): the galaxies of each box, then rows of NaN."""
    import numpy as np

    parts = [catalogue.position]
    if catalogue.velocity is not None:
        parts.append(catalogue.velocity / VELOCITY_UNIT)
    if catalogue.log_mass is not None:
        parts.append(catalogue.log_mass[..., None] - LOG_MASS_ORIGIN)
    rows = np.concatenate(parts, axis=-1).astype(np.float32)
    clouds = np.full((len(rows), width, rows.shape[-1]), np.nan, np.float32)
    order = np.argsort(~catalogue.mask, axis=1, kind="stable")
    first = np.take_along_axis(rows, order[..., None], axis=1)[:, :width]
    absent = np.sort(~catalogue.mask, axis=1)[:, :width]
    clouds[:, : first.shape[1]] = np.where(absent[..., None], np.nan, first)
    return clouds
