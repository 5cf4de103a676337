"""Single-cell expression matrices (.h5ad, old and new): one sample per row, observation columns as fields."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ropeway.decoders.libraries import require
from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row, array_payload
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.fields import Fields, lookup
from ropeway_shardgen.formats.bounded import check_array


class H5adOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which matrix."""

    matrix: str = "X"
    """`X`, `raw/X`, or a layer such as `layers/counts`."""
    units: str = ""


class Matrix:
    """An opened file: the names of rows and columns, and a matrix whose rows are read one at a time."""

    def __init__(self, path: Path) -> None:
        self.file: Any = require("h5py", "hdf5").File(path, "r")
        self._genes: dict[str, tuple[str, ...]] = {}

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
        """Rows and columns."""
        node = self.node(matrix)
        size = node.shape if hasattr(node, "shape") else node.attrs.get("shape", node.attrs.get("h5sparse_shape"))
        return int(size[0]), int(size[1])

    def row(self, matrix: str, number: int) -> "np.ndarray[Any, Any]":
        """One row, dense, in the dtype on disk."""
        node = self.node(matrix)
        if hasattr(node, "shape"):
            check_array(self.shape(matrix)[1] * node.dtype.itemsize)
            return np.asarray(node[number])
        form = node.attrs.get("encoding-type", node.attrs.get("h5sparse_format", ""))
        if "csr" not in str(form):
            raise ValueError(f"the matrix {matrix!r} is stored by columns ({form}), so its rows cannot be read alone")
        start, stop = (int(end) for end in node["indptr"][number : number + 2])
        check_array(max(self.shape(matrix)[1], stop - start) * node["data"].dtype.itemsize)
        values = np.zeros(self.shape(matrix)[1], node["data"].dtype)
        values[node["indices"][start:stop]] = node["data"][start:stop]
        return values

    def names(self, table: str) -> list[str]:
        """The index of `obs` or `var`."""
        node = self.node(table)
        if hasattr(node, "dtype"):
            return _words(_all(node, next(n for n in ("index", "_index") if n in node.dtype.names)))
        return _words(_all(node[node.attrs.get("_index", "_index")]))

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
            return {name: self._categories(name, _values(_all(node, name))) for name in names}
        index = node.attrs.get("_index", "_index")
        return {name: self._column(node, name) for name in node if name not in (index, "__categories")}

    def _column(self, table: Any, name: str) -> list[Value]:
        node = table[name]
        if not hasattr(node, "dtype"):
            return _resolve(_values(_all(node["codes"])), _words(_all(node["categories"])))
        if name in table.get("__categories", {}):
            return _resolve(_values(_all(node)), _words(_all(table["__categories"][name])))
        return _values(_all(node))

    def _categories(self, name: str, codes: list[Value]) -> list[Value]:
        key = f"uns/{name}_categories"
        return _resolve(codes, _words(_all(self.file[key]))) if key in self.file else codes


_OPENED = Opened(Matrix)


def rows(path: Path, options: H5adOptions) -> Iterator[Row]:
    """One row per cell: `row` (from 0), `cell` (its name), and every column of `obs`."""
    matrix = _OPENED.get(path)
    cells, columns = matrix.names("obs"), matrix.columns("obs")
    size = matrix.shape(options.matrix)[1] * 4
    for number, cell in enumerate(cells):
        row: dict[str, Value] = {name: values[number] for name, values in columns.items()}
        yield Row({**row, "row": number, "cell": cell}, size)


def read(path: Path, fields: Fields, options: H5adOptions) -> Payload:
    """One row of the matrix, [gene], in the dtype on disk; the gene names are its channels."""
    matrix = _OPENED.get(path)
    values = matrix.row(options.matrix, int(lookup(fields, "row") or 0))
    return array_payload(values, ("gene",), units=options.units, channels=matrix.genes(options.matrix))


def _all(node: Any, field: str | None = None) -> Any:
    """All of a dataset, or of one of its fields: names and columns of observations."""
    check_array(node.size * node.dtype.itemsize)
    return node[:] if field is None else node[field]


def _words(values: Any) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _values(values: Any) -> list[Value]:
    found = values.tolist()
    return [value.decode() if isinstance(value, bytes) else value for value in found]


def _resolve(codes: list[Value], names: list[str]) -> list[Value]:
    return [names[int(code)] if code is not None and int(code) >= 0 else None for code in codes]


ADAPTER = Adapter(options=H5adOptions, read=read, rows=rows, locators=lambda _: ("row",))
