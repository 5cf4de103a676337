"""Streaming a mix of views: each source streams its own epochs, in its own order, as its turns come."""

import hashlib
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

import numpy as np

from ropeway.delivery import Delivery
from ropeway.mixing import Mix
from ropeway.order import EpochOrder, Order
from ropeway.samples import Ints
from ropeway.shuffle import Stretch
from ropeway.state import State, from_json
from ropeway.steps import Batching, Feed, Step
from ropeway.stream import Streams
from ropeway.view import View


@dataclass(frozen=True)
class MixJob:
    """A mix of views. Its position counts samples of the mix; what each source has given is worked out from it."""

    mix: Mix
    order: Order
    batching: Batching
    streams: Streams

    def steps(self, seed: int, epoch: int) -> int:
        return self._steps_per_epoch

    def end(self, seed: int, epoch: int) -> int:
        return self._steps_per_epoch * self.batching.global_batch

    @property
    def _steps_per_epoch(self) -> int:
        return max(1, self.mix.samples // self.batching.global_batch)

    @cached_property
    def _digest(self) -> str:
        digests = [self.order.digest(view.layout()) for view in self.mix.sources.values()]
        return hashlib.sha256(repr(("mix", 1, digests, self.batching.global_batch)).encode()).hexdigest()[:12]

    def state(self, seed: int, epoch: int, position: int) -> dict[str, int | str]:
        return State(seed, epoch, position, self.mix.id, self._digest).to_json()

    def restore(self, saved: Mapping[str, object]) -> State:
        return from_json(saved, view=self.mix.id, order=self._digest, samples=self.end(0, 0))

    def epochs(self, seed: int, epoch: int, position: int) -> dict[str, float]:
        """How often each source has been gone through at a position."""
        taken = self._taken(seed, epoch * self._steps_per_epoch + position // self.batching.global_batch)
        return {name: int(n) / view.samples for (name, view), n in zip(self.mix.sources.items(), taken, strict=True)}

    def deliveries(
        self, seed: int, epoch: int, position: int, *, offset: int = 0, stride: int = 1
    ) -> Iterator[list[Delivery]]:
        begin = epoch * self._steps_per_epoch
        first = begin + position // self.batching.global_batch
        wanted = range(first + offset, begin + self._steps_per_epoch, stride)
        streams = self._streams(seed, first, wanted)
        sources = {name: chain.from_iterable(stream) for name, stream in streams.items()}
        try:
            for step in wanted:
                after = (step + 1 - begin) * self.batching.global_batch
                if self.mix.batches == "per-source":
                    name = list(sources)[self.mix.source_at(seed, step)]
                    yield [_of_one(name, next(sources[name]), after)]
                else:
                    yield [_of_all({name: next(source) for name, source in sources.items()}, after)]
        finally:
            for stream in streams.values():
                stream.close()

    def _streams(self, seed: int, first: int, wanted: range) -> dict[str, Generator[list[Delivery]]]:
        """The deliveries of each source, begun at a step."""
        share, size = len(self.mix.sources), self.batching.world.size
        return {
            name: self.streams.of(view, share=share).deliveries(
                self._steps(number, view, seed, first, wanted),
                masked=False,
                appetite=self.order.appetite(view.layout(), size),
            )
            for number, (name, view) in enumerate(self.mix.sources.items())
        }

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


def _of_one(name: str, delivery: Delivery, after: int) -> Delivery:
    """A batch of one source, which says so; then the world is at `after`."""
    return replace(delivery, position=after, batch={**delivery.batch, "__source__": name})


def _of_all(given: Mapping[str, Delivery], after: int) -> Delivery:
    """A batch that has one of each source, by name."""
    return Delivery(
        position=after,
        batch={name: delivery.batch for name, delivery in given.items()},
        samples=sum(delivery.samples for delivery in given.values()),
        bytes=sum(delivery.bytes for delivery in given.values()),
        unchecked=sum(delivery.unchecked for delivery in given.values()),
    )


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
            sequence: EpochOrder = self.order.epoch(self.view.layout(), self.seed, epoch)
            before = epoch * n
            for stretch in sequence.stretches(begin, (rank - before) % world_size, world_size):
                shift = epoch << 40
                yield Stretch(stretch.positions + before, stretch.rows, stretch.windows + shift)
            epoch, begin = epoch + 1, 0
