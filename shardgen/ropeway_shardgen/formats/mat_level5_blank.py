"""The numbers that a recipe reads of a MATLAB file of version 5, in a file of that version that holds nothing else.

Elements of numbers are copied as they are stored. Everything around them is written anew: the text of the header, which
tells machine and date, paddings, and the structs and cell arrays that led to them, without their other fields.
"""

import math
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice
from typing import Any, NamedTuple, TypeAlias

from ropeway_shardgen.formats.bounded import check_array
from ropeway_shardgen.formats.mat_level5 import (
    BEGINNING,
    CELL,
    CLASSES,
    COMPLEX,
    COMPRESSED,
    DEEPEST,
    LOGICAL,
    MATRIX,
    STRUCT,
    elements_of,
    head_of,
    inflated,
    numbers_of,
)

Wanted: TypeAlias = Mapping[str, Any]
"""Name of a variable or field → the fields wanted of it; none: it is numbers, or a cell array of them. Cells are passed
through: what is wanted of a cell array is wanted of each of its cells."""

_Elements: TypeAlias = Iterator[tuple[int, memoryview]]
"""Types of elements, and what they hold."""

TEXT = b"MATLAB 5.0 MAT-file".ljust(116)
_VERSION, _MARK = 0x0100, 0x4D49
"""Stored in the byte order of the file, of which the second tells: `IM` is little-endian."""
_INT8, _INT32, _UINT32 = 1, 5, 6
_CHARACTERS = (16, 17)
_HEAD_ELEMENTS = 3
"""Of an array, before its content: flags, shape and name."""
_WIDTH = 32
"""Bytes of a field's name."""


class _Array(NamedTuple):
    """Which array it is, and what is wanted of it.

    Attributes:
        order: of the file's bytes, `<` or `>`.
        name: of its variable, and the fields that lead to it.
        depth: in how many cells and structs it is.
    """

    order: str
    wanted: Wanted
    name: str
    depth: int = 0

    @property
    def cell(self) -> "_Array":
        """Each of its cells."""
        return self._replace(depth=self.depth + 1)

    def field(self, name: str) -> "_Array":
        """That field of each of its structs."""
        return _Array(self.order, self.wanted[name], f"{self.name}.{name}", self.depth + 1)


def _head(order: str) -> bytes:
    return TEXT + bytes(8) + struct.pack(f"{order}2H", _VERSION, _MARK)


HEAD = _head("<")
"""Of a little-endian file: it tells neither machine nor date."""


def blanked(content: memoryview, wanted: Wanted) -> bytes:
    """The file with the wanted variables only.

    Raises:
        ValueError: it is damaged, or something wanted is not there or no numbers.
    """
    order = "<" if bytes(content[126:128]) == b"IM" else ">"
    found: dict[str, bytes] = {}
    for kind, body in elements_of(content[128:], order):
        if kind not in (MATRIX, COMPRESSED) or not body:
            continue
        beginning = inflated(body, order, BEGINNING) if kind == COMPRESSED else body
        name = head_of(elements_of(beginning, order), order)[2] if beginning else ""
        if name not in wanted or name in found:
            continue
        matrix = inflated(body, order) if kind == COMPRESSED else body
        found[name] = element(MATRIX, _blank(matrix, _Array(order, wanted[name], name)), order)
        if kind == COMPRESSED:
            packed = zlib.compress(found[name])
            found[name] = struct.pack(f"{order}2I", COMPRESSED, len(packed)) + packed
    lacking = sorted(set(wanted) - set(found))
    if lacking:
        raise ValueError(f"there is no variable {lacking[0]!r}")
    check_array(sum(map(len, found.values())))
    return b"".join([_head(order), *found.values()])


def _blank(body: memoryview, array: _Array) -> bytes:
    """The elements of an array: what it is, and what is wanted of it."""
    if not body:  # an empty cell
        return b""
    if array.depth > DEEPEST:
        raise ValueError(f"more than {DEEPEST} cells and structs in each other")
    flags, shape, _ = head_of(elements_of(body, array.order), array.order)
    inside = islice(elements_of(body, array.order), _HEAD_ELEMENTS, None)
    return b"".join([*_array_head(flags, shape, array), *_content(inside, flags, math.prod(shape), array)])


def _array_head(flags: int, shape: Sequence[int], array: _Array) -> list[bytes]:
    """Flags, shape and name; a cell or field has no name of its own."""
    kept = flags & (0xFF | (LOGICAL | COMPLEX) << 8)
    name = "" if array.depth else array.name
    return [
        element(_UINT32, struct.pack(f"{array.order}2I", kept, 0), array.order),
        element(_INT32, struct.pack(f"{array.order}{len(shape)}i", *shape), array.order),
        element(_INT8, name.encode("latin1"), array.order),
    ]


def _content(inside: _Elements, flags: int, count: int, array: _Array) -> list[bytes]:
    """What follows the head of an array of so many cells, structs or numbers."""
    kind = flags & 0xFF
    if kind == CELL:
        return [element(MATRIX, _blank(cell, array.cell), array.order) for cell in _matrices(inside)]
    if kind == STRUCT and array.wanted:
        return _fields(inside, array)
    if kind not in CLASSES or array.wanted:
        raise ValueError(f"variable {array.name!r} is no array of numbers, or has no fields: it cannot be kept")
    several = 2 if flags >> 8 & COMPLEX else 1  # real and imaginary parts
    numbers = [_numbers(*one, count, array.order) for one in islice(inside, several)]
    if len(numbers) != several:
        raise ValueError(f"variable {array.name!r} is cut short")
    return numbers


def _fields(inside: _Elements, array: _Array) -> list[bytes]:
    """The elements of an array of structs behind its name: the wanted fields' names, and their values one by one."""
    order = array.order
    width = struct.unpack(f"{order}i", next(inside, (0, memoryview(b"")))[1][:4].tobytes())[0]
    text = bytes(next(inside, (0, memoryview(b"")))[1])
    starts = range(0, len(text), max(width, 1))
    names = [text[at : at + width].partition(b"\0")[0].decode("latin1") for at in starts]
    lacking = sorted(set(array.wanted) - set(names))
    if lacking:
        raise ValueError(f"variable {array.name!r} has no field {lacking[0]!r}")
    chosen = [name for name in names if name in array.wanted]
    values = [
        element(MATRIX, _blank(value, array.field(name)), order)
        for name, value in zip(cycle(names), _matrices(inside))
        if name in array.wanted
    ]
    return [*fields_named(chosen, order), *values]


def fields_named(names: Sequence[str], order: str) -> list[bytes]:
    """The elements of an array of structs that name its fields."""
    told = b"".join(name.encode("latin1").ljust(_WIDTH, b"\0") for name in names)
    return [element(_INT32, struct.pack(f"{order}i", _WIDTH), order), element(_INT8, told, order)]


def _numbers(stored: int, body: memoryview, count: int, order: str) -> bytes:
    """An element of so many numbers, as it is: what else it holds would be no numbers."""
    values = numbers_of(stored, body, order)
    if stored in _CHARACTERS or len(values) != count or values.nbytes != len(body):
        raise ValueError(f"an array of {count} numbers, of which {len(body)} bytes of type {stored} are stored")
    return element(stored, body, order)


def _matrices(elements: _Elements) -> Iterator[memoryview]:
    for kind, body in elements:
        if kind != MATRIX:
            raise ValueError(f"an element of type {kind} where an array is wanted")
        yield body


def element(kind: int, body: bytes | memoryview, order: str) -> bytes:
    """An element of some bytes, with its tag and padding."""
    return struct.pack(f"{order}2I", kind, len(body)) + bytes(body) + bytes(-len(body) % 8)
