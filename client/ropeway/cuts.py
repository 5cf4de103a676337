"""Batches with a varying number of samples: an epoch cut into batches by a rule other than a count.

A rule cuts an epoch into one sequence of batches (`Cut`), which every rank knows and which does not depend on the
world; a step deals `per_step` of them evenly to the ranks. So all ranks take equal steps, and a position says where to
go on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle, islice
from typing import Protocol

import numpy as np

from ropeway.delivery import Delivery
from ropeway.errors import StateError
from ropeway.order import Appetite, Order
from ropeway.samples import Ints
from ropeway.state import State, from_json
from ropeway.steps import Step, Tail
from ropeway.stream import Streams
from ropeway.view import View
from ropeway.world import World


@dataclass(frozen=True, slots=True)
class Cut:
    """One batch of the sequence.

    Attributes:
        rows, windows: int64 (m,), as in an order's stretch.
        stop: position after it; it starts where the one before stopped.
        groups: int64 (m,), which samples of the batch belong together, counted from 0; None where nothing does.
    """

    rows: Ints
    windows: Ints
    stop: int
    groups: Ints | None = None

    @property
    def start(self) -> int:
        """Position before it."""
        return self.stop - len(self.rows)


class Cutter(Protocol):
    """A rule applied to a view."""

    @property
    def digest(self) -> str:
        """12 hex digits over everything that decides where an epoch is cut."""
        ...

    def cuts(self, seed: int, epoch: int, position: int) -> Iterator[Cut]:
        """An epoch's batches; those before a position may be left out."""
        ...

    def appetite(self, world_size: int) -> Appetite:
        """What it asks of each rank's loader, where shards are read by range."""
        ...


class Rule(Protocol):
    """What a loader takes in place of a number of samples."""

    @property
    def per_step(self) -> int | None:
        """Batches in a global step, which the world size must divide; None: one for each rank."""
        ...

    def bind(self, view: View, order: Order) -> Cutter:
        """Apply the rule to a view.

        Raises:
            UsageError: it does not fit the view.
        """
        ...


@dataclass(frozen=True)
class CutJob:
    """One view, cut into batches by a rule."""

    view: View
    cutter: Cutter
    per_step: int
    world: World
    tail: Tail
    streams: Streams

    def steps(self, seed: int, epoch: int) -> int:
        return sum(1 for _ in self._global_steps(seed, epoch, 0))

    def end(self, seed: int, epoch: int) -> int:
        return max((stop for _, stop in self._global_steps(seed, epoch, 0)), default=0)

    def state(self, seed: int, epoch: int, position: int) -> dict[str, int | str]:
        return State(seed, epoch, position, self.view.id, self._digest).to_json()

    def restore(self, saved: Mapping[str, object]) -> State:
        return from_json(saved, view=self.view.id, order=self._digest, samples=self.view.samples)

    def deliveries(
        self, seed: int, epoch: int, position: int, *, offset: int = 0, stride: int = 1
    ) -> Iterator[list[Delivery]]:
        steps = self._steps(seed, epoch, position, offset, stride)
        appetite = self.cutter.appetite(self.world.size)
        return self.streams.of(self.view).deliveries(steps, masked=self.tail == "pad", appetite=appetite)

    @cached_property
    def _digest(self) -> str:
        return self.cutter.digest

    def _steps(self, seed: int, epoch: int, position: int, offset: int, stride: int) -> Iterator[Step]:
        """This rank's share of each step: every `world.size`-th of its batches."""
        for number, (step, stop) in enumerate(self._global_steps(seed, epoch, position)):
            if number % stride == offset:
                yield _merged(step[self.world.rank :: self.world.size], stop)

    def _global_steps(self, seed: int, epoch: int, position: int) -> Iterator[tuple[list[tuple[Cut, bool]], int]]:
        """All batches of each step, whether they are real, and the position after the step."""
        ahead = self._from(seed, epoch, position)
        while step := [(cut, True) for cut in islice(ahead, self.per_step)]:
            stop = step[-1][0].stop
            short = self.per_step - len(step)
            if short and self.tail == "drop":
                return
            if short and self.tail == "pad":
                step += [(step[-1][0], False)] * short
            elif short:
                step += [(cut, True) for cut in islice(cycle(self._from(seed, epoch, 0)), short)]
            yield step, stop

    def _from(self, seed: int, epoch: int, position: int) -> Iterator[Cut]:
        for cut in self.cutter.cuts(seed, epoch, position):
            if cut.start >= position:
                yield cut
            elif cut.stop > position:
                raise StateError(f"no batch begins at position {position}: it was saved with another way of batching")


def _merged(cuts: list[tuple[Cut, bool]], stop: int) -> Step:
    """Several batches as one rank's share of a step; groups are numbered on."""
    real = np.concatenate([np.full(len(cut.rows), is_real) for cut, is_real in cuts])
    windows = np.where(real, np.concatenate([cut.windows for cut, _ in cuts]), -1)
    groups, first = [], 0
    for cut, _ in cuts:
        if cut.groups is not None:
            groups.append(cut.groups + first)
            first += int(cut.groups[-1]) + 1
    return Step(
        stop, np.concatenate([cut.rows for cut, _ in cuts]), real, windows, np.concatenate(groups) if groups else None
    )
