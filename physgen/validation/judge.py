"""The judge: two ensembles of statistics in, one report out."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import compress

import numpy as np
from numpy.typing import ArrayLike

from physgen.errors import InputError
from physgen.validation.compare import compare, floor, rms_and_max
from physgen.validation.groups import MINIMUM_BOXES, match_groups
from physgen.validation.joint import MOST, JointTest, TwoSampleResult, joint_tests
from physgen.validation.memorisation import Memorisation
from physgen.validation.permutation import holm, labellings, permutation_test, two_sample_scores
from physgen.validation.report import Report, StatisticResult
from physgen.validation.statistic import Statistic
from physgen.validation.verdict import grade, headline, mean_findings, spread_findings

_FEW = "Statistics are not tested together: there are too few boxes, or nothing varies."
_MANY = f"Statistics are tested together for {MOST} boxes of either kind, drawn at random."
_SMALLEST_SHARE = 0.5  # of the boxes of a group must have a value for a bin to be tested


def validate(
    real: Sequence[Statistic],
    generated: Sequence[Statistic],
    *,
    real_parameters: ArrayLike,
    generated_parameters: ArrayLike,
    parameter_names: Sequence[str] = (),
    memorisation: Memorisation | None = None,
    others: Sequence[TwoSampleResult] = (),
    joint: bool = True,
    alpha: float = 0.05,
    tolerance: float = 1.0,
    minimum_boxes: int = MINIMUM_BOXES,
    draws: int = 999,
    seed: int | np.random.Generator = 0,
) -> Report:
    """Judge generated boxes against real ones that the model never saw.

    `real` and `generated` are the same statistics in the same bins, of n and m boxes. Boxes are
    compared with boxes of equal parameters (`match_groups`). Each statistic gets two permutation
    tests with `draws` relabellings, of means and of scatter; all statistics together get the tests
    of `joint_tests`, unless `joint` is False, and `others` are tests that were made elsewhere, of
    the boxes themselves. Holm's correction over all tests, that of `memorisation` among them, keeps
    the chance of any false alarm at `alpha`; a box that is the same as a training box needs no
    test. Copies, a mean that is off by `tolerance` of a single box's scatter or more, and a scatter
    that is off by a factor of two make the ensemble fake. `seed` fixes the relabellings and the
    floor's splits.

    Raises InputError for statistics or parameters that do not fit each other, and fewer than two
    boxes.
    """
    _check(real, generated, len(np.asarray(real_parameters)), len(np.asarray(generated_parameters)))
    if not (0 < alpha < 1 and tolerance > 0 and draws >= 1):
        raise InputError(
            f"expected 0 < alpha < 1, tolerance > 0 and draws >= 1, got alpha={alpha}, "
            f"tolerance={tolerance}, draws={draws}"
        )
    rng = np.random.default_rng(seed)
    names = tuple(parameter_names)
    grouping = match_groups(real_parameters, generated_parameters, names, minimum_boxes)
    labels = [
        labellings(
            np.arange(len(g.real) + len(g.generated)) < len(g.real),
            np.concatenate([g.real_strata, g.generated_strata]),
            draws,
            rng,
        )
        for g in grouping.groups
    ]
    results = [
        _judge(r, g, grouping.groups, labels, alpha, rng)
        for r, g in zip(real, generated, strict=True)
    ]
    varied = [r.varies for r in results]
    p_values = [t.p_value for r in compress(results, varied) for t in (r.mean_test, r.spread_test)]
    together = (
        joint_tests(
            real,
            generated,
            [np.all(r.tested, axis=0) for r in results],
            grouping.groups,
            draws=draws,
            rng=rng,
        )
        if joint
        else ()
    )
    together += tuple(map(JointTest.of, others))
    p_values += [test.p_value for test in together]
    if memorisation is not None:
        p_values.append(memorisation.p_value)
    adjusted = iter(holm(p_values))
    results = [
        _with_findings(r, next(adjusted), next(adjusted), grouping.groups, names, alpha) if v else r
        for r, v in zip(results, varied, strict=True)
    ]
    together = tuple(replace(test, p_adjusted=float(next(adjusted))) for test in together)
    copied = None
    if memorisation is not None:
        memorisation = replace(memorisation, p_adjusted=float(next(adjusted)))
        if memorisation.certain or memorisation.p_adjusted < alpha:
            copied = _copied(memorisation)
    findings = [finding for result in results for finding in result.findings]
    apart = tuple(test for test in together if test.p_adjusted < alpha)
    result = grade(findings, copied is not None, tolerance, bool(apart))
    largest = max((r.max_z for r in results if np.isfinite(r.max_z)), default=0.0)
    boxes = (
        f"{sum(len(g.generated) for g in grouping.groups)} generated against "
        f"{sum(len(g.real) for g in grouping.groups)} held-out boxes"
    )
    if len(grouping.groups) > 1:
        boxes += f" at {len(grouping.groups)} parameter sets"
    elif grouping.pooled and names:
        boxes += ", pooled over parameters"
    return Report(
        result,
        headline(
            result,
            findings,
            copied=copied is not None,
            max_z=largest,
            tolerance=tolerance,
            boxes=boxes,
        ),
        tuple(results),
        together,
        grouping.groups,
        grouping.pooled,
        names,
        memorisation,
        copied,
        grouping.notes
        + _notes(results, memorisation, draws, len(p_values), alpha)
        + tuple(f"{test.name}: {test.note}" for test in together if test.note)
        + ((_FEW,) if joint and not together else ())
        + ((_MANY,) if joint and max(map(_size, (real, generated))) > MOST else ()),
        alpha,
        tolerance,
        draws,
    )


def _size(statistics):
    return len(statistics[0].values)


def _check(real, generated, n, m):
    if not len(real):
        raise InputError("there is no statistic to compare: expected at least one, got none")
    names = [s.name for s in real], [s.name for s in generated]
    if names[0] != names[1]:
        raise InputError(
            f"real and generated need the same statistics, got {names[0]} and {names[1]}"
        )
    for r, g in zip(real, generated, strict=True):
        if not r.same_bins(g):
            raise InputError(
                f"statistic {r.name!r} has different bins or units in real and "
                "generated: compute both with the same settings"
            )
        if (len(r.values), len(g.values)) != (n, m):
            raise InputError(
                f"statistic {r.name!r} has {len(r.values)} real and {len(g.values)} generated "
                f"boxes, but there are parameters of {n} and {m}"
            )


def _judge(real, generated, groups, labels, alpha, rng):
    comparisons, t, spread, enough = [], [], [], []
    for group, label in zip(groups, labels, strict=True):
        r, g = real.values[group.real], generated.values[group.generated]
        both = np.concatenate([r, g])
        comparison = compare(r, g)
        comparisons.append(comparison)
        enough.append(
            (np.isfinite(both).mean(axis=0) >= _SMALLEST_SHARE)
            & np.isfinite(comparison.error_real)
            & np.isfinite(comparison.error_generated)
        )
        scores = two_sample_scores(both, label)
        t.append(scores[0])
        spread.append(scores[1])
    tested = np.stack(enough)
    pairs = list(zip(comparisons, tested, strict=True))
    rms, largest = rms_and_max([c.z[bins] for c, bins in pairs])
    noise = [np.where(bins & ~np.isnan(c.z), c.noise, np.nan) for c, bins in pairs]
    floor_rms, floor_max = floor(real.values, groups, tested, rng)
    return StatisticResult(
        real,
        tuple(comparisons),
        tested,
        rms,
        largest,
        rms_and_max(noise)[0],
        floor_rms,
        floor_max,
        permutation_test([np.where(b, s, 0) for b, s in zip(tested, t, strict=True)], alpha),
        permutation_test([np.where(b, s, 0) for b, s in zip(tested, spread, strict=True)], alpha),
    )


def _with_findings(result, p_mean, p_spread, groups, names, alpha):
    mean_test = replace(result.mean_test, p_adjusted=float(p_mean))
    spread_test = replace(result.spread_test, p_adjusted=float(p_spread))
    arguments = result.comparisons, groups, names
    findings = []
    if p_mean < alpha:
        findings += mean_findings(result.statistic, mean_test, *arguments)
    if p_spread < alpha:
        findings += spread_findings(result.statistic, spread_test, *arguments)
    return replace(result, mean_test=mean_test, spread_test=spread_test, findings=tuple(findings))


def _copied(memorisation):
    return (
        f"copies: {memorisation.copies} of {memorisation.compared} generated boxes are nearer to a "
        f"training box than any held-out box is, {memorisation.identical} the same as one "
        f"(Mann-Whitney z {memorisation.z:.1f})"
    )


def _notes(results, memorisation, draws, tests, alpha):
    notes = []
    for result in results:
        found = result.tested.sum(axis=0)
        everywhere = len(result.tested)
        some = f"is tested at some of the {everywhere} parameter sets alone"
        lacking = (found == 0, "is not tested"), ((found > 0) & (found < everywhere), some)
        for bins, words in lacking:
            if bins.any():
                scale = result.statistic.scale(np.flatnonzero(bins))
                at = f" at {scale}" if scale else ""
                notes.append(f"{result.statistic.name}{at} {words}: too few boxes have a value.")
        if result.tested.all() and not result.varies:
            notes.append(
                f"{result.statistic.name} is the same in all boxes, held-out and generated: "
                "it does not scatter and there is nothing to test."
            )
    if tests / (draws + 1) >= alpha:
        notes.append(
            f"{draws} relabellings are too few for {tests} tests: nothing could be found. Use "
            f"{int(10 * tests / alpha)}."
        )
    if memorisation is not None and memorisation.leaked:
        notes.append(
            f"{memorisation.leaked} held-out boxes are in the training set: they cannot judge, and "
            "single copies go unnoticed beside them. Hold out other boxes."
        )
    return tuple(notes)
