"""The order: which sample stands at which position of an epoch. Pure arithmetic: no I/O, no torch, no random state.

The construction is part of the format: the README tells it in words, golden tests pin it.

    blocks     runs of samples that lie together in a shard, up to a few MiB each
    ranked     the blocks sorted by a keyed hash of their number; laid out so, their samples form one sequence
    lanes      that sequence cut into L equal runs (the first n mod L have one sample more)
    windows    in each lane, every K pieces of blocks in turn; a window's samples are sorted by a keyed hash of the row
    position   p is slot p div L of lane p mod L

A rank of W takes the positions ≡ rank (mod W). Where W divides L those are whole lanes, so no two ranks read the same
block. Memory is per block, work is per window: nothing is replayed to start in the middle.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ropeway.errors import UsageError
from ropeway.samples import Ints, Samples

LANES = 192
"""2⁶·3: divisible by every world size up to 4, and by 6, 8, 12, 16, 24, 32, 48, 64, 96 and 192."""

WINDOW = 1
"""Blocks shuffled together in a lane. Lanes × window blocks are open at a time in the whole world."""

OPEN_BYTES = 768 << 20
"""What all lanes' open windows hold together by default, over the whole world: it bounds the block size, to 4 MiB with
the other defaults, which is what object stores like to be asked for."""

SMALL_BYTES = 32 << 20
"""Views up to that size are shuffled sample by sample, since they are read whole in a few requests anyway."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_BLOCKS, _SAMPLES = 1, 2  # purposes: what a key is used for

Words = npt.NDArray[np.uint64]


def mix(words: Words) -> Words:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014; Stafford's variant 13): a bijection of 64-bit words."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def fold(*parts: int) -> np.uint64:
    """A key from whole numbers, each taken modulo 2⁶⁴: `fold(seed, epoch, purpose)`."""
    word = np.zeros(1, np.uint64)
    for part in parts:
        word = mix((word + _GOLDEN) ^ np.uint64(part % (1 << 64)))
    return np.uint64(word[0])


def keyed(numbers: npt.NDArray[np.integer], key: np.uint64) -> Words:
    """A keyed hash of whole numbers: different numbers have different hashes, so sorting by it is one permutation."""
    return mix(mix(numbers.astype(np.uint64) + key) ^ key)


@dataclass(frozen=True, slots=True)
class Blocks:
    """Runs of adjacent rows. `starts` has one entry per block and a last one, the number of rows: (blocks + 1,)."""

    starts: npt.NDArray[np.integer]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def samples(self) -> int:
        """Rows in all blocks."""
        return int(self.starts[-1])


def cut_blocks(table: Samples, block_bytes: int) -> Blocks:
    """Cut a view into blocks: rows of one shard whose offsets fall into the same `block_bytes` grid cell of it.

    A cell without samples is no block; a sample longer than a cell is a block of its own.
    """
    cell = table.offset // block_bytes
    new = (np.diff(cell) != 0) | (np.diff(table.shard) != 0)
    starts = np.concatenate([[0], np.flatnonzero(new) + 1, [len(table)]])
    return Blocks(starts.astype(np.uint32 if len(table) < 1 << 32 else np.int64))


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive samples of one rank.

    Attributes:
        positions: int64 (m,), ascending.
        rows: int64 (m,), row numbers in the view.
        windows: int64 (m,), which window each row came from; the number says nothing but same or different.
    """

    positions: Ints
    rows: Ints
    windows: Ints


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

    def epoch(self, table: Samples, seed: int, epoch: int) -> EpochOrder:
        """The order of one epoch."""
        ...

    def digest(self, table: Samples) -> str:
        """12 hex digits that change whenever the sequence could: they guard a saved position."""
        ...

    def appetite(self, table: Samples, world_size: int) -> "Appetite":
        """What it asks of each rank's loader, where shards are read by range."""
        ...


@dataclass(frozen=True, slots=True)
class Sequential:
    """Storage order, the same in every epoch: for evaluation and export."""

    def epoch(self, table: Samples, seed: int, epoch: int) -> EpochOrder:
        return _Storage(len(table))

    def digest(self, table: Samples) -> str:
        return _digest("sequential", 1, len(table))

    def appetite(self, table: Samples, world_size: int) -> Appetite:
        return Appetite()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shuffled:
    """The shuffled order described at the top of this module.

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

    def epoch(self, table: Samples, seed: int, epoch: int) -> EpochOrder:
        return ShuffledEpoch(cut_blocks(table, self.block_size(table)), self.lanes, self.window, seed, epoch)

    def digest(self, table: Samples) -> str:
        return _digest("shuffled", 1, len(table), self.lanes, self.window, self.block_size(table))

    def appetite(self, table: Samples, world_size: int) -> Appetite:
        lanes = self.lanes // int(np.gcd(self.lanes, world_size))
        size, block = int(table.length.sum()), self.block_size(table)
        rest = max(0, block - size // max(1, len(table)))  # of an open block, when its first sample is taken
        return Appetite(min(size // world_size, lanes * self.window * rest), block if size > SMALL_BYTES else size)

    def block_size(self, table: Samples) -> int:
        """Bytes of a block in this view."""
        return self.size_for(int(table.length.sum()))

    def size_for(self, size: int) -> int:
        """Bytes of a block in a view of that many bytes."""
        if self.block_bytes is not None:
            return self.block_bytes
        if size <= SMALL_BYTES:
            return 1
        return max(1, min(self.open_bytes, size) // (self.lanes * self.window))


class ShuffledEpoch:
    """The shuffled order of one epoch over a block table. Ready at any position after one sort of the blocks."""

    def __init__(self, blocks: Blocks, lanes: int, window: int, seed: int, epoch: int) -> None:
        self.samples = blocks.samples
        self._lanes, self._window = lanes, window
        self._starts = blocks.starts
        self._key = fold(seed, epoch, _SAMPLES)
        rank = np.argsort(keyed(np.arange(len(blocks)), fold(seed, epoch, _BLOCKS)))
        self._ranked = rank.astype(blocks.starts.dtype)
        sizes = np.diff(blocks.starts)[self._ranked]
        self._ends = np.cumsum(sizes, dtype=blocks.starts.dtype)

    def stretches(self, start: int, rank: int, world_size: int) -> Iterator[Stretch]:
        step = int(np.gcd(self._lanes, world_size))
        lanes = np.arange(rank % step, self._lanes, step)
        depth = self._depth(len(lanes))
        last = -(-self.samples // self._lanes)
        slot = start // self._lanes
        while slot < last:
            until = min(last, (slot // depth + 1) * depth)
            yield self._stretch(lanes, slot, until, start, rank, world_size)
            slot = until

    @property
    def nbytes(self) -> int:
        """Bytes of its tables: per block, not per sample."""
        return int(self._starts.nbytes + self._ranked.nbytes + self._ends.nbytes)

    def rows(self) -> Ints:
        """The whole epoch's row numbers by position; for tests and small views."""
        return np.concatenate([np.empty(0, np.int64), *(stretch.rows for stretch in self.stretches(0, 0, 1))])

    def _depth(self, lanes: int) -> int:
        """Slots per stretch: about eight windows, so that few are worked out twice, and at most half a million rows."""
        window = self.samples * self._window // max(1, len(self._ranked)) + 1
        return max(1, min(8 * window, (1 << 19) // lanes))

    def _stretch(self, lanes: Ints, slot: int, until: int, start: int, rank: int, world_size: int) -> Stretch:
        pieces = [self._lane(int(lane), slot, until) for lane in lanes]
        rows = _columns([rows for rows, _ in pieces], until - slot)
        windows = _columns([windows for _, windows in pieces], until - slot)
        positions = (np.arange(slot, until)[:, None] * self._lanes + lanes).ravel()
        mine = (rows >= 0) & (positions >= start) & (positions % world_size == rank)
        return Stretch(positions[mine], rows[mine], windows[mine] * self._lanes + positions[mine] % self._lanes)

    def _lane(self, lane: int, slot: int, until: int) -> tuple[Ints, Ints]:
        """Rows and windows of a lane's slots `slot` to `until` (fewer where the lane ends before)."""
        share, extra = divmod(self.samples, self._lanes)
        first = lane * share + min(lane, extra)
        stop = first + share + (lane < extra)
        low, high = min(first + slot, stop), min(first + until, stop)
        if low == high:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        origin = self._block_at(first)
        from_block = origin + (self._block_at(low) - origin) // self._window * self._window
        to_block = origin + ((self._block_at(high - 1) - origin) // self._window + 1) * self._window
        numbers = np.arange(from_block, min(to_block, len(self._ranked)))
        ends = self._ends[numbers].astype(np.int64)
        begins = np.concatenate([[self._ends[from_block - 1] if from_block else 0], ends[:-1]]).astype(np.int64)
        base = self._starts[self._ranked[numbers]].astype(np.int64) - begins
        begins, ends = np.clip(begins, first, stop), np.clip(ends, first, stop)
        sizes = ends - begins
        sequence = np.arange(begins[0], ends[-1])
        rows = sequence + np.repeat(base, sizes)
        windows = np.repeat((numbers - origin) // self._window, sizes)
        within = np.argsort(keyed(rows, self._key))
        turn = windows[within] - windows[0]
        if windows[-1] - windows[0] < 1 << 16:
            turn = turn.astype(np.uint16)  # NumPy sorts 16-bit words by radix
        within = within[np.argsort(turn, kind="stable")]
        chosen = slice(low - begins[0], high - begins[0])
        return rows[within][chosen], windows[chosen]

    def _block_at(self, sequence: int) -> int:
        return int(np.searchsorted(self._ends, sequence, side="right"))


class _Storage:
    def __init__(self, samples: int) -> None:
        self.samples = samples

    def stretches(self, start: int, rank: int, world_size: int) -> Iterator[Stretch]:
        depth = (1 << 19) * world_size
        for low in range(start, self.samples, depth):
            first = low + (rank - low) % world_size
            positions = np.arange(first, min(low + depth, self.samples), world_size)
            yield Stretch(positions, positions, positions // world_size >> 8)


def _columns(lanes: Sequence[Ints], depth: int) -> Ints:
    """Lanes side by side, read slot by slot; −1 where a lane is shorter."""
    table = np.full((depth, len(lanes)), -1, np.int64)
    for number, rows in enumerate(lanes):
        table[: len(rows), number] = rows
    return table.ravel()


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
