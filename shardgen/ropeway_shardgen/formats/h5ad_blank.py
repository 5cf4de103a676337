"""The matrices that a recipe reads of an .h5ad file, with their genes' names, in a file that holds nothing else.

Cells are numbered: their names and the columns of `obs` may say who a donor is, and what a recipe takes from them is in
the index. Nothing of `uns`, `obsm` and the like is kept. Matrices stay where they were in the file (`X`, `raw/X`,
`layers/counts`) and are stored the same way.

Format: https://anndata.readthedocs.io/en/stable/fileformat-prose.html.
"""

import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ropeway.decoders.libraries import damage, require
from ropeway_shardgen.adapters.adapter import Payload
from ropeway_shardgen.formats.bounded import check_array
from ropeway_shardgen.formats.h5ad_file import OBJECT, Matrix
from ropeway_shardgen.formats.hdf5_copy import copied
from ropeway_shardgen.formats.hdf5_inside import check_inside

_SPARSE = ("data", "indices", "indptr")


def kept(opened: Matrix, matrices: Iterable[str]) -> Payload:
    """A file with these matrices only.

    Raises:
        ValueError: one is not there, stored by columns, damaged, or larger than a sample may be.
    """
    file, wanted = io.BytesIO(), list(dict.fromkeys(matrices))
    with damage(OSError), require("h5py", "hdf5").File(file, "w") as target:
        _encoded(target, "anndata", "0.1.0")
        for matrix in wanted:
            _matrix(opened, matrix, target)
        cells = opened.shape(wanted[0])[0]
        check_array(cells * OBJECT)
        _table(target, "obs", [str(cell) for cell in range(cells)])
        _table(target, "var", next((opened.genes(matrix) for matrix in wanted if matrix != "raw/X"), ()))
        if "raw/X" in wanted:
            _encoded(target["raw"], "raw", "0.1.0")
            _table(target["raw"], "var", opened.genes("raw/X"))
    return Payload(content=file.getvalue(), format="h5ad")


def _matrix(opened: Matrix, matrix: str, target: Any) -> None:
    source = opened.by_rows(matrix)
    check_inside(source, opened.file)
    folder, _, name = matrix.rpartition("/")
    group = target.require_group(folder) if folder else target
    if hasattr(source, "shape"):
        _encoded(copied(source, group, name), "array", "0.2.0")
        return
    made = group.create_group(name)
    for array in _SPARSE:
        check_inside(source[array], opened.file)
        copied(source[array], made, array)
    _encoded(made, "csr_matrix", "0.1.0")
    made.attrs["shape"] = np.array(opened.shape(matrix), np.int64)


def _table(group: Any, name: str, index: Sequence[str]) -> None:
    """A table of nothing but its index."""
    text = require("h5py", "hdf5").string_dtype()
    made = group.create_group(name)
    made.attrs["_index"], made.attrs["column-order"] = "_index", np.array([], text)
    _encoded(made, "dataframe", "0.2.0")
    names = made.create_dataset("_index", data=np.array(index, object), dtype=text, track_times=False)
    _encoded(names, "string-array", "0.2.0")


def _encoded(node: Any, kind: str, version: str) -> None:
    node.attrs["encoding-type"], node.attrs["encoding-version"] = kind, version
