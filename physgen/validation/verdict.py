"""Numbers into words: what fails, at which scale, by how much, and in which direction."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from physgen.validation.compare import Comparison
from physgen.validation.groups import Group, describe_parameters
from physgen.validation.permutation import PermutationResult
from physgen.validation.statistic import Statistic

_SPREAD_FACTOR = 2.0  # a scatter wrong by more than this factor is beyond the second grade


class Grade(Enum):
    """How well generated boxes pass for real ones."""

    INDISTINGUISHABLE = "indistinguishable"
    DISTINGUISHABLE = "distinguishable"
    FAKE = "fake"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong: a sentence, and its size.

    size is |z| in units of a single box's scatter for a wrong mean, the factor (above one) by which
    a wrong scatter is off.
    """

    text: str
    size: float
    of_spread: bool


def mean_findings(
    statistic: Statistic,
    test: PermutationResult,
    comparisons: Sequence[Comparison],
    groups: Sequence[Group],
    names: Sequence[str],
) -> list[Finding]:
    """Where the generated mean is off: at most one finding too low and one too high."""
    findings = []
    for sign, word in ((-1, "low"), (1, "high")):
        failing = _failing(test, sign)
        if not any(len(bins) for bins in failing):
            continue
        g, b = _worst(failing, [np.abs(c.z) for c in comparisons])
        worst, size = comparisons[g], abs(comparisons[g].z[b])
        by = (
            f"up to {size:.2f} of a single box's scatter"
            if np.isfinite(size)
            else "where real boxes do not scatter at all"
        )
        unit = f" {statistic.unit}" if statistic.unit else ""
        text = (
            f"{statistic.name} too {word}{_at(statistic, failing)}, {by}"
            f"{_where(statistic, failing, g, b, groups, names)}: generated "
            f"{worst.mean_generated[b]:.4g}, real {worst.mean_real[b]:.4g}{unit}, "
            f"{abs(test.scores[g][b]):.1f} sigma there{_on_average(word, failing, comparisons)}"
        )
        findings.append(Finding(text, float(size), of_spread=False))
    return findings


def _on_average(word: str, failing, comparisons: Sequence[Comparison]) -> str:
    """The bias of the failing bins, those of all parameter sets together."""
    z = np.concatenate([c.z[bins] for c, bins in zip(comparisons, failing, strict=True)])
    z = z[np.isfinite(z)]
    if len(z) < 2:
        return ""
    where = " of all parameter sets" if len(comparisons) > 1 else ""
    return f", on average {z.mean():+z.2f} over the {len(z)} bins too {word}{where}"


def spread_findings(
    statistic: Statistic,
    test: PermutationResult,
    comparisons: Sequence[Comparison],
    groups: Sequence[Group],
    names: Sequence[str],
) -> list[Finding]:
    """Where the scatter between generated boxes is off: at most one finding each way."""
    findings = []
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = [c.scatter_generated / c.scatter for c in comparisons]
        factors = [np.maximum(ratio, 1 / ratio) for ratio in ratios]
    for sign, word, reach in ((-1, "small", "down to"), (1, "large", "up to")):
        failing = _failing(test, sign)
        if not any(len(bins) for bins in failing):
            continue
        g, b = _worst(failing, factors)
        by = (
            f"{reach} {ratios[g][b]:.2g} of the real one"
            if np.isfinite(ratios[g][b])
            else "where real boxes do not scatter at all"
        )
        text = (
            f"scatter of {statistic.name} between boxes too {word}{_at(statistic, failing)}, {by}"
            f"{_where(statistic, failing, g, b, groups, names)}"
        )
        findings.append(Finding(text, float(factors[g][b]), of_spread=True))
    return findings


def grade(
    findings: Sequence[Finding], copied: bool, tolerance: float, apart: bool = False
) -> Grade:
    """The grade: fake where a mean is off by `tolerance` of a single box's scatter or more, where a
    scatter is off by a factor of two or more, or where training boxes are copied; distinguishable
    where there is any finding, or where all statistics together are `apart`."""
    if copied or any(f.size >= (_SPREAD_FACTOR if f.of_spread else tolerance) for f in findings):
        return Grade.FAKE
    return Grade.DISTINGUISHABLE if findings or apart else Grade.INDISTINGUISHABLE


def headline(
    result: Grade,
    findings: Sequence[Finding],
    *,
    copied: bool,
    max_z: float,
    tolerance: float,
    boxes: str,
) -> str:
    """The verdict in one sentence.

    max_z is the largest finite |z| of all bins, chance included; it is told where it is more than
    the largest of a finding. `boxes` says how many boxes were compared.
    """
    bias = max((f.size for f in findings if not f.of_spread), default=0.0)
    largest = f"the largest significant bias is {bias:.2f} of a single box's scatter"
    if round(max_z, 2) > round(bias, 2):
        largest += f" (up to {max_z:.2f} is seen, but not established)"
    factor = max((f.size for f in findings if f.of_spread), default=1.0)
    if result is Grade.INDISTINGUISHABLE:
        return f"indistinguishable at this sample size ({boxes})"
    if result is Grade.DISTINGUISHABLE and bias > 0:
        return f"distinguishable, {largest} ({boxes})"
    if result is Grade.DISTINGUISHABLE and not findings:
        return f"distinguishable, but by no statistic alone ({boxes})"
    if result is Grade.DISTINGUISHABLE:
        return f"distinguishable, but by the scatter between boxes only ({boxes})"
    reasons = []
    if copied:
        reasons.append("it repeats training boxes")
    if np.isinf(bias):
        reasons.append("the means differ where real boxes do not scatter at all")
    elif bias >= tolerance:
        reasons.append(largest)
    if np.isinf(factor):
        reasons.append("boxes scatter where they must not, or the reverse")
    elif factor >= _SPREAD_FACTOR:
        reasons.append(f"the scatter between boxes is off by a factor of up to {factor:.2g}")
    return f"fake, {', '.join(reasons)} ({boxes})"


def _failing(test, sign):
    """Bins of each group that are beyond chance in this direction.

    Where the test rejects without any such bin (many small differences), the most extreme bin.
    """
    peak = max((np.abs(s).max(initial=0) for s in test.scores), default=0)
    limit = min(test.critical, np.nextafter(peak, 0))
    return [np.flatnonzero(sign * score > limit) for score in test.scores]


def _worst(failing, sizes):
    """Group and bin of the largest size among the failing bins."""
    candidates = [(g, b) for g, bins in enumerate(failing) for b in bins]
    return max(candidates, key=lambda gb: np.nan_to_num(sizes[gb[0]][gb[1]], nan=0, posinf=np.inf))


def _at(statistic, failing):
    scale = statistic.scale(np.unique(np.concatenate(failing)))
    if scale and statistic.bin_names and statistic.bin_label:
        scale += f" ({statistic.bin_label})"
    return f" at {scale}" if scale else ""


def _where(statistic, failing, g, b, groups, names):
    words = []
    everywhere = np.unique(np.concatenate(failing))
    if len(everywhere) > 1:
        words.append(f"at {statistic.scale(np.array([b]))}")
    if len(groups) > 1:
        if len(names):
            words.append(f"at {describe_parameters(names, groups[g].parameters)}")
        share = sum(len(bins) > 0 for bins in failing)
        words.append(f"in {share} of {len(groups)} parameter sets")
    return f" (worst {', '.join(words)})" if words else ""
