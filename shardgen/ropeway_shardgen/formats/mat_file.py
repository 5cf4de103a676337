"""MATLAB files of all versions behind one face: 4 and 5 as they are, 7.3 (which is HDF5) by h5py."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from ropeway.decoders.libraries import damage, require
from ropeway_shardgen.formats.bounded import check_array
from ropeway_shardgen.formats.hdf5_inside import check_inside
from ropeway_shardgen.formats.mat_level4 import Level4
from ropeway_shardgen.formats.mat_level5 import Cells, Level5, Structs
from ropeway_shardgen.formats.numbers import shortest

Array: TypeAlias = npt.NDArray[Any]

_MOST_PACKED = 1032
"""Bytes that one byte of a zlib stream can become (https://zlib.net/zlib_tech.html)."""
_NEW = b"MATLAB 7.3"
_LEVEL_5 = b"MATLAB 5.0"


def is_mat(path: Path) -> bool:
    """Whether a file is of version 5 or 7.3. Version 4 has no mark of its own."""
    with path.open("rb") as file:
        return file.read(len(_NEW)) in (_NEW, _LEVEL_5)


class MatFile:
    """An open MATLAB file. A variable is named by its path, as MATLAB would write it: `data`; `record.data` for a field
    of a struct; `runs{2}.data` for that of the second cell of a cell array.

    Methods raise ValueError where the file is damaged, or lacks what is asked for; the message says what there is.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            mark = file.read(len(_NEW))
        self._limit = _MOST_PACKED * path.stat().st_size
        self._new: Any = require("h5py", "hdf5").File(path, "r") if mark == _NEW else None
        self._old: Level4 | Level5 | None = None
        if mark != _NEW:
            content = memoryview(path.read_bytes())
            self._old = Level5(content) if mark == _LEVEL_5 else Level4(content)
        self._read: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._new is not None:
            self._new.close()
        self._read.clear()

    def has(self, name: str) -> bool:
        """Whether there is a variable of that name."""
        return name in self._names()

    def cells(self, name: str) -> int:
        """How many cells a cell array has."""
        with _sound():
            node = self._node(name)
            if not _is_cell(node):
                raise ValueError(f"variable {name!r} is no cell array")
            return len(node.values) if isinstance(node, Cells) else int(node.size)

    def array(self, name: str, cell: int | None = None) -> Array:
        """A variable's values, or one cell's (counted from 0), with its axes as MATLAB shows them."""
        with _sound():
            node = self._node(name) if cell is None else self._cell(self._node(name), cell)
            if self._new is not None and hasattr(node, "dtype"):
                self._check(name, node)
                node = np.asarray(node).T
            if not isinstance(node, np.ndarray) or node.dtype.kind not in "biufc":
                raise ValueError(f"variable {name!r} is no array of numbers")
            return node

    def words(self, name: str) -> list[str]:
        """The elements of a vector as words: numbers in their shortest form, text as it is."""
        with _sound():
            node = self._node(name)
            if _is_cell(node):
                return [self._word(self._cell(node, cell)) for cell in range(self.cells(name))]
            return [shortest(value) for value in self.array(name).ravel(order="F").tolist()]

    def column(self, name: str, field: str) -> list[str]:
        """A field of each struct of an array of structs, as words."""
        with _sound():
            node = self._node(name)
            if isinstance(node, Structs):
                return [self._word(self._field(Structs([value]), field)) for value in node.values]
            member = self._field(node, field)
            return [self._word(self._cell(member, cell)) for cell in range(member.size)]

    def _names(self) -> list[str]:
        names = self._new if self._old is None else self._old.names
        return [name for name in names if not name.startswith("#")]

    def _node(self, name: str) -> Any:
        node: Any = None
        for place, step in enumerate(name.split(".")):
            field, _, cell = step.rstrip("}").partition("{")
            node = self._field(node, field) if place else self._variable(field)
            node = self._cell(node, int(cell) - 1) if cell else node
        return node

    def _variable(self, name: str) -> Any:
        if not self.has(name):
            raise ValueError(f"there is no variable {name!r}; there is: {', '.join(self._names())}")
        if self._old is None:
            return self._new[name]
        if name not in self._read:
            self._read[name] = self._old.read(name)
        return self._read[name]

    def _field(self, node: Any, name: str) -> Any:
        if isinstance(node, Structs):
            fields: Any = node.values[0] if len(node.values) == 1 else {}
        else:  # of HDF5, a group
            fields = node if self._new is not None and not hasattr(node, "dtype") else {}
        if name not in fields:
            raise ValueError(f"there is no field {name!r} of one struct; there is: {', '.join(fields)}")
        return fields[name]

    def _cell(self, node: Any, cell: int) -> Any:
        if not _is_cell(node):
            raise ValueError("a cell is wanted of what is no cell array")
        count = len(node.values) if isinstance(node, Cells) else int(node.size)
        if not 0 <= cell < count:
            raise ValueError(f"there is no cell {cell + 1}: there are {count}")
        if isinstance(node, Cells):
            return node.values[cell]
        return self._new[np.asarray(node).ravel()[cell]]  # HDF5 has the axes reversed, so this is MATLAB's order

    def _word(self, node: Any) -> str:
        """One word or one number."""
        if isinstance(node, str):
            return node
        if self._new is not None:
            self._check("a word", node)
            if node.attrs.get("MATLAB_class") == b"char":
                return "".join(map(chr, np.asarray(node).ravel().tolist()))
        values = np.asarray(node).ravel()
        if values.size != 1 or values.dtype.kind not in "biuf":
            raise ValueError(f"{values.size} values where one word is wanted")
        return shortest(values.tolist()[0])

    def _check(self, name: str, node: Any) -> None:
        check_inside(node, self._new)
        size = math.prod(node.shape) * node.dtype.itemsize
        if size > self._limit:
            raise ValueError(f"{name} says it is {tuple(node.shape)}, more than a file of this size can hold")
        check_array(size)


@contextmanager
def _sound() -> Iterator[None]:
    with damage(OSError):
        yield


def _is_cell(node: Any) -> bool:
    return isinstance(node, Cells) or (
        hasattr(node, "dtype") and not isinstance(node, np.ndarray) and node.dtype.hasobject
    )
