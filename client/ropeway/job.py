"""What a loader streams, decided once: a view or a mix, its order, batching and seed.

A job is what the torch loader and the torch dataset share. It knows steps and saved positions; it starts no thread.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from ropeway import stream
from ropeway.errors import UsageError
from ropeway.mixing import Mix
from ropeway.order import EpochOrder, Order, Stretch
from ropeway.samples import Ints
from ropeway.state import State, from_json
from ropeway.steps import Batching, Feed, Step, Tail
from ropeway.stream import Decoding, Delivery
from ropeway.view import View
from ropeway.world import World, detect


class Job(Protocol):
    """An endless sequence of epochs of global batches, of which this rank takes its share."""

    @property
    def steps(self) -> int:
        """Steps of a whole epoch; the same on every rank."""
        ...

    def position(self, position: int, steps: int) -> int:
        """The position some steps after another one, within the epoch."""
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
    ) -> Iterator[Delivery]:
        """This rank's batches from a position to the end of the epoch; of those, each `stride`-th from `offset`."""
        ...


@dataclass(frozen=True)
class ViewJob:
    """One view in an order, dealt in global batches."""

    view: View
    order: Order
    batching: Batching
    decoding: Decoding

    @property
    def steps(self) -> int:
        return self.batching.count(self.view.samples)

    def position(self, position: int, steps: int) -> int:
        return min(position + steps * self.batching.global_batch, self.view.samples)

    @cached_property
    def _digest(self) -> str:
        return self.order.digest(self.view.table())

    def state(self, seed: int, epoch: int, position: int) -> dict[str, int | str]:
        return State(seed, epoch, position, self.view.id, self._digest).to_json()

    def restore(self, saved: Mapping[str, object]) -> State:
        return from_json(saved, view=self.view.id, order=self._digest, samples=self.view.samples)

    def deliveries(
        self, seed: int, epoch: int, position: int, *, offset: int = 0, stride: int = 1
    ) -> Iterator[Delivery]:
        sequence = self.order.epoch(self.view.table(), seed, epoch)
        steps = self.batching.steps(sequence, position, offset=offset, stride=stride)
        return stream.deliveries(self.view, steps, self.decoding, masked=self.batching.tail == "pad")


@dataclass(frozen=True)
class MixJob:
    """A mix of views: each source streams its own epochs, in its own order, as its turns come.

    The mix's position counts turns; what each source has given by then is a closed form of it.
    """

    mix: Mix
    order: Order
    batching: Batching
    decoding: Decoding

    @property
    def steps(self) -> int:
        return max(1, self.mix.samples // self.batching.global_batch)

    def position(self, position: int, steps: int) -> int:
        return min(position + steps * self.batching.global_batch, self.steps * self.batching.global_batch)

    @cached_property
    def _digest(self) -> str:
        digests = [self.order.digest(view.table()) for view in self.mix.sources.values()]
        return hashlib.sha256(repr(("mix", 1, digests, self.batching.global_batch)).encode()).hexdigest()[:12]

    def state(self, seed: int, epoch: int, position: int) -> dict[str, int | str]:
        return State(seed, epoch, position, self.mix.id, self._digest).to_json()

    def restore(self, saved: Mapping[str, object]) -> State:
        length = self.steps * self.batching.global_batch
        return from_json(saved, view=self.mix.id, order=self._digest, samples=length)

    def epochs(self, seed: int, epoch: int, position: int) -> dict[str, float]:
        """How often each source has been gone through at a position."""
        taken = self._taken(seed, epoch * self.steps + position // self.batching.global_batch)
        return {name: int(n) / view.samples for (name, view), n in zip(self.mix.sources.items(), taken, strict=True)}

    def deliveries(
        self, seed: int, epoch: int, position: int, *, offset: int = 0, stride: int = 1
    ) -> Iterator[Delivery]:
        batch, per_source = self.batching.global_batch, self.mix.batches == "per-source"
        first = epoch * self.steps + position // batch
        wanted = range(first + offset, (epoch + 1) * self.steps, stride)
        sources = [
            stream.deliveries(view, self._steps(number, view, seed, first, wanted), self.decoding, masked=False)
            for number, view in enumerate(self.mix.sources.values())
        ]
        names = list(self.mix.sources)
        try:
            for step in wanted:
                after = (step + 1 - epoch * self.steps) * batch
                if per_source:
                    turn = self.mix.source_at(seed, step)
                    delivery = next(sources[turn])
                    labelled = {**delivery.batch, "__source__": names[turn]}
                    yield Delivery(after, labelled, delivery.samples, delivery.bytes)
                else:
                    given = {name: next(source) for name, source in zip(names, sources, strict=True)}
                    samples = sum(delivery.samples for delivery in given.values())
                    size = sum(delivery.bytes for delivery in given.values())
                    yield Delivery(after, {name: d.batch for name, d in given.items()}, samples, size)
        finally:
            for source in sources:
                source.close()  # type: ignore[attr-defined]

    def _taken(self, seed: int, step: int) -> Ints:
        """Samples of each source given to the whole world before a step."""
        batch = self.batching.global_batch
        if self.mix.batches == "per-source":
            return self.mix.taken(seed, step) * batch
        return self.mix.taken(seed, step * batch)

    def _steps(self, source: int, view: View, seed: int, first: int, wanted: range) -> Iterator[Step]:
        """This rank's shares of one source, for the steps of the mix in which it has a turn."""
        feed = Feed(_Endless(view, self.order, seed), int(self._taken(seed, first)[source]), self.batching.world)
        for step in range(first, wanted.stop):
            if self.mix.batches == "per-source" and self.mix.source_at(seed, step) != source:
                continue
            after = int(self._taken(seed, step + 1)[source])
            rows, windows = feed.until(after)
            if step in wanted:
                yield Step(after, rows, np.ones(len(rows), np.bool_), windows)


@dataclass(frozen=True)
class _Endless:
    """A view's epochs one after the other, as one sequence; windows of different epochs differ."""

    view: View
    order: Order
    seed: int

    @property
    def samples(self) -> int:
        return 1 << 62

    def stretches(self, start: int, rank: int, world_size: int) -> Iterator[Stretch]:
        n = self.view.samples
        epoch, begin = divmod(start, n)
        while True:
            sequence: EpochOrder = self.order.epoch(self.view.table(), self.seed, epoch)
            before = epoch * n
            for stretch in sequence.stretches(begin, (rank - before) % world_size, world_size):
                shift = epoch << 40
                yield Stretch(stretch.positions + before, stretch.rows, stretch.windows + shift)
            epoch, begin = epoch + 1, 0


def plan_batching(
    batch_size: int | None, global_batch_size: int | None, tail: Tail, rank: int | None, world_size: int | None
) -> Batching:
    """The batching a loader was asked for; finds out which rank this is.

    Raises:
        UsageError: not exactly one of the batch sizes, a rank without a world size, or a world that does not divide the
            global batch.
    """
    if (rank is None) != (world_size is None):
        raise UsageError("give both rank= and world_size=, or neither")
    world = detect() if rank is None or world_size is None else World(rank, world_size)
    if (batch_size is None) == (global_batch_size is None):
        raise UsageError("give one of batch_size= (per rank) and global_batch_size=")
    whole = global_batch_size if global_batch_size is not None else (batch_size or 0) * world.size
    return Batching(whole, world, tail)


def plan_job(streamed: View | Mix, order: Order, batching: Batching, decoding: Decoding) -> ViewJob | MixJob:
    """The job of streaming a view or a mix.

    Raises:
        UsageError: a part that is not there, a view too small for one batch when the tail is dropped, or a mix that is
            given a tail.
    """
    if isinstance(streamed, Mix):
        decoding.check(list(streamed.sources.values()))
        if batching.tail != "drop":
            raise UsageError(f"a mix has no tail: its epochs are whole steps; leave out tail={batching.tail!r}")
        return MixJob(streamed, order, batching, decoding)
    decoding.check([streamed])
    if batching.count(streamed.samples) == 0:
        raise UsageError(
            f"the view has {streamed.samples} samples, fewer than one global batch of {batching.global_batch}: "
            "take a smaller batch, or tail='pad' or 'wrap'"
        )
    return ViewJob(streamed, order, batching, decoding)
