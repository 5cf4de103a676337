"""Files of single-cell expression (.h5ad, old and new): their matrices by rows, names and columns."""

from pathlib import Path
from typing import Any

import numpy as np

from ropeway.decoders.libraries import require
from ropeway.index import Value
from ropeway_shardgen.formats.bounded import check_array
from ropeway_shardgen.formats.h5ad_rows import Rows
from ropeway_shardgen.formats.hdf5_inside import check_inside

OBJECT = 64
"""Bytes of a word or number as Python has it, about."""


class Matrix:
    """An opened file: the names of rows and columns, and matrices by their rows."""

    def __init__(self, path: Path) -> None:
        self.file: Any = require("h5py", "hdf5").File(path, "r")
        self._genes: dict[str, tuple[str, ...]] = {}
        self._rows: dict[str, Rows] = {}

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def node(self, path: str) -> Any:
        """A group or dataset; old files write `raw.X` for `raw/X`."""
        for name in (path, path.replace("/", ".")):
            if name in self.file:
                return self.file[name]
        raise ValueError(f"there is no {path!r} in the file")

    def shape(self, matrix: str) -> tuple[int, int]:
        """Rows and columns.

        Raises:
            ValueError: a matrix of compressed sparse rows says that it has another number of them.
        """
        node = self.node(matrix)
        if hasattr(node, "shape"):
            return int(node.shape[0]), int(node.shape[1])
        rows, columns = (int(side) for side in node.attrs.get("shape", node.attrs.get("h5sparse_shape")))
        if "csr" in _form(node) and rows != node["indptr"].size - 1:
            raise ValueError(f"the matrix {matrix!r} says it has {rows} rows, and has {node['indptr'].size - 1}")
        return rows, columns

    def by_rows(self, matrix: str) -> Any:
        """A matrix whose rows can be read alone: a dataset, or a group of compressed sparse rows."""
        node = self.node(matrix)
        if not hasattr(node, "shape") and "csr" not in _form(node):
            stored = f"the matrix {matrix!r} is stored by columns ({_form(node)})"
            raise ValueError(f"{stored}, so its rows cannot be read alone")
        return node

    def row(self, matrix: str, number: int) -> "np.ndarray[Any, Any]":
        """One row, dense, in the dtype on disk."""
        if matrix not in self._rows:
            self._rows[matrix] = Rows(self.by_rows(matrix), self.shape(matrix), self.file)
        return self._rows[matrix][number]

    def names(self, table: str) -> list[str]:
        """The index of `obs` or `var`."""
        node = self.node(table)
        if hasattr(node, "dtype"):
            return _words(self._all(node, next(n for n in ("index", "_index") if n in node.dtype.names)))
        return _words(self._all(node[node.attrs.get("_index", "_index")]))

    def genes(self, matrix: str) -> tuple[str, ...]:
        """Names of a matrix's columns."""
        if matrix not in self._genes:
            self._genes[matrix] = tuple(self.names("raw/var" if matrix == "raw/X" else "var"))
        return self._genes[matrix]

    def columns(self, table: str) -> dict[str, list[Value]]:
        """The columns of `obs` or `var`, category names in place of codes."""
        node = self.node(table)
        if hasattr(node, "dtype"):
            names = [name for name in node.dtype.names if name not in ("index", "_index")]
            return {name: self._categories(name, _values(self._all(node, name))) for name in names}
        index = node.attrs.get("_index", "_index")
        return {name: self._column(node, name) for name in node if name not in (index, "__categories")}

    def _column(self, table: Any, name: str) -> list[Value]:
        node = table[name]
        if not hasattr(node, "dtype"):
            return _resolve(_values(self._all(node["codes"])), _words(self._all(node["categories"])))
        if name in table.get("__categories", {}):
            return _resolve(_values(self._all(node)), _words(self._all(table["__categories"][name])))
        return _values(self._all(node))

    def _all(self, node: Any, field: str | None = None) -> Any:
        """All of a dataset, or of one of its fields: names and columns of observations."""
        check_inside(node, self.file)
        check_array(node.size * max(node.dtype.itemsize, OBJECT))
        return node[:] if field is None else node[field]

    def _categories(self, name: str, codes: list[Value]) -> list[Value]:
        key = f"uns/{name}_categories"
        return _resolve(codes, _words(self._all(self.file[key]))) if key in self.file else codes


def _form(node: Any) -> str:
    return str(node.attrs.get("encoding-type", node.attrs.get("h5sparse_format", "")))


def _words(values: Any) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _values(values: Any) -> list[Value]:
    found = values.tolist()
    return [value.decode() if isinstance(value, bytes) else value for value in found]


def _resolve(codes: list[Value], names: list[str]) -> list[Value]:
    return [names[int(code)] if code is not None and int(code) >= 0 else None for code in codes]
