"""Orders: how a job puts a view's samples in sequence. Values, fixed for the job; `shuffle` works an epoch out."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ropeway.errors import UsageError
from ropeway.samples import Layout
from ropeway.shuffle import ShuffledEpoch, Stretch, cut_blocks

LANES = 192
"""2⁶·3: divisible by every world size up to 4, and by 6, 8, 12, 16, 24, 32, 48, 64, 96 and 192."""

WINDOW = 1
"""Blocks shuffled together in a lane. Lanes × window blocks are open at a time in the whole world."""

OPEN_BYTES = 768 << 20
"""What all lanes' open windows hold together by default, over the whole world: it bounds the block size, to 4 MiB with
the other defaults, which is what object stores like to be asked for."""

SMALL_BYTES = 32 << 20
"""Views up to that size are shuffled sample by sample, since they are read whole in a few requests anyway."""


class EpochOrder(Protocol):
    """One epoch's order."""

    @property
    def samples(self) -> int:
        """Length of the sequence."""
        ...

    def stretches(self, start: int, rank: int, world_size: int) -> Iterator[Stretch]:
        """The samples at positions ≡ `rank` (mod `world_size`) from `start` to the end, some at a time."""
        ...


@dataclass(frozen=True, slots=True)
class Appetite:
    """What an order asks of a loader that reads shards by range.

    Attributes:
        held: bytes of the view that have to be held at a time.
        block: bytes of the contiguous ranges that it reads, at most.
    """

    held: int = 0
    block: int = SMALL_BYTES


class Order(Protocol):
    """How a view's samples are put in sequence: a value, fixed for a job."""

    def epoch(self, table: Layout, seed: int, epoch: int) -> EpochOrder:
        """The order of one epoch."""
        ...

    def digest(self, table: Layout) -> str:
        """12 hex digits that change whenever the sequence could: they guard a saved position."""
        ...

    def appetite(self, table: Layout, world_size: int) -> "Appetite":
        """What it asks of each rank's loader, where shards are read by range."""
        ...


@dataclass(frozen=True, slots=True)
class Sequential:
    """Storage order, the same in every epoch: for evaluation and export."""

    def epoch(self, table: Layout, seed: int, epoch: int) -> EpochOrder:
        return _Storage(len(table))

    def digest(self, table: Layout) -> str:
        return _digest("sequential", 1, len(table))

    def appetite(self, table: Layout, world_size: int) -> Appetite:
        return Appetite()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shuffled:
    """Blocks shuffled, cut into lanes, and shuffled together in windows: see the top of `ropeway.shuffle`.

    Args:
        lanes: canonical streams; take a multiple of the world sizes you will use.
        window: blocks of a lane shuffled together.
        block_bytes: size of a block; by default as large as `open_bytes` allows, but so small that every lane has one.
            Views up to `SMALL_BYTES` are shuffled sample by sample.
        open_bytes: what all lanes' open windows may hold together, over the whole world.
    """

    lanes: int = LANES
    window: int = WINDOW
    block_bytes: int | None = None
    open_bytes: int = OPEN_BYTES

    def __post_init__(self) -> None:
        for name in ("lanes", "window", "block_bytes", "open_bytes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, not {value}")

    def epoch(self, table: Layout, seed: int, epoch: int) -> EpochOrder:
        return ShuffledEpoch(cut_blocks(table, self.block_size(table)), self.lanes, self.window, seed, epoch)

    def digest(self, table: Layout) -> str:
        return _digest("shuffled", 1, len(table), self.lanes, self.window, self.block_size(table))

    def appetite(self, table: Layout, world_size: int) -> Appetite:
        lanes = self.lanes // int(np.gcd(self.lanes, world_size))
        size, block = int(table.length.sum()), self.block_size(table)
        rest = max(0, block - size // max(1, len(table)))  # of an open block, when its first sample is taken
        return Appetite(min(size // world_size, lanes * self.window * rest), block if size > SMALL_BYTES else size)

    def block_size(self, table: Layout) -> int:
        """Bytes of a block in this view."""
        return self.size_for(int(table.length.sum()))

    def size_for(self, size: int) -> int:
        """Bytes of a block in a view of that many bytes."""
        if self.block_bytes is not None:
            return self.block_bytes
        if size <= SMALL_BYTES:
            return 1
        return max(1, min(self.open_bytes, size) // (self.lanes * self.window))


class _Storage:
    def __init__(self, samples: int) -> None:
        self.samples = samples

    def stretches(self, start: int, rank: int, world_size: int) -> Iterator[Stretch]:
        depth = (1 << 19) * world_size
        for low in range(start, self.samples, depth):
            first = low + (rank - low) % world_size
            positions = np.arange(first, min(low + depth, self.samples), world_size)
            yield Stretch(positions, positions, positions // world_size >> 8)


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
