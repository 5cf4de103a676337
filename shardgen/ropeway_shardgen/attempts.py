"""What a raw file does that a process does not survive: a named error, or a sample left out, as the policy says."""

import signal
import time
from collections.abc import Callable
from typing import Self, TypeVar

from ropeway.errors import RopewayError
from ropeway_shardgen.apart import Apart, Ended
from ropeway_shardgen.planned import PlannedShard
from ropeway_shardgen.problems import OnError, SampleError
from ropeway_shardgen.reading import Limit, Place, rest
from ropeway_shardgen.shard import Advance, Job, pack_shard
from ropeway_shardgen.sidecar import ShardSummary

T = TypeVar("T")

_MOST = 16
"""Files that may be left out of one shard, or one plan: each costs its time, and so many are no accident."""

_OFTEN = 0.1
"""Seconds between two words of a process on its progress."""

_OUT_OF_TIME = "out of time"
_CRASH = "crash"
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)


def attempts(attempt: Callable[[Limit], T], seconds: float, on_error: OnError, dataset: str) -> T:
    """Try something until no raw file holds its process up or ends it: those that do are left out the next time.

    Args:
        attempt: runs it in a process apart, within a limit.
        seconds: for each file.
        on_error: whether one is left out, or ends it.
        dataset: for errors.

    Raises:
        SampleError: a file took too long or ended the process, and the policy is to raise.
        RopewayError: there are too many of them, or the process has ended for another reason.
    """
    left_out: dict[Place, str] = {}
    while True:
        try:
            return attempt(Limit(seconds, left_out))
        except Ended as error:
            place, reason = _blamed(error, dataset)
            if on_error == "raise":
                raise _problem(place, reason, seconds, dataset) from error
            if len(left_out) == _MOST:
                raise RopewayError(
                    f"{_MOST} files have been left out that took too long or ended a process, and {place.path} is one "
                    "more: take them out of the raw folder, or allow more time with --file-seconds",
                    dataset=dataset,
                ) from error
            left_out[place] = reason


def _blamed(error: Ended, dataset: str) -> tuple[Place, str]:
    """The file that ended a process, and why."""
    if error.place is not None and error.signal == signal.SIGALRM:
        return error.place, _OUT_OF_TIME
    if error.place is not None and error.signal in _CRASHES:
        return error.place, _CRASH
    told = f" while it read {error.place.path}" if error.place else ""
    why = "was the machine out of memory?" if error.signal else "its last words are above"
    raise RopewayError(
        f"a packing process died{told} ({why}): run the same command to go on", dataset=dataset
    ) from error


def _problem(place: Place, reason: str, seconds: float, dataset: str) -> SampleError:
    told = {
        _OUT_OF_TIME: f"it took more than {seconds:g} s; is it damaged? (--file-seconds allows more)",
        _CRASH: "the library that reads it ends the process; it is damaged",
    }
    return SampleError(
        f"raw file cannot be read: {place.path}: {told[reason]}", reason=reason, dataset=dataset, key=place.key or None
    )


class Packer:
    """Packs the shards of one job in a process apart, which ends with the context.

    Args:
        job: what the shards have in common.
        seconds: in which a raw file must have been read.
    """

    def __init__(self, job: Job, seconds: float) -> None:
        self.job, self._seconds = job, seconds
        self._apart = Apart(job)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._apart.close()

    def pack(self, shard: PlannedShard, advance: Advance) -> ShardSummary:
        """Pack a shard; see `pack_shard`.

        Raises:
            SampleError: a sample cannot be read, holds the process up or ends it, and the policy is to raise.
            StoreError: the store does not take it.
            RopewayError: the process died.
        """

        def attempt(limit: Limit) -> ShardSummary:
            done = _Sum(advance)
            try:
                return self._apart.call(limit, _pack, shard, told=done)
            except Ended:
                advance(-done.samples, -done.size)
                raise

        return attempts(attempt, self._seconds, self.job.on_error, self.job.recipe.id)


class _Sum:
    """Progress, passed on and summed up."""

    def __init__(self, advance: Advance) -> None:
        self._advance, self.samples, self.size = advance, 0, 0

    def __call__(self, samples: int, size: int) -> None:
        self.samples, self.size = self.samples + samples, self.size + size
        self._advance(samples, size)


class _Seldom:
    """Progress, told some times a second."""

    def __init__(self, tell: Advance) -> None:
        self._tell, self._samples, self._size, self._next = tell, 0, 0, 0.0

    def __call__(self, samples: int, size: int) -> None:
        self._samples, self._size = self._samples + samples, self._size + size
        if time.monotonic() >= self._next:
            self.tell()

    def tell(self) -> None:
        """Tell what has not been told."""
        rest()  # whoever is told may be slow to listen
        self._tell(self._samples, self._size)
        self._samples, self._size, self._next = 0, 0, time.monotonic() + _OFTEN


def _pack(tell: Advance, job: Job, shard: PlannedShard) -> ShardSummary:
    advance = _Seldom(tell)
    summary = pack_shard(job, shard, advance)
    advance.tell()
    return summary
