"""What was found of a posterior, for people and for machines."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from physgen.inference.check_figures import (
    coverage_figure,
    posterior_figure,
    prediction_figure,
    ranks_figure,
    scores_figure,
)
from physgen.inference.misspecification import Misspecification
from physgen.inference.results import PosteriorSamples
from physgen.plots import CaptionedFigure
from physgen.validation import html
from physgen.validation.calibration import Calibration, Coverage
from physgen.validation.folder import write_folder
from physgen.validation.report import plain
from physgen.validation.uniformity import RankTest

FIGURES = ("ranks", "coverage", "posterior", "observation", "predictions")

FILES = frozenset({"report.html", "summary.json", *(f"{name}.png" for name in FIGURES)})
_FEW = 100
_LEARNED = 0.1  # contraction, below which a parameter has hardly moved
_COLUMNS = (
    ("parameter", ""),
    ("p", "of uniform ranks"),
    ("Holm", "the same, corrected for the number of parameters"),
    ("68% interval holds", "share of truths in the central 68% interval"),
    ("truth above median", "share of truths above the posterior median, 50% expected"),
    ("contraction", "1 - posterior variance / prior variance"),
)


@dataclass(frozen=True, eq=False)
class Prediction:
    """An observation beside m simulations at posterior samples, all entries in a row."""

    names: tuple[str, ...]
    observation: Float[np.ndarray, " k"]
    draws: Float[np.ndarray, "m k"]
    comparison: Misspecification


@dataclass(frozen=True, eq=False)
class Check:
    """What was found of a posterior; n simulations with n_samples draws each.

    `calibrated` speaks of the posterior over the prior, whatever is observed; `misspecification`,
    `samples` and `prediction` of one observation, None where none was given.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    n_simulations: int
    n_samples: int
    alpha: float
    calibration: Calibration
    tarp: Coverage
    coverage: Coverage | None
    truth: Float[np.ndarray, " d"] | None = None
    samples: PosteriorSamples | None = None
    misspecification: Misspecification | None = None
    prediction: Prediction | None = None

    def __repr__(self) -> str:
        return f"<Check: {self.headline}>"

    @property
    def calibrated(self) -> bool:
        """Whether every curve of ranks and coverage is inside its band.

        An exact posterior is, with probability 1 - alpha.
        """
        curves = (self.calibration, self.tarp, self.coverage)
        return all(curve.inside for curve in curves if curve is not None)

    @property
    def headline(self) -> str:
        """The verdict in one sentence."""
        size = f"{self.n_simulations} simulations, {self.n_samples} posterior draws each"
        verdict = "calibrated at this sample size" if self.calibrated else "not calibrated"
        return f"{verdict} ({size})"

    @property
    def findings(self) -> tuple[str, ...]:
        """What is wrong, in plain sentences, the observation first."""
        found = [
            self.misspecification and self.misspecification.finding(),
            self.prediction and self.prediction.comparison.finding("what the posterior predicts"),
            *self.calibration.findings,
            self.coverage and self.coverage.finding,
            self.tarp.finding,
        ]
        return tuple(text for text in found if text)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the test itself."""
        notes = []
        if self.n_simulations < _FEW:
            notes.append(
                f"{self.n_simulations} simulations are few: only gross errors are seen. Give more "
                "that the posterior was not trained on."
            )
        contraction = zip(self.names, self.calibration.contraction, strict=True)
        unmoved = [name for name, learned in contraction if learned < _LEARNED]
        if unmoved:
            notes.append(
                f"hardly anything was learned of {', '.join(unmoved)}: on average the posterior is "
                "as wide as the prior. Train longer or on more simulations, or observe more."
            )
        return tuple(notes)

    def summary(self) -> str:
        """The verdict, the findings, and the posterior of the observation, as text."""
        lines = [self.headline, *(f"- {text}" for text in (*self.findings, *self.notes))]
        if self.samples is not None:
            lines += ["", self.samples.summary()]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the samples as plain JSON types; None where a number is not finite."""
        c = self.calibration
        return plain(
            {
                "headline": self.headline,
                "calibrated": self.calibrated,
                "findings": self.findings,
                "notes": self.notes,
                "settings": {
                    "simulations": self.n_simulations,
                    "samples": self.n_samples,
                    "alpha": self.alpha,
                },
                "parameters": {
                    name: {
                        "unit": self.units[i],
                        "p_holm": c.p_adjusted[i],
                        "held_68": c.held[i],
                        "above_median": c.above[i],
                        "contraction": c.contraction[i],
                        **_test_dict(test),
                    }
                    for i, (name, test) in enumerate(zip(c.names, c.tests, strict=True))
                },
                "tarp": _coverage_dict(self.tarp),
                "highest_density": self.coverage and _coverage_dict(self.coverage),
                "posterior": None if self.samples is None else self.samples.statistics(),
                "observation": self.misspecification and _comparison(self.misspecification),
                "prediction": self.prediction and _comparison(self.prediction.comparison),
            }
        )

    def figures(self) -> dict[str, CaptionedFigure]:
        """The figures by name, some of `FIGURES`."""
        band = f"{100 * (1 - self.alpha):.4g}% of exact posteriors"
        made = {
            "ranks": ranks_figure(self.calibration, band),
            "coverage": coverage_figure(self.coverage, self.tarp, band),
        }
        if self.samples is not None:
            made["posterior"] = posterior_figure(self.samples, self.truth)
        if self.misspecification is not None:
            made["observation"] = scores_figure(self.misspecification)
        if self.prediction is not None:
            p = self.prediction
            made["predictions"] = prediction_figure(p.observation, p.draws, p.names)
        return made

    def write(
        self,
        folder: str | os.PathLike[str],
        *,
        title: str = "Posterior check",
        overwrite: bool = False,
    ) -> None:
        """Write report.html, which needs nothing else, its figures as PNG, and summary.json.

        Raises:
            InputError: as `physgen.validation.write_report`.
        """
        write_folder(folder, self._files(title), known=FILES, overwrite=overwrite)

    def _files(self, title: str) -> Iterator[tuple[str, bytes]]:
        figures = self.figures()
        images = {name: html.png(figure) for name, figure in figures.items()}
        shown = {name: html.figure(figure, images[name]) for name, figure in figures.items()}
        colour = "bad" if not self.calibrated else "fair" if self.findings else "good"
        blocks = [html.verdict(colour, self.headline, self.findings), html.notes(self.notes)]
        if self.samples is not None:
            header, *rows = self.samples.table()
            columns = [(name, "") for name in header]
            blocks += [shown.pop("posterior"), html.table(columns, rows)]
        blocks += [
            "<h2>Calibration</h2>",
            self._table(),
            html.small(
                "Over simulations whose parameters are known. p: of uniform ranks of the truth "
                "among posterior draws; Holm: corrected for the number of parameters; bold where "
                "ranks leave their band. Contraction: 1 - posterior variance / prior variance, 0% "
                "where nothing was learned."
            ),
            *shown.values(),
        ]
        yield "report.html", html.document(title, blocks).encode()
        yield "summary.json", f"{json.dumps(self.to_dict(), indent=2, allow_nan=False)}\n".encode()
        for name, image in images.items():
            yield f"{name}.png", image

    def _table(self) -> str:
        c = self.calibration
        rows = [
            (
                name,
                html.p_value(test.p_value),
                html.p_value(p),
                f"{held:.0%}",
                f"{above:.0%}",
                f"{learned:.0%}",
            )
            for name, test, p, held, above, learned in zip(
                c.names, c.tests, c.p_adjusted, c.held, c.above, c.contraction, strict=True
            )
        ]
        wrong = [not test.inside for test in c.tests]
        bold = [(False, out, out, False, False, False) for out in wrong]
        return html.table(_COLUMNS, rows, bold)


def _test_dict(test: RankTest) -> dict[str, Any]:
    return {
        "p": test.p_value,
        "inside": test.inside,
        "level": test.level,
        "share": test.share,
        "lower": test.lower,
        "upper": test.upper,
    }


def _coverage_dict(found: Coverage) -> dict[str, Any]:
    return {"held_68": found.held, **_test_dict(found.test)}


def _comparison(found: Misspecification) -> dict[str, Any]:
    return {
        "misspecified": found.misspecified,
        "p": found.p_value,
        "outside": found.outside,
        "expected_outside": found.expected_outside,
        "frozen": found.frozen,
        "scores": {
            score.name: {"observed": score.observed, "p": score.p_value} for score in found.scores
        },
    }
