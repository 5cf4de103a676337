"""Connectivity matrices of many subjects in one file: one sample per matrix [node, node] or [node, node, view].

A stack is an .npy array whose first axis is the subjects, with their identifiers, a line each, in a text file beside
it; or a cell array of a MATLAB file, a cell per subject, with labels in further variables. Source: the release of
BrainGB (https://braingb.us/datasets; Cui et al., IEEE Transactions on Medical Imaging 42, 2023). Matrices are stored
whole, with their diagonal and whatever is NaN: edges are for the reader to choose.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ropeway.decoders.arrays import npy_layout
from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row, array_payload
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.fields import Fields, lookup
from ropeway_shardgen.formats.graph import Array
from ropeway_shardgen.formats.mat_file import MatFile

_AXES = ("node", "node", "view")


class ConnectivityOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the matrices of a file are, and what says whose they are."""

    ids: str = ""
    """For .npy: the text file beside it with one identifier per line, in the order of the matrices."""
    variable: str = ""
    """For .mat: the cell array of the matrices."""
    labels: tuple[str, ...] = ()
    """For .mat: variables with one number per matrix, which become fields."""


class Stack(Protocol):
    """The matrices of an opened file."""

    def count(self, options: ConnectivityOptions, /) -> int:
        """How many."""
        ...

    def matrix(self, number: int, options: ConnectivityOptions, /) -> Array:
        """One, from 0."""
        ...

    def columns(self, options: ConnectivityOptions, /) -> Mapping[str, Sequence[Value]]:
        """What is known of each, in their order."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class NpyStack:
    """An .npy file, of which only the matrix that is wanted is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        try:
            self._layout = npy_layout(self._file)
            self._check()
        except BaseException:
            self._file.close()
            raise

    def _check(self) -> None:
        if len(self._layout.shape) < 3 or self._layout.dtype.kind not in "fiu":
            raise ValueError(f"{self._layout.dtype} of shape {self._layout.shape} is no stack of matrices")
        there, due = self._path.stat().st_size, self._layout.offset + self._layout.size
        if there < due:
            raise ValueError(f"cut short: {there} bytes, {due} are needed")

    def count(self, _options: ConnectivityOptions) -> int:
        """The length of the first axis."""
        return self._layout.shape[0]

    def matrix(self, number: int, _options: ConnectivityOptions) -> Array:
        """One matrix."""
        return np.asarray(self._layout.slab(self._file, 0, number, number + 1)[0])

    def columns(self, options: ConnectivityOptions) -> Mapping[str, Sequence[Value]]:
        """`id`, if there is a list."""
        return {"id": self._path.with_name(options.ids).read_text("utf-8-sig").split()} if options.ids else {}

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class MatStack:
    """A MATLAB file."""

    def __init__(self, path: Path) -> None:
        self._file = MatFile(path)

    def count(self, options: ConnectivityOptions) -> int:
        """The cells."""
        return self._file.cells(options.variable)

    def matrix(self, number: int, options: ConnectivityOptions) -> Array:
        """One cell."""
        return self._file.array(options.variable, number)

    def columns(self, options: ConnectivityOptions) -> Mapping[str, Sequence[Value]]:
        """The labels: whole numbers, for they are codes."""
        found: dict[str, Sequence[Value]] = {}
        for name in options.labels:
            values = self._file.array(name).ravel(order="F")
            if values.dtype.kind not in "fiu" or (values != np.round(values)).any():
                raise ValueError(f"variable {name!r} holds other than whole numbers")
            found[name] = values.astype(np.int64).tolist()
        return found

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _open(path: Path) -> Stack:
    return MatStack(path) if path.suffix == ".mat" else NpyStack(path)


_OPENED = Opened(_open, limit=2)


def rows(path: Path, options: ConnectivityOptions) -> Iterator[Row]:
    """One row per matrix: `row` (from 1), and `id` or the `labels`.

    Raises:
        ValueError: the file is no stack, or there are more or fewer identifiers or labels than matrices.
    """
    stack = _OPENED.get(path)
    count, columns = stack.count(options), stack.columns(options)
    for name, values in columns.items():
        if len(values) != count:
            raise ValueError(f"{len(values)} of {name!r} for {count} matrices")
    size = path.stat().st_size // max(count, 1)
    for number in range(count):
        yield Row({"row": number + 1, **{name: values[number] for name, values in columns.items()}}, size)


def read(path: Path, fields: Fields, options: ConnectivityOptions) -> Payload:
    """One matrix in the dtype on disk: [node, node] or [node, node, view]. Fields: `nodes`, `symmetric` (NaN equals
    NaN), `missing` (nodes with a NaN).

    Raises:
        ValueError: it is not square.
    """
    matrix = _OPENED.get(path).matrix(int(lookup(fields, "row") or 0) - 1, options)
    square = matrix.ndim in (2, 3) and matrix.shape[0] == matrix.shape[1] and matrix.size > 0
    if not square or matrix.dtype.kind not in "fiu":
        raise ValueError(f"{matrix.dtype} of shape {matrix.shape} is not a matrix of nodes by nodes")
    missing = np.isnan(matrix).reshape(len(matrix), -1).any(axis=1)
    found: dict[str, Value] = {
        "nodes": len(matrix),
        "symmetric": bool(np.array_equal(matrix, matrix.swapaxes(0, 1), equal_nan=True)),
        "missing": int(missing.sum()),
    }
    return array_payload(matrix, _AXES[: matrix.ndim], fields=found)


def companions(path: Path, options: ConnectivityOptions) -> list[Path]:
    """The identifiers."""
    return [path.with_name(options.ids)] if options.ids else []


ADAPTER = Adapter(options=ConnectivityOptions, read=read, rows=rows, locators=lambda _: ("row",), companions=companions)
