"""The pixels of a DICOM object as they are encoded, without what is none: comments in frames, bytes behind the last."""

from typing import Any

from ropeway.decoders.libraries import require
from ropeway_shardgen.formats import jpeg_blank

_BLANKERS = {b"\xff\xd8": jpeg_blank.blank, b"\xff\x4f": jpeg_blank.blank_2000}
"""By the first bytes of a frame; of others (RLE, video) no decoder skips anything."""
_ITEM = b"\xfe\xff\x00\xe0"


def blanked(dataset: Any, element: Any) -> bytes:
    """The value of PixelData and its like.

    Raises:
        ValueError: a frame is damaged, or frames lie in several fragments each.
    """
    if element.is_undefined_length:
        return _fragments(element.value, int(dataset.get("NumberOfFrames") or 1))
    size = require("pydicom.pixels.utils", "dicom").get_expected_length(dataset)
    return bytes(element.value[: size + size % 2])


def _fragments(value: bytes, frames: int) -> bytes:
    content = bytearray(value)
    found, at = list[tuple[int, int]](), 0
    while content[at : at + 4] == _ITEM:
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        found.append((at + 8, min(at + 8 + size, len(content))))
        at += 8 + size
    pieces = found[1:]  # without the table of offsets
    blank = _BLANKERS.get(bytes(content[pieces[0][0] :][:2])) if pieces else None
    if blank is None:
        return bytes(content)
    if frames not in (1, len(pieces)):
        raise ValueError(f"{frames} frames in {len(pieces)} fragments: they cannot be kept")
    for some in [pieces] if frames == 1 else [[piece] for piece in pieces]:
        whole = bytearray().join(content[start:stop] for start, stop in some)
        blank(memoryview(whole))
        done = 0
        for start, stop in some:
            content[start:stop] = whole[done : done + stop - start]
            done += stop - start
    return bytes(content)
