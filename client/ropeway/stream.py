"""One rank's batches as NumPy arrays: steps → spans → checked → decoded → collated. No torch here."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import google_crc32c
import numpy as np
import pyarrow as pa

from ropeway import fetch
from ropeway.bad import BadSamples, stand_ins
from ropeway.decode import Decode, Decoder
from ropeway.errors import ChecksumError, FormatError, UsageError
from ropeway.parts import PartReader
from ropeway.samples import Array, Bytes, Ints, Samples
from ropeway.shard_bytes import ShardBytes
from ropeway.steps import Step
from ropeway.view import View

Batch: TypeAlias = dict[str, Any]

MEMORY = 512 << 20
"""Bytes of shard ranges held or under way per process, where shards are not local files."""

REQUESTS = 16
"""Range requests at once per process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """What is decoded, and how.

    Attributes:
        parts: names of the parts wanted; None: all; (): keys and labels only, and no shard is read.
        decoders: the caller's own decoders, by part name or format.
        threads: for decoders that are heavy.
        memory, requests: see `MEMORY` and `REQUESTS`.
        bad: what to do about bad samples, and those met so far.
    """

    parts: tuple[str, ...] | None = None
    decoders: Mapping[str, Decoder | Decode] = field(default_factory=dict)
    threads: int = 2
    memory: int = MEMORY
    requests: int = REQUESTS
    bad: BadSamples = field(default_factory=lambda: BadSamples("raise"))

    def of(self, view: View) -> list[PartReader]:
        """Readers of the wanted parts that a view has.

        Raises:
            UsageError: a part has no decoder.
        """
        wanted = view.info.parts if self.parts is None else [p for p in view.info.parts if p.name in self.parts]
        return [PartReader.of(part, self.decoders) for part in wanted]

    def check(self, views: Sequence[View]) -> None:
        """Raise UsageError when a wanted part is in none of the views, or has no decoder."""
        known = dict.fromkeys(part.name for view in views for part in view.info.parts)
        for part in self.parts or ():
            if part not in known:
                raise UsageError(f"no part {part!r} in this view; there is: {', '.join(known)}")
        for view in views:
            self.of(view)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One batch, how many samples it has, their bytes in the shards, and where the whole world is after it."""

    position: int
    batch: Batch
    samples: int
    bytes: int


def deliveries(view: View, steps: Iterator[Step], decoding: Decoding, *, masked: bool) -> Iterator[Delivery]:
    """The batches of a rank's steps.

    A batch is a dict: per part an array (batch, …) where the view's samples all have one shape, else a list; per task
    `task.<id>`; `__key__`, a list; `__dataset__`, a list, where the view has several datasets; `__mask__`, bool
    (batch,), when the tail is padded; `__present__`, part → bool (batch,), for parts that some samples lack;
    `__group__`, int64 (batch,), when batches are whole groups.

    Raises:
        ChecksumError, FormatError: a sample's bytes are damaged or do not decode, and `decoding.bad` does not tolerate
            it; with shard, key and offset.
        StoreError: a shard can't be read.
    """
    table = view.table()
    labels = _Labels(view, table, masked)
    readers = decoding.of(view)
    if not readers:
        for step in steps:
            yield Delivery(step.stop, labels.batch(step.rows, step), len(step.rows), 0)
        return
    reader = view.reader()
    assembler = _Assembler(table, reader, readers, decoding.bad)
    sourced = fetch.mapped(steps, table, reader) or fetch.fetched(
        steps, table, reader, memory=decoding.memory, requests=decoding.requests
    )
    with ThreadPoolExecutor(decoding.threads, thread_name_prefix="ropeway-decode") as pool:
        for step, spans in sourced:
            rows, parts = assembler.parts(step.rows, spans, pool.map)
            batch = parts | labels.batch(rows, step)
            yield Delivery(step.stop, batch, len(rows), sum(map(len, spans)))


class _Labels:
    """Everything of a batch that comes from the index."""

    def __init__(self, view: View, table: Samples, masked: bool) -> None:
        self._table, self._masked = table, masked
        datasets = np.array([ref.dataset for ref in table.shards])
        self._datasets = datasets if len(view.datasets) > 1 else None
        self._values = {task: _for_training(values) for task, values in table.labels.items()}

    def batch(self, rows: Ints, step: Step) -> Batch:
        batch: Batch = {"__key__": self._table.keys.take(pa.array(rows)).to_pylist()}
        if self._datasets is not None:
            batch["__dataset__"] = self._datasets[self._table.shard[rows]].tolist()
        for task, values in self._values.items():
            batch[f"task.{task}"] = values[rows]
        if self._masked:
            batch["__mask__"] = step.real
        if step.groups is not None:
            batch["__group__"] = step.groups
        return batch


def _for_training(labels: Array) -> Array:
    """Labels as losses take them: classes int64, numbers float32, multi-label float32 with NaN where unlabelled."""
    if labels.ndim == 2:
        return np.where(labels < 0, np.nan, labels).astype(np.float32)
    return labels.astype(np.float32 if labels.dtype.kind == "f" else np.int64)


Run: TypeAlias = Callable[..., Iterator[Any]]
"""Maps a function over arguments, in this thread or in several."""


class _Assembler:
    """Checks, decodes and collates the parts of a batch."""

    def __init__(self, table: Samples, reader: ShardBytes, parts: list[PartReader], bad: BadSamples) -> None:
        self._table, self._reader, self._parts, self._bad = table, reader, parts, bad
        self._partial = [part.part.name for part in parts if (table.parts[part.part.name][0] < 0).any()]

    def parts(self, rows: Ints, spans: list[Bytes], run: Run) -> tuple[Ints, Batch]:
        """The rows given, stand-ins included, and their wanted parts; `run` maps a function over heavy work."""
        bad: dict[int, FormatError] = {}
        self._check(rows, spans, bad)
        values = [self._decoded(reader, rows, spans, run, bad) for reader in self._parts]
        if bad:
            rows = rows.copy()
            for place, error in sorted(bad.items()):
                self._bad.meet(error)
                rows[place], replaced = self._stand_in(int(rows[place]), error)
                for column, value in zip(values, replaced, strict=True):
                    column[place] = value
        batch: Batch = {reader.part.name: reader.collate(v) for reader, v in zip(self._parts, values, strict=True)}
        if self._partial:
            batch["__present__"] = {name: self._table.parts[name][0][rows] >= 0 for name in self._partial}
        return rows, batch

    def _check(self, rows: Ints, spans: list[Bytes], bad: dict[int, FormatError]) -> None:
        for place, (span, expected) in enumerate(zip(spans, self._table.crc32c[rows].tolist(), strict=True)):
            if google_crc32c.value(span) != expected:
                error = ChecksumError("crc32c differs: the shard was damaged since it was packed")
                bad[place] = self._placed(error, int(rows[place]))

    def _decoded(
        self, reader: PartReader, rows: Ints, spans: list[Bytes], run: Run, bad: dict[int, FormatError]
    ) -> list[Any]:
        """A part of each sample; None where a sample lacks it or is bad, which is noted."""
        offsets, lengths = (column[rows] for column in self._table.parts[reader.part.name])
        starts = (offsets - self._table.offset[rows]).tolist()
        stops = (offsets - self._table.offset[rows] + lengths).tolist()

        def one(place: int) -> Any:
            if starts[place] < 0 or place in bad:
                return None
            span = spans[place]
            try:
                return reader.read(span, span[starts[place] : stops[place]])
            except FormatError as error:
                bad[place] = self._placed(error, int(rows[place]))
                return None

        places = range(len(spans))
        return list(run(one, places)) if reader.heavy else [one(place) for place in places]

    def _stand_in(self, row: int, error: FormatError) -> tuple[int, list[Any]]:
        """The first sound sample that may stand in for a row, and its parts."""
        for candidate in stand_ins(row, len(self._table)):
            rows = np.array([candidate])
            start, length = int(self._table.offset[candidate]), int(self._table.length[candidate])
            content = self._reader.read(int(self._table.shard[candidate]), start, start + length)
            spans = [np.frombuffer(content, np.uint8)]
            bad: dict[int, FormatError] = {}
            self._check(rows, spans, bad)
            values = [self._decoded(reader, rows, spans, map, bad) for reader in self._parts]
            if not bad:
                return candidate, [column[0] for column in values]
            self._bad.meet(bad[0])
        raise error

    def _placed(self, error: FormatError, row: int) -> FormatError:
        ref = self._table.shards[self._table.shard[row]]
        error.dataset, error.shard = ref.dataset, ref.path
        error.key, error.offset = self._table.keys[row].as_py(), int(self._table.offset[row])
        return error
