"""Rows of a matrix in an HDF5 file, read several at once where they are wanted one after the other."""

from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ropeway_shardgen.formats.bounded import check_array
from ropeway_shardgen.formats.hdf5_inside import check_inside

Array: TypeAlias = npt.NDArray[Any]

_BYTES = 1 << 23
"""Of rows that are read at once, or one row where that takes more."""
_SPARSE = ("data", "indices", "indptr")
_MOST = 1 << 16
"""Rows that are read at once."""


class Rows:
    """The rows of a dataset [row, column], or of a group of compressed sparse rows.

    How many are read doubles as long as the next ones are asked for, and starts from one where others are.

    Args:
        node: an h5py dataset, or a group with `data`, `indices` and `indptr`.
        shape: rows and columns.
        file: the h5py file.

    Raises:
        ValueError: a part of it lies in another file.
    """

    def __init__(self, node: Any, shape: tuple[int, int], file: Any) -> None:
        self._height, self._width = shape
        sparse = not hasattr(node, "shape")
        self._parts: tuple[Any, ...] = tuple(node[name] for name in _SPARSE) if sparse else (node,)
        for part in self._parts:
            check_inside(part, file)
        self._first, self._rows, self._ahead = 0, list[tuple[Array, ...]](), 1

    def __getitem__(self, number: int) -> Array:
        """One row, dense, in the dtype on disk.

        Raises:
            ValueError: there is no such row, it is larger than a sample may be, or the matrix is damaged.
        """
        if not 0 <= number < self._height:
            raise ValueError(f"there is no row {number}: the matrix has {self._height}")
        stop = self._first + len(self._rows)
        if not self._first <= number < stop:
            follows = stop <= number <= stop + self._ahead
            self._ahead = min(2 * self._ahead, _MOST) if follows else 1
            count = min(self._ahead, self._height - number)
            self._rows = self._dense(number, count) if len(self._parts) == 1 else self._sparse(number, count)
            self._first = number
        return self._filled(*self._rows[number - self._first])

    def _filled(self, values: Array, columns: Array | None = None) -> Array:
        if columns is None:
            return values
        if columns.size and not 0 <= int(columns.min()) <= int(columns.max()) < self._width:
            raise ValueError(f"a sparse matrix that has values beyond its {self._width} columns: damaged")
        row = np.zeros(self._width, values.dtype)
        np.add.at(row, columns, values)  # a column may be there twice, and counts as the sum
        return row

    def _dense(self, first: int, count: int) -> list[tuple[Array, ...]]:
        node = self._parts[0]
        size = self._width * node.dtype.itemsize
        check_array(size)
        count = min(count, max(1, _BYTES // max(size, 1)))
        return [(row,) for row in np.asarray(node[first : first + count])]

    def _sparse(self, first: int, count: int) -> list[tuple[Array, ...]]:
        data, indices, indptr = self._parts
        ends = np.asarray(indptr[first : first + count + 1]).astype(np.int64)
        if (
            len(ends) != count + 1
            or ends[0] < 0
            or (np.diff(ends) < 0).any()
            or ends[-1] > min(data.size, indices.size)
        ):
            raise ValueError("a sparse matrix whose rows do not lie in it: cut short or damaged")
        each = data.dtype.itemsize + indices.dtype.itemsize
        check_array(max(self._width * data.dtype.itemsize, int(ends[1] - ends[0]) * each))
        most = _BYTES // each
        ends = ends[: max(2, int(np.searchsorted(ends, ends[0] + most, side="right")))]
        start, stop = int(ends[0]), int(ends[-1])
        values, columns = np.asarray(data[start:stop]), np.asarray(indices[start:stop])
        return [(values[a:b], columns[a:b]) for a, b in pairwise((ends - start).tolist())]
