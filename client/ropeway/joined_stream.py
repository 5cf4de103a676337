"""Streaming a joined view: its samples and their partners are streams of their own, put together batch by batch."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, tee
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ropeway.order import Appetite
from ropeway.ranges import Counts
from ropeway.samples import NOBODY, Ints, Layout, Samples
from ropeway.shard_bytes import ShardBytes
from ropeway.steps import Step
from ropeway.view import View, ViewSource

if TYPE_CHECKING:
    from ropeway.delivery import Delivery
    from ropeway.stream import Streams


@dataclass(frozen=True, slots=True)
class Leg:
    """The samples of a joined view that come from one side.

    Attributes:
        view: those samples, each once, in storage order; a last one without parts where some have no partner.
        rows: int64 (n,), of each joined sample, which one is its; None: they are the same.
    """

    view: View
    rows: Ints | None


class JoinedStream:
    """A joined view's samples on their way into batches."""

    def __init__(self, view: View, streams: "Streams", share: int) -> None:
        from ropeway.stream import Stream

        wanted = streams.wanted.parts
        chosen = [
            leg
            for number, leg in enumerate(legs(view))
            if number == 0 or wanted is None or any(part.name in wanted for part in leg.view.info.parts)
        ]
        self._legs = [(Stream(leg.view, streams, share * len(chosen)), leg.rows) for leg in chosen]

    def traffic(self) -> Counts:
        """What was asked of the stores so far."""
        return sum((stream.traffic() for stream, _ in self._legs), Counts())

    def deliveries(self, steps: Iterator[Step], *, masked: bool, appetite: Appetite) -> Generator[list["Delivery"]]:
        """The batches of a rank's steps: those of the view's own samples, with their partners' parts; see `Stream`."""
        feeds = tee(steps, len(self._legs))
        streams = [
            stream.deliveries(_of(feed, rows), masked=masked and number == 0,
                              appetite=appetite if number == 0 else Appetite())
            for number, ((stream, rows), feed) in enumerate(zip(self._legs, feeds, strict=True))
        ]  # fmt: skip
        try:
            for several in zip(*(chain.from_iterable(stream) for stream in streams), strict=True):
                yield [_merged(several)]
        finally:
            for stream in streams:
                stream.close()


def legs(view: View) -> list[Leg]:
    """A joined view's samples and their partners, as a view for each."""
    table = view.table()
    found = [Leg(_view(view, replace(table, partners=())), None)]
    for partner in table.partners:
        alone, rows = _alone(partner)
        found.append(Leg(_view(view, alone), rows))
    return found


def _view(view: View, table: Samples) -> View:
    names = {table.shards[number].dataset for number in np.unique(table.shard).tolist()}
    parts = tuple(part for part in view.info.parts if part.name in table.parts)
    datasets = {dataset: version for dataset, version in view.datasets.items() if dataset in names}
    info = replace(view.info, samples=len(table), parts=parts, datasets=datasets)
    return View(info, _LegSource(view.source, view.table(), table))


def _alone(partner: Samples) -> tuple[Samples, Ints]:
    """The different samples among partners in storage order, and which of them each row has."""
    there = partner.shard != NOBODY
    order = np.lexsort((partner.offset, partner.shard))
    order = order[there[order]]
    shard, offset = partner.shard[order], partner.offset[order]
    fresh = np.concatenate([[True], (np.diff(shard) != 0) | (np.diff(offset) != 0)])
    alone = partner.take(order[fresh])
    rows = np.full(len(partner), len(alone))
    rows[order] = np.cumsum(fresh) - 1
    return (alone, rows) if there.all() else (_with_nobody(alone), rows)


def _with_nobody(table: Samples) -> Samples:
    """One sample more, after all others in storage, that has no bytes and lacks every part."""
    end = table.offset[-1] + table.length[-1]
    return replace(
        table,
        shard=np.append(table.shard, table.shard[-1]),
        offset=np.append(table.offset, end),
        length=np.append(table.length, 0),
        crc32c=np.append(table.crc32c, np.uint32(0)),  # of no bytes
        keys=pa.concat_arrays([table.keys, pa.array([""], pa.string())]),
        parts={part: (np.append(offset, -1), np.append(length, 0)) for part, (offset, length) in table.parts.items()},
    )


@dataclass(frozen=True, slots=True)
class _LegSource:
    """One side of a joined view; shards are numbered as there."""

    source: ViewSource
    whole: Samples
    table: Samples

    def samples(self) -> Samples:
        return self.table

    def reader(self, table: Layout) -> ShardBytes:
        return self.source.reader(self.whole)

    def columns(self, names: Sequence[str]) -> pa.Table:
        return self.source.columns(names)


def _of(steps: Iterator[Step], rows: Ints | None) -> Iterator[Step]:
    """The same steps, over a side's own rows."""
    for step in steps:
        yield step if rows is None else replace(step, rows=rows[step.rows], groups=None)


def _merged(several: Sequence["Delivery"]) -> "Delivery":
    first = several[0]
    batch = dict(first.batch)
    for other in several[1:]:
        for name, value in other.batch.items():
            if name in ("__present__", "__sizes__"):
                batch[name] = {**batch.get(name, {}), **value}
            elif not name.startswith("__"):
                batch[name] = value
    return replace(
        first, batch=batch, bytes=sum(one.bytes for one in several), unchecked=max(one.unchecked for one in several)
    )
