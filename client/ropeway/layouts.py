"""Where a view's samples lie, on the wire: nearly nothing, once it is compressed.

A page of the layout is columnar msgpack (see `wire`) of so many rows of a view, in row order:
    `shard`   <i4, number in the view's shard table,
    `length`  <i4 or <i8, bytes of the sample's span,
    `gap`     <i4 or <i8, bytes from the end of the row before it, or from the shard's beginning where that lies in
              another shard or on another page; below 0 where samples repeat.
So a sample's offset is the sum of the gaps of its shard's rows up to it, and of the lengths of those before it.

A page of a part's spans has, for the same rows:
    `lead`    <i4 or <i8, bytes from the sample's beginning to the part's content,
    `length`  <i4 or <i8, bytes of that content; −1: the sample lacks the part.

A page of details has, for the rows that were asked for, what the layout does not tell: `key`, `crc32c` and
`task.<id>`, as pages of samples have them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ropeway import wire
from ropeway.errors import FormatError
from ropeway.manifest import Task
from ropeway.samples import Array, Ints, Layout, Samples, ShardRef, unlabelled

ROWS = 1 << 22
"""Rows of a page of the layout, at most."""

_LACKING, _WRONG = -1, -2
"""Lengths of parts that are not there, and of parts that an index gives no length that could be."""


def bounds(rows: int) -> list[tuple[int, int]]:
    """First and one-past-last row of each page of a layout."""
    return [(first, min(first + ROWS, rows)) for first in range(0, rows, ROWS)]


def pack(layout: Layout) -> bytes:
    """Some rows of a layout as a page."""
    stops = layout.offset + layout.length
    gap = layout.offset.copy()
    gap[1:] -= np.where(np.diff(layout.shard) == 0, stops[:-1], 0)
    return wire.pack_columns({"shard": layout.shard, "length": _narrow(layout.length), "gap": _narrow(gap)}, len(gap))


def unpack(page: bytes | memoryview, shards: Sequence[ShardRef]) -> Layout:
    """The layout of a page's rows.

    Raises:
        FormatError: not such a page.
    """
    shard, length, gap = _columns(page, "shard", "length", "gap")
    length = length.astype(np.int64)
    ends = np.cumsum(gap + length)  # as if all rows lay in one shard
    firsts = np.flatnonzero(np.diff(shard, prepend=np.int32(-1)))
    before = np.where(firsts > 0, ends[firsts - 1], 0)
    ends -= np.repeat(before, np.diff(np.append(firsts, len(shard))))
    shard = shard.copy()  # or all of the page would stay in memory with it
    return Layout(shards=shards, shard=shard, offset=ends - length, length=length)


def pack_spans(samples: Ints, offset: Ints, length: Ints) -> bytes:
    """A part's spans of some rows as a page.

    Args:
        samples: where the samples begin.
        offset, length: of the part's content; offset −1: the sample lacks it.
    """
    lead = np.where(offset < 0, 0, offset - samples)
    told = np.where(offset < 0, _LACKING, np.where(length < 0, _WRONG, length))
    return wire.pack_columns({"lead": _narrow(lead), "length": _narrow(told)}, len(lead))


def unpack_spans(page: bytes | memoryview, samples: Ints) -> tuple[Ints, Ints]:
    """What `pack_spans` was given.

    Args:
        page: of so many rows as it has.
        samples: where the samples begin, from the page's first row on.

    Raises:
        FormatError: not such a page.
    """
    lead, told = _columns(page, "lead", "length")
    if not 0 < len(lead) <= len(samples):
        raise FormatError(f"a page of spans has {len(lead)} rows, its layout {len(samples)}")
    samples = samples[: len(lead)]
    lacking = told == _LACKING
    return np.where(lacking, -1, samples + lead), np.where(lacking, 0, told.astype(np.int64))


@dataclass(frozen=True, slots=True)
class Details:
    """What a layout does not tell of some samples; see `Samples` for the columns."""

    keys: pa.StringArray
    crc32c: npt.NDArray[np.uint32]
    labels: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.keys)


def together(pieces: Sequence[Details], tasks: Sequence[Task]) -> Details:
    """Details of rows that were told some after the others."""
    if len(pieces) == 1:
        return pieces[0]
    labels = {task.id: np.concatenate([piece.labels.get(task.id, unlabelled(task, len(piece))) for piece in pieces])
              for task in tasks}  # fmt: skip
    checksums = np.concatenate([piece.crc32c for piece in pieces])
    return Details(pa.concat_arrays([piece.keys for piece in pieces]), checksums, labels)


def pack_details(samples: Samples) -> bytes:
    """Keys, checksums and labels of some rows."""
    columns = wire.columns_of(samples)
    kept = {name: column for name, column in columns.items() if name in _DETAILS or name.startswith("task.")}
    return wire.pack_columns(kept, len(samples))


def unpack_details(page: bytes | memoryview) -> Details:
    """What `pack_details` was given.

    Raises:
        FormatError: not such a page.
    """
    keys, checksums = _columns(page, *_DETAILS)
    columns = wire.unpack_columns(page)
    labels = {name.removeprefix("task."): values for name, values in columns.items() if name.startswith("task.")}
    return Details(keys, checksums, labels)


_DETAILS = ("key", "crc32c")


def _columns(page: bytes | memoryview, *names: str) -> list[Any]:
    columns = wire.unpack_columns(page)
    if missing := [name for name in names if name not in columns]:
        raise FormatError(f"not a page of a layout: it lacks {', '.join(missing)}")
    return [columns[name] for name in names]


def _narrow(column: Array) -> Array:
    """Whole numbers in half the bytes, where they fit."""
    fits = not len(column) or (column.min() >= np.iinfo(np.int32).min and column.max() <= np.iinfo(np.int32).max)
    return column.astype(np.int32) if fits else column
