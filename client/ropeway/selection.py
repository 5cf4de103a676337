"""What a query selects: rows of dataset versions, and everything that a view says of them."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa

from ropeway import samples, shard_table
from ropeway.errors import QueryError, UsageError
from ropeway.indexed import ROW_COLUMNS, Indexed
from ropeway.manifest import Manifest, Part, Task
from ropeway.query import Query
from ropeway.samples import Array, Ints, Layout, Samples
from ropeway.shard_table import ShardTable

Rows: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

_PLACES = {"row", "shard", "offset", "length", "crc32c"}
"""Columns that say where a sample lies, not what it is."""


@dataclass(frozen=True)
class Selection:
    """What a query selects: row numbers per dataset version, in storage order."""

    query: Query
    task: Task | None
    pieces: tuple[tuple[Indexed, Rows], ...]

    @cached_property
    def id(self) -> str:
        """16 hex digits over the dataset versions, the selected rows and the task: same samples, same id."""
        digest = hashlib.sha256(msgspec.json.encode(["view", 1, self.task.id if self.task else None]))
        for indexed, rows in self.pieces:
            head = [indexed.manifest.dataset, indexed.manifest.version, len(rows)]
            digest.update(msgspec.json.encode(head))
            digest.update(rows.astype("<i8", copy=False).data)
        return digest.hexdigest()[:16]

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Parts of all selected datasets; what differs between datasets is left open."""
        merged: dict[str, Part] = {}
        for indexed, _ in self.pieces:
            for part in indexed.manifest.parts:
                merged[part.name] = merge_parts(merged[part.name], part) if part.name in merged else part
        return tuple(merged.values())

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """Tasks of all selected datasets, the query's task first."""
        found = {self.task.id: self.task} if self.task and not self.task.target else {}
        for indexed, _ in self.pieces:
            for task in indexed.manifest.labelled:
                check_same(found.setdefault(task.id, task), task, indexed.manifest)
        return tuple(found.values())

    @cached_property
    def targets(self) -> tuple[Task, ...]:
        """Tasks of all selected datasets whose target is a part, once for each part that is one."""
        tasks = [task for indexed, _ in self.pieces for task in indexed.manifest.tasks if task.target]
        return tuple({(task.id, task.target): task for task in tasks}.values())

    @cached_property
    def count(self) -> int:
        """How many samples there are."""
        return self._stops[-1]

    @cached_property
    def bytes(self) -> int:
        """Bytes of the samples in their shards."""
        return sum(int(_taken(indexed.numbers("length"), rows).sum()) for indexed, rows in self.pieces)

    @cached_property
    def label_counts(self) -> dict[str, dict[str, int]]:
        """Task → class → samples, for tasks that have classes."""
        counts = {task.id: dict.fromkeys(task.classes, 0) for task in self.tasks if task.classes}
        for indexed, rows in self.pieces:
            for task in indexed.manifest.labelled:
                if task.id in counts:
                    for name, count in samples.count_classes(_taken(indexed.labels(task), rows), task).items():
                        counts[task.id][name] += count
        return counts

    @cached_property
    def shards(self) -> ShardTable:
        """The shards of all selected datasets, one dataset after the other."""
        return shard_table.together([indexed.refs for indexed, _ in self.pieces])

    @cached_property
    def used(self) -> frozenset[int]:
        """The shards that hold any of the samples."""
        found = [
            np.unique(indexed.shard_numbers[rows]) + before
            for (indexed, rows), before in zip(self.pieces, self._shards_before, strict=True)
        ]
        return frozenset(np.concatenate(found).tolist())

    @cached_property
    def _shards_before(self) -> list[int]:
        return list(accumulate((len(indexed.refs) for indexed, _ in self.pieces[:-1]), initial=0))

    @cached_property
    def _stops(self) -> list[int]:
        return list(accumulate(len(rows) for _, rows in self.pieces))

    @cached_property
    def pages(self) -> list[tuple[int, int]]:
        """First and one-past-last row of each page: whole shards of one dataset, at least `samples.PAGE_ROWS` rows."""
        pages = list[tuple[int, int]]()
        for (indexed, rows), stop in zip(self.pieces, self._stops, strict=True):
            start = stop - len(rows)
            here = samples.pages(indexed.shard_numbers[rows])
            pages += [(start + first, start + last) for first, last in here]
        return pages

    def slice(self, start: int, stop: int) -> Samples:
        """Rows `start` to `stop` (exclusive) of one dataset; what that dataset lacks is left out."""
        number = next(number for number, end in enumerate(self._stops) if start < end)
        indexed, rows = self.pieces[number]
        first = self._stops[number] - len(rows)
        here, manifest = rows[start - first : stop - first], indexed.manifest
        numbers = indexed.shard_numbers[here] + np.int32(self._shards_before[number])
        names = [part.name for part in manifest.parts]
        table = _rows(indexed, here, _of_samples(names, manifest.labelled))
        return samples.from_index(table, numbers, self.shards, names, manifest.labelled)

    def layout(self, start: int, stop: int) -> Layout:
        """Where the samples of rows `start` to `stop` (exclusive) lie."""
        shard, offset, length = list[Array](), list[Array](), list[Array]()
        for number, (indexed, rows) in self._between(start, stop):
            shard.append(indexed.shard_numbers[rows] + np.int32(self._shards_before[number]))
            offset.append(indexed.numbers("offset")[rows])
            length.append(indexed.numbers("length")[rows])
        return Layout(self.shards, np.concatenate(shard), np.concatenate(offset), np.concatenate(length))

    def spans(self, part: str, start: int, stop: int) -> tuple[Ints, Ints]:
        """Offset and length of a part of those samples; −1 and 0 where they lack it."""
        found = [samples.spans_of(_rows(indexed, rows, [f"{part}.offset", f"{part}.length", "offset"]), part)
                 for _, (indexed, rows) in self._between(start, stop)]  # fmt: skip
        return np.concatenate([offset for offset, _ in found]), np.concatenate([length for _, length in found])

    def take(self, rows: Ints) -> Samples:
        """The samples of these rows, ascending, without parts."""
        cuts = np.searchsorted(rows, [0, *self._stops])
        pieces, tasks = list[Samples](), dict[str, Task]()
        for number, (indexed, chosen) in enumerate(self.pieces):
            if cuts[number] == cuts[number + 1]:
                continue
            here = chosen[rows[cuts[number] : cuts[number + 1]] - (self._stops[number] - len(chosen))]
            numbers = indexed.shard_numbers[here] + np.int32(self._shards_before[number])
            labelled = indexed.manifest.labelled
            tasks |= {task.id: task for task in labelled}
            table = _rows(indexed, here, _of_samples([], labelled))
            pieces.append(samples.from_index(table, numbers, self.shards, [], labelled))
        return samples.together(pieces, [], list(tasks.values()))

    def _between(self, start: int, stop: int) -> Iterator[tuple[int, tuple[Indexed, Rows]]]:
        """The pieces' numbers, with what of each lies in rows `start` to `stop` (exclusive)."""
        for number, (indexed, rows) in enumerate(self.pieces):
            first = self._stops[number] - len(rows)
            here = rows[max(0, start - first) : max(0, stop - first)]
            if len(here):
                yield number, (indexed, here)

    @cached_property
    def samples(self) -> Samples:
        """The selected samples as columns."""
        starts = [stop - len(rows) for (_, rows), stop in zip(self.pieces, self._stops, strict=True)]
        pieces = [self.slice(start, stop) for start, stop in zip(starts, self._stops, strict=True)]
        return samples.together(pieces, [part.name for part in self.parts], self.tasks)

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Index columns of the selected samples, in row order; null where a dataset lacks one.

        Raises:
            UsageError: no selected dataset has such a column.
        """
        tables = []
        for indexed, rows in self.pieces:
            here = {name: _stored(name) for name in names if _stored(name) in indexed.rows.schema.names}
            piece = indexed.rows.select(list(here.values())).take(pa.array(rows)).rename_columns(list(here))
            tables.append(_plain(piece))
        known = {column for table in tables for column in table.schema.names}
        if missing := [name for name in names if name not in known]:
            meta = {column.removeprefix("meta.") for i, _ in self.pieces for column in i.rows.schema.names}
            there = sorted({name for name in meta if "." not in name} - _PLACES)
            raise UsageError(f"no column {missing[0]!r} in this view; there is: {', '.join(there)}")
        return pa.concat_tables(tables, promote_options="permissive").select(list(names)).combine_chunks()


def check_same(one: Task, other: Task, manifest: Manifest) -> None:
    """Raise QueryError when two datasets mean different things by one task."""
    if (one.type, one.classes) != (other.type, other.classes):
        raise QueryError(
            f"task {one.id!r} has another type or other classes here than in another selected dataset: "
            "name the datasets to select", dataset=manifest.dataset,
        )  # fmt: skip


def merge_parts(one: Part, other: Part) -> Part:
    """What two parts of the same name have in common."""

    def common(name: str) -> Any:
        mine, theirs = getattr(one, name), getattr(other, name)
        return mine if mine == theirs else None

    shape = None
    if one.shape is not None and other.shape is not None and len(one.shape) == len(other.shape):
        shape = tuple(a if a == b else None for a, b in zip(one.shape, other.shape, strict=True))
    return Part(
        name=one.name,
        kind=one.kind,
        format=one.format if one.format == other.format else "",
        dtype=common("dtype"),
        shape=shape,
        axes=common("axes") or (),
        units=common("units") or "",
        sampling_rate=common("sampling_rate"),
        channels=common("channels") or (),
        samples=one.samples + other.samples,
    )


def _of_samples(parts: Sequence[str], tasks: Sequence[Task]) -> list[str]:
    """The index columns that samples with these parts and tasks are made of."""
    spans = [f"{part}.{what}" for part in parts for what in ("offset", "length")]
    return ["key", "offset", "length", "crc32c", *spans, *(f"task.{task.id}" for task in tasks)]


def _rows(indexed: Indexed, rows: Rows, names: Sequence[str]) -> pa.Table:
    """Index rows, of these columns those that there are."""
    table = indexed.rows.select([name for name in indexed.rows.schema.names if name in names])
    return table if len(rows) == len(table) else table.take(pa.array(rows))


def _taken(column: Array, rows: Rows) -> Array:
    return column if len(rows) == len(column) else column[rows]


def _stored(name: str) -> str:
    return name if name in (*ROW_COLUMNS, "content") else f"meta.{name}"


def _plain(table: pa.Table) -> pa.Table:
    """Without dictionaries, whose positions differ between datasets."""
    plain = [f.type.value_type if pa.types.is_dictionary(f.type) else f.type for f in table.schema]
    return table.cast(pa.schema(zip(table.schema.names, plain, strict=True)))
