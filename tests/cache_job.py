"""What the tests of the disk cache read, and what their other processes do."""

import signal
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from ropeway.cache import CachedBytes, DiskCache
from ropeway.cache.entry import ENTRY
from ropeway.cache.seals import PAGE
from ropeway.samples import ShardRef

LIMIT = 1 << 30
KEY = bytes(range(32))
SIZE = 2 * ENTRY + 3 * PAGE + 777


def shard(number: int = 0, size: int = SIZE) -> ShardRef:
    return ShardRef("ecg", "v1", f"ecg/v1/train-{number:06d}.tar", size, f"{number + 1:064x}")


def content(number: int, start: int, stop: int) -> bytes:
    """What a shard holds: every 8 bytes are their own place."""
    words = np.arange(start // 8, -(-stop // 8), dtype="<u8") + (number << 40)
    return words.tobytes()[start % 8 : start % 8 + stop - start]


class Source:
    """Remote shards, and a log of what was read."""

    def __init__(self) -> None:
        self.reads: list[tuple[int, int, int]] = []

    def read(self, shard: int, start: int, stop: int) -> memoryview:
        self.reads.append((shard, start, stop))
        return memoryview(content(shard, start, stop))

    def map(self, shard: int) -> memoryview | None:
        return None


def over(cache: DiskCache, source: Source | None = None, *refs: ShardRef) -> CachedBytes:
    return cache.over(source or Source(), refs or [shard()])


def hammer(folder: Path, limit: int, key: bytes | None, seed: int, pipe: Connection) -> None:
    """Read at random for ever, and say after each read whether it was right."""
    cached = over(DiskCache(folder, limit, key), None, *(shard(number) for number in range(4)))
    random = np.random.default_rng(seed)
    while True:
        number, start = int(random.integers(4)), int(random.integers(SIZE))
        stop = min(SIZE, start + int(random.integers(1, 1 << 20)))
        pipe.send(cached.read(number, start, stop) == content(number, start, stop))


def fetch_and_hang(folder: Path, pipe: Connection) -> None:
    class Hanging(Source):
        def read(self, shard: int, start: int, stop: int) -> memoryview:
            pipe.send(start)
            signal.pause()
            raise AssertionError

    over(DiskCache(folder, LIMIT), Hanging()).read(0, 0, PAGE)
