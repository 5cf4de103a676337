"""JPEG streams without what no decoder needs: comments, application segments, thumbnails, what follows the end.

Markers: ITU-T T.81, table B.1; of JPEG-LS T.87, C.1.1; of JPEG 2000 T.800, table A.2.
"""

import re

_START, _END, _SCAN = b"\xff\xd8", 0xD9, 0xDA
_NEEDED = frozenset({*range(0xC0, 0xD0), _SCAN, 0xDB, 0xDC, 0xDD, 0xF7, 0xF8} - {0xC8})
"""Segments that are kept whole: frames, tables, scans, number of lines, restarts; frames and parameters of JPEG-LS."""
_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))
"""Markers without a segment."""
_COLOURS = {0xE0: (b"JFIF\0", 12), 0xEE: (b"Adobe", 12)}
"""Application segments that say what the colours are: how they begin, and bytes of them that stay (JFIF, 10918-5; Adobe
Technical Note 5116). Behind them JFIF has a thumbnail."""
_MARKER = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
"""In coded pixels: the end of a scan. Behind 255, JPEG has zero and JPEG-LS less than 128 where there is no marker."""
_START_2000, _TILE, _DATA, _COMMENT = b"\xff\x4f", 0x90, 0x93, 0x64


def blank(content: memoryview) -> None:
    """Blank in place all that is not needed of a JPEG, or of tables that several share.

    Raises:
        ValueError: it is no JPEG, or damaged.
    """
    if content[:2] != _START:
        raise ValueError("pixels that should be JPEG and are not")
    at, size = 2, len(content)
    while at + 2 <= size:
        marker = content[at + 1]
        if content[at] != 0xFF:
            raise ValueError(f"a JPEG without a marker where one belongs (byte {at})")
        if marker == _END:
            content[at + 2 :] = bytes(size - at - 2)
            return
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        stop = at + 2 + int.from_bytes(content[at + 2 : at + 4])
        if not at + 4 <= stop <= size:
            raise ValueError(f"a JPEG cut short, or damaged at byte {at}")
        if marker not in _NEEDED:
            begins, stay = _COLOURS.get(marker, (b"", 0))
            first = at + 4 + (stay if content[at + 4 : stop][: len(begins)] == begins else 0)
            content[first:stop] = bytes(max(stop - first, 0))
        found = _MARKER.search(content, stop) if marker == _SCAN else None
        at = stop if marker != _SCAN else found.start() if found else size


def blank_2000(content: memoryview) -> None:
    """Blank in place the comments of a JPEG 2000 codestream, and what follows its end.

    Raises:
        ValueError: it is no such stream, or damaged.
    """
    if content[:2] != _START_2000:
        raise ValueError("pixels that should be JPEG 2000 and are not")
    at, tile, size = 2, 0, len(content)
    while at + 2 <= size and content[at : at + 2].tobytes() != b"\xff\xd9":
        marker = content[at + 1]
        if marker == _DATA and content[at] == 0xFF and tile > at:
            at = tile
            continue
        length = int.from_bytes(content[at + 2 : at + 4])
        if content[at] != 0xFF or length < 2 or at + 2 + length > size:
            raise ValueError(f"a JPEG 2000 stream cut short, or damaged at byte {at}")
        if marker == _TILE:
            told = int.from_bytes(content[at + 6 : at + 10])
            tile = at + told if told else size  # the last one may leave it out
        if marker == _COMMENT:
            content[at + 6 : at + 2 + length] = bytes(max(length - 4, 0))
        at += 2 + length
    content[at + 2 :] = bytes(max(size - at - 2, 0))
