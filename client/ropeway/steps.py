"""How an epoch's positions become equal steps of global batches on every rank: pure arithmetic."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ropeway.errors import UsageError
from ropeway.order import EpochOrder
from ropeway.samples import Ints
from ropeway.shuffle import Stretch
from ropeway.world import World

CUT = 64
"""Steps that are cut from the order together."""

Tail: TypeAlias = Literal["drop", "pad", "wrap"]
TAILS: tuple[Tail, ...] = ("drop", "pad", "wrap")


@dataclass(frozen=True, slots=True)
class Step:
    """One rank's share of one global batch.

    Attributes:
        stop: position of the whole world after this step.
        rows: int64 (batch,), row numbers in the view.
        real: bool (batch,), False for padding; not to be written to.
        windows: int64 (batch,), the order's window of each row; −1 for rows repeated by the tail.
        groups: int64 (batch,), which samples belong together, where the batch is cut by groups.
    """

    stop: int
    rows: Ints
    real: npt.NDArray[np.bool_]
    windows: Ints
    groups: Ints | None = None


@dataclass(frozen=True)
class Batching:
    """The global batch, dealt evenly over the world, and what happens to the samples left over at an epoch's end.

    Raises:
        UsageError: the world size does not divide the global batch, or a size is below 1.
    """

    global_batch: int
    world: World
    tail: Tail

    def __post_init__(self) -> None:
        if self.tail not in TAILS:
            raise UsageError(f"tail is one of {', '.join(TAILS)}, not {self.tail!r}")
        if self.global_batch < 1:
            raise UsageError(f"a batch has at least 1 sample, not {self.global_batch}")
        if self.global_batch % self.world.size:
            sizes = [w for w in range(1, self.global_batch + 1) if self.global_batch % w == 0]
            below = max(w for w in sizes if w < self.world.size) if self.world.size > 1 else 1
            above = [w for w in sizes if w > self.world.size][:1]
            near = " or ".join(map(str, [below, *above]))
            raise UsageError(
                f"a world of {self.world.size} ranks does not divide the global batch of {self.global_batch}: "
                f"the nearest world sizes that do are {near}"
            )

    @cached_property
    def _full(self) -> npt.NDArray[np.bool_]:
        """No padding."""
        real = np.ones(self.batch, np.bool_)
        real.flags.writeable = False
        return real

    @property
    def batch(self) -> int:
        """Samples per rank and step."""
        return self.global_batch // self.world.size

    def count(self, samples: int, position: int = 0) -> int:
        """Steps from a position to the end of an epoch of that many samples; the same on every rank."""
        left = max(0, samples - position)
        return left // self.global_batch if self.tail == "drop" else -(-left // self.global_batch)

    def steps(self, order: EpochOrder, position: int, *, offset: int = 0, stride: int = 1) -> Iterator[Step]:
        """This rank's steps from a position to the end of the epoch.

        Args:
            order: the epoch's order.
            position: samples the whole world has been given.
            offset, stride: only every `stride`-th step, from the `offset`-th: how worker processes share the work.
        """
        feed = Feed(order, position, self.world)
        count = self.count(order.samples, position)
        whole = min(count, max(0, order.samples - position) // self.global_batch)
        first, many = 0, 1
        while first < whole:  # first few, since somebody waits for them
            stop = min(first + many, whole)
            rows, windows = feed.until(position + stop * self.global_batch)
            for number in range(first + (offset - first) % stride, stop, stride):
                here = slice((number - first) * self.batch, (number - first + 1) * self.batch)
                yield Step(position + (number + 1) * self.global_batch, rows[here], self._full, windows[here])
            first, many = stop, min(2 * many, CUT)
        if whole < count and whole % stride == offset:
            yield self._last(order, position + whole * self.global_batch, feed)

    def _last(self, order: EpochOrder, start: int, feed: "Feed") -> Step:
        """The last step, filled up: with the epoch's first samples (wrap), or its last one again (pad, masked)."""
        n, (rank, size) = order.samples, (self.world.rank, self.world.size)
        rows, windows = feed.until(n)
        stop = start + self.global_batch
        positions = np.arange(start + (rank - start) % size, stop, size)[len(rows) :]
        if self.tail == "pad":
            more = np.full(len(positions), next(order.stretches(n - 1, 0, 1)).rows[0])
        else:
            more = _first_rows(order, min(n, stop - start))[positions % n]
        real = np.arange(self.batch) < (self.batch if self.tail == "wrap" else len(rows))
        return Step(n, np.concatenate([rows, more]), real, np.concatenate([windows, np.full(len(more), -1)]))


def _first_rows(order: EpochOrder, count: int) -> Ints:
    """The rows at the epoch's first positions."""
    found = np.empty(0, np.int64)
    for stretch in order.stretches(0, 0, 1):
        found = np.concatenate([found, stretch.rows])
        if len(found) >= count:
            break
    return found


_NOTHING = Stretch(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64))


class Feed:
    """The rank's samples in order, handed out up to a position at a time."""

    def __init__(self, order: EpochOrder, position: int, world: World) -> None:
        self._stretches = order.stretches(position, world.rank, world.size)
        self._rest = _NOTHING

    def until(self, stop: int) -> tuple[Ints, Ints]:
        pieces = []
        while True:
            rest = self._rest
            cut = int(np.searchsorted(rest.positions, stop))
            if cut:
                pieces.append((rest.rows[:cut], rest.windows[:cut]))
            if cut < len(rest.positions):
                self._rest = Stretch(rest.positions[cut:], rest.rows[cut:], rest.windows[cut:])
                break
            stretch = next(self._stretches, None)
            if stretch is None:
                self._rest = _NOTHING
                break
            self._rest = stretch
        if len(pieces) == 1:
            return pieces[0]
        empty = np.empty(0, np.int64)
        return (
            np.concatenate([empty, *(rows for rows, _ in pieces)]),
            np.concatenate([empty, *(windows for _, windows in pieces)]),
        )
