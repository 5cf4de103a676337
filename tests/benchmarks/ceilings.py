"""What the machine could do at best, as samples per second of a workload."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import inside
from benchmarks.places import Place
from benchmarks.workloads import Ints, Workload

if TYPE_CHECKING:
    from benchmarks.inside import Range
    from ropeway.samples import Array
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
    """Copying the arrays from the mapped shards into batches in shuffled order, on all cores, and nothing else; as many
    batches are kept as a loader and its user hold."""
    from benchmarks.systems import ropeway as system
    from ropeway import Shuffled, buffers

    view = system.open_view(work, place)
    table, reader = view.table(), view.reader()
    rows = np.concatenate([stretch.rows for stretch in Shuffled().epoch(table, 0, 0).stretches(0, 0, 1)])
    shards = [np.frombuffer(reader.map(number) or b"", np.uint8) for number in range(len(table.shards))]
    part, size = work.parts[0], int(work.sample_bytes)
    offsets, lengths = table.parts[part.name]
    bases = np.array([buffers.address(shard) for shard in shards])
    starts = (bases[table.shard] + offsets + lengths - size)[rows]  # behind each array's header
    cores, most = os.cpu_count() or 1, max(work.batch, _GATHERED // size)
    pieces = [starts[at : at + most] for at in range(0, len(starts), most)]
    pool, held = buffers.Pool(keep=_TURNS * _GATHERED), deque["Array"](maxlen=_TURNS)

    def copy(piece: Ints) -> None:
        if size <= buffers.GATHERED:
            held.append(buffers.gather(piece, size))
        else:
            batch = pool.take(len(piece) * size)
            buffers.move(piece, size, batch)
            held.append(batch)

    buffers.reuse_freed()
    with ThreadPoolExecutor(cores) as threads:
        return _rate(lambda: list(threads.map(copy, pieces)), seconds) * len(rows)


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
    "gets": gets, "gets_kept": gets_kept, "gets_whole": gets_whole,
}  # fmt: skip


def of(work: Workload, *, remote: bool) -> list[str]:
    """The ceilings that mean something for a workload."""
    if work.keep is not None:
        return []  # they read everything
    pictures = all(part.kind == "picture" for part in work.parts)
    first = ["gets_kept", "gets", "gets_whole"] if remote else ["memcpy", "readv", "readv_batches"]
    arrays = not remote and [part.kind for part in work.parts] == ["array"]
    return first + (["decode"] if pictures else []) + (["gather"] if arrays else [])


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
