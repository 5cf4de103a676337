"""What a loader streams, decided once: a view or a mix, its order, batching and seed.

A job is what all loaders share. It knows steps and saved positions; it starts no thread.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, TypeAlias

from ropeway.asked import Asked
from ropeway.cuts import CutJob, Rule
from ropeway.delivery import Delivery
from ropeway.errors import UsageError
from ropeway.mix_job import MixJob
from ropeway.mixing import Mix
from ropeway.order import Order, Shuffled
from ropeway.state import State, from_json
from ropeway.steps import Batching, Tail
from ropeway.stream import Streams
from ropeway.view import View
from ropeway.world import World, detect


class Job(Protocol):
    """An endless sequence of epochs of global batches, of which this rank takes its share."""

    def steps(self, seed: int, epoch: int) -> int:
        """Steps of a whole epoch; the same on every rank."""
        ...

    def end(self, seed: int, epoch: int) -> int:
        """The position after the last step of an epoch."""
        ...

    def state(self, seed: int, epoch: int, position: int) -> dict[str, int | str]:
        """The saved form of a position."""
        ...

    def restore(self, saved: Mapping[str, object]) -> State:
        """Read a saved position.

        Raises:
            StateError: it belongs to another view, mix or order.
        """
        ...

    def deliveries(
        self, seed: int, epoch: int, position: int, *, offset: int = 0, stride: int = 1
    ) -> Iterator[list[Delivery]]:
        """This rank's batches from a position to the end of the epoch, some at a time; of those, each `stride`-th from
        `offset`."""
        ...


@dataclass(frozen=True)
class ViewJob:
    """One view in an order, dealt in global batches."""

    view: View
    order: Order
    batching: Batching
    streams: Streams

    def steps(self, seed: int, epoch: int) -> int:
        return self.batching.count(self.view.samples)

    def end(self, seed: int, epoch: int) -> int:
        return min(self.steps(seed, epoch) * self.batching.global_batch, self.view.samples)

    @cached_property
    def _digest(self) -> str:
        return self.order.digest(self.view.layout())

    def state(self, seed: int, epoch: int, position: int) -> dict[str, int | str]:
        return State(seed, epoch, position, self.view.id, self._digest).to_json()

    def restore(self, saved: Mapping[str, object]) -> State:
        return from_json(saved, view=self.view.id, order=self._digest, samples=self.view.samples)

    def deliveries(
        self, seed: int, epoch: int, position: int, *, offset: int = 0, stride: int = 1
    ) -> Iterator[list[Delivery]]:
        layout, batching = self.view.layout(), self.batching
        steps = batching.steps(self.order.epoch(layout, seed, epoch), position, offset=offset, stride=stride)
        appetite = self.order.appetite(layout, batching.world.size)
        return self.streams.of(self.view).deliveries(steps, masked=batching.tail == "pad", appetite=appetite)


AnyJob: TypeAlias = ViewJob | MixJob | CutJob


def plan_job(asked: Asked, streams: Streams) -> AnyJob:
    """The job a loader was asked for; finds out which rank this is.

    Raises:
        UsageError: arguments that do not fit one another, the view or the world.
    """
    world = _world(asked.rank, asked.world_size)
    if (asked.batch_size is None) == (asked.global_batch_size is None):
        raise UsageError("give one of batch_size= (per rank) and global_batch_size=")
    view, order, tail = asked.view, asked.order or Shuffled(), asked.tail
    streams.wanted.check(list(view.sources.values()) if isinstance(view, Mix) else [view])
    if asked.batch_size is not None and not isinstance(asked.batch_size, int):
        return _cut_job(view, order, asked.batch_size, world, tail, streams)
    whole = asked.global_batch_size if asked.global_batch_size is not None else (asked.batch_size or 0) * world.size
    batching = Batching(whole, world, tail)
    if isinstance(view, Mix):
        return _mix_job(view, order, batching, streams)
    if batching.count(view.samples) == 0:
        raise UsageError(
            f"the view has {view.samples} samples, fewer than one global batch of {whole}: take a smaller batch, "
            "or tail='pad' or 'wrap'"
        )
    return ViewJob(view, order, batching, streams)


def _world(rank: int | None, world_size: int | None) -> World:
    if rank is None and world_size is None:
        return detect()
    if rank is None or world_size is None:
        raise UsageError("give both rank= and world_size=, or neither")
    return World(rank, world_size)


def _mix_job(mix: Mix, order: Order, batching: Batching, streams: Streams) -> MixJob:
    if batching.tail != "drop":
        raise UsageError(f"a mix has no tail: its epochs are whole steps; leave out tail={batching.tail!r}")
    if isinstance(order, Shuffled):  # its sources are open at the same time
        order = replace(order, open_bytes=max(1, order.open_bytes // len(mix.sources)))
    return MixJob(mix, order, batching, streams)


def _cut_job(streamed: View | Mix, order: Order, rule: Rule, world: World, tail: Tail, streams: Streams) -> CutJob:
    if isinstance(streamed, Mix):
        raise UsageError(f"a mix takes a number of samples as batch_size, not a {type(rule).__name__}")
    dealt = Batching(rule.per_step or world.size, world, tail)  # the same rules: a known tail, a world that divides
    job = CutJob(streamed, rule.bind(streamed, order), dealt.global_batch, world, tail, streams)
    if job.steps(0, 0) == 0:
        raise UsageError("the view gives fewer batches than one step takes: make them smaller, or take tail='pad'")
    return job
