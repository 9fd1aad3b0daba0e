"""HDF5 in and out. No pickle anywhere: a hostile file can be refused, never executed."""

from physgen.io.describe import describe
from physgen.io.files import (
    SCHEMA_VERSION,
    Header,
    atomic_path,
    figure_beside,
    open_hdf5,
    read_header,
    read_json,
    require_writable,
    subgroup,
    to_json,
    write_header,
    write_json,
)
from physgen.io.models import ModelFile, read_model, save_model
from physgen.io.trees import read_tree, write_tree

__all__ = [
    "SCHEMA_VERSION",
    "Header",
    "ModelFile",
    "atomic_path",
    "describe",
    "figure_beside",
    "open_hdf5",
    "read_header",
    "read_json",
    "read_model",
    "read_tree",
    "require_writable",
    "save_model",
    "subgroup",
    "to_json",
    "write_header",
    "write_json",
    "write_tree",
]
