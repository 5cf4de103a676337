"""One rank's batches as NumPy arrays: steps → spans → checked → decoded → collated. No torch here."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import google_crc32c
import numpy as np
import pyarrow as pa

from ropeway import decode, fetch, tar
from ropeway.decode import Decoder
from ropeway.errors import ChecksumError, FormatError, UsageError
from ropeway.fetch import Bytes
from ropeway.manifest import Part
from ropeway.order import EpochOrder
from ropeway.samples import Array, Ints, Samples
from ropeway.steps import Batching, Step
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
        parts: names of the parts wanted; none: keys and labels only, and no shard is read.
        decoders: the caller's own decoders, by part name or format.
        threads: for decoders that are heavy.
        memory, requests: see `MEMORY` and `REQUESTS`.
    """

    parts: tuple[str, ...]
    decoders: Mapping[str, Decoder | decode.Decode] = field(default_factory=dict)
    threads: int = 2
    memory: int = MEMORY
    requests: int = REQUESTS


def choose_parts(view: View, parts: Sequence[str] | None) -> tuple[str, ...]:
    """The wanted parts of a view (None: all).

    Raises:
        UsageError: the view has no such part.
    """
    known = [part.name for part in view.info.parts]
    if parts is None:
        return tuple(known)
    for part in parts:
        if part not in known:
            raise UsageError(f"no part {part!r} in this view; there is: {', '.join(known)}")
    return tuple(parts)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One batch, and where the whole world is after it."""

    position: int
    batch: Batch
    bytes: int


def deliveries(
    view: View, order: EpochOrder, batching: Batching, decoding: Decoding, position: int, *, offset: int = 0,
    stride: int = 1,
) -> Iterator[Delivery]:  # fmt: skip
    """The rank's batches from a position to the end of the epoch.

    A batch is a dict: per part an array (batch, …) where the view's samples all have one shape, else a list; per task
    `task.<id>`; `__key__`, a list; `__dataset__`, a list, where the view has several datasets; `__mask__`, bool
    (batch,), when the tail is padded; `__present__`, part → bool (batch,), for parts that some samples lack.

    Raises:
        ChecksumError, FormatError: a sample's bytes are damaged or do not decode; with shard, key and offset.
        StoreError: a shard can't be read.
    """
    table = view.table()
    steps = batching.steps(order, position, offset=offset, stride=stride)
    labels = _Labels(view, table, batching.tail == "pad")
    if not decoding.parts:
        for step in steps:
            yield Delivery(step.stop, labels.batch(step), 0)
        return
    assembler = _Assembler(view, table, decoding)
    reader = view.reader()
    sourced = fetch.mapped(steps, table, reader) or fetch.fetched(
        steps, table, reader, memory=decoding.memory, requests=decoding.requests
    )
    with ThreadPoolExecutor(decoding.threads, thread_name_prefix="ropeway-decode") as pool:
        for step, spans in sourced:
            parts = assembler.parts(step.rows, spans, pool.map)
            yield Delivery(step.stop, parts | labels.batch(step), sum(map(len, spans)))


class _Labels:
    """Everything of a batch that comes from the index."""

    def __init__(self, view: View, table: Samples, mask: bool) -> None:
        self._table, self._mask = table, mask
        datasets = np.array([ref.dataset for ref in table.shards])
        self._datasets = datasets if len(view.datasets) > 1 else None
        self._values = {task: _for_training(values) for task, values in table.labels.items()}

    def batch(self, step: Step) -> Batch:
        batch: Batch = {"__key__": self._table.keys.take(pa.array(step.rows)).to_pylist()}
        if self._datasets is not None:
            batch["__dataset__"] = self._datasets[self._table.shard[step.rows]].tolist()
        for task, values in self._values.items():
            batch[f"task.{task}"] = values[step.rows]
        if self._mask:
            batch["__mask__"] = step.real
        return batch


def _for_training(labels: Array) -> Array:
    """Labels as losses take them: classes int64, numbers float32, multi-label float32 with NaN where unlabelled."""
    if labels.ndim == 2:
        return np.where(labels < 0, np.nan, labels).astype(np.float32)
    return labels.astype(np.float32 if labels.dtype.kind == "f" else np.int64)


class _Assembler:
    """Checks, decodes and collates the parts of a batch."""

    def __init__(self, view: View, table: Samples, decoding: Decoding) -> None:
        self._table = table
        self._own = decoding.decoders
        self._parts = [self._readable(part) for part in view.info.parts if part.name in decoding.parts]
        self._partial = {name for name in decoding.parts if (table.parts[name][0] < 0).any()}

    def _readable(self, part: Part) -> "_PartReader":
        decoder = decode.find(part.name, part.format, self._own) if part.format else None
        own = part.name in self._own or part.format in self._own
        fixed = part.shape is not None and None not in part.shape and part.dtype is not None and not own
        return _PartReader(part, decoder, fixed)

    def parts(self, rows: Ints, spans: list[Bytes], run: Callable[..., Iterator[Any]]) -> Batch:
        """The wanted parts of these rows; `run` maps a function over heavy work."""
        for row, span, expected in zip(rows.tolist(), spans, self._table.crc32c[rows].tolist(), strict=True):
            if google_crc32c.value(span) != expected:
                raise self._placed(ChecksumError("crc32c differs: the shard was damaged since it was packed"), row)
        batch: Batch = {}
        present: Batch = {}
        for reader in self._parts:
            name = reader.part.name
            offsets, lengths = (column[rows] for column in self._table.parts[name])
            starts = (offsets - self._table.offset[rows]).tolist()
            contents = [
                None if start < 0 else span[start : start + length]
                for span, start, length in zip(spans, starts, lengths.tolist(), strict=True)
            ]
            values = self._decoded(reader, rows, spans, contents, run)
            batch[name] = self._stacked(reader.part, rows, values) if reader.fixed else reader.gathered(values)
            if name in self._partial:
                present[name] = offsets >= 0
        if present:
            batch["__present__"] = present
        return batch

    def _decoded(self, reader: "_PartReader", rows: Ints, spans: list[Bytes], contents: list[Bytes | None],
                 run: Callable[..., Iterator[Any]]) -> list[Any]:  # fmt: skip
        part, known = reader.part, reader.decoder

        def one(place: int) -> Any:
            content = contents[place]
            if content is None:
                return None
            form = part.format
            try:
                if known is not None:
                    return known.decode(content.data)
                form = tar.part_format(spans[place].data, part.name)
                return decode.find(part.name, form, self._own).decode(content.data)
            except FormatError as error:
                raise self._placed(error, int(rows[place])) from error
            except (ValueError, OSError) as error:
                raise self._placed(decode.problem(error, form), int(rows[place])) from error

        places = range(len(contents))
        return list(run(one, places)) if known is None or known.heavy else [one(place) for place in places]

    def _stacked(self, part: Part, rows: Ints, values: list[Array | None]) -> Array:
        """One array; zeros stand for what is absent."""
        shape = (len(values), *(size for size in part.shape or () if size is not None))
        together = np.zeros(shape, np.dtype(part.dtype).newbyteorder("="))
        for place, value in enumerate(values):
            if value is None:
                continue
            if value.shape != shape[1:]:
                error = FormatError(f"part {part.name} has shape {value.shape}, the manifest says {shape[1:]}")
                raise self._placed(error, int(rows[place]))
            together[place] = value
        return together

    def _placed(self, error: FormatError, row: int) -> FormatError:
        ref = self._table.shards[self._table.shard[row]]
        error.dataset, error.shard = ref.dataset, ref.path
        error.key, error.offset = self._table.keys[row].as_py(), int(self._table.offset[row])
        return error


@dataclass(frozen=True, slots=True)
class _PartReader:
    """A part, its decoder (None: formats differ between samples), and whether all its arrays have one shape."""

    part: Part
    decoder: Decoder | None
    fixed: bool

    def gathered(self, values: list[Any]) -> Any:
        """What a decoder of the caller's own gave, stacked where it can be; arrays of differing shapes as a list."""
        stackable = self.part.name and all(isinstance(value, np.ndarray) for value in values)
        declared = self.part.shape is None or None in self.part.shape
        if declared or not stackable or len({value.shape for value in values}) > 1:
            return values
        return np.stack(values)
