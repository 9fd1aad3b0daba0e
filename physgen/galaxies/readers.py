"""Galaxies from files: whatever the format, out come the arguments of a Catalogue.

Formats, told by their first bytes and then by their suffix:

* HDF5 (.h5, .hdf5): the layout of `physgen.galaxies.catalogue`; only `position` is needed.
* NPZ (.npz), one of: the same names as in HDF5; `features` (n, N, >= 3), whose first three columns
  are positions, the next three velocities, in the file's own units, and the others (counted from
  0) columns feature_6, feature_7, ...; with `mask` (n, N); or columns.
* Text (.csv, .txt, .dat): a first line that names the columns, commas or white space between.
* FITS (.fits, .fit): the first binary table, as columns.

Columns are `x`, `y`, `z` (Mpc/h) with, where they exist, `vx`, `vy`, `vz` (km/s) and `log_mass` or
`mass` (Msun/h); or `ra`, `dec` (degrees) with `redshift`, `z` or `cz` (km/s), where z means
redshift because `ra` and `dec` are there. Other columns, weights among them, are not used.
"""

import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from physgen.errors import InputError
from physgen.galaxies.column import Column
from physgen.galaxies.survey import comoving_positions
from physgen.io import open_hdf5, read_header

LIGHT_SPEED = 299792.458  # km/s

_GALAXIES = ("position", "velocity", "log_mass", "mask")


def read_fields(path: Path, *, omega_m: float) -> dict[str, Any]:
    """The arguments of a Catalogue that the file at `path` holds; omega_m for sky coordinates.

    Raises InputError if there is no such file, or it is none of the above.
    """
    kind = _format(path)
    if kind == "hdf5":
        return _from_hdf5(path)
    if kind == "npz":
        arrays = _read_npz(path)
        if "position" in arrays:
            return _known(arrays, path)
        if "features" in arrays:
            return _from_features(arrays, path)
    elif kind == "fits":
        arrays = _read_fits(path)
    else:
        names, table = read_table(path)
        arrays = dict(zip(names, table.T, strict=True))
    return _from_columns(arrays, path, omega_m)


def _format(path):
    if path.is_dir():
        raise InputError(f"{path} is a folder: expected a catalogue file")
    if not path.exists():
        raise InputError(f"{path} does not exist: check the name")
    suffix = path.suffix.lower()
    with path.open("rb") as file:
        start = file.read(8)
    if start == b"\x89HDF\r\n\x1a\n" or suffix in (".h5", ".hdf5"):
        return "hdf5"
    if start.startswith(b"PK\x03\x04") or suffix == ".npz":
        return "npz"
    if start.startswith(b"SIMPLE  ") or suffix in (".fits", ".fit"):
        return "fits"
    if suffix in (".csv", ".txt", ".dat"):
        return "text"
    raise InputError(
        f"{path} is of an unknown format: expected HDF5 (.h5, .hdf5), NPZ (.npz), FITS (.fits) "
        "or text with a header (.csv, .txt, .dat)"
    )


def _from_hdf5(path):
    with open_hdf5(path) as file:
        if "kind" in file.attrs:
            header = read_header(file)
            if header.kind != "catalogue":
                raise InputError(f"{path} holds a {header.kind}, not a catalogue: give a catalogue")
        datasets = {k: v for k, v in file.items() if isinstance(v, h5py.Dataset)}
        if "position" not in datasets:
            raise InputError(
                f"{path} needs a dataset 'position' of shape (boxes, galaxies, 3); "
                f"it has {sorted(datasets) or 'none'}"
            )
        found = {**dict(file.attrs), **{name: value[()] for name, value in datasets.items()}}
        fields = _known(found, path)
        for name in ("position", "velocity", "log_mass"):
            if name in datasets and "unit" in datasets[name].attrs:
                fields[f"{name}_unit"] = _text(datasets[name].attrs["unit"])
        columns = file.get("columns")
        if isinstance(columns, h5py.Group):
            fields["columns"] = tuple(
                Column(name, values[()], _text(values.attrs.get("unit", "")))
                for name, values in columns.items()
                if isinstance(values, h5py.Dataset)
            )
    return fields


def _known(found, path):
    """What a Catalogue takes of what an HDF5 or NPZ file with its names holds."""
    arrays = {name: np.asarray(found[name]) for name in (*_GALAXIES, "parameters") if name in found}
    if "mask" in arrays:
        arrays["mask"] = _as_mask(arrays["mask"])
    if arrays["position"].ndim == 2:
        arrays |= {name: arrays[name][None] for name in _GALAXIES if name in arrays}
    fields: dict[str, Any] = dict(arrays)
    for name in ("parameter_names", "parameter_units", "modelled"):
        if name in found:
            fields[name] = tuple(_text(entry) for entry in np.ravel(found[name]))
    if "parameters" in arrays and "parameter_names" not in found:
        columns = arrays["parameters"].shape[-1] if arrays["parameters"].ndim == 2 else 0
        fields["parameter_names"] = tuple(f"parameter_{i}" for i in range(columns))
    if "box_size" in found:
        fields["box_size"] = _box_size(found["box_size"], path)
    return fields


def _text(value):
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _box_size(value, path):
    try:
        return float(np.asarray(value)[()])
    except (TypeError, ValueError):
        raise InputError(f"{path}: box_size must be one number, got {value!r}") from None


def _as_mask(mask):
    """A boolean mask of one kept as the numbers 0 and 1."""
    mask = np.asarray(mask)
    if mask.dtype != bool and mask.dtype.kind in "fiu" and np.isin(mask, (0, 1)).all():
        return mask.astype(bool)
    return mask


def _read_npz(path):
    broken = (ValueError, OSError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)
    try:
        with path.open("rb") as handle:
            file = np.load(handle, allow_pickle=False)
            if isinstance(file, np.lib.npyio.NpzFile):
                return {name: file[name] for name in file.files}
    except broken as error:
        raise InputError(
            f"{path} cannot be read as an NPZ file of plain arrays: it is damaged, of another "
            "format, or holds Python objects, which are never loaded; write it with numpy.savez"
        ) from error
    raise InputError(f"{path} is one array, not an NPZ file: write it with numpy.savez")


def _from_features(arrays, path):
    features = np.asarray(arrays["features"])
    if features.ndim != 3 or features.shape[-1] < 3 or features.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: features must be numbers of shape (boxes, galaxies, at least 3), "
            f"got {features.dtype} {features.shape}"
        )
    fields = {"position": features[..., :3], "position_unit": "file units"}
    if features.shape[-1] >= 6:
        fields |= {"velocity": features[..., 3:6], "velocity_unit": "file units"}
        fields["columns"] = tuple(
            Column(f"feature_{i}", features[..., i], "file units")
            for i in range(6, features.shape[-1])
        )
    if "mask" in arrays:
        fields["mask"] = _as_mask(arrays["mask"])
    return fields


def _read_fits(path):
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
                    return {name: np.array(hdu.data[name]) for name in hdu.data.names or ()}
    except (OSError, ValueError, TypeError, KeyError, IndexError, fits.VerifyError) as error:
        raise InputError(
            f"{path} cannot be read as a FITS file: it is damaged or of another format; "
            "write or copy it again"
        ) from error
    raise InputError(f"{path} holds no binary table: expected one with columns ra, dec, z")


def read_table(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """The column names and the float64 values (rows, columns) of a text table with a header."""
    try:
        lines = [line for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, "a text table", error) from error
    if not lines:
        raise InputError(f"{path} is empty: expected a line of column names, then one row a galaxy")
    delimiter = "," if "," in lines[0] else None
    names = [name.strip().strip('"') for name in lines[0].lstrip("# ").split(delimiter)]
    if any(_is_number(name) for name in names):
        raise InputError(f"{path}: the first line must name the columns, got {lines[0]!r:.80}")
    if len(set(names)) != len(names):
        raise InputError(f"{path}: each column needs a name of its own, got {names}")
    rows = [line.strip().rstrip(",") if delimiter else line for line in lines[1:]]
    if not rows:
        raise InputError(f"{path} is empty: it has columns {names} and no rows")
    for number, row in enumerate(rows, start=1):
        width = len(row.split(delimiter))
        if width != len(names):
            raise InputError(
                f"{path}: row {number} has {width} values, expected one for each "
                f"of the {len(names)} columns {', '.join(names)}"
            )
    try:
        table = np.loadtxt(rows, delimiter=delimiter, ndmin=2)
    except ValueError as error:
        raise _unreadable(path, "a table of numbers", error) from error
    return tuple(names), table


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def _from_columns(arrays, path, omega_m):
    columns = {name.lower(): np.asarray(value) for name, value in arrays.items()}
    sky = {"ra", "dec"} <= columns.keys() and columns.keys() & {"redshift", "z", "cz"}
    if not sky and not {"x", "y", "z"} <= columns.keys():
        raise InputError(
            f"{path} needs columns x, y, z, or ra, dec and one of redshift, z, cz; "
            f"it has {sorted(arrays) or 'none'}"
        )
    if sky:
        return {"position": _sky_positions(columns, path, omega_m)[None]}
    fields = {"position": _stack(columns, ("x", "y", "z"), path)[None]}
    if {"vx", "vy", "vz"} <= columns.keys():
        fields["velocity"] = _stack(columns, ("vx", "vy", "vz"), path)[None]
    if "log_mass" in columns:
        fields["log_mass"] = _stack(columns, ("log_mass",), path)[None, :, 0]
    elif "mass" in columns:
        mass = _stack(columns, ("mass",), path)[None, :, 0]
        if (mass <= 0).any():
            raise InputError(f"{path}: mass must be positive, {(mass <= 0).sum()} rows are not")
        fields["log_mass"] = np.log10(mass)
    return fields


def _sky_positions(columns, path, omega_m):
    if "redshift" in columns or "z" in columns:
        name = "redshift" if "redshift" in columns else "z"
        ra, dec, redshift = _stack(columns, ("ra", "dec", name), path).T
    else:
        ra, dec, redshift = (_stack(columns, ("ra", "dec", "cz"), path) / (1, 1, LIGHT_SPEED)).T
    try:
        return comoving_positions(ra, dec, redshift, omega_m=omega_m)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _stack(columns, names, path):
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


def _unreadable(path, expected, error):
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(f"{path} cannot be read as {expected} ({reason}): write or copy it again")
