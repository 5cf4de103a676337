"""The shuffled order of one epoch, worked out: which sample stands at which position.

Pure arithmetic: no I/O, no torch, no random state. The construction is part of the format: the README tells it in
words, golden tests pin it.

    blocks     runs of samples that lie together in a shard, up to a few MiB each
    ranked     the blocks sorted by a keyed hash of their number; laid out so, their samples form one sequence
    lanes      that sequence cut into L equal runs (the first n mod L have one sample more)
    windows    in each lane, every K pieces of blocks in turn; a window's samples are sorted by a keyed hash of the row
    position   p is slot p div L of lane p mod L

So with 3 lanes, windows of 1 block, and the 4 blocks A (rows 0 and 1), B (2 to 4), C (5 to 7), D (8 and 9), by seed 1:

    ranked     B     D   A   C
    sequence   2 3 4 8 9 0 1 5 6 7
    lanes      2 3 4 8 | 9 0 1 | 5 6 7
    windows    3 4 2 / 8 | 9 / 1 0 | 7 6 5
    position   0 3 6   9 | 1   4 7 | 2 5 8
    epoch      3 9 7 4 1 6 2 0 5 8

A rank of W takes the positions ≡ rank (mod W). Where W divides L those are whole lanes, so no two ranks read the same
block. Memory is per block, work is per window: nothing is replayed to start in the middle.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ropeway.hashing import fold, keyed, unkeyed
from ropeway.samples import Ints, Layout

SORTED = 1 << 14
"""Samples that are put in order at once, at least: few calls, on what stays in the processor's cache."""

_BLOCKS, _SAMPLES = 1, 2  # purposes: what a key is used for


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


def cut_blocks(table: Layout, block_bytes: int) -> Blocks:
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


class ShuffledEpoch:
    """The shuffled order of one epoch over a block table. Ready at any position after one sort of the blocks."""

    def __init__(self, blocks: Blocks, lanes: int, window: int, seed: int, epoch: int) -> None:
        self.samples = blocks.samples
        self._lanes, self._window = lanes, window
        self._starts = blocks.starts
        self._key = fold(seed, epoch, _SAMPLES)
        key = fold(seed, epoch, _BLOCKS)
        self._ranked = unkeyed(np.sort(keyed(np.arange(len(blocks)), key)), key).astype(blocks.starts.dtype)
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
        together = max(1, SORTED // (until - slot))
        tables = [self._slots(lanes[at : at + together], slot, until) for at in range(0, len(lanes), together)]
        rows, windows = (np.concatenate(column).T for column in zip(*tables, strict=True))
        positions = np.arange(slot, until)[:, None] * self._lanes + lanes
        mine = (rows >= 0) & (positions >= start) & (positions % world_size == rank)
        return Stretch(positions[mine], rows[mine], (windows * self._lanes + lanes)[mine])

    def _slots(self, lanes: Ints, slot: int, until: int) -> tuple[Ints, Ints]:
        """Rows and windows of the slots `slot` to `until` of some lanes, int64 (lanes, slots); −1 past a lane's end."""
        table = np.full((2, len(lanes), until - slot), -1, np.int64)
        first, stop = _cut(self.samples, self._lanes, lanes)
        low, high = np.minimum(first + slot, stop), np.minimum(first + until, stop)
        there = np.flatnonzero(low < high)  # lanes that are long enough
        if len(there):
            first, stop, low, high = first[there], stop[there], low[there], high[there]
            ranks, of, windows = self._open(first, low, high)
            block, at, rows = self._laid_out(ranks, first[of], stop[of])
            fresh = np.flatnonzero((np.diff(windows) != 0) | (np.diff(of) != 0)) + 1  # blocks that begin another window
            rows, lane = self._mixed(rows, np.searchsorted(block, fresh)), of[block]
            wanted = (at >= low[lane]) & (at < high[lane])
            place = there[lane[wanted]], (at - low[lane])[wanted]
            table[0][place], table[1][place] = rows[wanted], windows[block[wanted]]
        return table[0], table[1]

    def _open(self, first: Ints, low: Ints, high: Ints) -> tuple[Ints, Ints, Ints]:
        """The blocks of all windows that hold any of the places `low` to `high` of lanes that begin at `first`.

        Returns:
            Rank of each block, which of the lanes it is opened for (a block that was cut by two), and the number of its
            window in that lane.
        """
        origin = self._block_at(first)
        before, last = ((self._block_at(place) - origin) // self._window for place in (low, high - 1))
        begin, end = origin + before * self._window, origin + (last + 1) * self._window
        of, ranks = _runs(begin, np.minimum(end, len(self._ranked)))
        return ranks, of, (ranks - origin[of]) // self._window

    def _laid_out(self, ranks: Ints, first: Ints, stop: Ints) -> tuple[Ints, Ints, Ints]:
        """The samples of blocks, each between the places `first` and `stop` of its lane, one block after the other.

        Returns:
            Of each sample: which of the blocks it is in, its place in the sequence, and its row.
        """
        ends = self._ends[ranks].astype(np.int64)
        begins = np.where(ranks > 0, self._ends[ranks - 1], 0).astype(np.int64)
        block, at = _runs(np.clip(begins, first, stop), np.clip(ends, first, stop))
        return block, at, at + (self._starts[self._ranked[ranks]].astype(np.int64) - begins)[block]

    def _mixed(self, rows: Ints, cuts: Ints) -> Ints:
        """Rows sorted by their hash within each window; `cuts` says where the windows meet.

        Hashes are sorted and turned back into rows: NumPy sorts numbers far faster than it finds out their order.
        """
        hashes = keyed(rows, self._key)
        bounds = cuts.tolist()
        for low, high in zip([0, *bounds], [*bounds, len(rows)], strict=True):
            hashes[low:high].sort()
        return unkeyed(hashes, self._key)

    def _block_at(self, places: Ints) -> Ints:
        """Ranks of the blocks that hold these places of the sequence."""
        return np.searchsorted(self._ends, places, side="right")


def _cut(samples: int, lanes: int, numbers: Ints) -> tuple[Ints, Ints]:
    """Where in the sequence the lanes of these numbers begin and stop, of all that it is cut into."""
    share, extra = divmod(samples, lanes)
    first = numbers * share + np.minimum(numbers, extra)
    return first, first + share + (numbers < extra)


def _runs(starts: Ints, stops: Ints) -> tuple[Ints, Ints]:
    """The numbers of several ranges one after the other, and before them which range each is of."""
    sizes = stops - starts
    of = np.repeat(np.arange(len(sizes)), sizes)
    return of, np.arange(len(of)) + (starts - (np.cumsum(sizes) - sizes))[of]
