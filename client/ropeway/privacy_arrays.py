"""Text in files of arrays: MetaImage, MATLAB of every version, and HDF5 as scverse and MATLAB write it."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from ropeway.decoders.libraries import damage, require
from ropeway.privacy_rules import decoded
from ropeway.privacy_words import Words, printable

_LARGEST = 1 << 30
"""Bytes that a compressed variable, or a dataset of words, may become."""
_MATRIX, _COMPRESSED = 14, 15
_CHAR = 4
_TEXTS = (1, 2, 4, 16, 17)
"""Elements that may hold letters: bytes, 16-bit characters, UTF-8 and UTF-16."""
_DEEPEST = 32


def metaimage(content: bytes) -> Iterator[Words]:
    """The header, which goes up to the line that says where the voxels are."""
    head, mark, rest = content.partition(b"ElementDataFile")
    if not mark:
        raise ValueError("not a MetaImage header")
    yield Words("header", decoded(head + mark + rest.partition(b"\n")[0]))


def matlab(content: bytes) -> Iterator[Words]:
    """The header, names, and all text; of version 4, whose text is numbers, what is printable."""
    if content[:10] == b"MATLAB 7.3":
        yield from hdf5(content)
    elif content[:6] == b"MATLAB":
        yield from printable("header", content[:116])
        order = "<" if content[126:128] == b"IM" else ">"
        yield from _elements(memoryview(content)[128:], order, 0, text=False)
    else:
        yield from (words._replace(noise=True) for words in printable("content", content))


def _elements(content: memoryview, order: str, depth: int, *, text: bool) -> Iterator[Words]:
    """The words of elements of MATLAB's version 5, one after the other; `text`: of an array of characters."""
    at = 0
    while at + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}2I", content, at)
        small = kind >> 16
        if small:
            kind, size = kind & 0xFFFF, min(small, 4)
        first = at + 4 if small else at + 8
        body = content[first : first + size]
        at = at + 8 if small else first + size + (0 if kind == _COMPRESSED else -size % 8)
        if kind == _COMPRESSED:
            yield from _elements(_inflated(body), order, depth, text=text)
        elif kind == _MATRIX and depth < _DEEPEST:
            yield from _elements(body, order, depth + 1, text=_is_text(body, order))
        elif kind in _TEXTS and depth:
            yield from (words._replace(noise=not text) for words in printable("variable", bytes(body)))


def _is_text(body: memoryview, order: str) -> bool:
    return len(body) >= 12 and struct.unpack_from(f"{order}I", body, 8)[0] & 0xFF == _CHAR


def _inflated(body: memoryview) -> memoryview:
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(body, _LARGEST)
    if unpacker.unconsumed_tail:
        raise ValueError(f"a compressed variable of more than {_LARGEST} bytes")
    return memoryview(content)


def hdf5(content: bytes) -> Iterator[Words]:
    """The block before the file, the names of everything in it, attributes, and datasets of words."""
    with damage(OSError), require("h5py", "hdf5").File(io.BytesIO(content), "r") as file:
        yield from printable("header", content[: file.userblock_size])
        nodes: list[tuple[str, Any]] = [("/", file)]
        file.visititems(lambda name, node: nodes.append((name, node)))
        for name, node in nodes:
            yield Words("names", name)
            for attribute, value in node.attrs.items():
                yield from _words(f"{name}, attribute {attribute}", np.asarray(value))
            if hasattr(node, "dtype"):
                yield from _dataset(name, node)


def _dataset(name: str, node: Any) -> Iterator[Words]:
    is_text = node.attrs.get("MATLAB_class") == b"char"
    if not is_text and node.dtype.kind not in "OSUV":
        return
    if node.size * node.dtype.itemsize > _LARGEST:
        raise ValueError(f"a dataset of {node.size} words")
    values = np.asarray(node[()])
    if is_text:
        yield Words(name, "".join(map(chr, values.ravel().tolist())))
        return
    for column in values.dtype.names or ():
        yield Words("names", column)
        yield from _words(f"{name}.{column}", values[column])
    yield from _words(name, values)


def _words(place: str, values: Any) -> Iterator[Words]:
    if values.dtype.kind not in "OSU":
        return
    for value in values.ravel().tolist():
        if isinstance(value, str | bytes) and value:
            yield Words(place, decoded(value) if isinstance(value, bytes) else value)
