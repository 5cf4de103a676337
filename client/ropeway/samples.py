"""The samples of a view as columns: where each one lies, its checksum, its key and its labels.

Rows are in storage order: by dataset, then shard, then offset. A row's number is what the order permutes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ropeway.manifest import Shard, Task

Array: TypeAlias = npt.NDArray[Any]
Ints: TypeAlias = npt.NDArray[np.int64]
Bytes: TypeAlias = npt.NDArray[np.uint8]

UNLABELLED = -1
"""Stands for a missing class label; a missing number is NaN."""


@dataclass(frozen=True, slots=True)
class ShardRef:
    """A shard that a view reads from: `path` is its path in the store, or an absolute URL when it was adopted."""

    dataset: str
    version: str
    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Samples:
    """Columns of equal length n.

    Attributes:
        shards: what `shard` counts in.
        shard: int32 (n,).
        offset, length: int64 (n,), bytes; the span of the whole sample in its shard.
        crc32c: uint32 (n,), over that span.
        keys: string (n,).
        parts: per part, offset and length of its content, int64 (n,); offset −1 where the sample lacks the part.
        labels: per task int32 (n,) with −1, float64 (n,) with NaN, or for multilabel int8 (n, classes) with rows of −1,
            where the sample is unlabelled.
    """

    shards: tuple[ShardRef, ...]
    shard: npt.NDArray[np.int32]
    offset: Ints
    length: Ints
    crc32c: npt.NDArray[np.uint32]
    keys: pa.StringArray
    parts: Mapping[str, tuple[Ints, Ints]]
    labels: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.offset)

    def slice(self, start: int, stop: int) -> "Samples":
        """Rows `start` to `stop` (exclusive), without copying."""
        return Samples(
            shards=self.shards,
            shard=self.shard[start:stop],
            offset=self.offset[start:stop],
            length=self.length[start:stop],
            crc32c=self.crc32c[start:stop],
            keys=self.keys.slice(start, stop - start),
            parts={part: (offset[start:stop], length[start:stop]) for part, (offset, length) in self.parts.items()},
            labels={task: values[start:stop] for task, values in self.labels.items()},
        )


def from_index(rows: pa.Table, shards: Sequence[Shard], refs: Sequence[ShardRef], parts: Sequence[str],
               tasks: Sequence[Task]) -> Samples:  # fmt: skip
    """The samples of one dataset's index rows.

    Args:
        rows: index rows in storage order.
        shards: the manifest's shards.
        refs: the same shards as the view names them.
        parts, tasks: all that the view has; what this dataset lacks is absent or unlabelled throughout.
    """
    numbers = pc.index_in(rows.column("shard").cast(pa.string()), pa.array([shard.path for shard in shards]))
    return Samples(
        shards=tuple(refs),
        shard=_numpy(numbers, np.int32),
        offset=_numpy(rows.column("offset"), np.int64),
        length=_numpy(rows.column("length"), np.int64),
        crc32c=_numpy(rows.column("crc32c"), np.uint32),
        keys=_strings(rows.column("key")),
        parts={part: _spans(rows, part) for part in parts},
        labels={task.id: _labels(rows, task) for task in tasks},
    )


def concat(pieces: Sequence[Samples]) -> Samples:
    """Samples of several datasets, one after the other: their shard tables are joined."""
    starts = np.cumsum([0, *(len(piece.shards) for piece in pieces)])
    shards = tuple(ref for piece in pieces for ref in piece.shards)
    return stack(
        [
            replace(piece, shards=shards, shard=piece.shard + np.int32(start))
            for piece, start in zip(pieces, starts, strict=False)
        ]
    )


def stack(pieces: Sequence[Samples]) -> Samples:
    """Pieces with the same shard table, parts and tasks, one after the other."""
    first = pieces[0]
    if len(pieces) == 1:
        return first

    def joined(columns: Iterable[Array]) -> Array:
        return np.concatenate(list(columns))

    return Samples(
        shards=first.shards,
        shard=joined(piece.shard for piece in pieces),
        offset=joined(piece.offset for piece in pieces),
        length=joined(piece.length for piece in pieces),
        crc32c=joined(piece.crc32c for piece in pieces),
        keys=pa.concat_arrays([piece.keys for piece in pieces]),
        parts={
            part: (joined(piece.parts[part][0] for piece in pieces), joined(piece.parts[part][1] for piece in pieces))
            for part in first.parts
        },
        labels={task: joined(piece.labels[task] for piece in pieces) for task in first.labels},
    )


def label_counts(samples: Samples, task: Task) -> dict[str, int]:
    """How many samples each class of a task has; a multi-label sample counts once in each of its classes."""
    values = samples.labels[task.id]
    if task.type == "multilabel":
        counts = (values == 1).sum(axis=0)
    else:
        counts = np.bincount(values[values >= 0].astype(np.int64), minlength=len(task.classes))
    return {name: int(count) for name, count in zip(task.classes, counts, strict=True)}


def _spans(rows: pa.Table, part: str) -> tuple[Ints, Ints]:
    if f"{part}.offset" not in rows.schema.names:
        return np.full(len(rows), -1, np.int64), np.zeros(len(rows), np.int64)
    return (
        _numpy(pc.fill_null(rows.column(f"{part}.offset"), -1), np.int64),
        _numpy(pc.fill_null(rows.column(f"{part}.length"), 0), np.int64),
    )


def _labels(rows: pa.Table, task: Task) -> Array:
    name, n = f"task.{task.id}", len(rows)
    if task.type == "multilabel":
        labels = np.full((n, len(task.classes)), UNLABELLED, np.int8)
        if name in rows.schema.names:
            lists = rows.column(name).combine_chunks()
            labels[_numpy(lists.is_valid(), np.bool_)] = 0
            labels[_numpy(pc.list_parent_indices(lists), np.int64), _numpy(pc.list_flatten(lists), np.int64)] = 1
        return labels
    dtype, missing = (np.float64, np.nan) if task.type == "regression" else (np.int32, UNLABELLED)
    if name not in rows.schema.names:
        return np.full(n, missing, dtype)
    return _numpy(pc.fill_null(rows.column(name), missing), dtype)


def _numpy(values: Any, dtype: Any) -> Array:
    return np.ascontiguousarray(values.to_numpy(zero_copy_only=False) if isinstance(values, pa.Array)
                                else values.to_numpy(), dtype=dtype)  # fmt: skip


def _strings(values: pa.ChunkedArray) -> pa.StringArray:
    return pa.concat_arrays(values.cast(pa.string()).chunks) if values.num_chunks else pa.array([], pa.string())
