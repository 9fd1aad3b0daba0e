"""The galaxies' judge: generated against held-out catalogues."""

from dataclasses import replace

import numpy as np
from jaxtyping import Int

from physgen.errors import InputError
from physgen.galaxies.catalogue import Catalogue
from physgen.galaxies.summaries import (
    LEAST,
    SummarySettings,
    choose_settings,
    fingerprints,
    summaries,
)
from physgen.galaxies.units import require_same_units, same_side
from physgen.plots import CaptionedFigure, slices
from physgen.validation import (
    RandomForest,
    Report,
    c2st_clouds,
    match_groups,
    memorisation_test,
    validate,
)
from physgen.validation.clouds_view import CloudView
from physgen.validation.figures import evenly_spaced, group_title, report_figures
from physgen.validation.joint import box_strata
from physgen.validation.page import Shown
from physgen.words import of_other_case

_FOREST = RandomForest(trees=50)
_CLASSIFIED = 8  # boxes of either kind from which a classifier is trained
_PANELS = 3  # parameter sets of which boxes are shown
_SHOWN = 400  # galaxies that a slice should hold, if the box has as many


def validate_catalogues(
    generated: Catalogue,
    held_out: Catalogue,
    train: Catalogue | None = None,
    *,
    features: tuple[str, ...] | None = None,
    settings: SummarySettings | None = None,
    joint: bool = True,
    alpha: float = 0.05,
    tolerance: float = 1.0,
    draws: int = 999,
    seed: int | np.random.Generator = 0,
) -> tuple[Report, list[Shown]]:
    """Judge generated boxes against held-out ones, and look for copies of `train`.

    Boxes are compared by `summaries` at equal parameters, with permutation tests, and themselves by
    a classifier of points (`c2st_clouds`), unless `joint` is False; see
    `physgen.validation.validate` for it, `alpha`, `tolerance`, `draws` and `seed`. `settings` are
    the bins, by default `choose_settings(held_out)`.

    Judged are the `features` of these names and positions, by default those that the maker of
    `generated` models (`Catalogue.modelled`), or all; a note of the report says what is left aside.

    Raises InputError where the catalogues differ in box, units, features or parameters, or hold
    too few galaxies.
    """
    given = dict.fromkeys((*generated.features, *held_out.features))
    judged = generated.modelled if features is None else features
    if judged is not None:
        generated = generated.with_features(judged)
        wanted = [name for name in held_out.features if name in judged]
        held_out = held_out.with_features(tuple(wanted))
    _check(generated, held_out, "held-out")
    if train is not None:
        _check(generated, train, "training", features=False)
    settings = settings or choose_settings(held_out)
    names = held_out.parameter_names
    memorisation = None
    groups = match_groups(held_out.parameters, generated.parameters, names).groups
    notes = []
    if train is not None:
        compared = generated, held_out, train
        if min(np.sum(catalogue.counts >= LEAST) for catalogue in compared) >= 2:
            memorisation = memorisation_test(
                *(fingerprints(catalogue, train) for catalogue in compared), groups=groups
            )
        else:
            notes.append(f"No copies were looked for: boxes of {LEAST} galaxies or more are few.")
    report = validate(
        summaries(held_out, settings),
        summaries(generated, settings),
        real_parameters=held_out.parameters,
        generated_parameters=generated.parameters,
        parameter_names=names,
        memorisation=memorisation,
        others=_real_or_fake(generated, held_out, groups, draws, seed) if joint else (),
        joint=joint,
        alpha=alpha,
        tolerance=tolerance,
        draws=draws,
        seed=seed,
    )
    aside = [name for name in given if name not in generated.features]
    if aside:
        notes.append(f"Judged by {', '.join(generated.features)}; not judged: {', '.join(aside)}.")
    report = replace(report, notes=(*notes, *report.notes))
    clouds = _clouds(report, generated, held_out)
    shown = [_slices(report, generated, held_out), *([] if clouds is None else [clouds])]
    return report, [*shown, *report_figures(report)]


def _real_or_fake(generated, held_out, groups, draws, seed):
    """The classifier test of the boxes themselves, where there are enough of enough galaxies."""
    real = held_out.select(np.concatenate([group.real for group in groups]))
    fake = generated.select(np.concatenate([group.generated for group in groups]))
    if min(len(real), len(fake)) < _CLASSIFIED or min(real.counts.min(), fake.counts.min()) < 2:
        return ()
    found = c2st_clouds(
        real.position,
        fake.position,
        real_velocities=real.velocity,
        generated_velocities=fake.velocity,
        real_mask=real.mask,
        generated_mask=fake.mask,
        box_size=held_out.box_size,
        classifier=_FOREST,
        folds=2,
        permutations=draws,
        strata=box_strata(groups),
        seed=seed if isinstance(seed, int) else int(seed.integers(2**31)),
    )
    return (found,)


def _first_with_galaxies(catalogue: Catalogue, boxes: Int[np.ndarray, " k"]) -> np.ndarray:
    """The positions (m, 3) in the first of the boxes that is not empty; m is 0 if all are."""
    box = boxes[np.argmax(catalogue.counts[boxes] > 0)]
    return catalogue.position[box][catalogue.mask[box]]


def _clouds(report: Report, generated: Catalogue, held_out: Catalogue) -> CloudView | None:
    (first,) = evenly_spaced(report, 1)
    group = report.groups[first]
    real = _first_with_galaxies(held_out, group.real).astype(np.float64)
    fake = _first_with_galaxies(generated, group.generated).astype(np.float64)
    if not (len(real) and len(fake)):
        return None
    title = group_title(report, first)
    return CloudView(
        "Galaxies in three dimensions",
        f"One held-out and one generated box{f' at {title}' if title else ''}.",
        real,
        fake,
    )


def _check(generated: Catalogue, other: Catalogue, name: str, features: bool = True):
    sizes = generated.box_size, other.box_size
    if not same_side(*sizes):
        remedy = "; give the side that a file lacks (--box, box_size=)" if None in sizes else ""
        raise InputError(
            f"generated and {name} boxes must have one size, got {_size(sizes[0])} and "
            f"{_size(sizes[1])}{remedy}"
        )
    require_same_units(
        generated.units, other.units, "the generated catalogue", f"the {name} catalogue"
    )
    if generated.parameter_names != other.parameter_names:
        raise InputError(
            f"generated and {name} catalogues must have the same parameters in the same order, got "
            f"{generated.parameter_names} and {other.parameter_names}"
            f"{of_other_case(generated.parameter_names, other.parameter_names)}"
        )
    if not features:
        return
    for feature in dict.fromkeys((*generated.features, *other.features)):
        have = [feature in c.features for c in (generated, other)]
        if have[0] != have[1]:
            owner, lacking = ("generated", name) if have[0] else (name, "generated")
            raise InputError(
                f"the {owner} catalogue has {feature} and the {lacking} catalogue has not: "
                "compare catalogues with the same features, or positions only"
            )


def _size(box_size):
    return "no periodic box" if box_size is None else f"{box_size:g}"


def _slices(report: Report, generated: Catalogue, held_out: Catalogue) -> CaptionedFigure:
    shown = evenly_spaced(report, _PANELS)
    real = [_first_with_galaxies(held_out, report.groups[g].real) for g in shown]
    fake = [_first_with_galaxies(generated, report.groups[g].generated) for g in shown]
    if held_out.box_size is None:
        inside = held_out.position[held_out.mask]
        reach = 1.1 * float(np.quantile(np.abs(np.concatenate([inside, *real])), 0.995))
        limits = depth = (-reach, reach)
    else:
        limits = (0.0, held_out.box_size)
        share = min(1.0, _SHOWN / float(np.mean(held_out.counts)))
        depth = (0.0, share * held_out.box_size)
    which = "" if report.pooled else " at the same parameters"
    return CaptionedFigure(
        "Galaxies",
        f"One held-out and one generated box{which}.",
        slices(
            real,
            fake,
            [group_title(report, g) for g in shown],
            limits=limits,
            depth=depth,
            unit=held_out.position_unit,
        ),
    )
