"""Columns of galaxies: of a FITS table, a text table or an NPZ file."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from physgen.errors import InputError
from physgen.galaxies.readers.tables import read_table
from physgen.galaxies.survey import comoving_positions
from physgen.io.npz import read_npz

LIGHT_SPEED = 299792.458  # km/s


def read_fits(path: Path) -> dict[str, np.ndarray]:
    """The columns of the first binary table."""
    try:
        from astropy.io import fits
        from astropy.utils.exceptions import AstropyWarning
    except ImportError as error:
        raise InputError(
            f"{path}: reading FITS needs astropy: pip install 'physgen[astro]'"
        ) from error
    try:
        with path.open("rb") as handle, warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            for hdu in fits.open(handle, memmap=False):
                if isinstance(hdu, fits.BinTableHDU):
                    return {name: _column(hdu, name) for name in hdu.data.names or ()}
    except (OSError, ValueError, TypeError, KeyError, IndexError, fits.VerifyError) as error:
        raise InputError(
            f"{path} cannot be read as a FITS file: it is damaged or of another format; "
            "write or copy it again"
        ) from error
    raise InputError(f"{path} holds no binary table: expected one with columns ra, dec, z")


def _column(hdu, name):
    """The values, NaN where an integer is the one that stands for none (TNULL)."""
    values, about = np.array(hdu.data[name]), hdu.columns[name]
    if about.null is None:
        return values
    null = about.null * (about.bscale or 1) + (about.bzero or 0)
    return np.where(values == null, np.nan, values)


def read_columns(path: Path, kind: str) -> dict[str, np.ndarray]:
    """The columns of a file of the kind "fits", "npz" or "text"."""
    if kind == "fits":
        return read_fits(path)
    if kind == "npz":
        return read_npz(path)
    names, table = read_table(path)
    return dict(zip(names, table.T, strict=True))


def from_columns(arrays: dict[str, np.ndarray], path: Path, omega_m: float) -> dict[str, Any]:
    """The arguments of a Catalogue of one box; case does not matter in the names of columns."""
    columns = lower(arrays)
    fields: dict[str, Any] = {"position": positions(columns, path, omega_m)[None]}
    if on_sky(columns):
        return fields
    if {"vx", "vy", "vz"} <= columns.keys():
        fields["velocity"] = stack(columns, ("vx", "vy", "vz"), path)[None]
    if "log_mass" in columns:
        fields["log_mass"] = stack(columns, ("log_mass",), path)[None, :, 0]
    elif "mass" in columns:
        mass = stack(columns, ("mass",), path)[None, :, 0]
        if (mass <= 0).any():
            raise InputError(f"{path}: mass must be positive, {(mass <= 0).sum()} rows are not")
        fields["log_mass"] = np.log10(mass)
    return fields


def lower(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same columns under names of small letters."""
    return {name.lower(): np.asarray(value) for name, value in arrays.items()}


def on_sky(columns: dict[str, np.ndarray]) -> bool:
    """Whether the columns are right ascension, declination and a redshift."""
    return {"ra", "dec"} <= columns.keys() and bool(columns.keys() & {"redshift", "z", "cz"})


def positions(
    columns: dict[str, np.ndarray], path: Path, omega_m: float
) -> Float[np.ndarray, "n 3"]:
    """Cartesian positions of columns x, y, z, or ra, dec and one of redshift, z, cz."""
    if on_sky(columns):
        return _sky_positions(columns, path, omega_m)
    if not {"x", "y", "z"} <= columns.keys():
        raise InputError(
            f"{path} needs columns x, y, z, or ra, dec and one of redshift, z, cz; "
            f"it has {sorted(columns) or 'none'}"
        )
    return stack(columns, ("x", "y", "z"), path)


def _sky_positions(columns, path, omega_m):
    if "redshift" in columns or "z" in columns:
        name = "redshift" if "redshift" in columns else "z"
        ra, dec, redshift = stack(columns, ("ra", "dec", name), path).T
    else:
        ra, dec, redshift = (stack(columns, ("ra", "dec", "cz"), path) / (1, 1, LIGHT_SPEED)).T
    try:
        return comoving_positions(ra, dec, redshift, omega_m=omega_m)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def stack(
    columns: dict[str, np.ndarray], names: tuple[str, ...], path: Path
) -> Float[np.ndarray, "n k"]:
    """Columns side by side, float64."""
    for name in names:
        if columns[name].dtype.kind not in "fiu" or columns[name].ndim != 1:
            raise InputError(
                f"{path}: column {name!r} must be one number a row, "
                f"got {columns[name].dtype} {columns[name].shape}"
            )
    if len({len(columns[name]) for name in names}) != 1:
        sizes = {name: len(columns[name]) for name in names}
        raise InputError(f"{path}: columns must be of one length, got {sizes}")
    return np.stack([columns[name].astype(np.float64) for name in names], axis=-1)
