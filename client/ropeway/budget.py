"""Batches of samples of like size, each within a budget: for volumes, signals and texts whose sizes differ widely.

The order's positions are taken a stretch at a time. A stretch's samples are sorted by cost and cut into batches that
stay within the limit; a keyed hash shuffles those batches.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ropeway.cuts import Cut
from ropeway.errors import UsageError
from ropeway.hashing import fold, keyed
from ropeway.order import Appetite, Order
from ropeway.samples import Ints, Samples
from ropeway.steps import Feed
from ropeway.view import View
from ropeway.world import World

STRETCH = 4096
"""Positions that are sorted together."""

_BUDGET = 6  # the purpose of this module's keys, beside those of the order


@dataclass(frozen=True, slots=True)
class Budget:
    """How large a batch may be, in place of a number of samples.

    Attributes:
        cost: a view's samples → what each one costs, int64 (n,); `content_bytes(part)` and `elements(part)` make such.
        limit: what a batch may cost.
        padded: count a batch as its longest sample times their number, as it is when collated with padding.
        per_step: budgeted batches in a global step, which the world size must divide; by default one for each rank. Fix
            it to get the same global steps in any world.
    """

    cost: Callable[[Samples], Ints]
    limit: int
    padded: bool = False
    per_step: int | None = None

    def bind(self, view: View, order: Order) -> "BudgetCutter":
        """Apply it to a view.

        Raises:
            UsageError: a sample alone exceeds the limit.
        """
        costs = np.asarray(self.cost(view.table()), np.int64)
        if costs.shape != (view.samples,):
            raise UsageError(f"the budget's cost gave shape {costs.shape} for {view.samples} samples")
        over = int((costs > self.limit).sum())
        if over:
            raise UsageError(
                f"{over} samples cost more than the budget's limit of {self.limit:,}; the largest costs "
                f"{int(costs.max()):,}: raise the limit, or leave them out with a filter"
            )
        return BudgetCutter(self, view, order, costs)


def content_bytes(part: str) -> Callable[[Samples], Ints]:
    """Cost: bytes of a part's content as stored; nothing for samples that lack it."""
    return lambda table: table.parts[part][1]


def elements(view: View, part: str) -> Callable[[Samples], Ints]:
    """Cost: elements of an array part (voxels, signal values).

    Raises:
        UsageError: the part is not stored as arrays of one dtype.
    """
    found = next((declared for declared in view.info.parts if declared.name == part), None)
    if found is None or found.format != "npy" or found.dtype is None:
        raise UsageError(f"part {part!r} is not stored as npy arrays of one dtype; use content_bytes({part!r})")
    size = np.dtype(found.dtype).itemsize
    header = 128  # what NumPy writes for every shape of up to a dozen dimensions
    return lambda table: np.maximum(table.parts[part][1] - header, 0) // size


@dataclass(frozen=True)
class BudgetCutter:
    """A budget applied to a view, with the cost of each sample."""

    budget: Budget
    view: View
    order: Order
    costs: Ints

    @property
    def digest(self) -> str:
        rule = ("budget", 1, self.budget.limit, self.budget.padded, STRETCH, self.order.digest(self.view.layout()))
        return hashlib.sha256(repr(rule).encode() + self.costs.astype("<i8").tobytes()).hexdigest()[:12]

    def appetite(self, world_size: int) -> Appetite:
        """The order's, which ranks share, and the samples that wait until their stretch was sorted."""
        table = self.view.layout()
        asked, mean = self.order.appetite(table, 1), int(table.length.mean())
        sorted_bytes = STRETCH * mean if mean < asked.block else 0
        return replace(asked, held=min(int(table.length.sum()), asked.held + sorted_bytes) // world_size)

    def cuts(self, seed: int, epoch: int, position: int) -> Iterator[Cut]:
        sequence = self.order.epoch(self.view.layout(), seed, epoch)
        key = int(fold(seed, epoch, _BUDGET))
        at = position // STRETCH * STRETCH
        feed = Feed(sequence, at, World())
        while at < sequence.samples:
            rows, windows = feed.until(min(at + STRETCH, sequence.samples))
            for chosen in split(self.costs[rows], self.budget.limit, self.budget.padded, fold(key, at)):
                at += len(chosen)
                yield Cut(rows[chosen], windows[chosen], at)


def split(costs: Ints, limit: int, padded: bool, key: np.uint64) -> list[Ints]:
    """Places of a stretch's samples, by batch; batches in keyed order, each of neighbours in size."""
    by_cost = np.argsort(costs, kind="stable")
    batches, begin, total = [], 0, 0
    for place, cost in enumerate(costs[by_cost].tolist()):  # ascending: the newest is the longest
        total += cost
        if begin < place and (cost * (place - begin + 1) if padded else total) > limit:
            batches.append(by_cost[begin:place])
            begin, total = place, cost
    batches.append(by_cost[begin:])
    return [batches[number] for number in np.argsort(keyed(np.arange(len(batches)), key))]
