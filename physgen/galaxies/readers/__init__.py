"""Galaxies from files: whatever the format, out come the arguments of a Catalogue.

Formats, told by their first bytes and then by their name:

* HDF5 (.h5, .hdf5): the layout of `physgen.galaxies.catalogue`; only `position` is needed.
* NPZ (.npz), one of: the same names as in HDF5; `features` (n, N, >= 3), whose first three columns
  are positions, the next three, where there are as many, velocities, in the file's own units, and
  the others columns by their number, counted from 0 (feature_3, or feature_6, ...); or columns.
  Beside each `box_size`, `parameters` and `parameter_names`, beside `features` also `mask` (n, N).
* NPY (.npy): positions (n, N, 3).
* Text (.csv, .txt, .dat): a first line that names the columns, commas or white space between.
* FITS (.fits, .fit, also with .gz): the first binary table, as columns.
* Rockstar: out_N.list, hlist_A.list (`rockstar`); halos_N.M.ascii (`rockstar`) and halos_N.M.bin
  (`rockstar_binary`), one of the files or their folder.
* Friends-of-friends groups of Quijote: a folder groups_SSS, or a group_tab_SSS.N in it (`fof`).
* Groups and subhaloes of Illustris, IllustrisTNG and CAMELS: fof_subhalo_tab_SSS.hdf5, its chunks,
  or their folder (`subfind`).

Columns are `x`, `y`, `z` (Mpc/h) with, where they exist, `vx`, `vy`, `vz` (km/s) and `log_mass` or
`mass` (Msun/h); or `ra`, `dec` (degrees) with `redshift`, `z` or `cz` (km/s), where z means
redshift because `ra` and `dec` are there. Other columns are not used by a Catalogue; `read_survey`
takes weights.
"""

from physgen.galaxies.readers.fields import read_fields
from physgen.galaxies.readers.surveys import Survey, read_survey
from physgen.galaxies.readers.tables import ParameterTable, read_parameters, read_table

__all__ = [
    "ParameterTable",
    "Survey",
    "read_fields",
    "read_parameters",
    "read_survey",
    "read_table",
]
