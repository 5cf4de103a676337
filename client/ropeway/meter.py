"""What a loader did, how long its user waited for it, and where the time went."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import TypeVar

from ropeway.cache.counters import Counters as CacheCounts
from ropeway.ranges import Counts

T = TypeVar("T")

_ADVICE: Mapping[str, str] = {
    "plan": "working out the order: larger batches cost less of it",
    "fetch": "the store: more requests= or memory= may help",
    "move": "memory: checksums and copies; there is little to gain but by reading fewer parts",
    "decode": "decoding: more threads= or cores, or smaller pictures with ropeway.Image(size)",
    "collate": "putting batches together: ragged parts and small batches cost most here",
    "device": "copying to the device",
}
"""Stages of making a batch, in order, and what to do where one takes longest."""

_CACHE = ", and a ropeway.DiskCache from the second epoch on"
_FILES = "the disk that shards are read from: what is in the page cache by then comes faster"

READY = 0.01
"""Share of the time that a user who never really waits spends on taking batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counts since the loader was made, on this rank.

    Attributes:
        samples, batches: given to the caller; padding isn't counted.
        bytes: of what was brought of those samples from their shards.
        wait: seconds the caller spent waiting for a batch.
        elapsed: seconds from asking for the first batch of an epoch to receiving its last, over all epochs.
        bad: different samples that were replaced.
        unchecked: samples given without comparing a checksum, since only bits of them were read, or there is none.
        stages: seconds spent on each stage of making batches, by the thread that makes them.
        traffic: what was asked of stores.
        cache: what the disk cache did; None without one.
    """

    samples: int = 0
    batches: int = 0
    bytes: int = 0
    wait: float = 0.0
    elapsed: float = 0.0
    bad: int = 0
    unchecked: int = 0
    stages: Mapping[str, float] = field(default_factory=dict)
    traffic: Counts = field(default_factory=Counts)
    cache: CacheCounts | None = None

    @property
    def samples_per_second(self) -> float:
        """Samples per second of elapsed time."""
        return self.samples / self.elapsed if self.elapsed else 0.0

    @property
    def data_wait(self) -> float:
        """Share of the elapsed time that was spent waiting, 0 to 1."""
        return self.wait / self.elapsed if self.elapsed else 0.0

    @property
    def verdict(self) -> str:
        """What bounds the job, in one line."""
        if not self.batches:
            return "nothing was streamed yet"
        if self.data_wait < READY:
            return f"your steps: batches are ready before they are asked for (waited {self.data_wait:.1%} of the time)"
        slowest = max(_ADVICE, key=lambda stage: self.stages.get(stage, 0.0))
        share = self.stages.get(slowest, 0.0) / (sum(self.stages.values()) or 1.0)
        advice = self._of_fetching() if slowest == "fetch" else _ADVICE[slowest]
        return f"{advice} (waited {self.data_wait:.0%} of the time; {slowest} is {share:.0%} of the work)"

    def _of_fetching(self) -> str:
        if not self.traffic.requests:  # shards are local files, or all of them were in the disk cache
            return _FILES
        return _ADVICE["fetch"] + (_CACHE if self.cache is None else "")

    def flat(self, prefix: str = "data/") -> dict[str, float]:
        """Every figure by name, as loggers of metrics take them (`wandb.log(loader.stats().flat())`)."""
        figures = {
            "samples": self.samples, "batches": self.batches, "bytes": self.bytes, "wait_seconds": self.wait,
            "elapsed_seconds": self.elapsed, "bad": self.bad, "unchecked": self.unchecked,
            "samples_per_second": self.samples_per_second, "data_wait": self.data_wait,
        }  # fmt: skip
        figures |= {f"{stage}_seconds": seconds for stage, seconds in self.stages.items()}
        figures |= {f"store_{name}": count for name, count in asdict(self.traffic).items()}
        if self.cache is not None:
            figures |= {f"cache_{name}": count for name, count in asdict(self.cache).items()}
        return {prefix + name: float(value) for name, value in figures.items()}


class Stages:
    """Seconds per stage; written by the one thread that makes batches."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(_ADVICE, 0.0)
        self._open: list[str] = []
        self._since = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What runs inside counts for a stage, but for what runs inside another one therein."""
        self._tick()
        self._open.append(name)
        try:
            yield
        finally:
            self._tick()
            self._open.pop()

    def _tick(self) -> None:
        now = perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def timed(self, name: str, source: Iterator[T]) -> Iterator[T]:
        """The same items; what it takes to get each counts for a stage."""
        while True:
            with self.stage(name):
                item = next(source, None)
            if item is None:
                return
            yield item


@dataclass(slots=True)
class Meter:
    """Counts for one loader; used by its one consuming thread."""

    samples: int = 0
    batches: int = 0
    bytes: int = 0
    unchecked: int = 0
    wait: float = 0.0
    elapsed: float = 0.0
    _since: float = field(default_factory=perf_counter)

    def begin(self) -> None:
        """An epoch is begun."""
        self._since = perf_counter()

    def delivered(self, samples: int, size: int, unchecked: int, wait: float) -> None:
        """A batch was given after so many seconds of waiting."""
        now = perf_counter()
        self.samples += samples
        self.unchecked += unchecked
        self.batches += 1
        self.bytes += size
        self.wait += wait
        self.elapsed += now - self._since
        self._since = now

    def stats(self, *, bad: int, stages: Stages, traffic: Counts, cache: CacheCounts | None) -> Stats:
        """The counts so far."""
        return Stats(
            samples=self.samples, batches=self.batches, bytes=self.bytes, wait=self.wait, elapsed=self.elapsed, bad=bad,
            unchecked=self.unchecked, stages=dict(stages.seconds), traffic=traffic, cache=cache,
        )  # fmt: skip
