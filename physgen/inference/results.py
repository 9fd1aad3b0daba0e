"""Posterior samples with their names and units: kept, summed up, drawn, and handed to others.

The HDF5 file holds the datasets `samples` (n, d) and, where they exist, `log_prob` (n,),
`observation`, `low` and `high` (d,), the root attributes `parameter_names` and `parameter_units`,
and `metadata` as JSON.
"""

import importlib
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from physgen.errors import InputError
from physgen.inference.parameters import checked_names, checked_units
from physgen.io import atomic_path, open_hdf5, read_header, read_json, write_header, write_json
from physgen.io.files import text_of
from physgen.plots import SampleSet, triangle, with_unit

KIND = "posterior-samples"
_DECIMALS = 8  # that are written out

_QUANTILES = {
    "low_95": 0.025,
    "low_68": 0.16,
    "median": 0.5,
    "high_68": 0.84,
    "high_95": 0.975,
}
_OPTIONAL = ("log_prob", "observation", "low", "high")


@dataclass(frozen=True, eq=False)
class PosteriorSamples:
    """n samples of the posterior of d parameters, given one observation.

    log_prob (n,) are their log-densities, observation what they are conditional on, low and high
    (d,) the box of the prior; None where they are not known. metadata says where they are from, in
    plain JSON values.

    Raises:
        InputError: for shapes, names or units that do not fit, and samples that are not finite.
    """

    samples: Float[np.ndarray, "n d"]
    names: tuple[str, ...]
    units: tuple[str, ...]
    log_prob: Float[np.ndarray, "..."] | None = None
    observation: Float[np.ndarray, "*x"] | None = None
    low: Float[np.ndarray, "..."] | None = None
    high: Float[np.ndarray, "..."] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        n, d = self.samples.shape
        checked_names(self.names, d)
        checked_units(self.units, d)
        for name, shape in (("log_prob", (n,)), ("low", (d,)), ("high", (d,))):
            given = getattr(self, name)
            if given is not None and given.shape != shape:
                raise InputError(
                    f"expected {name} of shape {shape} for samples {self.samples.shape}, got "
                    f"{given.shape}; give one number for each"
                )
        if n < 1 or not np.isfinite(self.samples).all():
            raise InputError(
                f"expected at least one sample, all finite, got {n} with "
                f"{np.sum(~np.isfinite(self.samples))} NaN or infinite numbers; leave those out"
            )

    @classmethod
    def from_arrays(
        cls,
        samples: ArrayLike,
        *,
        names: Sequence[str] | None = None,
        units: Sequence[str] | None = None,
        log_prob: ArrayLike | None = None,
        observation: ArrayLike | None = None,
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Self:
        """Samples of arrays of any kind; (n,) stands for (n, 1), names are theta_1 ... if None.

        Raises:
            InputError: as `PosteriorSamples`.
        """
        array = _floating(samples)
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2:
            raise InputError(f"expected samples of shape (n, d), got {array.shape}; reshape them")
        d = array.shape[1]
        optional = {"log_prob": log_prob, "observation": observation, "low": low, "high": high}
        return cls(
            array,
            checked_names(names, d),
            checked_units(units, d),
            **{k: None if v is None else _floating(v) for k, v in optional.items()},
            metadata=dict(metadata or {}),
        )

    def __len__(self) -> int:
        """How many samples there are."""
        return len(self.samples)

    def __repr__(self) -> str:
        labels = map(with_unit, self.names, self.units)
        return f"<PosteriorSamples, {len(self)} of {', '.join(labels)}>"

    def statistics(self) -> dict[str, dict[str, float]]:
        """mean, std, median, and the ends low_68, high_68, low_95, high_95 of central intervals,
        for each parameter."""
        values = np.asarray(self.samples, np.float64)
        rows = np.stack(
            [
                values.mean(axis=0),
                values.std(axis=0),
                *np.quantile(values, list(_QUANTILES.values()), axis=0),
            ]
        )
        keys = ("mean", "std", *_QUANTILES)
        return {
            name: dict(zip(keys, column.tolist(), strict=True))
            for name, column in zip(self.names, rows.T, strict=True)
        }

    def table(self) -> list[list[str]]:
        """The statistics as texts, a header and a row for each parameter; two digits of errors."""
        rows = [["parameter", "mean", "std", "median", "68% interval", "95% interval"]]
        for (name, row), unit in zip(self.statistics().items(), self.units, strict=True):
            digits = _decimals(row["std"])
            text = {key: _written(value, digits) for key, value in row.items()}
            intervals = [f"{text[f'low_{p}']} to {text[f'high_{p}']}" for p in (68, 95)]
            numbers = [text[key] for key in ("mean", "std", "median")]
            rows.append([with_unit(name, unit), *numbers, *intervals])
        return rows

    def summary(self) -> str:
        """The table as aligned text."""
        rows = self.table()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
            for row in rows
        )

    def plot(
        self,
        *,
        truth: ArrayLike | None = None,
        label: str = "posterior",
        others: Mapping[str, "PosteriorSamples"] | None = None,
    ) -> Figure:
        """Triangle plot, with medians and central 68% intervals above it.

        `truth` (d,) is marked, `others` are laid over it under their labels.

        Raises:
            InputError: for others of other parameters, and a truth of another shape.
        """
        sets = [SampleSet(label, self.samples)]
        for name, other in (others or {}).items():
            if other.names != self.names:
                raise InputError(
                    f"expected samples of {', '.join(self.names)}, got {', '.join(other.names)} "
                    f"in {name!r}; compare samples of the same parameters"
                )
            sets.append(SampleSet(name, other.samples))
        titles = None if others else [_title(row) for row in self.statistics().values()]
        return triangle(
            sets, self.names, self.units, truth=truth, low=self.low, high=self.high, titles=titles
        )

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write one HDF5 file, by renaming a complete one.

        Raises:
            InputError: if `path` exists and `overwrite` is False, or its folder is missing.
        """
        with atomic_path(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
            write_header(file, KIND)
            for name in ("names", "units"):
                texts = np.array(getattr(self, name), h5py.string_dtype())
                file.attrs[f"parameter_{name}"] = texts
            file.create_dataset("samples", data=self.samples)
            for name in _OPTIONAL:
                if getattr(self, name) is not None:
                    file.create_dataset(name, data=getattr(self, name))
            write_json(file, "metadata", self.metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The samples in a file by `save`, bit for bit.

        Raises:
            InputError: if the file is missing, damaged, or holds something else.
        """
        with open_hdf5(path) as file:
            kind = read_header(file).kind
            if kind != KIND:
                raise InputError(f"{path} holds a {kind}: expected posterior samples")
            return cls.from_arrays(
                np.asarray(file["samples"]),
                names=_texts(file, "parameter_names"),
                units=_texts(file, "parameter_units"),
                metadata=read_json(file, "metadata"),
                **{name: np.asarray(file[name]) for name in _OPTIONAL if name in file},
            )

    def to_arviz(self) -> Any:
        """An arviz.InferenceData of one chain: posterior, and what else is known.

        Raises:
            InputError: if arviz is not installed.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # arviz announces its next version
                arviz = importlib.import_module("arviz")
        except ImportError:
            raise InputError(
                "expected arviz to be installed, found none; pip install physgen[arviz]"
            ) from None
        groups: dict[str, Any] = {
            "posterior": {n: v[None] for n, v in zip(self.names, self.samples.T, strict=True)}
        }
        if self.log_prob is not None:
            groups["sample_stats"] = {"lp": self.log_prob[None]}
        if self.observation is not None:
            groups["observed_data"] = {"observation": self.observation}
        data = arviz.from_dict(**groups)
        for name, unit in zip(self.names, self.units, strict=True):
            if unit:
                data.posterior[name].attrs["units"] = unit
        return data

    def to_getdist_text(
        self, root: str | os.PathLike[str], *, overwrite: bool = False
    ) -> tuple[Path, ...]:
        """Write the samples as GetDist reads them: root.txt, root.paramnames and root.ranges.

        `loadMCSamples` of GetDist needs a folder in the name of the root: "./root", not "root".

        A line of root.txt is the weight, 1, minus log_prob (0 where it is not known), and the
        parameters. Whitespace in names becomes "_".

        Raises:
            InputError: if a file exists and `overwrite` is False, or the folder is missing.
        """
        root = Path(root)
        names = ["_".join(name.split()) for name in self.names]
        cost = np.zeros(len(self)) if self.log_prob is None else -self.log_prob
        table = np.column_stack([np.ones(len(self)), cost, self.samples])
        ends = [
            np.full(len(names), np.nan) if end is None else end for end in (self.low, self.high)
        ]
        texts = {
            ".txt": "".join(f"{' '.join(f'{v:.9g}' for v in row)}\n" for row in table),
            ".paramnames": "".join(
                f"{name} {_latex(label, unit)}\n"
                for name, label, unit in zip(names, self.names, self.units, strict=True)
            ),
            ".ranges": "".join(
                f"{name} {_end(low)} {_end(high)}\n"
                for name, low, high in zip(names, *ends, strict=True)
            ),
        }
        paths = tuple(root.with_name(root.name + suffix) for suffix in texts)
        for path, text in zip(paths, texts.values(), strict=True):
            with atomic_path(path, overwrite) as temporary:
                temporary.write_text(text, encoding="utf-8")
        return paths


def _floating(values: ArrayLike) -> np.ndarray:
    array = np.asarray(values)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _texts(file: h5py.File, name: str) -> list[str]:
    values: Any = file.attrs[name]
    return [text_of(value) or "" for value in values.tolist()]


def _decimals(error: float) -> int:
    """Decimal places that show two digits of an error."""
    return max(1 - int(np.floor(np.log10(error))), 0) if error > 0 else 3


def _written(value: float, decimals: int) -> str:
    """With so many decimal places, or as a power of ten times a number where they are many."""
    if decimals <= _DECIMALS or value == 0:
        return f"{value:z.{min(decimals, _DECIMALS)}f}"
    return f"{value:.{max(decimals + int(np.floor(np.log10(abs(value)))), 0)}e}"


def _title(row: Mapping[str, float]) -> str:
    up, down = row["high_68"] - row["median"], row["median"] - row["low_68"]
    digits = _decimals(min(up, down))
    median, up, down = (_written(value, digits) for value in (row["median"], up, down))
    return f"median and 68%\n{median} +{up} -{down}"


def _latex(label: str, unit: str) -> str:
    text = with_unit(label, unit).replace("_", r"\_").replace(" ", r"\ ")
    return rf"\mathrm{{{text}}}"


def _end(value: float) -> str:
    return f"{value:.9g}" if np.isfinite(value) else "N"
