"""Engines: who packs the shards. An engine takes shards and gives their summaries, in any order.

`pack_shard` is a pure function of a picklable job and shard, so an engine is a few lines: in this process, in worker
processes (both here), or on a cluster (`engine_dask.py`).
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import Any, TypeAlias

from ropeway.errors import RopewayError
from ropeway_shardgen.planned import PlannedShard
from ropeway_shardgen.shard import Advance, Job, pack_shard
from ropeway_shardgen.sidecar import ShardSummary

Engine: TypeAlias = Callable[[Job, Sequence[PlannedShard], Advance], Iterator[ShardSummary]]
"""Packs shards of a job, telling of its progress (from the thread that takes the summaries). The first error ends it;
so does whoever closes it."""

_WORTH_A_POOL = 32 << 20
"""Bytes. Starting processes takes about a second."""

_POLL = 0.2
"""Seconds between two looks at the workers' progress."""


def local_engine(workers: int) -> Engine:
    """The engine of this machine: a pool of processes, or this process where a pool would cost more than it saves."""

    def engine(job: Job, shards: Sequence[PlannedShard], advance: Advance) -> Iterator[ShardSummary]:
        alone = workers <= 1 or len(shards) <= 1 or sum(shard.size for shard in shards) < _WORTH_A_POOL
        yield from in_process(job, shards, advance) if alone else in_processes(workers)(job, shards, advance)

    return engine


def in_process(job: Job, shards: Sequence[PlannedShard], advance: Advance) -> Iterator[ShardSummary]:
    """Pack one shard after the other in this process."""
    for shard in shards:
        yield pack_shard(job, shard, advance)


def in_processes(workers: int) -> Engine:
    """An engine with a pool of freshly started processes; they end when this one does, however it ends."""

    def engine(job: Job, shards: Sequence[PlannedShard], advance: Advance) -> Iterator[ShardSummary]:
        context = multiprocessing.get_context("spawn")
        size = max(1, min(workers, len(shards)))
        counters = context.RawArray("q", 2 * size)
        pool = ProcessPoolExecutor(size, context, _start, (job, context.Value("i", 0), counters))
        try:
            yield from _run(pool, size, shards, _Progress(counters, advance))
        except BrokenProcessPool as error:
            raise RopewayError(
                "a packing process died; was the machine out of memory? Run the same command to go on"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    return engine


class _Progress:
    """The workers' counters (samples and bytes of each), told onwards as what was added since the last look.

    There is no lock: each worker writes its own two, so one that is killed cannot leave the others waiting.
    """

    def __init__(self, counters: Any, advance: Advance) -> None:
        self._counters, self._advance = counters, advance
        self._told = (0, 0)

    def look(self) -> None:
        """Tell what is new."""
        samples, size = sum(self._counters[::2]), sum(self._counters[1::2])
        self._advance(samples - self._told[0], size - self._told[1])
        self._told = samples, size


def _run(
    pool: ProcessPoolExecutor, workers: int, shards: Sequence[PlannedShard], progress: _Progress
) -> Iterator[ShardSummary]:
    """Keep a shard or two waiting per worker: not all of a large plan is pickled at once."""
    waiting = iter(shards)
    running: set[Future[ShardSummary]] = set()
    while True:
        while len(running) < 2 * workers and (shard := next(waiting, None)) is not None:
            running.add(pool.submit(_pack, shard))
        if not running:
            return
        done, running = wait(running, timeout=_POLL, return_when=FIRST_COMPLETED)
        progress.look()
        for future in done:
            yield future.result()


_job: Any = None
_counters: Any = None
_slot = 0


def _start(job: Job, started: Any, counters: Any) -> None:
    """Begin a worker: keep the job, take two of the counters, and watch the parent."""
    global _job, _counters, _slot  # noqa: PLW0603  the pool's way to hand a worker something shared
    _job = job
    with started.get_lock():
        _slot = 2 * started.value
        started.value += 1
    _counters = counters
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """A worker whose parent was killed would wait for its next task forever."""
    connection.wait([sentinel])
    os._exit(1)


def _pack(shard: PlannedShard) -> ShardSummary:
    return pack_shard(_job, shard, _advance)


def _advance(samples: int, size: int) -> None:
    _counters[_slot] += samples
    _counters[_slot + 1] += size
