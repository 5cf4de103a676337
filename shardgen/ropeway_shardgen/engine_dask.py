"""Packing on a Dask cluster: the shards of one plan on many hosts, by the same function as on one.

A shard is what is sent out, tried again and counted. The plan stays here: each task carries its own shard, a few of
them for each worker at a time. What is finished is in the store, so a run that loses workers goes on with the others,
and one that loses its scheduler, or is lost itself, leaves the rest to the next.
"""

import logging
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from ropeway.decoders.libraries import require
from ropeway.errors import AccessDenied, NotFound, RopewayError, StoreError, UsageError
from ropeway.publishing import published
from ropeway_shardgen import sidecar
from ropeway_shardgen.attempts import Packer
from ropeway_shardgen.clusters import Cluster, DaskClient
from ropeway_shardgen.engine import Engine
from ropeway_shardgen.planned import PlannedShard
from ropeway_shardgen.reading import SECONDS
from ropeway_shardgen.shard import Advance, Job
from ropeway_shardgen.sidecar import ShardSummary
from ropeway_shardgen.worker_check import check_workers

log = logging.getLogger(__name__)

_ATTEMPTS = 3
"""How often a shard is tried whose store failed; a dead worker's shards are given to others by Dask itself."""

_LOOK = 5
"""Seconds between two looks at whether there are workers at all, while no shard is finished."""

GO_ON = "run the same command to go on: finished shards are kept"


def dask_engine(cluster: Cluster, seconds: float = SECONDS) -> Engine:
    """An engine whose workers are a Dask cluster's; each packs one shard at a time, in a process apart.

    Dask gives up a worker that does not answer for five minutes and its shard to others, until it has ended several;
    it cannot say which raw file it was. So a worker watches itself: each file must be read in so many seconds.

    It raises UsageError where a worker has other software or does not see the raw folder or the store, RopewayError
    where the scheduler is lost, a shard has ended several workers, or no worker is left.
    """

    def engine(job: Job, shards: Sequence[PlannedShard], advance: Advance) -> Iterator[ShardSummary]:
        if job.store.url.startswith("memory:"):
            raise UsageError("a memory store cannot be seen from other processes: give a path or a bucket")
        with cluster.connected() as client, _reachable():
            check_workers(client, job, shards[0])
            yield from _Run(client, cluster, job, seconds, advance).summaries(shards)
            client.run(_let_go, on_error="ignore")

    return engine


@contextmanager
def _reachable() -> Iterator[None]:
    """Within, the loss of the scheduler is told in words; all that was sent to it is cancelled then."""
    dask: Any = require("distributed", "dask")
    try:
        yield
    except (dask.CancelledError, dask.comm.CommClosedError) as error:
        raise RopewayError(f"the Dask scheduler is gone, or has dropped the work; {GO_ON}") from error


class _Packed(NamedTuple):
    """What a worker answers."""

    summary: ShardSummary
    host: str


_one_at_a_time = threading.Lock()
_packer: Packer | None = None


def _pack(job: Job, seconds: float, shard: PlannedShard) -> _Packed:
    """Run on a worker. It has one process apart for a job, and may have several threads."""
    global _packer  # noqa: PLW0603  kept from one task to the next
    with _one_at_a_time:
        if _packer is None or _packer.job is not job:
            if _packer is not None:
                _packer.close()
            _packer = Packer(job, seconds)
        return _Packed(_packer.pack(shard, lambda _samples, _size: None), socket.gethostname())


def _let_go() -> None:
    """Run on a worker when a pack is done; another one's may go on there."""
    global _packer  # noqa: PLW0603  as in `_pack`
    if _one_at_a_time.acquire(blocking=False):
        try:
            if _packer is not None:
                _packer.close()
            _packer = None
        finally:
            _one_at_a_time.release()


def _same(job: Job) -> Job:
    return job


class _Run:
    """One pack on a cluster."""

    def __init__(self, client: DaskClient, cluster: Cluster, job: Job, seconds: float, advance: Advance) -> None:
        self._client, self._cluster, self._job, self._advance = client, cluster, job, advance
        self._seconds = seconds
        # As a task's result the job is made again when the workers that hold it die; scattered data would be lost.
        self._shared = client.submit(_same, job, pure=False)
        self._running: dict[Any, PlannedShard] = {}
        self._attempts: dict[str, int] = {}
        self._alone_since: float | None = None

    def summaries(self, shards: Sequence[PlannedShard]) -> Iterator[ShardSummary]:
        """Pack them all; the first shard that cannot be packed ends it."""
        left = iter(shards)
        while True:
            for shard in _first(left, 2 * self._workers() - len(self._running)):
                self._submit(shard)
            if not self._running:
                return
            for future in self._finished():
                shard = self._running.pop(future)
                packed = self._result(future, shard)
                if packed is not None:
                    self._check_arrived(packed)
                    self._advance(len(shard), shard.size)
                    yield packed.summary

    def _submit(self, shard: PlannedShard) -> None:
        key = f"{shard.name}-{secrets.token_hex(4)}"
        future = self._client.submit(_pack, self._shared, self._seconds, shard, pure=False, key=key)
        self._running[future] = shard

    def _workers(self) -> int:
        """How many there are; the plan waits where all are gone, but not for ever."""
        count = len(self._client.nthreads())
        if count:
            self._alone_since = None
            return count
        now = time.monotonic()
        if self._alone_since is None:
            self._alone_since = now
            log.warning("no Dask worker is left; waiting for new ones")
        if now - self._alone_since > self._cluster.patience:
            raise RopewayError(f"no Dask worker has been there for {self._cluster.patience:.0f} s; {GO_ON}")
        return 0

    def _finished(self) -> set[Any]:
        dask: Any = require("distributed", "dask")
        try:
            return set(dask.wait(list(self._running), timeout=_LOOK, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            return set()

    def _result(self, future: Any, shard: PlannedShard) -> _Packed | None:
        """What a worker answered; None where the shard is tried again."""
        from distributed import KilledWorker

        error = future.exception()
        if error is None:
            packed: _Packed = future.result()
            return packed
        if isinstance(error, KilledWorker):
            raise RopewayError(
                f"shard {shard.name} has ended several workers, the last {error.last_worker.address}; have they too "
                f"little memory for one of its samples? {GO_ON}"
            ) from error
        tried = self._attempts[shard.name] = self._attempts.get(shard.name, 0) + 1
        if not isinstance(error, StoreError) or isinstance(error, AccessDenied) or tried == _ATTEMPTS:
            raise error
        log.warning("shard %s is packed again: %s", shard.name, error)
        self._submit(shard)
        return None

    def _check_arrived(self, packed: _Packed) -> None:
        """A worker that joined later may have written to a disk of its own."""
        job = self._job
        path = sidecar.path(job.recipe.id, job.version, packed.summary.name)
        try:
            job.store.stat(path)
        except NotFound as error:
            if published(job.store, job.recipe.id, job.version) is None:  # else another packer was faster
                raise UsageError(
                    f"shard {packed.summary.name} was packed on {packed.host}, and is not in the store here: give a "
                    "store that all hosts share",
                    url=job.store.url,
                ) from error


def _first(shards: Iterator[PlannedShard], count: int) -> Iterator[PlannedShard]:
    for _ in range(count):
        if (shard := next(shards, None)) is not None:
            yield shard
