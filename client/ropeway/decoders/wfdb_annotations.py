"""Annotation files of WFDB records (.atr, .qrs, …), word by word.

Format: annot(5) of the WFDB Applications Guide, https://physionet.org/physiotools/wag/annot-5.htm: words of 16 bits, of
which six say what they are; some are followed by bytes, among them text.
"""

from collections.abc import Iterator

ANNOTATORS = ("ann", "apn", "ari", "atr", "ecg", "gqrs", "man", "pu0", "pu1", "q1c", "q2c", "qrs", "sqrs", "st", "wqrs")
"""File name extensions of what is published (https://physionet.org/physiotools/wag/annots.htm)."""

TEXT = 63
_SKIP = 59
"""Followed by a time of four bytes."""


def words(content: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """Each word with the bytes that belong to it, and the text that it is, or None.

    Raises:
        ValueError: the file is cut short, or something follows its end.
    """
    at = 0
    while at + 2 <= len(content):
        word = int.from_bytes(content[at : at + 2], "little")
        if not word:
            if content[at:].strip(b"\0"):
                raise ValueError("WFDB annotations with something behind their end")
            return
        kind, rest = word >> 10, word & 0x3FF
        first = at + 2
        at = first + {_SKIP: 4, TEXT: rest + rest % 2}.get(kind, 0)
        if at > len(content):
            break
        yield content[first - 2 : at], content[first : first + rest] if kind == TEXT else None
    raise ValueError(f"WFDB annotations cut short: {len(content)} bytes and no end")
