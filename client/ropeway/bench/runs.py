"""A loader, run for a moment and watched."""

import ctypes
import gc
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

from ropeway import device
from ropeway.bench.settings import Settings
from ropeway.delivery import Batch
from ropeway.loader import StreamingLoader
from ropeway.meter import Stats
from ropeway.view import View

_EVERY = 0.02
"""Seconds between looks at the memory, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a loader did.

    Attributes:
        settings: of the loader.
        samples_per_second: once the first batch was there; no faster than its bytes came from the store.
        first_batch: seconds from asking for it to having it.
        memory: bytes of the process at most, when batches came, without pages of files; None where the system does not
            tell.
        sample: bytes that were read for a sample.
        delivered: bytes of a sample's parts in a batch of tensors.
        stats: of the loader.
    """

    settings: Settings
    samples_per_second: float
    first_batch: float
    memory: int | None
    sample: float
    delivered: int
    stats: Stats

    @property
    def bytes_per_second(self) -> float:
        """Of what was read."""
        return self.samples_per_second * self.sample


def run(view: View, settings: Settings, seconds: float, epoch: int, most: int | None = None) -> Run:
    """Stream a view from the beginning of an epoch for so many seconds after the first batch.

    Each run should have an epoch of its own: in a large view, it then meets other samples than those that the one
    before has left in the system's memory.

    Args:
        view: what is streamed.
        settings: of the loader.
        seconds: how long.
        epoch: the first one.
        most: samples after which it ends before.

    Raises:
        RopewayError: as the loader does.
    """
    _let_go()
    loader, memory = settings.loader(view), Memory()
    loader.set_epoch(epoch)
    batches = _endless(loader)
    begun = perf_counter()
    first = next(batches)
    first_batch = perf_counter() - begun
    opening, delivered = loader.stats(), _delivered(first, view) // settings.batch_size
    del first
    spent = first_batch
    for _ in batches:
        memory.look()
        spent = perf_counter() - begun
        if spent >= first_batch + seconds or (most is not None and loader.stats().samples >= most):
            break
    stats = loader.stats()
    batches.close()
    return Run(
        settings=settings,
        samples_per_second=_rate(opening, stats, first_batch, spent),
        first_batch=first_batch,
        memory=memory.most,
        sample=stats.bytes / stats.samples,
        delivered=delivered,
        stats=stats,
    )


def both(one: Run, other: Run) -> Run:
    """Two runs with the same settings as one."""
    rates, seen = (one.samples_per_second, other.samples_per_second), (one.memory, other.memory)
    return replace(
        one,
        samples_per_second=sum(rates) / len(rates),
        first_batch=min(one.first_batch, other.first_batch),
        memory=max((memory for memory in seen if memory is not None), default=None),
    )


def _endless(loader: StreamingLoader) -> Generator[Batch]:
    """Batches of one epoch after the other."""
    while True:
        yield from loader


def _delivered(batch: Batch, view: View) -> int:
    return device.size({part.name: batch[part.name] for part in view.info.parts if part.name in batch})


def _rate(opening: Stats, stats: Stats, first_batch: float, spent: float) -> float:
    """Samples per second after the first batch.

    Where most of the view came before it, as a small one does that is read by range, they are quick thereafter, until
    the next epoch waits again: so no more of them count than came from the store in all the time, or from the cache.
    """
    rate = (stats.samples - opening.samples) / max(spent - first_batch, 1e-9)
    if stats.cache is not None and stats.cache.hits:
        return min(rate, stats.samples / spent)
    if stats.traffic.bytes and stats.bytes:
        return min(rate, stats.traffic.bytes / stats.bytes * stats.samples / spent)
    return rate


@dataclass(slots=True)
class Memory:
    """The most memory that this process was seen to hold.

    Attributes:
        most: bytes, without pages of files; None where the system does not tell.
    """

    most: int | None = None
    _seen: float = field(default=0.0)

    def look(self) -> None:
        """Look, if the last time was a while ago."""
        now = perf_counter()
        if now - self._seen >= _EVERY:
            self._seen = now
            held = _held()
            self.most = held if self.most is None or held is None else max(self.most, held)


def _held() -> int | None:
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    kib = [int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(("RssAnon", "RssShmem"))]
    return sum(kib) << 10 if kib else None


def _let_go() -> None:
    """Give back to the system what the run before has freed, or it would count for the next one."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
