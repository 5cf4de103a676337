"""The samples of a view as columns: where each one lies, its checksum, its key and its labels.

Rows are in storage order: by dataset, then shard, then offset. A row's number is what the order permutes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ropeway.manifest import Shard, Task

Array: TypeAlias = npt.NDArray[Any]
Ints: TypeAlias = npt.NDArray[np.int64]
Bytes: TypeAlias = npt.NDArray[np.uint8]
T = TypeVar("T")

UNLABELLED = -1
"""Stands for a missing class label; a missing number is NaN."""

UNREAD = 0
"""Stands for a checksum that is not there. One span in four thousand million has this checksum and goes unchecked."""

NOBODY = -1
"""Shard number of a partner that is not there."""

PAGE_ROWS = 1 << 16
"""Rows of a page of samples, at least."""


class ShardRef(msgspec.Struct, frozen=True, gc=False):
    """A shard that a view reads from: `path` is its path in the store, or an absolute URL when it was adopted.

    A Struct because there may be 100,000 of them, which a service tells. See `shard_table`.
    """

    dataset: str
    version: str
    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Layout:
    """Where n samples lie, which is what an order is made of.

    Attributes:
        shards: what `shard` counts in.
        shard: int32 (n,).
        offset, length: int64 (n,), bytes; the span of the whole sample in its shard.
    """

    shards: Sequence[ShardRef]
    shard: npt.NDArray[np.int32]
    offset: Ints
    length: Ints

    def __len__(self) -> int:
        return len(self.offset)


@dataclass(frozen=True, slots=True)
class Samples(Layout):
    """Columns of equal length n.

    Attributes:
        crc32c: uint32 (n,), over that span; `UNREAD` where nobody has read it.
        keys: string (n,).
        parts: per part, offset and length of its content, int64 (n,); offset −1 where the sample lacks the part.
        labels: per task int32 (n,) with −1, float64 (n,) with NaN, or for multilabel int8 (n, classes) with rows of −1,
            where the sample is unlabelled.
        partners: of a joined view: the samples joined to these, row by row, in the same shard table; shard −1 where
            there is none. Each has parts of its own; labels are all in the first table.
    """

    crc32c: npt.NDArray[np.uint32]
    keys: pa.StringArray
    parts: Mapping[str, tuple[Ints, Ints]]
    labels: Mapping[str, Array]
    partners: tuple["Samples", ...] = ()

    @property
    def pages(self) -> list[tuple[int, int]]:
        """First and one-past-last row of each page."""
        return pages(self.shard)

    @property
    def used(self) -> frozenset[int]:
        """The shards that hold any of these samples, or of their partners."""
        several = (self, *self.partners)
        held = [np.bincount(one.shard + 1, minlength=len(self.shards) + 1)[1:] for one in several]
        return frozenset(np.flatnonzero(np.sum(held, axis=0)).tolist())

    def slice(self, start: int, stop: int) -> "Samples":
        """Rows `start` to `stop` (exclusive), without copying."""
        return self._each(lambda column: column[start:stop], lambda keys: keys.slice(start, stop - start))

    def take(self, rows: Ints) -> "Samples":
        """These rows, in this order."""
        return self._each(lambda column: column[rows], lambda keys: keys.take(pa.array(rows)))

    def _each(self, columns: Callable[[Array], Array], keys: Callable[[pa.StringArray], pa.StringArray]) -> "Samples":
        return Samples(
            shards=self.shards,
            shard=columns(self.shard),
            offset=columns(self.offset),
            length=columns(self.length),
            crc32c=columns(self.crc32c),
            keys=keys(self.keys),
            parts={part: (columns(offset), columns(length)) for part, (offset, length) in self.parts.items()},
            labels={task: columns(values) for task, values in self.labels.items()},
            partners=tuple(partner._each(columns, keys) for partner in self.partners),
        )


class Late(Mapping[str, T]):
    """Columns by name that are put together when they are first looked at: a view of many datasets has many, of which
    a job wants few. A copy in another process has them all."""

    def __init__(self, making: Mapping[str, Callable[[], T]]) -> None:
        self._making = making
        self._made: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._made:
            self._made[name] = self._making[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._making)

    def __len__(self) -> int:
        return len(self._making)

    def __reduce__(self) -> tuple[type[dict[str, T]], tuple[dict[str, T]]]:
        return dict, (dict(self),)


def pages(shard: npt.NDArray[np.integer]) -> list[tuple[int, int]]:
    """First and one-past-last row of each page: whole shards, at least `PAGE_ROWS` rows except in the last."""
    ends = np.append(np.flatnonzero(np.diff(shard)) + 1, len(shard))
    found, first = list[tuple[int, int]](), 0
    while first < len(shard) or not found:
        place = min(int(np.searchsorted(ends, first + PAGE_ROWS)), len(ends) - 1)
        found.append((first, int(ends[place])))
        first = found[-1][1]
    return found


def shard_numbers(column: pa.ChunkedArray, shards: Sequence[Shard]) -> npt.NDArray[np.int32]:
    """The index's column `shard` as numbers of the manifest's shards."""
    paths = pa.array([shard.path for shard in shards], pa.string())
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    found = [_numpy(pc.index_in(one.dictionary.cast(pa.string()), paths), np.int32)[_numpy(one.indices, np.int32)]
             for one in coded.chunks]  # fmt: skip
    return np.concatenate(found) if found else np.empty(0, np.int32)


def from_index(rows: pa.Table, numbers: npt.NDArray[np.int32], refs: Sequence[ShardRef], parts: Sequence[str],
               tasks: Sequence[Task]) -> Samples:  # fmt: skip
    """The samples of one dataset's index rows.

    Args:
        rows: index rows in storage order.
        numbers: in which of `refs` each lies.
        refs: the view's shards.
        parts, tasks: all that the view has; what this dataset lacks is absent or unlabelled throughout.
    """
    return Samples(
        shards=refs,
        shard=numbers,
        offset=_numpy(rows.column("offset"), np.int64),
        length=_numpy(rows.column("length"), np.int64),
        crc32c=_numpy(pc.fill_null(rows.column("crc32c"), UNREAD), np.uint32),
        keys=_strings(rows.column("key")),
        parts={part: spans_of(rows, part) for part in parts},
        labels={task.id: labels_of(rows, task) for task in tasks},
    )


def together(pieces: Sequence[Samples], parts: Sequence[str], tasks: Sequence[Task]) -> Samples:
    """Pieces of one view, one after the other.

    Args:
        pieces: with the same shard table and as many partners; each may lack parts and tasks.
        parts, tasks: all that the view has; what a piece lacks is absent or unlabelled throughout.
    """
    first = pieces[0]
    several = zip(*(piece.partners for piece in pieces), strict=True)
    partners = tuple(together(group, list(group[0].parts), []) for group in several)
    own = [part for part in parts if not any(part in partner.parts for partner in partners)]

    return Samples(
        shards=first.shards,
        shard=joined([piece.shard for piece in pieces]),
        offset=joined([piece.offset for piece in pieces]),
        length=joined([piece.length for piece in pieces]),
        crc32c=joined([piece.crc32c for piece in pieces]),
        keys=first.keys if len(pieces) == 1 else pa.concat_arrays([piece.keys for piece in pieces]),
        parts=Late({part: partial(_spans, pieces, part) for part in own}),
        labels=Late({task.id: partial(_labels, pieces, task) for task in tasks}),
        partners=partners,
    )


def joined(columns: Sequence[Array]) -> Array:
    """Columns one after the other; a single one stays as it is."""
    return columns[0] if len(columns) == 1 else np.concatenate(columns)


def _spans(pieces: Sequence[Samples], part: str) -> tuple[Ints, Ints]:
    found = [piece.parts.get(part, (None, None)) for piece in pieces]
    return (
        _filled(pieces, [offset for offset, _ in found], lambda rows: np.full(rows, -1, np.int64)),
        _filled(pieces, [length for _, length in found], lambda rows: np.zeros(rows, np.int64)),
    )


def _labels(pieces: Sequence[Samples], task: Task) -> Array:
    return _filled(pieces, [piece.labels.get(task.id) for piece in pieces], lambda rows: unlabelled(task, rows))


def _filled(pieces: Sequence[Samples], found: Sequence[Array | None], empty: Callable[[int], Array]) -> Array:
    """A column of several pieces, some of which may lack it; `empty` makes one of so many rows that nobody has."""
    there = [values for values in found if values is not None]
    if len(there) == len(found):
        return joined(there)
    whole, start = empty(sum(map(len, pieces))), 0
    for piece, values in zip(pieces, found, strict=True):
        if values is not None:
            whole[start : start + len(piece)] = values
        start += len(piece)
    return whole


def unlabelled(task: Task, rows: int) -> Array:
    """Labels of a task that nobody has."""
    if task.type == "multilabel":
        return np.full((rows, len(task.classes)), UNLABELLED, np.int8)
    return np.full(rows, np.nan) if task.type == "regression" else np.full(rows, UNLABELLED, np.int32)


def label_counts(samples: Samples, task: Task) -> dict[str, int]:
    """How many samples each class of a task has; a multi-label sample counts once in each of its classes."""
    return count_classes(samples.labels[task.id], task)


def count_classes(values: Array, task: Task) -> dict[str, int]:
    """What `label_counts` says, of one column of labels."""
    if task.type == "multilabel":
        counts = (values == 1).sum(axis=0)
    else:
        counts = np.bincount(values[values >= 0].astype(np.int64), minlength=len(task.classes))
    return {name: int(count) for name, count in zip(task.classes, counts, strict=True)}


def spans_of(rows: pa.Table, part: str) -> tuple[Ints, Ints]:
    """Offset and length of a part in index rows, as `Samples` has them."""
    if f"{part}.offset" not in rows.schema.names:
        return np.full(len(rows), -1, np.int64), np.zeros(len(rows), np.int64)
    return (
        _numpy(pc.fill_null(rows.column(f"{part}.offset"), -1), np.int64),
        _numpy(pc.fill_null(rows.column(f"{part}.length"), 0), np.int64),
    )


def labels_of(rows: pa.Table, task: Task) -> Array:
    """The labels of index rows, as `Samples` has them."""
    name, n = f"task.{task.id}", len(rows)
    if name not in rows.schema.names:
        return unlabelled(task, n)
    if task.type == "multilabel":
        labels = unlabelled(task, n)
        lists = rows.column(name).combine_chunks()
        labels[_numpy(lists.is_valid(), np.bool_)] = 0
        row, position = _numpy(pc.list_parent_indices(lists), np.int64), _numpy(pc.list_flatten(lists), np.int64)
        known = position >= 0
        labels[row[known], position[known]] = 1
        labels[row[~known], -1 - position[~known]] = UNLABELLED
        return labels
    dtype, missing = (np.float64, np.nan) if task.type == "regression" else (np.int32, UNLABELLED)
    return _numpy(pc.fill_null(rows.column(name), missing), dtype)


def _numpy(values: Any, dtype: Any) -> Array:
    return np.ascontiguousarray(values.to_numpy(zero_copy_only=False) if isinstance(values, pa.Array)
                                else values.to_numpy(), dtype=dtype)  # fmt: skip


def _strings(values: pa.ChunkedArray) -> pa.StringArray:
    return pa.concat_arrays(values.cast(pa.string()).chunks) if values.num_chunks else pa.array([], pa.string())
