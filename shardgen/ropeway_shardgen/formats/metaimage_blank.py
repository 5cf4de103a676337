"""The original MetaImage as one .mha file: the voxels as they are stored, behind a header of nothing but geometry.

Comments, names, scan parameters and every other key are left out, and with them the name of the data file.
"""

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from ropeway_shardgen.adapters.adapter import Payload
from ropeway_shardgen.formats.bounded import check_array
from ropeway_shardgen.formats.metaimage_header import (
    BIG_ENDIAN,
    DIRECTION,
    ORIGIN,
    SPACING,
    Header,
    check_stream,
    first_byte,
    header_words,
    read_header,
)

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
_ANATOMY = re.compile(r"[RLAPIS?]{2,4}")
"""Which way the axes run, a letter each."""
_READ = 1 << 20


def kept(path: Path) -> Payload:
    """A .mhd with its data file, or a .mha, as a .mha without identity.

    Raises:
        ValueError: it is no MetaImage that is read, or its data are cut short or damaged.
    """
    header, (words, _) = read_header(path), header_words(path)
    content = _stream(header) if header.compressed else _plain(header)
    head = "".join(_lines(header, words, len(content))).encode()
    return Payload(content=b"".join([head, content]), format="mha")


def _lines(header: Header, words: dict[str, str], size: int) -> Iterator[str]:
    yield f"ObjectType = Image\nNDims = {header.dimensions}\nBinaryData = True\n"
    yield f"BinaryDataByteOrderMSB = {any(words.get(key, '').lower() == 'true' for key in BIG_ENDIAN)}\n"
    yield f"CompressedData = {header.compressed}\n"
    if header.compressed:
        yield f"CompressedDataSize = {size}\n"
    sides = header.dimensions
    for keys, count in (
        (("DimSize",), sides),
        (("ElementNumberOfChannels",), 1),
        (("CenterOfRotation",), sides),
        (SPACING, sides),
        (ORIGIN, sides),
        (DIRECTION, sides * sides),
    ):
        key = next((key for key in keys if key in words), "")  # of several, the one that is read
        numbers = words.get(key, "").split()
        if len(numbers) == count and all(map(_NUMBER.fullmatch, numbers)):
            yield f"{key} = {' '.join(numbers)}\n"
    if _ANATOMY.fullmatch(words.get("AnatomicalOrientation", "")):
        yield f"AnatomicalOrientation = {words['AnatomicalOrientation']}\n"
    yield f"ElementType = {words['ElementType']}\nElementDataFile = LOCAL\n"


def _plain(header: Header) -> bytes:
    start = first_byte(header)
    check_array(header.bytes)
    with header.data.open("rb") as file:
        file.seek(start)
        return file.read(header.bytes)


def _stream(header: Header) -> bytearray:
    """The compressed voxels to the end of their zlib stream, which is read through."""
    check_stream(header)
    check_array(header.bytes)
    unpacker, found, size = zlib.decompressobj(), bytearray(), 0
    with header.data.open("rb") as file:
        file.seek(max(0, header.offset))
        while not unpacker.eof:
            packed = unpacker.unconsumed_tail
            if not packed:
                packed = file.read(_READ)
                found += packed
            if not packed or size > header.bytes:
                raise ValueError(f"{header.data.name} is cut short, or has more than the header says")
            try:
                size += len(unpacker.decompress(packed, _READ))
            except zlib.error as error:
                raise ValueError(f"{header.data.name} is damaged: {error}") from error
    if size != header.bytes:
        raise ValueError(f"{header.data.name} holds {size} bytes of voxels, the header says {header.bytes}")
    del found[len(found) - len(unpacker.unused_data) :]
    return found
