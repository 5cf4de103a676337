"""JPEG streams without what no decoder needs: comments, application segments, thumbnails, what follows the end.

Markers: ITU-T T.81, table B.1.
"""

import re

_START, _END, _SCAN = b"\xff\xd8", 0xD9, 0xDA
_NEEDED = frozenset({*range(0xC0, 0xD0), _SCAN, 0xDB, 0xDC, 0xDD} - {0xC8})
"""Segments that are kept whole: frames, tables, scans, number of lines, restarts."""
_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))
"""Markers without a segment."""
_COLOURS = {0xE0: (b"JFIF\0", 12), 0xEE: (b"Adobe", 12)}
"""Application segments that say what the colours are: how they begin, and bytes of them that stay (JFIF, 10918-5; Adobe
Technical Note 5116). Behind them JFIF has a thumbnail."""
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""In coded pixels: the end of a scan."""


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
