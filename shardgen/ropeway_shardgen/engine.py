"""Engines: who packs the shards. An engine takes shards and gives their summaries, in any order.

`pack_shard` is a pure function of a picklable job and shard, so an engine is a few lines: in this process, in worker
processes (both here), or on a cluster (`engine_dask.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue
from typing import TypeAlias

from ropeway_shardgen.attempts import Packer
from ropeway_shardgen.planned import PlannedShard
from ropeway_shardgen.reading import SECONDS
from ropeway_shardgen.shard import Advance, Job, write_shard
from ropeway_shardgen.sidecar import ShardSummary

Engine: TypeAlias = Callable[[Job, Sequence[PlannedShard], Advance], Iterator[ShardSummary]]
"""Packs shards of a job, telling of its progress (from the thread that takes the summaries). The first error ends it;
so does whoever closes it."""

_WORTH_A_POOL = 32 << 20
"""Bytes. Starting processes takes about a second."""


def local_engine(workers: int, seconds: float = SECONDS) -> Engine:
    """The engine of this machine: worker processes, or this process where they would cost more than they save.

    Args:
        workers: how many.
        seconds: in which a worker must have read a raw file.
    """

    def engine(job: Job, shards: Sequence[PlannedShard], advance: Advance) -> Iterator[ShardSummary]:
        alone = workers <= 1 or len(shards) <= 1 or sum(shard.size for shard in shards) < _WORTH_A_POOL
        yield from in_process(job, shards, advance) if alone else in_processes(workers, seconds)(job, shards, advance)

    return engine


def in_process(job: Job, shards: Sequence[PlannedShard], advance: Advance) -> Iterator[ShardSummary]:
    """Pack one shard after the other in this process. While the disk, or a network, takes one, the next is packed.

    Nobody watches it: a raw file in which a library loops for ever holds it up, and one that crashes a library ends it.
    `in_processes(1)` names such a file, or leaves it out.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ropeway-finish") as finishing:
        before: Future[ShardSummary] | None = None
        for shard in shards:
            following = finishing.submit(write_shard(job, shard, advance).finish)
            if before is not None:
                yield before.result()
            before = following
        if before is not None:
            yield before.result()


def in_processes(workers: int, seconds: float = SECONDS) -> Engine:
    """An engine of freshly started processes, each with a thread here that waits for it. They end when this one does,
    however it ends; a worker that a raw file holds up, or ends, is followed by another.
    """

    def engine(job: Job, shards: Sequence[PlannedShard], advance: Advance) -> Iterator[ShardSummary]:
        size = max(1, min(workers, len(shards)))
        with ThreadPoolExecutor(size) as threads, ExitStack() as running:
            packers = [running.enter_context(Packer(job, seconds)) for _ in range(size)]
            try:
                yield from _run(threads, packers, shards, advance)
            finally:
                threads.shutdown(wait=False, cancel_futures=True)

    return engine


def _run(
    threads: ThreadPoolExecutor, packers: Sequence[Packer], shards: Sequence[PlannedShard], advance: Advance
) -> Iterator[ShardSummary]:
    """Give each packer a shard as soon as it has none."""
    events: SimpleQueue[Future[ShardSummary] | tuple[int, int]] = SimpleQueue()
    packing: dict[Future[ShardSummary], Packer] = {}
    waiting, free = iter(shards), list(packers)
    while True:
        while free and (shard := next(waiting, None)) is not None:
            packer = free.pop()
            future = threads.submit(packer.pack, shard, lambda *step: events.put(step))
            packing[future] = packer
            future.add_done_callback(events.put)
        if not packing:
            return
        event = events.get()
        if isinstance(event, Future):
            free.append(packing.pop(event))
            yield event.result()
        else:
            advance(*event)
