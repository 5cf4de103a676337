"""No more is held in memory than is allowed: the size of a packed file does not tell what it unpacks to."""

from collections.abc import Iterator
from typing import IO, AnyStr

LONGEST_LINE = 1 << 24
"""Characters (or bytes). Some report texts are a megabyte long; a line beyond this is no line of a table."""

LARGEST_ARRAY = 1 << 32
"""Bytes of one sample's array. A CT of a thousand slices in float64 takes half of that."""


def check_array(size: int) -> None:
    """Refuse an array of more than `LARGEST_ARRAY` bytes before it is read.

    Raises:
        ValueError: it is larger.
    """
    if size > LARGEST_ARRAY:
        raise ValueError(f"an array of {size:,} bytes: more than the {LARGEST_ARRAY:,} that a sample may have")


def lines(file: IO[AnyStr], longest: int = LONGEST_LINE) -> Iterator[AnyStr]:
    """The lines of a file, with their ends.

    Raises:
        ValueError: one is longer than `longest`.
    """
    while line := file.readline(longest + 1):
        if len(line) > longest:
            raise ValueError(f"a line is longer than {longest:,} characters")
        yield line


def whole(file: IO[AnyStr], most: int) -> AnyStr:
    """What is left of a file.

    Raises:
        ValueError: it is more than `most` bytes (or characters).
    """
    content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it unpacks to more than {most:,} bytes")
    return content
