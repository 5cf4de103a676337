"""What a loader did, and how long its user waited for it."""

from dataclasses import dataclass, field
from time import perf_counter


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since the loader was made.

    Attributes:
        samples, batches: given to the caller, on this rank; padding counts as samples.
        bytes: of their spans in the shards.
        wait: seconds the caller spent waiting for a batch.
        elapsed: seconds from asking for the first batch of an epoch to receiving its last, over all epochs.
        bad: different samples that were replaced.
    """

    samples: int = 0
    batches: int = 0
    bytes: int = 0
    wait: float = 0.0
    elapsed: float = 0.0
    bad: int = 0

    @property
    def samples_per_second(self) -> float:
        """Samples per second of elapsed time."""
        return self.samples / self.elapsed if self.elapsed else 0.0

    @property
    def data_wait(self) -> float:
        """Share of the elapsed time that was spent waiting, 0 to 1."""
        return self.wait / self.elapsed if self.elapsed else 0.0


@dataclass(slots=True)
class Meter:
    """Counts for one loader; used by its one consuming thread."""

    samples: int = 0
    batches: int = 0
    bytes: int = 0
    wait: float = 0.0
    elapsed: float = 0.0
    _since: float = field(default_factory=perf_counter)

    def begin(self) -> None:
        """An epoch is begun."""
        self._since = perf_counter()

    def delivered(self, samples: int, size: int, wait: float) -> None:
        """A batch was given after so many seconds of waiting."""
        now = perf_counter()
        self.samples += samples
        self.batches += 1
        self.bytes += size
        self.wait += wait
        self.elapsed += now - self._since
        self._since = now

    def stats(self, *, bad: int) -> Stats:
        """The counts so far."""
        return Stats(self.samples, self.batches, self.bytes, self.wait, self.elapsed, bad)
