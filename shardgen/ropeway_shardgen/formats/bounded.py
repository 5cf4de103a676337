"""No more is held in memory than is allowed: the size of a packed file does not tell what it unpacks to."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, AnyStr

import pyarrow as pa
import pyarrow.parquet as pq

LONGEST_LINE = 1 << 24
"""Characters (or bytes). Some report texts are a megabyte long; a line beyond this is no line of a table."""

LARGEST_ARRAY = 1 << 32
"""Bytes of one sample's array. A CT of a thousand slices in float64 takes half of that."""

_ROWS = 1024
"""Rows of a Parquet file that are read at once, at most."""
_WORDS = ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
_ONCE = frozenset(("RLE_DICTIONARY", "PLAIN_DICTIONARY", "DELTA_BYTE_ARRAY"))
"""Encodings in which many values share what is stored once."""


def check_array(size: int) -> None:
    """Refuse an array of more than `LARGEST_ARRAY` bytes before it is read.

    Raises:
        ValueError: it is larger.
    """
    if size > LARGEST_ARRAY:
        raise ValueError(f"an array of {size:,} bytes: more than the {LARGEST_ARRAY:,} that a sample may have")


def check_groups(told: pq.FileMetaData, *, together: bool = False) -> None:
    """Refuse a Parquet file that says a row group (or all of them together) unpacks to more than `LARGEST_ARRAY` bytes.

    Raises:
        ValueError: it does.
    """
    sizes = [told.row_group(number).total_byte_size for number in range(told.num_row_groups)]
    largest = sum(sizes) if together else max(sizes, default=0)
    if largest > LARGEST_ARRAY:
        raise ValueError(f"it says that {largest:,} bytes are read at once: more than the {LARGEST_ARRAY:,} that are")


def batches(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, so many at once that they can't take more than `LARGEST_ARRAY` bytes.

    What is stored once may be the value of every row, so each may be as large as its column is in the file.
    """
    told = file.metadata
    groups = [told.row_group(number) for number in range(told.num_row_groups)]
    widest = max((sum(map(_widest, map(group.column, range(group.num_columns)))) for group in groups), default=0)
    yield from file.iter_batches(batch_size=max(1, min(_ROWS, LARGEST_ARRAY // max(widest, 1))))


def _widest(column: pq.ColumnChunkMetaData) -> int:
    """Bytes that each value of a column may take, where they may be shared."""
    shared = column.physical_type in _WORDS and not _ONCE.isdisjoint(column.encodings)
    return int(column.total_uncompressed_size) if shared else 0


def check_text(path: Path) -> None:
    """Refuse a text file whose numbers might take more than `LARGEST_ARRAY` bytes: each has two characters or more.

    Raises:
        ValueError: they might.
    """
    most, size = LARGEST_ARRAY // 4, path.stat().st_size
    if size > most:
        raise ValueError(f"a text of {size:,} bytes: more than the {most:,} that are read at once")


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
