"""Text found in a file, and how it is dug out of bytes that are not text."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

_PRINTABLE = np.zeros(256, np.bool_)
_PRINTABLE[0x20:0x7F] = True
_SHORTEST = 6
"""Characters of a run that is looked at."""
_WIDE = re.compile(rb"(?:[\x20-\x7e]\x00){6,}|(?:\x00[\x20-\x7e]){6,}")
_HIGH = re.compile(rb"[\x20-\x7e\x80-\xff]{6,}")
_SMALL = 1 << 16
"""Bytes: so much is also read as UTF-8 and Latin-1. In more of it numbers would be taken for letters."""


class Words(NamedTuple):
    """Text at some place of a file.

    Attributes:
        rule: what its place alone says of it: a name, a date, …; empty where that depends on the text.
        noise: it may be no text at all, but numbers that look like it.
    """

    place: str
    text: str
    rule: str = ""
    noise: bool = False


def printable(place: str, content: bytes) -> Iterator[Words]:
    """Runs of six or more printable characters, ASCII and UTF-16; of short contents UTF-8 and Latin-1 too."""
    if found := b"\n".join(_runs(content)):
        yield Words(place, found.decode("ascii"))
    if _may_be_wide(content):
        for match in _WIDE.finditer(content):
            yield Words(place, match.group().replace(b"\0", b"").decode("ascii"))
    if len(content) <= _SMALL and not content.isascii():
        for run in _HIGH.findall(content):
            if not run.isascii():
                yield Words(place, _text(run))


def jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker (without its FF) and payload of each segment before the picture: of JPEG, or a JPEG 2000 codestream."""
    at = 2
    while content[at : at + 1] == b"\xff" and content[at + 1] not in (0xDA, 0x90):
        if content[at + 1] == 0xFF:  # a byte of filling
            at += 1
            continue
        size = int.from_bytes(content[at + 2 : at + 4], "big")
        yield content[at + 1], content[at + 4 : at + 2 + size]
        at += 2 + size


def _runs(content: bytes) -> Iterator[bytes]:
    inside = _PRINTABLE[np.frombuffer(content, np.uint8)]
    edges = np.flatnonzero(np.diff(inside, prepend=False, append=False))
    starts, stops = edges[::2], edges[1::2]
    long = stops - starts >= _SHORTEST
    for start, stop in zip(starts[long].tolist(), stops[long].tolist(), strict=True):
        yield content[start:stop]


def _may_be_wide(content: bytes) -> bool:
    """Whether anywhere six printable bytes stand with a zero after each, or before."""
    numbers = np.frombuffer(content, np.uint8)
    inside, zero = _PRINTABLE[numbers], numbers == 0
    for wide in (inside[:-1] & zero[1:], zero[:-1] & inside[1:]):
        steps = len(wide) - 2 * (_SHORTEST - 1)
        if steps > 0 and np.logical_and.reduce([wide[2 * n : 2 * n + steps] for n in range(_SHORTEST)]).any():
            return True
    return False


def _text(run: bytes) -> str:
    try:
        return run.decode("utf-8")
    except UnicodeDecodeError:
        return run.decode("latin-1")
