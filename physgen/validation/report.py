"""What a comparison of two ensembles found, for people and for machines."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from physgen.validation.compare import Comparison
from physgen.validation.groups import Group
from physgen.validation.joint import JointTest
from physgen.validation.memorisation import Memorisation
from physgen.validation.permutation import PermutationResult
from physgen.validation.statistic import Statistic
from physgen.validation.verdict import Finding, Grade


@dataclass(frozen=True, eq=False)
class StatisticResult:
    """How one statistic compares: per group, over all groups, and the tests.

    `tested` (k, p) are the bins in which enough boxes of a group have a value. rms_z and max_z are
    over them; noise_z is the rms that chance alone gives, sqrt(1/n + 1/m); floor_z and floor_max_z
    are those of held-out boxes against held-out boxes, scaled to n and m.
    """

    statistic: Statistic
    comparisons: tuple[Comparison, ...]
    tested: Bool[np.ndarray, "k p"]
    rms_z: float
    max_z: float
    noise_z: float
    floor_z: float
    floor_max_z: float
    mean_test: PermutationResult
    spread_test: PermutationResult
    findings: tuple[Finding, ...] = ()

    @property
    def varies(self) -> bool:
        """Whether any tested bin differs between any two boxes of a group."""
        return any(
            bool(np.any(bins & ((c.scatter > 0) | (c.scatter_generated > 0) | np.isinf(c.z))))
            for c, bins in zip(self.comparisons, self.tested, strict=True)
        )


@dataclass(frozen=True, eq=False)
class Report:
    """The comparison of a generated with a held-out ensemble.

    `passed` is True where nothing was found at family-wise level `alpha`. `verdict` is the headline
    and every finding in words. `joint` are the tests of all statistics together.
    """

    grade: Grade
    headline: str
    statistics: tuple[StatisticResult, ...]
    joint: tuple[JointTest, ...]
    groups: tuple[Group, ...]
    pooled: bool
    parameter_names: tuple[str, ...]
    memorisation: Memorisation | None
    copied: str | None
    notes: tuple[str, ...]
    alpha: float
    tolerance: float
    draws: int

    def __repr__(self) -> str:
        return f"<Report: {self.headline}>"

    @property
    def passed(self) -> bool:
        """Whether the two ensembles are indistinguishable at this sample size."""
        return self.grade is Grade.INDISTINGUISHABLE

    @property
    def p_value(self) -> float:
        """The smallest p-value of all tests, corrected (Holm); 0 for copies that were found.

        1 where nothing could be tested.
        """
        found = [t.p_adjusted for r in self.statistics for t in (r.mean_test, r.spread_test)]
        found += [test.p_adjusted for test in self.joint]
        if self.memorisation is not None:
            found.append(0.0 if self.memorisation.certain else self.memorisation.p_adjusted)
        return min((p for p in found if not np.isnan(p)), default=1.0)

    @property
    def findings(self) -> tuple[str, ...]:
        """What is wrong, in words, copies first and then the largest first."""
        found = sorted(
            (finding for result in self.statistics for finding in result.findings),
            key=lambda f: (f.of_spread, -f.size),
        )
        apart = [test for test in self.joint if test.p_adjusted < self.alpha]
        together = ", ".join(f"{test.name} (p = {test.p_adjusted:.2g})" for test in apart)
        return (
            *((self.copied,) if self.copied else ()),
            *(f.text for f in found),
            *((f"all statistics together differ: {together}",) if apart else ()),
        )

    @property
    def verdict(self) -> str:
        """The headline and the findings."""
        return "; ".join((self.headline, *self.findings))

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types; None where a number is not finite."""
        return plain(
            {
                "verdict": self.verdict,
                "grade": self.grade.value,
                "passed": self.passed,
                "headline": self.headline,
                "findings": self.findings,
                "notes": self.notes,
                "settings": {
                    "alpha": self.alpha,
                    "tolerance": self.tolerance,
                    "permutations": self.draws,
                    "pooled": self.pooled,
                },
                "groups": [
                    {
                        "parameters": None
                        if g.parameters is None
                        else dict(zip(self.parameter_names, g.parameters, strict=True)),
                        "held_out_boxes": len(g.real),
                        "generated_boxes": len(g.generated),
                    }
                    for g in self.groups
                ],
                "p": self.p_value,
                "joint": [vars(test) for test in self.joint],
                "statistics": [_statistic_dict(result) for result in self.statistics],
                "memorisation": None
                if self.memorisation is None
                else {
                    "copies": self.memorisation.copies,
                    "generated_boxes": self.memorisation.compared,
                    "p_copies": self.memorisation.p_copies,
                    "mann_whitney_z": self.memorisation.z,
                    "p_rank": self.memorisation.p_rank,
                    "p": self.memorisation.p_value,
                    "p_holm": self.memorisation.p_adjusted,
                    "identical": self.memorisation.identical,
                    "held_out_boxes_in_training_set": self.memorisation.leaked,
                    "nearest_training_box": self.memorisation.nearest,
                },
            }
        )

    def to_json(self) -> str:
        """`to_dict` as strict JSON: no NaN, no infinity."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)


def _statistic_dict(result):
    statistic = result.statistic
    return {
        "name": statistic.name,
        "label": statistic.label,
        "unit": statistic.unit,
        "bin_label": statistic.bin_label,
        "bin_unit": statistic.bin_unit,
        "edges": statistic.edges,
        "bin_names": statistic.bin_names,
        "tested": result.tested.any(axis=0),
        "rms_z": result.rms_z,
        "max_abs_z": result.max_z,
        "noise_rms_z": result.noise_z,
        "floor_rms_z": result.floor_z,
        "floor_max_abs_z": result.floor_max_z,
        "mean_test": _test_dict(result.mean_test),
        "spread_test": _test_dict(result.spread_test),
        "findings": [finding.text for finding in result.findings],
        "groups": [
            {
                "tested": bins,
                "mean_held_out": c.mean_real,
                "mean_generated": c.mean_generated,
                "scatter_held_out": c.scatter,
                "scatter_generated": c.scatter_generated,
                "error_held_out": c.error_real,
                "error_generated": c.error_generated,
                "z": c.z,
            }
            for c, bins in zip(result.comparisons, result.tested, strict=True)
        ],
    }


def _test_dict(test):
    return {
        "p": test.p_value,
        "p_holm": test.p_adjusted,
        "p_max": test.p_max,
        "p_mean_square": test.p_mean_square,
        "critical": test.critical,
        "scores": test.scores,
    }


def plain(value) -> Any:
    """Nested plain JSON types; None for NaN and infinity."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (bool, str, int)) or value is None:
        return value
    number = float(value)
    return number if np.isfinite(number) else None
