"""The original TIFF with nothing but the pages that a recipe reads, and of their tags those that pixels need.

Every byte that is kept stays where it was in the file, and all others are zeros: descriptions, names, dates, EXIF, GPS,
XMP, private tags, thumbnails, and the label and overview of a slide, which show who it is of. Pixels are copied as they
are encoded; of JPEG what no decoder needs is blanked, of plain and of deflated pixels what follows them.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from ropeway_shardgen.adapters.adapter import Payload
from ropeway_shardgen.formats import jpeg_blank
from ropeway_shardgen.formats.bounded import check_array

_ALLOWED = frozenset((
    254, 255, 256, 257, 258, 259, 262, 263, 266, 273, 274, 277, 278, 279, 280, 281, 282, 283, 284, 292, 293, 296, 317,
    318, 319, 322, 323, 324, 325, 338, 339, 340, 341, 347, 529, 530, 531, 532,
))  # fmt: skip
"""Numbers of TIFF 6.0 about sizes, storage, resolution and colour (not the profile, which names its maker and date)."""
_OF_SAMPLES, _OF_PIECES = (258, 280, 281, 338, 339, 340, 341), (273, 279, 324, 325)
"""Tags with a value for each colour, and with one for each strip or tile."""
_VALUES = {318: 2, 319: 6, 529: 3, 530: 2, 532: 6}
"""Values that other tags have at most, where it is more than one."""
_NUMBERS = frozenset((3, 4, 5, 8, 9, 10, 11, 12, 13, 16, 17, 18))
"""Types of tags that are neither text nor plain bytes."""
_JPEG_TABLES = 347
_UNPACKED = 1 << 24
"""Bytes that deflated pixels are unpacked to at once."""
_TOGETHER = 1
"""The colours of a pixel lie together."""
_OLD_JPEG, _JPEG, _PLAIN, _DEFLATED = 6, 7, 1, (8, 32946)
_KEPT = (_PLAIN, 5, _JPEG, *_DEFLATED, 32773)
"""How pixels may be encoded: also LZW and PackBits. Others can hold text in places that are not known here."""


def kept(path: Path, pages: Sequence[Any], form: str) -> Payload:
    """A file with these pages only, in this order.

    Args:
        path: of the file.
        pages: of tifffile, whose pixels lie in the file; of tags that lie outside it tifffile knows nothing.
        form: what the format is called.

    Raises:
        ValueError: it is larger than a sample may be, damaged, or its pixels are encoded as those that are not kept.
    """
    check_array(path.stat().st_size)
    layout = pages[0].parent.tiff
    link = 8 if layout.is_bigtiff else 4
    spans = [(0, link), *(span for page in pages for span in _spans(page))]
    lists = [(page.offset, page.offset + layout.tagnosize + len(page.tags) * layout.tagsize) for page in pages]
    new = bytearray(layout.offsetsize + max(stop for _, stop in [*spans, *lists]))
    with path.open("rb") as file:
        for start, stop in spans:
            file.seek(start)
            new[start:stop] = file.read(stop - start)
        for page in pages:
            struct.pack_into(layout.offsetformat, new, link, page.offset)
            link = _list(page, new, file)
    for page in pages:
        _blank_pixels(page, memoryview(new))
    return Payload(content=bytes(new), format=form)


def _list(page: Any, new: bytearray, file: IO[bytes]) -> int:
    """Write the list of a page's tags that stay; where the place of the next page's list belongs."""
    layout, tags = page.parent.tiff, _tags(page)
    struct.pack_into(layout.tagnoformat, new, page.offset, len(tags))
    at: int = page.offset + layout.tagnosize
    for tag in tags:
        file.seek(tag.offset)
        entry = file.read(layout.tagsize)
        if _inside(tag, layout):  # of which the value may be shorter than its place
            entry = entry[: tag.valueoffset - tag.offset + tag.valuebytecount].ljust(layout.tagsize, b"\0")
        new[at : at + layout.tagsize] = entry
        at += layout.tagsize
    return at


def _tags(page: Any) -> list[Any]:
    """The tags that stay, by number."""
    allowed = {
        tag.code: tag
        for tag in page.tags
        if tag.code == _JPEG_TABLES
        or (tag.code in _ALLOWED and int(tag.dtype) in _NUMBERS and tag.count <= _most_values(page, tag.code))
    }
    return [allowed[code] for code in sorted(allowed)]


def _most_values(page: Any, code: int) -> int:
    if code in _OF_PIECES:
        return len(page.dataoffsets)
    return int(page.samplesperpixel) if code in _OF_SAMPLES else _VALUES.get(code, 1)


def _inside(tag: Any, layout: Any) -> bool:
    """Whether a tag's value lies in the list of tags."""
    return bool(tag.offset <= tag.valueoffset < tag.offset + layout.tagsize)


def _spans(page: Any) -> Iterator[tuple[int, int]]:
    """Start and stop of everything of a page but its list of tags.

    Raises:
        ValueError: its pixels are encoded as those that are not kept.
    """
    if int(page.compression) == _OLD_JPEG:
        raise ValueError("JPEG as TIFF 6.0 had it, whose bytes lie anywhere in the file: it cannot be kept")
    if int(page.compression) not in _KEPT:
        raise ValueError(f"pixels encoded as {page.compression}: it cannot be kept")
    for tag in _tags(page):
        if not _inside(tag, page.parent.tiff):
            yield tag.valueoffset, tag.valueoffset + tag.valuebytecount
    yield from _pixels(page)


def _pixels(page: Any) -> Iterator[tuple[int, int]]:
    for start, size in zip(page.dataoffsets, page.databytecounts, strict=True):
        yield start, start + size


def _blank_pixels(page: Any, content: memoryview) -> None:
    """Blank what of a page's strips or tiles, and of the tables that its JPEGs share, is no pixels.

    Raises:
        ValueError: some are damaged.
    """
    for tag in _tags(page):
        if tag.code == _JPEG_TABLES:
            jpeg_blank.blank(content[tag.valueoffset : tag.valueoffset + tag.valuebytecount])
    coding = int(page.compression)
    for number, (start, stop) in enumerate(_pixels(page)):
        piece = content[start:stop]
        if coding == _JPEG:
            jpeg_blank.blank(piece)
        elif coding == _PLAIN or coding in _DEFLATED:
            end = min(_plain_bytes(page, number), len(piece)) if coding == _PLAIN else _end_of_stream(piece)
            piece[end:] = bytes(len(piece) - end)


def _plain_bytes(page: Any, number: int) -> int:
    """Bytes of a strip or tile as plain pixels."""
    wide = page.tilewidth if page.is_tiled else page.imagewidth
    tall = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
    if not page.is_tiled:
        strips = -(-page.imagelength // tall)
        tall = min(tall, page.imagelength - number % strips * tall)
    colours = page.samplesperpixel if int(page.planarconfig) == _TOGETHER else 1
    return int(tall * -(-wide * colours * int(page.bitspersample) // 8))


def _end_of_stream(piece: memoryview) -> int:
    """Where a zlib stream ends."""
    unpacker, left = zlib.decompressobj(), bytes(piece)
    try:
        while left and not unpacker.eof:
            unpacker.decompress(left, _UNPACKED)
            left = unpacker.unconsumed_tail
    except zlib.error as error:
        raise ValueError(f"deflated pixels are damaged: {error}") from error
    return len(piece) - len(unpacker.unused_data)
