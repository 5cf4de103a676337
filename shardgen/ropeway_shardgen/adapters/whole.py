"""A raw file as one string of bytes."""

import os
from pathlib import Path

_SMALL = 1 << 20
"""Bytes. Of a larger file, Python's file object is a small part of the cost."""


def whole(path: str | Path) -> bytes:
    """What `Path(path).read_bytes()` gives, at less than half its cost for a small file.

    Raises:
        OSError: it cannot be read.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(handle).st_size
        content = os.read(handle, size + 1) if size < _SMALL else b""
    finally:
        os.close(handle)
    return content if len(content) == size else Path(path).read_bytes()
