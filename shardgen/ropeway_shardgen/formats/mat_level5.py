"""MATLAB files of version 5 (also 6 and 7): plain arrays, text, cell arrays and structs.

Format: MAT-File Format, The MathWorks, https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf, chapter 1.
Read here because SciPy's reader (1.17) ends the whole process on some damaged files; nothing is allocated that the file
does not hold.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ropeway_shardgen.formats.bounded import check_array

Array: TypeAlias = npt.NDArray[Any]

MATRIX, COMPRESSED = 14, 15
STORED = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
    16: "u1",
    17: "u2",
}
"""How numbers and characters are stored, by the type of an element (16 and 17 are text)."""
_TEXT = {1: "latin1", 2: "latin1", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
CELL, STRUCT, CHAR = 1, 2, 4
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""What numbers are in MATLAB, by the class of an array. Small ones may be stored in fewer bytes."""
LOGICAL, COMPLEX = 0x02, 0x08
DEEPEST = 32
"""Cells and structs in each other."""
_MOST_PACKED = 1032
"""Bytes that one byte of a zlib stream can become (https://zlib.net/zlib_tech.html)."""
BEGINNING = 1024
"""Bytes that hold the name of a variable: MATLAB's have at most 63 characters."""


@dataclass(frozen=True, slots=True)
class Cells:
    """A cell array, in MATLAB's order."""

    values: list[Any]


@dataclass(frozen=True, slots=True)
class Structs:
    """An array of structs, in MATLAB's order: field → value."""

    values: list[dict[str, Any]]


class Level5:
    """The content of a file.

    Raises:
        ValueError: it is no such file, or damaged.
    """

    def __init__(self, content: memoryview) -> None:
        mark = bytes(content[126:128])
        if mark not in (b"IM", b"MI"):
            raise ValueError("not a MATLAB file of version 5")
        self._order = "<" if mark == b"IM" else ">"
        self._variables: dict[str, memoryview] = {}
        self._packed: set[str] = set()
        for kind, body in elements_of(content[128:], self._order):
            beginning = inflated(body, self._order, BEGINNING) if kind == COMPRESSED else body
            if kind not in (MATRIX, COMPRESSED) or not beginning:
                continue
            name = head_of(elements_of(beginning, self._order), self._order)[2]
            self._variables.setdefault(name, body)
            self._packed |= {name} if kind == COMPRESSED else set()

    @property
    def names(self) -> tuple[str, ...]:
        """Of all variables."""
        return tuple(name for name in self._variables if name)

    def read(self, name: str) -> Any:
        """A variable: an array with the axes that MATLAB shows, text, `Cells` or `Structs`."""
        body = self._variables[name]
        return _matrix(inflated(body, self._order) if name in self._packed else body, self._order, 0)


def elements_of(content: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and bytes of one element after the other."""
    at = 0
    while at + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}2I", content, at)
        first, stop = at + 8, at + 8 + size
        if kind >> 16:  # up to four bytes, within the tag
            kind, size = kind & 0xFFFF, min(kind >> 16, 4)
            first, stop = at + 4, at + 4 + size
            at += 8
        else:
            at = stop if kind == COMPRESSED else stop + -size % 8
        if stop > len(content):
            raise ValueError(f"cut short: an element of {size} bytes where {len(content) - first} are left")
        yield kind, content[first:stop]


def inflated(body: memoryview, order: str, most: int | None = None) -> memoryview:
    """The matrix in a compressed element, or its first bytes."""
    stream = zlib.decompressobj()
    try:
        head = stream.decompress(body, 8)
        kind, size = struct.unpack(f"{order}2I", head)
        if kind != MATRIX or size > _MOST_PACKED * len(body):
            raise ValueError(f"a compressed element of type {kind} that says it has {size} bytes")
        wanted = size if most is None else min(size, most)
        check_array(wanted)
        content = stream.decompress(stream.unconsumed_tail, wanted) if wanted else b""
        if most is None:
            stream.decompress(stream.unconsumed_tail, 8)  # to the checksum behind it
    except (zlib.error, struct.error) as error:
        raise ValueError(f"a compressed element is damaged: {error}") from error
    if len(content) < wanted or (most is None and not stream.eof):
        raise ValueError(f"cut short: {len(content)} of {wanted} compressed bytes")
    return memoryview(content)


def _next(elements: Iterator[tuple[int, memoryview]]) -> tuple[int, memoryview]:
    found = next(elements, None)
    if found is None:
        raise ValueError("cut short: an array without all its elements")
    return found


def numbers_of(kind: int, body: memoryview, order: str) -> Array:
    """The values of an element; of one that is cut off inside a value, those before."""
    if kind not in STORED:
        raise ValueError(f"an element of type {kind} where numbers are wanted")
    dtype = np.dtype(order + STORED[kind])
    return np.frombuffer(body, dtype, len(body) // dtype.itemsize)


def head_of(elements: Iterator[tuple[int, memoryview]], order: str) -> tuple[int, tuple[int, ...], str]:
    """Flags and class, shape, and name of an array."""
    flags, shape = (numbers_of(*_next(elements), order) for _ in range(2))
    name = bytes(_next(elements)[1]).decode("latin1")
    if len(flags) < 1 or len(shape) < 2 or len(shape) > 32 or int(shape.min()) < 0:
        raise ValueError("an array without a shape")
    return int(flags[0]), tuple(shape.tolist()), name


def _matrix(body: memoryview, order: str, depth: int) -> Any:
    if not body:
        return np.empty((0, 0))
    if depth > DEEPEST:
        raise ValueError(f"more than {DEEPEST} cells and structs in each other")
    elements = elements_of(body, order)
    flags, shape, _ = head_of(elements, order)
    kind, count = flags & 0xFF, math.prod(shape)
    if kind == CELL:
        return Cells([_matrix(_inner(elements), order, depth + 1) for _ in range(_possible(count, body))])
    if kind == STRUCT:
        width = int(numbers_of(*_next(elements), order)[0])
        text = bytes(_next(elements)[1])
        names = [
            text[at : at + width].partition(b"\0")[0].decode("latin1") for at in range(0, len(text), max(width, 1))
        ]
        found = range(_possible(count * max(len(names), 1), body) // max(len(names), 1))
        return Structs([{name: _matrix(_inner(elements), order, depth + 1) for name in names} for _ in found])
    if kind == CHAR:
        return _text(*_next(elements), order) if count else ""
    return _array(elements, flags, shape, order)


def _inner(elements: Iterator[tuple[int, memoryview]]) -> memoryview:
    kind, body = _next(elements)
    if kind != MATRIX:
        raise ValueError(f"an element of type {kind} where an array is wanted")
    return body


def _possible(count: int, body: memoryview) -> int:
    """A number of arrays, each of which has a tag of eight bytes."""
    if count > len(body) // 8:
        raise ValueError(f"{count} arrays in {len(body)} bytes")
    return count


def _array(elements: Iterator[tuple[int, memoryview]], flags: int, shape: tuple[int, ...], order: str) -> Array:
    if flags & 0xFF not in CLASSES:
        raise ValueError(f"an array of class {flags & 0xFF}: objects, functions and sparse arrays are not read")
    dtype = np.dtype(bool) if flags >> 8 & LOGICAL else np.dtype(CLASSES[flags & 0xFF])
    parts = [numbers_of(*_next(elements), order) for _ in range(2 if flags >> 8 & COMPLEX else 1)]
    if any(len(part) != math.prod(shape) for part in parts):
        raise ValueError(f"an array of shape {shape} with {len(parts[0])} numbers")
    values = parts[0].astype(dtype) if len(parts) == 1 else parts[0] + 1j * parts[1].astype(np.float64)
    return values.reshape(shape, order="F")


def _text(kind: int, text: memoryview, order: str) -> str:
    if kind not in _TEXT:
        raise ValueError(f"an element of type {kind} where text is wanted")
    coding = _TEXT[kind]
    if coding == "utf-16":
        coding = "utf-16-le" if order == "<" else "utf-16-be"
    return bytes(text).decode(coding)
