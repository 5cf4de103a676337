"""Makes the parts of a burst: checks its bytes, moves or decodes them, replaces the bad ones."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ropeway.arriving import Arriving
from ropeway.bad import BadSamples, stand_ins
from ropeway.buffers import Pool
from ropeway.bursts import Burst
from ropeway.checking import Checksums
from ropeway.checksum import crc32c
from ropeway.errors import ChecksumError, FormatError
from ropeway.held import Check
from ropeway.parts import PartReader
from ropeway.rows import Crew, Moving, Pieces, Rows
from ropeway.samples import UNREAD, Array, Bytes, Ints, Samples
from ropeway.shard_bytes import ShardBytes
from ropeway.shard_file import ShardFile

Column: TypeAlias = Array | Pieces | list[Any]
"""A part of each sample of a burst: an array (n, …) where all have one shape, else a list."""

TASKS = 4
"""Pieces per thread that heavy work is cut into, so that all threads end together."""


@dataclass(slots=True)
class Parts:
    """A burst under way: heavy parts are still being decoded.

    Attributes:
        rows: int64 (n,); stand-ins included once it is finished.
        columns: by part name.
        moving: likewise, those that are being copied and are columns when they arrive.
        bad: place → what is wrong with the sample there.
        taken: int64 (n,), bytes that were read of each sample beside its span.
        decoding, reading: under way; the latter waits for bits of samples.
    """

    burst: Burst
    rows: Ints
    columns: dict[str, Column] = field(default_factory=dict)
    moving: dict[str, Moving] = field(default_factory=dict)
    bad: dict[int, FormatError] = field(default_factory=dict)
    taken: Ints = field(init=False)
    decoding: list[Future[None]] = field(default_factory=list)
    reading: list[Future[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.taken = np.zeros(len(self.rows), np.int64)


class Assembler:
    """Makes the parts of one view's bursts.

    Args:
        samples: the view's, with their `table`.
        wanted: the same, where `offset` and `length` say what of each sample is brought: less than its span where
            only small parts of large samples are wanted. Checksums are over spans, so those are not checked.
        reader: access to the shards, for stand-ins and partial reads.
        parts: what is wanted.
        bad: what to do about bad samples.
        pool: where large batches come from.
        once: bool (rows,), which samples' checksums were found right; None where bytes are fetched anew each time.
    """

    def __init__(
        self, samples: Arriving, wanted: Samples, reader: ShardBytes, parts: list[PartReader], bad: BadSamples,
        pool: Pool, once: npt.NDArray[np.bool_] | None,
    ) -> None:  # fmt: skip
        self._samples, self._table = samples, (table := samples.table)
        self._wanted, self._reader, self._parts = wanted, reader, parts
        self._bad, self._pool = bad, pool
        self._checksums = Checksums(table, reader, once)
        self._rows = {
            part.part.name: Rows(part.fixed, table.parts[part.part.name], wanted.offset, once is not None)
            for part in parts
            if part.moved and part.fixed
        }
        self._incomplete = [part.part.name for part in parts if (table.parts[part.part.name][0] < 0).any()]
        self.checks = wanted is table and not all(part.partial for part in parts)

    @property
    def check(self) -> Check | None:
        """Compares the checksums of ranges as they arrive; None where they can't be compared."""
        return self._checksums.of_range if self.checks else None

    def move(self, burst: Burst, movers: Crew) -> Parts:
        """Check a burst, and begin to copy what is only copied."""
        made = Parts(burst, burst.rows)
        if self.checks:
            for place in self._checksums.wrong(burst, movers):
                error = ChecksumError("crc32c differs: the shard was damaged since it was packed")
                made.bad[place] = self._placed(error, int(burst.rows[place]))
        for part in self._parts:
            if part.moved:
                self._move(part, made, movers)
        return made

    def arrive(self, made: Parts) -> None:
        """Wait for what is being copied."""
        for name, moving in made.moving.items():
            made.columns[name] = moving.arrived()

    def decode(self, made: Parts, decoders: Crew, readers: Crew) -> None:
        """Decode what is quick. What is not is left to the decoders, and what has to be read first to the readers."""
        for part in self._parts:
            if not part.moved:
                self._decode(part, made, readers if part.partial and not self.checks else decoders)

    def unchecked(self, rows: Ints) -> npt.NDArray[np.bool_]:
        """Which of these rows are given without comparing a checksum, bool (rows,)."""
        compared = bool(self._parts) and self.checks
        return np.equal(self._table.crc32c[rows], UNREAD) if compared else np.full(len(rows), bool(self._parts))

    def finish(self, made: Parts) -> tuple[Ints, dict[str, Any]]:
        """The rows given, stand-ins included, and the parts of all of them, `__present__` among them."""
        for future in made.decoding:
            future.result()
        if made.bad:
            made.rows = made.rows.copy()
            for place, error in sorted(made.bad.items()):
                self._bad.meet(error)
                made.rows[place], values = self._stand_in(int(made.rows[place]), error)
                for part, value in zip(self._parts, values, strict=True):
                    column = made.columns[part.part.name]
                    column[place] = 0 if value is None and not isinstance(column, list) else value
        columns: dict[str, Any] = dict(made.columns)
        if self._incomplete:
            columns["__present__"] = {name: self._table.parts[name][0][made.rows] >= 0 for name in self._incomplete}
        return made.rows, columns

    def _move(self, part: PartReader, made: Parts, movers: Crew) -> None:
        """A part whose bytes are copied as they are; what does not look like the others is decoded."""
        name, sizes = part.part.name, [len(step.rows) for step in made.burst.steps]
        cuts = [0, *accumulate(sizes[:-1])]
        found, others = self._rows[name].take(
            made.rows, made.burst.addresses, list(made.bad), cuts, self._pool, movers
        )  # fmt: skip
        if isinstance(found, Moving):
            made.moving[name] = found
        else:
            made.columns[name] = found
            self._fill(part, made, found, others.tolist())

    def _decode(self, part: PartReader, made: Parts, crew: Crew) -> None:
        """A part that is decoded sample by sample, in several threads if it is worth it."""
        count = len(made.rows)
        name, fixed = part.part.name, part.fixed
        present = self._table.parts[name][0][made.rows] >= 0
        column: Column = [None] * count
        if fixed is not None:
            column = self._pool.take(count * fixed.size).view(fixed.dtype).reshape(count, *fixed.shape)
            column[~present] = 0
        made.columns[name] = column
        places = np.flatnonzero(present)

        def some(mine: list[int]) -> None:
            self._fill(part, made, column, mine)

        if part.heavy:
            pieces = np.array_split(places, min(len(places), crew.threads * TASKS) or 1)
            futures = [crew.executor.submit(some, piece.tolist()) for piece in pieces]
            (made.reading if part.partial and not self.checks else made.decoding).extend(futures)
        else:
            some(places.tolist())

    def _fill(self, part: PartReader, made: Parts, column: Column, places: list[int]) -> None:
        """Decode a part at these places into a column; bad samples are noted and left out."""
        apart = part.partial and not self.checks
        contents = [None] * len(places) if apart else self._contents(part, made, places)
        for place, content in zip(places, contents, strict=True):
            if place in made.bad:
                continue
            try:
                if content is None:
                    column[place] = self._bit(part, made, place)
                elif isinstance(column, np.ndarray) and not part.partial:
                    part.read_into(*content, column[place, ...])
                else:
                    column[place] = part.read(*content)
            except FormatError as error:
                made.bad[place] = self._placed(error, int(made.rows[place]))

    def _bit(self, part: PartReader, made: Parts, place: int) -> Any:
        """A bit of a sample's part, which is read by itself."""
        row = int(made.rows[place])
        offsets, lengths = self._table.parts[part.part.name]
        shard, offset, length = int(self._table.shard[row]), int(offsets[row]), int(lengths[row])
        file = ShardFile.within(self._reader, shard, offset, length)
        try:
            return part.read_file(file)
        finally:
            made.taken[place] += file.taken

    def _contents(self, part: PartReader, made: Parts, places: list[int]) -> list[tuple[Bytes, Bytes]]:
        """Samples' spans, and the part's content in each."""
        rows = made.rows[places]
        offsets, lengths = (column[rows] for column in self._table.parts[part.part.name])
        firsts = offsets - self._wanted.offset[rows]
        bounds = zip(firsts.tolist(), (firsts + lengths).tolist(), strict=True)
        spans = made.burst.spans(np.array(places, np.int64))
        return [(span, span[first:stop]) for span, (first, stop) in zip(spans, bounds, strict=True)]

    def _stand_in(self, row: int, error: FormatError) -> tuple[int, list[Any]]:
        """The first sound sample that may stand in for a row, and its parts."""
        for candidate in stand_ins(row, len(self._table)):
            self._samples.bring(np.array([candidate]))
            try:
                return candidate, self._alone(candidate)
            except FormatError as another:
                self._bad.meet(self._placed(another, candidate))
        raise error

    def _alone(self, row: int) -> list[Any]:
        """The parts of one sample, read for itself; None for what it lacks."""
        table = self._table
        start, length = int(table.offset[row]), int(table.length[row])
        span = np.frombuffer(self._reader.read(int(table.shard[row]), start, start + length), np.uint8)
        if table.crc32c[row] != UNREAD and crc32c(span) != int(table.crc32c[row]):
            raise ChecksumError("crc32c differs: the shard was damaged since it was packed")
        values = []
        for part in self._parts:
            offset, size = (int(column[row]) for column in table.parts[part.part.name])
            values.append(None if offset < 0 else part.read(span, span[offset - start : offset - start + size]))
        return values

    def _placed(self, error: FormatError, row: int) -> FormatError:
        ref = self._table.shards[self._table.shard[row]]
        error.dataset, error.shard = ref.dataset, ref.path
        error.key, error.offset = self._table.keys[row].as_py(), int(self._table.offset[row])
        return error
