"""What the machine could do at best, as samples per second of a workload."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import inside
from benchmarks.places import Place
from benchmarks.systems import SEED
from benchmarks.workloads import Ints, Workload

if TYPE_CHECKING:
    from benchmarks.inside import Range
    from ropeway.samples import Array, Samples
    from ropeway.shard_bytes import ShardBytes

_COPIED = 64 << 20
"""Bytes of the arrays that are copied: they do not fit into the caches."""

_PIECE = 1 << 20
_RANGE = 4 << 20
_AT_ONCE = 16
_GATHERED = 4 << 20
"""Bytes that are copied together."""

_TURNS = 4
"""Batch buffers that are filled in turn."""

_SHARD_BITS = 40
"""Bits of an offset in a shard."""


def memcpy(work: Workload, place: Place, seconds: float) -> float:
    """Copying between two arrays, on one core."""
    source, target = np.ones(_COPIED, np.uint8), np.ones(_COPIED, np.uint8)
    return _rate(lambda: np.copyto(target, source), seconds) * _COPIED / work.sample_bytes


def readv(work: Workload, place: Place, seconds: float) -> float:
    """Reading the shards in 1 MiB pieces into one reused buffer, which stays in the cache, on one core."""
    return _rate(lambda: _read(place, [bytearray(_PIECE)]), seconds) * work.samples


def readv_batches(work: Workload, place: Place, seconds: float) -> float:
    """Reading the shards into buffers of a batch's size that are used in turn, on one core."""
    buffers = [bytearray(int(work.sample_bytes * work.batch)) for _ in range(_TURNS)]
    return _rate(lambda: _read(place, buffers), seconds) * work.samples


def gather(work: Workload, place: Place, seconds: float) -> float:
    """Copying the arrays from the mapped shards into batches in shuffled order, on all cores, and nothing else."""
    from benchmarks.systems import ropeway as system
    from ropeway import buffers

    view = system.open_view(work, place)
    table, reader = view.table(), view.reader()
    rows, copying = _shuffled(table), _Copying(work)
    shards = [np.frombuffer(reader.map(number) or b"", np.uint8) for number in range(len(table.shards))]
    bases = np.array([buffers.address(shard) for shard in shards])
    starts = copying.contents(table, rows, bases[table.shard[rows]])
    with ThreadPoolExecutor(copying.cores) as threads:
        return _rate(lambda: copying.all(starts, threads), seconds) * len(rows)


def decode(work: Workload, place: Place, seconds: float) -> float:
    """Decoding pictures from memory into a batch, a thread on each core."""
    import simplejpeg

    pictures = [part for part in work.parts if part.kind == "picture"]
    name, shape = pictures[0].name, pictures[0].shape
    contents = [sample.contents[name] for sample, _ in zip(work, range(work.batch), strict=False)]
    batch = np.empty((len(contents), *shape), np.uint8)

    cores = os.cpu_count() or 1

    def stripe(first: int) -> None:
        for number in range(first, len(contents), cores):
            simplejpeg.decode_jpeg(contents[number], "RGB", buffer=batch[number])

    with ThreadPoolExecutor(cores) as pool:
        return _rate(lambda: list(pool.map(stripe, range(cores))), seconds) * len(contents)


def gets(work: Workload, place: Place, seconds: float) -> float:
    """The range requests of Ropeway's loader in an epoch, by its own client, as many at once, and nothing else."""
    return len(work.delivered()) / _get_asked(work, place, len)


def gets_kept(work: Workload, place: Place, seconds: float) -> float:
    """The same, where every answer is kept until the last one is there: an order that takes samples from all over the
    view holds them too, and the system has to clear that memory first. So nothing may come before it in the process."""
    kept = list[memoryview]()
    return len(work.delivered()) / _get_asked(work, place, kept.append)


def gets_given(work: Workload, place: Place, seconds: float) -> float:
    """The same, where every sample is then checked and copied into a batch in the order of the epoch, on all cores:
    what no loader can leave out whose first batch has samples from all over the view. In a process of its own."""
    ranges, most = inside.asked(work, place)
    with ProcessPoolExecutor(1, get_context("spawn")) as apart:
        return len(work.delivered()) / apart.submit(_given, work, place, ranges, most).result()


def gets_whole(work: Workload, place: Place, seconds: float) -> float:
    """The shards whole, in ranges of 4 MiB, by the same client: what it could do if nothing were shuffled."""
    from benchmarks.systems import ropeway as system

    view = system.open_view(work, place)
    sizes = [shard.bytes for shard in view.table().shards]
    ranges = [
        (shard, start, min(size, start + _RANGE))
        for shard, size in enumerate(sizes)
        for start in range(0, size, _RANGE)
    ]
    return work.samples / _get(view.reader(), ranges, _AT_ONCE)


CEILINGS: dict[str, Callable[[Workload, Place, float], float]] = {
    "memcpy": memcpy, "readv": readv, "readv_batches": readv_batches, "gather": gather, "decode": decode,
    "gets": gets, "gets_kept": gets_kept, "gets_given": gets_given, "gets_whole": gets_whole,
}  # fmt: skip


def of(work: Workload, *, remote: bool) -> list[str]:
    """The ceilings that mean something for a workload."""
    if work.keep is not None:
        return []  # they read everything
    pictures = all(part.kind == "picture" for part in work.parts)
    arrays = [part.kind for part in work.parts] == ["array"]
    if remote:
        first = ["gets_kept", "gets", *(["gets_given"] if arrays else []), "gets_whole"]
    else:
        first = ["memcpy", "readv", "readv_batches", *(["gather"] if arrays else [])]
    return first + (["decode"] if pictures else [])


def _given(work: Workload, place: Place, ranges: "list[Range]", most: int) -> float:
    """Seconds that GETs of the ranges, `most` at once, checksums and copies of the samples in them take."""
    from benchmarks.systems import ropeway as system
    from ropeway import buffers
    from ropeway.checksum import crc32c

    view = system.open_view(work, place)
    table, reader, copying = view.table(), view.reader(), _Copying(work)
    rows = _shuffled(table)
    rows = rows[: len(rows) // work.batch * work.batch]
    firsts, order = np.unique([shard << _SHARD_BITS | start for shard, start, _ in ranges], return_index=True)
    places = table.shard[rows].astype(np.int64) << _SHARD_BITS | table.offset[rows]
    which = order[np.searchsorted(firsts, places, "right") - 1]
    begins = table.offset[rows] - np.array([start for _, start, _ in ranges])[which]
    stops = begins + table.length[rows]

    def check(some: slice) -> None:
        spans = zip(which[some].tolist(), begins[some].tolist(), stops[some].tolist(), strict=True)
        sums = [crc32c(kept[number][start:stop]) for number, start, stop in spans]
        assert (np.array(sums, np.uint32) == table.crc32c[rows[some]]).all()

    with ThreadPoolExecutor(most) as pool, ThreadPoolExecutor(copying.cores) as threads:
        began = perf_counter()
        kept = list(pool.map(lambda asked: np.frombuffer(reader.read(*asked), np.uint8), ranges))
        list(threads.map(check, copying.pieces(len(rows))))
        begun = zip(kept, ranges, strict=True)
        bases = np.array([buffers.address(content) - start for content, (_, start, _) in begun])
        copying.all(copying.contents(table, rows, bases[which]), threads)
        return perf_counter() - began


class _Copying:
    """Copies arrays into batches in pieces of `_GATHERED` bytes; as many are kept as a loader and its user hold."""

    def __init__(self, work: Workload) -> None:
        from ropeway import buffers

        self.cores = os.cpu_count() or 1
        self._name, self._size = work.parts[0].name, int(work.sample_bytes)
        self._most = max(work.batch, _GATHERED // self._size)
        self._pool, self._held = buffers.Pool(keep=_TURNS * _GATHERED), deque["Array"](maxlen=_TURNS)
        buffers.reuse_freed()

    def contents(self, table: "Samples", rows: Ints, bases: Ints) -> Ints:
        """Where the arrays of rows lie, behind their headers; `bases`: of each row, where its shard would begin."""
        offsets, lengths = table.parts[self._name]
        return bases + (offsets + lengths - self._size)[rows]

    def pieces(self, count: int) -> list[slice]:
        return [slice(at, at + self._most) for at in range(0, count, self._most)]

    def all(self, starts: Ints, threads: Executor) -> None:
        """Copy the arrays that begin at these addresses."""
        list(threads.map(lambda piece: self._copy(starts[piece]), self.pieces(len(starts))))

    def _copy(self, starts: Ints) -> None:
        from ropeway import buffers

        if self._size <= buffers.GATHERED:
            self._held.append(buffers.gather(starts, self._size))
            return
        batch = self._pool.take(len(starts) * self._size)
        buffers.move(starts, self._size, batch)
        self._held.append(batch)


def _shuffled(table: "Samples") -> Ints:
    """The rows of an epoch in their order."""
    from ropeway import Shuffled

    return np.concatenate([stretch.rows for stretch in Shuffled().epoch(table, SEED, 0).stretches(0, 0, 1)])


def _get_asked(work: Workload, place: Place, take: Callable[[memoryview], object]) -> float:
    """Seconds that the loader's requests take, as the first thing a process does: so does the epoch they are of."""
    from benchmarks.systems import ropeway as system

    ranges, most = inside.asked(work, place)
    return _get(system.open_view(work, place).reader(), ranges, most, take)


def _get(
    reader: "ShardBytes", ranges: "Sequence[Range]", requests: int, take: Callable[[memoryview], object] = len
) -> float:
    """Seconds that ranges take, so many at once; `take` is given the bytes of each."""
    with ThreadPoolExecutor(requests) as pool:
        began = perf_counter()
        for _ in pool.map(lambda asked: take(reader.read(*asked)), ranges):
            pass
        return perf_counter() - began


def _rate(once: Callable[[], object], seconds: float) -> float:
    """How often per second, after one turn that is not counted."""
    once()
    began, turns = perf_counter(), 0
    while not turns or perf_counter() - began < seconds:
        once()
        turns += 1
    return turns / (perf_counter() - began)


def _read(place: Place, buffers: list[bytearray]) -> None:
    turn = 0
    for path in place.urls(".tar"):
        file = os.open(path, os.O_RDONLY)
        try:
            while os.readv(file, [buffers[turn % len(buffers)]]):
                turn += 1
        finally:
            os.close(file)
