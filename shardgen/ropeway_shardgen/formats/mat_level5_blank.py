"""The numbers that a recipe reads of a MATLAB file of version 5, in a file of that version that holds nothing else.

Elements of numbers are copied as they are stored. Everything around them is written anew: the text of the header, which
tells machine and date, paddings, and the structs and cell arrays that led to them, without their other fields.
"""

import math
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

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

TEXT = b"MATLAB 5.0 MAT-file".ljust(116)
_VERSION, _MARK = 0x0100, 0x4D49
"""Stored in the byte order of the file, of which the second tells: `IM` is little-endian."""
_INT8, _INT32 = 1, 5
_CHARACTERS = (16, 17)
_WIDTH = 32
"""Bytes of a field's name."""


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
        found[name] = element(MATRIX, _blank(matrix, order, wanted[name], name), order)
        if kind == COMPRESSED:
            packed = zlib.compress(found[name])
            found[name] = struct.pack(f"{order}2I", COMPRESSED, len(packed)) + packed
    lacking = sorted(set(wanted) - set(found))
    if lacking:
        raise ValueError(f"there is no variable {lacking[0]!r}")
    check_array(sum(map(len, found.values())))
    return b"".join([_head(order), *found.values()])


def _blank(body: memoryview, order: str, wanted: Wanted, name: str, depth: int = 0) -> bytes:
    """The elements of an array; a cell or field has no name of its own."""
    if not body:  # an empty cell
        return b""
    if depth > DEEPEST:
        raise ValueError(f"more than {DEEPEST} cells and structs in each other")
    flags, shape, _ = head_of(elements_of(body, order), order)
    inside = elements_of(body, order)
    for _ in range(3):
        next(inside)
    kind = flags & 0xFF
    kept = flags & (0xFF | (LOGICAL | COMPLEX) << 8)
    label = b"" if depth else name.encode("latin1")
    head = [
        element(6, struct.pack(f"{order}2I", kept, 0), order),
        element(_INT32, struct.pack(f"{order}{len(shape)}i", *shape), order),
        element(_INT8, label, order),
    ]
    if kind == CELL:
        rest = [element(MATRIX, _blank(cell, order, wanted, name, depth + 1), order) for cell in _matrices(inside)]
    elif kind == STRUCT and wanted:
        rest = _fields(inside, order, wanted, name, depth)
    elif kind in CLASSES and not wanted:
        several = 2 if flags >> 8 & COMPLEX else 1
        rest = [_numbers(*one, math.prod(shape), order) for one in islice(inside, several)]
        if len(rest) != several:
            raise ValueError(f"variable {name!r} is cut short")
    else:
        raise ValueError(f"variable {name!r} is no array of numbers, or has no fields: it cannot be kept")
    return b"".join([*head, *rest])


def _fields(inside: Iterator[tuple[int, memoryview]], order: str, wanted: Wanted, name: str, depth: int) -> list[bytes]:
    """The elements of an array of structs behind its name: the wanted fields' names, and their values one by one."""
    width = struct.unpack(f"{order}i", next(inside, (0, memoryview(b"")))[1][:4].tobytes())[0]
    text = bytes(next(inside, (0, memoryview(b"")))[1])
    starts = range(0, len(text), max(width, 1))
    names = [text[at : at + width].partition(b"\0")[0].decode("latin1") for at in starts]
    lacking = sorted(set(wanted) - set(names))
    if lacking:
        raise ValueError(f"variable {name!r} has no field {lacking[0]!r}")
    chosen = [field for field in names if field in wanted]
    values = [
        element(MATRIX, _blank(value, order, wanted[field], f"{name}.{field}", depth + 1), order)
        for number, value in enumerate(_matrices(inside))
        if (field := names[number % len(names)]) in wanted
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


def _matrices(elements: Iterator[tuple[int, memoryview]]) -> Iterator[memoryview]:
    for kind, body in elements:
        if kind != MATRIX:
            raise ValueError(f"an element of type {kind} where an array is wanted")
        yield body


def element(kind: int, body: bytes | memoryview, order: str) -> bytes:
    """An element of some bytes, with its tag and padding."""
    return struct.pack(f"{order}2I", kind, len(body)) + bytes(body) + bytes(-len(body) % 8)
