"""One rank's batches as NumPy arrays: steps → bytes → checked → moved or decoded → collated. No torch here."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from ropeway.arriving import Arriving
from ropeway.assemble import Assembler, Parts
from ropeway.bad import BadSamples
from ropeway.buffers import Pool, reuse_freed
from ropeway.bursts import BURST_BYTES, Burst, Mapped, Nothing, Supply, grouped
from ropeway.delivery import Batches, Delivery
from ropeway.errors import FormatError, UsageError
from ropeway.fetch import GROUP_BYTES, Fetched
from ropeway.joined_stream import JoinedStream
from ropeway.manifest import is_url
from ropeway.meter import Stages
from ropeway.order import Appetite
from ropeway.parts import PartReader
from ropeway.plan import MAX_GAP, MAX_REQUEST
from ropeway.ranges import Counts
from ropeway.rows import Crew
from ropeway.samples import Ints, Samples
from ropeway.shard_bytes import Counting, ShardBytes
from ropeway.steps import Step
from ropeway.tuning import MIN_REQUEST, Tuning, suggest
from ropeway.view import View
from ropeway.wanted import Wanted

ANY = Appetite()
"""Of an order that says nothing of itself."""

NARROW = 0.5
"""Where the wanted parts make up less of the view's samples than that, and by more than the gap that is read along
anyway, only they are brought. Checksums are over whole samples: they can't be compared then, and `stats()` says so."""


TEXTS = 32
"""The share of the memory that keys may take as texts."""


SOON = 0.75
"""Where the order holds that share of a view at a time, the first batches need nearly all of it: it comes in larger
requests then, which cost a store less. Else the samples of a batch would wait for more beside them."""


class Streams:
    """What a loader streams from: a stream for each of its views, made when it is first needed in this process.

    Attributes:
        wanted: what is wanted.
        bad: what to do about bad samples, and those met so far.
        stages: where the time goes.
        pool: where large batches come from; torch sets one of pinned memory.
    """

    def __init__(self, wanted: Wanted, bad: BadSamples) -> None:
        self.wanted, self.bad = wanted, bad
        self.stages = Stages()
        self.pool = Pool(keep=wanted.memory // 4)
        reuse_freed()
        self._made: dict[int, tuple[View, Stream | JoinedStream]] = {}

    def __getstate__(self) -> tuple[Wanted, BadSamples]:
        return self.wanted, self.bad

    def __setstate__(self, state: tuple[Wanted, BadSamples]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def traffic(self) -> Counts:
        """What was asked of stores so far."""
        return sum((stream.traffic() for _, stream in list(self._made.values())), Counts())

    def of(self, view: View, *, share: int = 1) -> "Stream | JoinedStream":
        """The stream of a view; where it is one of several, their number is how many share memory and requests.

        Raises:
            UsageError: a joined view with bad samples to be replaced: the stand-in would be somebody else's.
        """
        if id(view) not in self._made:
            layout = view.layout()
            joined = isinstance(layout, Samples) and bool(layout.partners)
            if joined and self.bad.tolerates:
                raise UsageError("a bad sample of a joined view has no stand-in with the same partners: on_bad='raise'")
            self._made[id(view)] = view, (JoinedStream if joined else Stream)(view, self, share)
        return self._made[id(view)][1]


class Stream:
    """One view's samples on their way into batches."""

    def __init__(self, view: View, streams: Streams, share: int) -> None:
        self._arriving = Arriving(view)
        self._table = table = self._arriving.table
        self._wanted = wanted = streams.wanted
        self._stages, self._memory, self._share = streams.stages, wanted.memory // share, share
        self._parts = wanted.of(view)
        self._batches = Batches(view, table, self._parts, self._memory // TEXTS)
        _check_spans(self._arriving, [part.part.name for part in self._parts])
        self._source = view.reader()
        self._reader = self._source if wanted.cache is None else wanted.cache.over(self._source, table.shards)
        self._brought = _narrowed(table, [part for part in self._parts if not part.partial])
        self._near = self._supplied_near()
        once = np.zeros(len(table), np.bool_) if isinstance(self._near, Mapped) else None
        self._assembler = Assembler(
            self._arriving, self._brought, self._reader, self._parts, streams.bad, streams.pool, once
        )  # fmt: skip
        self._weights = self._held()

    def _supplied_near(self) -> Supply | None:
        """Where bytes come from when it is not over a network."""
        if all(part.partial for part in self._parts):
            return Nothing()
        return Mapped(self._brought, self._reader) if _all_local(self._table, self._reader) else None

    def _held(self) -> Ints:
        """Bytes of memory that each row takes in a burst, int64 (rows,). Mapped shards are there anyway."""
        if isinstance(self._near, Mapped) and all(part.moved for part in self._parts):
            return np.full(len(self._table), sum(part.fixed.size for part in self._parts if part.fixed))
        return self._brought.length + sum(p.fixed.size for p in self._parts if p.fixed and not p.moved)

    def _supplied_far(self, appetite: Appetite) -> Supply:
        """Ranges read ahead, within what is left when a quarter of the memory is for batches.

        Raises:
            UsageError: the order keeps more open than that.
        """
        room = max(1, self._memory * 3 // 4)
        if appetite.held > room:
            needed = -(-appetite.held * self._wanted.memory // room)
            raise UsageError(
                f"the order keeps {appetite.held:,} bytes open on this rank, memory={self._wanted.memory:,} leaves "
                f"{room:,} for them: give memory={needed:,}, or order=ropeway.Shuffled(open_bytes={room:,})"
            )
        look = max(appetite.held * 5 // 4, GROUP_BYTES) // max(1, int(self._table.length.mean()))
        soon = appetite.held >= SOON * int(self._table.length.sum())
        largest = 2 * MAX_REQUEST if soon else MAX_REQUEST
        typical = _typical_range(self._brought, appetite.block)
        tuning = self._tuned(suggest(typical, memory=room, largest=largest))
        check = self._assembler.check
        return Fetched(self._brought, self._reader, memory=room, look=look + 1, tuning=tuning, check=check)

    def _tuned(self, suggested: Tuning) -> Tuning:
        """What the caller asked for where it did; requests are shared between the views of a mix."""
        wanted = self._wanted
        requests = suggested.requests if wanted.requests is None else wanted.requests
        part = suggested.part if wanted.request_bytes is None else wanted.request_bytes
        return Tuning(part, max(1, requests // self._share))

    def traffic(self) -> Counts:
        """What was asked of the store so far."""
        return self._source.counters if isinstance(self._source, Counting) else Counts()

    def deliveries(self, steps: Iterator[Step], *, masked: bool, appetite: Appetite = ANY) -> Generator[list[Delivery]]:
        """The batches of a rank's steps, a burst at a time.

        A batch is a dict: per part an array (batch, …) where the view's samples all have one shape, else a list; per
        task `task.<id>`; `__key__`, a list; `__dataset__`, a list, where the view has several datasets; `__mask__`,
        bool (batch,), when the tail is padded; `__present__`, part → bool (batch,), for parts that some samples lack;
        `__sizes__`, part → int64 (batch, axes), for parts that were padded; `__group__`, int64 (batch,), when batches
        are whole groups.

        Args:
            steps: this rank's.
            masked: whether batches say which samples are padding.
            appetite: what the order of the steps asks for.

        Raises:
            ChecksumError, FormatError: a sample's bytes are damaged or do not decode, and the policy for bad samples
                does not tolerate it; with shard, key and offset.
            StoreError: a shard can't be read.
            UsageError: the order keeps more open than the loader may hold.
        """
        supply = self._near or self._supplied_far(appetite)
        limit = min(BURST_BYTES, max(1, self._memory // 8))
        groups = self._stages.timed("plan", self._arriving.ahead(grouped(steps, self._weights, limit)))
        bursts = self._stages.timed("fetch", supply.bursts(groups))
        early = isinstance(self._near, Mapped) or any(part.heavy for part in self._parts)
        begun = deque[Parts]()
        with self._crew("move") as movers, self._crew("decode") as decoders, self._crew("read") as readers:
            for burst in bursts:
                begun.append(self._begin(burst, movers, decoders, readers))
                if len(begun) > early:  # while arrays are copied, or heavy parts decoded, the next burst is brought
                    yield self._finish(begun.popleft(), masked)
            while begun:
                yield self._finish(begun.popleft(), masked)

    @contextmanager
    def _crew(self, what: str) -> Iterator[Crew]:
        """Threads of a kind; those that read bits of samples are as many as requests may be under way."""
        threads = self._wanted.threads
        if what == "read":
            threads = self._tuned(suggest(MIN_REQUEST, memory=self._memory)).requests
        with ThreadPoolExecutor(threads, thread_name_prefix=f"ropeway-{what}") as executor:
            yield Crew(executor, threads)

    def _begin(self, burst: Burst, movers: Crew, decoders: Crew, readers: Crew) -> Parts:
        with self._stages.stage("move"):
            made = self._assembler.move(burst, movers)
        with self._stages.stage("decode"):
            self._assembler.decode(made, decoders, readers)
        return made

    def _finish(self, made: Parts, masked: bool) -> list[Delivery]:
        with self._stages.stage("fetch"):
            for future in made.reading:
                future.result()
        with self._stages.stage("move"):
            self._assembler.arrive(made)
        with self._stages.stage("decode"):
            rows, columns = self._assembler.finish(made)
        with self._stages.stage("collate"):
            sizes = made.burst.lengths + made.taken
            return self._batches.cut(made.burst.steps, rows, columns, sizes, self._assembler.unchecked(rows), masked)


def _check_spans(samples: Arriving, parts: Sequence[str]) -> None:
    """Raise FormatError when a part lies outside its sample: memory is addressed by these numbers."""
    table = samples.table
    stops = table.offset + table.length
    wrong = (table.offset < 0) | (table.length < 0)
    for offset, length in (table.parts[part] for part in parts):
        wrong |= (offset >= 0) & ((offset < table.offset) | (length < 0) | (offset + length > stops))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        samples.bring(np.array([row]))
        ref = table.shards[table.shard[row]]
        raise FormatError("the index has a part outside its sample: run `ropeway verify`", dataset=ref.dataset,
                          shard=ref.path, key=table.keys[row].as_py(), offset=int(table.offset[row]))  # fmt: skip


def _all_local(table: Samples, reader: ShardBytes) -> bool:
    """Whether all shards are files of this machine: one of each place that shards come from is tried."""
    used = np.flatnonzero(np.bincount(table.shard, minlength=len(table.shards))).tolist()
    places = {path.rpartition("/")[0] if is_url(path) else "": number
              for number, path in ((number, table.shards[number].path) for number in used)}  # fmt: skip
    return len(table) > 0 and all(reader.map(number) is not None for number in places.values())


def _typical_range(table: Samples, block: int) -> int:
    """Median bytes of the runs of neighbours that lie in one block."""
    stops = table.offset + table.length
    apart = (np.diff(table.shard) != 0) | (np.diff(table.offset // max(1, block)) != 0)
    apart |= table.offset[1:] - stops[:-1] > MAX_GAP
    firsts = np.concatenate([[0], np.flatnonzero(apart) + 1])
    lasts = np.concatenate([firsts[1:], [len(table)]]) - 1
    return int(np.median(stops[lasts] - table.offset[firsts]))


def _narrowed(table: Samples, parts: list[PartReader]) -> Samples:
    """The samples with `offset` and `length` of what is wanted of each, where that is much less than the whole."""
    low, high = np.full(len(table), np.iinfo(np.int64).max), np.zeros(len(table), np.int64)
    for part in parts:
        offset, length = table.parts[part.part.name]
        there = offset >= 0
        low = np.where(there, np.minimum(low, offset), low)
        high = np.where(there, np.maximum(high, offset + length), high)
    low = np.where(high > 0, low, table.offset)
    length = np.maximum(high - low, 0)
    whole, narrow = int(table.length.sum()), int(length.sum())
    if narrow >= NARROW * whole or whole - narrow <= MAX_GAP * len(table):
        return table
    return replace(table, offset=low, length=length)
