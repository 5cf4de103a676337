"""Batches of whole groups: all samples of a subject together, and in order of time where asked.

Groups are shuffled as wholes by a keyed hash of their number; groups are numbered by their first sample in storage.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ropeway.cuts import Cut
from ropeway.errors import UsageError
from ropeway.hashing import fold, keyed
from ropeway.order import Appetite, Order, Sequential
from ropeway.samples import Ints
from ropeway.view import View

_GROUPS = 7  # the purpose of this module's keys, beside those of the order


@dataclass(frozen=True, slots=True)
class Groups:
    """How many whole groups a batch has, in place of a number of samples. Batches get `__group__`, int64 (batch,).

    Attributes:
        count: groups in a batch.
        by: the column that is equal within a group: `subject`, or metadata by its bare name.
        then: metadata by which a group's samples are ordered, ascending (a time, an age); None: as stored.
        per_step: batches in a global step, which the world size must divide; by default one for each rank. Fix it to
            get the same global steps in any world.
    """

    count: int
    by: str = "subject"
    then: str | None = None
    per_step: int | None = None

    def bind(self, view: View, order: Order) -> "GroupCutter":
        """Apply it to a view. A sample without a value in `by` is a group of its own.

        Raises:
            UsageError: the view has no such column, or a value to order by is missing.
        """
        if self.count < 1:
            raise UsageError(f"a batch has at least 1 group, not {self.count}")
        columns = view.columns([self.by, *([self.then] if self.then else [])])
        groups = _numbered(np.asarray(columns[self.by].to_numpy(zero_copy_only=False)))
        within = np.arange(view.samples)
        if self.then:
            values = columns[self.then]
            if values.null_count:
                raise UsageError(f"{values.null_count} samples have no {self.then!r} to order them by: filter them out")
            within = np.argsort(np.argsort(values.to_numpy(zero_copy_only=False), kind="stable"))
        rows = np.lexsort((within, groups)).astype(np.int64)
        starts = np.searchsorted(groups[rows], np.arange(int(groups.max()) + 2))
        return GroupCutter(self, rows, starts, shuffled=not isinstance(order, Sequential))


@dataclass(frozen=True)
class GroupCutter:
    """Groups of a view: group g is `rows[starts[g]:starts[g + 1]]`."""

    rule: Groups
    rows: Ints
    starts: Ints
    shuffled: bool

    @property
    def digest(self) -> str:
        hashed = hashlib.sha256(repr(("groups", 1, self.rule.count, self.shuffled)).encode())
        hashed.update(self.rows.astype("<i8").tobytes() + self.starts.astype("<i8").tobytes())
        return hashed.hexdigest()[:12]

    def appetite(self, world_size: int) -> Appetite:
        """Nothing is held: a group's samples are read for themselves."""
        return Appetite()

    def cuts(self, seed: int, epoch: int, position: int) -> Iterator[Cut]:
        numbers = np.arange(len(self.starts) - 1)
        if self.shuffled:
            numbers = np.argsort(keyed(numbers, fold(seed, epoch, _GROUPS)))
        stops = np.cumsum(np.diff(self.starts)[numbers])
        done = int(np.searchsorted(stops, position, side="right")) // self.rule.count * self.rule.count
        for first in range(done, len(numbers), self.rule.count):
            chosen = numbers[first : first + self.rule.count]
            rows = [self.rows[self.starts[group] : self.starts[group + 1]] for group in chosen]
            sizes = [len(some) for some in rows]
            stop = int(stops[first + len(chosen) - 1])
            yield Cut(np.concatenate(rows), np.repeat(chosen, sizes), stop, np.repeat(np.arange(len(chosen)), sizes))


def _numbered(values: np.ndarray[tuple[int], np.dtype[np.object_]]) -> Ints:
    """Group numbers, by first appearance; each missing value is a group of its own."""
    numbers: dict[object, int] = {}
    found = np.empty(len(values), np.int64)
    for place, value in enumerate(values.tolist()):
        missing = value is None or value != value  # noqa: PLR0124 - NaN
        found[place] = numbers.setdefault((place,) if missing else value, len(numbers))
    return found
