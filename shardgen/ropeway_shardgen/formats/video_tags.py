"""What a video's container says besides its pictures is emptied in place; the pictures stay as and where they are.

Of MP4 and MOV (ISO/IEC 14496-12): user data, metadata, unknown extensions, dates, names of handlers, and every track
that is no video, its sound too. Of AVI: INFO lists, dates, names of streams and words in its padding. A mark of the
program that wrote the file may stay. Every box keeps its length, so that all offsets hold.
"""

import io
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from ropeway.decoders.libraries import require

_FREE = b"free"
_UNKNOWN = {b"udta", b"meta", b"uuid"}
_PADDING = {b"free", b"skip", b"wide"}
_INSIDE = {b"moov", b"trak", b"mdia", b"minf"}
_DATED = {b"mvhd", b"tkhd", b"mdhd"}
_PROGRAMS = (b"\xa9too", b"\xa9swr")
_HANDLERS = (b"", b"VideoHandler", b"SoundHandler", b"DataHandler")
_WORDS = re.compile(rb"[A-Za-z]{4}")
_AVI_TEXTS = {b"IDIT", b"strn"}


class _Box(NamedTuple):
    """Bytes [start, stop) of a content, of which the header ends at `body`."""

    name: bytes
    start: int
    body: int
    stop: int


def blanked(content: bytes, form: str) -> tuple[bytes, int]:
    """A video file without what could tell who is in it, of the same length, and how many boxes were emptied.

    Args:
        content: of a whole file.
        form: avi, mp4 or mov.

    Raises:
        ValueError: its boxes contradict each other, or it is an AVI with sound, which cannot be taken out in place.
    """
    found = bytearray(content)
    count = _blank_avi(found) if form == "avi" else _blank_sound(found) + _blank_mp4(found, 0, len(found))
    return (bytes(found), count) if count else (content, 0)


def _boxes(content: bytearray, start: int, stop: int) -> Iterator[_Box]:
    """The boxes of an ISO file, or of one of its boxes."""
    at = start
    while at + 8 <= stop:
        size, name, body = int.from_bytes(content[at : at + 4]), bytes(content[at + 4 : at + 8]), at + 8
        if size == 1:
            size, body = int.from_bytes(content[at + 8 : at + 16]), at + 16
        end = at + size if size else stop
        if end < body or end > stop:
            raise ValueError(f"a box of {size} bytes where {stop - at} are left")
        yield _Box(name, at, body, end)
        at = end


def _blank_mp4(content: bytearray, start: int, stop: int) -> int:
    count = 0
    for box in list(_boxes(content, start, stop)):
        if box.name in _INSIDE:
            count += _blank_mp4(content, box.body, box.stop)
        elif box.name in _UNKNOWN and not _only_program(content, box):
            content[box.start + 4 : box.start + 8] = _FREE
            count += _empty(content, box.body, box.stop) or 1
        elif box.name in _PADDING:
            count += _empty(content, box.body, box.stop)
        elif box.name in _DATED:
            width = 8 if any(content[box.body : box.body + 1]) else 4  # version 1 has 64-bit times
            count += _empty(content, box.body + 4, min(box.stop, box.body + 4 + 2 * width))
        elif box.name == b"hdlr" and _handler(content, box) not in _HANDLERS:
            count += _empty(content, min(box.body + 24, box.stop), box.stop)
    return count


def _handler(content: bytearray, box: _Box) -> bytes:
    """A handler's name; QuickTime puts its length before it."""
    name = bytes(content[box.body + 24 : box.stop]).strip(b"\0")
    return name[1:] if name and name[0] == len(name) - 1 else name


def _only_program(content: bytearray, box: _Box) -> bool:
    """Whether user data or metadata hold nothing but the mark of the program that wrote the file."""
    if box.name == b"uuid":
        return False
    start = box.body + (4 if box.name == b"meta" and content[box.body : box.body + 4] == bytes(4) else 0)
    for inner in _boxes(content, start, box.stop):
        if inner.name in (b"udta", b"meta", b"ilst"):
            if not _only_program(content, inner):
                return False
        elif inner.name not in (*_PROGRAMS, b"hdlr"):
            return False
    return True


def _blank_sound(content: bytearray) -> int:
    """Empty all tracks that are no video, and the bytes that they played."""
    with require("av", "video").open(io.BytesIO(content), format="mov") as container:
        tracks = [(stream.type, [(e.pos, e.size) for e in stream.index_entries]) for stream in container.streams]
    moov = next((box for box in _boxes(content, 0, len(content)) if box.name == b"moov"), None)
    traks = [box for box in _boxes(content, moov.body, moov.stop) if box.name == b"trak"] if moov else []
    others = [place for place, (kind, _) in enumerate(tracks) if kind != "video"]
    if others and len(tracks) != len(traks):
        raise ValueError(f"{len(traks)} tracks, of which {len(tracks)} can be read: sound cannot be told from pictures")
    for place in others:
        for start, size in tracks[place][1]:
            _empty(content, start, start + size)
        content[traks[place].start + 4 : traks[place].start + 8] = _FREE
        _empty(content, traks[place].body, traks[place].stop)
    return len(others)


def _blank_avi(content: bytearray) -> int:
    with require("av", "video").open(io.BytesIO(content), format="avi") as container:
        others = {str(stream.type) for stream in container.streams if stream.type != "video"}
    if others:
        raise ValueError(f"an AVI with a stream of {others.pop()}, which may tell who it is: take it out first")
    return _blank_riff(content, 0, len(content))


def _blank_riff(content: bytearray, start: int, stop: int) -> int:
    """RIFF lists: a name, a length (little-endian), and for RIFF and LIST a kind before what is inside."""
    count, at = 0, start
    while at + 8 <= stop:
        name, size = bytes(content[at : at + 4]), int.from_bytes(content[at + 4 : at + 8], "little")
        body, end = at + 8, at + 8 + size
        if end > stop:
            raise ValueError(f"a list of {size} bytes where {stop - body} are left")
        kind = bytes(content[body : body + 4])
        if name == b"LIST" and kind == b"INFO":
            if not _only_writer(content, body + 4, end):
                content[at : at + 4] = b"JUNK"
                count += _empty(content, body, end)
        elif name in (b"RIFF", b"LIST") and kind != b"movi":
            count += _blank_riff(content, body + 4, end)
        elif name in _AVI_TEXTS or (name == b"JUNK" and _words(content, body, end)):
            count += _empty(content, body, end)
        at = end + size % 2
    return count


def _words(content: bytearray, start: int, stop: int) -> bool:
    """Whether padding holds words. A place kept for OpenDML's header is named so."""
    return bool(_WORDS.search(bytes(content[start:stop]).replace(b"odmldmlh", b"")))


def _only_writer(content: bytearray, start: int, stop: int) -> bool:
    at = start
    while at + 8 <= stop:
        if content[at : at + 4] != b"ISFT":
            return False
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return True


def _empty(content: bytearray, start: int, stop: int) -> int:
    """Fill a place with zeros; 1 where it held anything else.

    Raises:
        ValueError: it is not within the content.
    """
    if not 0 <= start <= stop <= len(content):
        raise ValueError(f"bytes {start} to {stop} of a file of {len(content)}")
    held: Any = content[start:stop].strip(b"\0")
    content[start:stop] = bytes(stop - start)
    return int(bool(held))
