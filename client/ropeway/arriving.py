"""A view's samples at a stream. Of a large view far away, those that a rank delivers arrive shortly before it does.

An order is made of where all samples lie. Keys, checksums and labels are most of what there is to know, and a rank of a
thousand needs a thousandth of them.
"""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, TypeAlias, cast

import numpy as np
import pyarrow as pa

from ropeway.ahead import Left, awaited
from ropeway.bursts import Group
from ropeway.layouts import Details
from ropeway.samples import Array, Ints, Late, Samples, unlabelled
from ropeway.view import Distant, View

FIRST_ROWS, MOST_ROWS = 1 << 10, 1 << 14
"""Rows asked for at once: few at first, for nobody to wait, and then twice as many each time."""

_LEAVING = 1.0
"""Seconds for which somebody who leaves waits for an answer that is on its way: one that comes later has nobody."""

_AWAITED = np.iinfo(np.int64).max
"""The place of a row that has not arrived: whoever looks at it all the same gets an IndexError."""

_Asked: TypeAlias = tuple[list[Group], Ints, "Future[Details] | None"]
"""Groups of steps, those of their rows that are on their way, and what will be known of these."""


class Arriving:
    """The samples of one view, for one stream.

    Attributes:
        table: the samples. Where they arrive, `crc32c`, `keys` and `labels` can be looked at by rows that did, and a
            part's spans all arrive when they are first looked at.
    """

    def __init__(self, view: View) -> None:
        layout = view.layout()
        self._source: Distant | None = None
        if isinstance(layout, Samples):
            self.table = layout
            return
        self._source = cast("Distant", view.source)
        self._tasks = view.info.tasks
        self._place = place = np.full(len(layout), _AWAITED)
        self._keys = _Keys(place, np.empty(0, np.object_))
        self._crc32c = _Column(place, np.empty(0, np.uint32))
        self._labels = {task.id: _Column(place, unlabelled(task, 0)) for task in self._tasks}
        self.table = Samples(
            shards=layout.shards,
            shard=layout.shard,
            offset=layout.offset,
            length=layout.length,
            crc32c=cast("Any", self._crc32c),
            keys=cast("Any", self._keys),
            parts=Late({part.name: partial(self._source.spans, part.name, layout) for part in view.info.parts}),
            labels=cast("Any", self._labels),
        )

    def bring(self, rows: Ints) -> None:
        """Wait until it is known what there is to know of these rows."""
        if self._source is not None:
            missing = self._missing(rows)
            if len(missing):
                self._fill(missing, self._source.details(missing))

    def ahead(self, groups: Iterable[Group]) -> Iterator[Group]:
        """The same groups of steps, each when its rows have arrived; those after it are on their way then.

        Raises:
            ServiceError: the service tells nothing any more.
        """
        if self._source is None:
            yield from groups
            return
        coming, asking = deque[_Asked](), _Asking(self._source)
        with asking:
            for several in _together(groups):
                missing = self._missing(np.concatenate([rows for _, rows in several]))
                coming.append((several, missing, asking.ask(missing) if len(missing) else None))
                if len(coming) > 1:
                    yield from self._arrived(*coming.popleft())
            while coming:
                yield from self._arrived(*coming.popleft())

    def _arrived(self, groups: list[Group], rows: Ints, told: "Future[Details] | None") -> Iterator[Group]:
        if told is not None:
            self._fill(rows, awaited(told))
        yield from groups

    def _missing(self, rows: Ints) -> Ints:
        return np.unique(rows[self._place[rows] == _AWAITED])

    def _fill(self, rows: Ints, told: Details) -> None:
        arrived = self._crc32c.count
        self._crc32c.add(told.crc32c)
        self._keys.add(told.keys.to_numpy(zero_copy_only=False))
        for task in self._tasks:
            labels = told.labels.get(task.id)
            self._labels[task.id].add(unlabelled(task, len(rows)) if labels is None else labels)
        self._place[rows] = np.arange(arrived, arrived + len(rows))  # last: others may be looking


class _Asking:
    """Asks for details, one request after the other. Who leaves while the service is silent does not wait for it."""

    def __init__(self, source: Distant) -> None:
        self._source, self._turn = source, threading.Lock()
        self._left = False
        self._last: Future[Details] | None = None

    def ask(self, rows: Ints) -> "Future[Details]":
        """What the service will tell of these rows."""
        self._last = coming = Future[Details]()

        def work() -> None:
            with self._turn:
                try:
                    if self._left:
                        raise Left
                    coming.set_result(self._source.details(rows))
                except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
                    coming.set_exception(error)

        # No pool: the program could not end before its threads had.
        threading.Thread(target=work, name="ropeway-details", daemon=True).start()
        return coming

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._left = True
        if self._last is not None:
            wait([self._last], _LEAVING)


class _Column:
    """A column that arrives row by row, with what streams ask of an array. It takes memory for what has arrived."""

    def __init__(self, place: Ints, none: Array) -> None:
        """
        Args:
            place: int64 (rows of the view,): where in the column each row's value is; the owner's to fill in.
            none: no values, of the column's type.
        """
        self._place, self._held, self.count = place, none, 0

    def add(self, values: Array) -> None:
        stop = self.count + len(values)
        if stop > len(self._held):
            grown = np.empty((max(stop, 2 * len(self._held)), *self._held.shape[1:]), self._held.dtype)
            grown[: self.count] = self._held[: self.count]
            self._held = grown
        self._held[self.count : stop] = values
        self.count = stop

    def __getitem__(self, rows: Ints) -> Array:
        found: Array = self._held[self._place[rows]]
        return found


class _Keys(_Column):
    """Keys that arrive row by row, with what streams ask of `pyarrow.StringArray`."""

    def take(self, rows: pa.Array) -> pa.StringArray:
        return pa.array(super().__getitem__(rows.to_numpy()), pa.string())

    def __getitem__(self, row: Any) -> Any:
        return pa.scalar(super().__getitem__(row), pa.string())


def _together(groups: Iterable[Group]) -> Iterator[list[Group]]:
    """Groups until they are as many rows as are asked for at once."""
    most, rows, several = FIRST_ROWS, 0, list[Group]()
    for group in groups:
        several.append(group)
        rows += len(group[1])
        if rows >= most:
            yield several
            most, rows, several = min(2 * most, MOST_ROWS), 0, []
    if several:
        yield several
