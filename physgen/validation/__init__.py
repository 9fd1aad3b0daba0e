"""Two ensembles in, a verdict in words out. Names no model and no pillar."""

from physgen.validation.folder import write_report
from physgen.validation.groups import Group, Grouping, match_groups
from physgen.validation.judge import validate
from physgen.validation.memorisation import Memorisation, memorisation_test
from physgen.validation.report import Report, StatisticResult
from physgen.validation.statistic import Statistic
from physgen.validation.verdict import Grade

__all__ = [
    "Grade",
    "Group",
    "Grouping",
    "Memorisation",
    "Report",
    "Statistic",
    "StatisticResult",
    "match_groups",
    "memorisation_test",
    "validate",
    "write_report",
]
