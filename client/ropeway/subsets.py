"""Smaller and rebalanced views made of a view: the first so many, a few of each class, as many of each class."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ropeway import samples
from ropeway.definition import Definition
from ropeway.errors import UsageError
from ropeway.hashing import fold, keyed
from ropeway.manifest import Task
from ropeway.samples import Array, Ints, Layout, Samples
from ropeway.shard_bytes import ShardBytes

if TYPE_CHECKING:
    from ropeway.view import View, ViewSource

_DRAW = 5  # the purpose of this module's keys, beside those of the order


def limit(table: Samples, count: int, seed: int) -> Ints:
    """`count` rows, drawn without replacement; a larger count with the same seed draws these and more."""
    if not 1 <= count <= len(table):
        raise UsageError(f"a limit is from 1 to the view's {len(table)} samples, not {count}")
    return np.sort(_drawn(len(table), seed)[:count])


def few_shot(table: Samples, task: Task, per_class: int, seed: int) -> Ints:
    """`per_class` rows of each class, drawn without replacement; all of a class that has fewer.

    Numbers are drawn by what they are rounded to, as CLIMB draws lengths of stay by the day. With several labels per
    sample, samples are drawn one by one and taken while one of their classes still wants some: a frequent class may get
    more.
    """
    if per_class < 1:
        raise UsageError(f"per_class is at least 1, not {per_class}")
    labels = _rounded(table.labels[task.id]) if task.type == "regression" else _classes(table, task)
    drawn = _drawn(len(table), seed)
    if labels.ndim == 1:
        rows = [drawn[labels[drawn] == number][:per_class] for number in range(labels.max(initial=-1) + 1)]
        return np.sort(np.concatenate([np.empty(0, np.int64), *rows]))
    wanted = np.full(len(task.classes), per_class)
    taken = []
    for row in drawn[(labels[drawn] == 1).any(axis=1)]:
        if (wanted[labels[row] == 1] > 0).any():
            wanted[labels[row] == 1] -= 1
            taken.append(int(row))
    return np.sort(np.array(taken, np.int64))


def balanced(table: Samples, task: Task, seed: int) -> Ints:
    """Rows in which each class is as frequent as the most frequent one: the others' rows repeat, evenly."""
    labels = _classes(table, task)
    if labels.ndim != 1:
        raise UsageError(
            f"task {task.id} is multilabel: a sample may be in several classes, so they cannot be balanced"
        )
    drawn = _drawn(len(table), seed)
    classes = [drawn[labels[drawn] == number] for number in range(len(task.classes))]
    most = max(len(rows) for rows in classes)
    return np.sort(np.concatenate([np.resize(rows, most) for rows in classes if len(rows)]))


def without(here: pa.ChunkedArray, there: pa.ChunkedArray) -> Ints:
    """Rows whose content number is not among others; a row without one is like no other."""
    rows = np.flatnonzero(~pc.is_in(here, pc.drop_null(there)).to_numpy())
    if not len(rows):
        raise UsageError("every sample of the view is in the other one too: nothing would be left")
    return rows


def derive(view: "View", made: str, definition: Definition | None, rows: Callable[[Samples], Ints]) -> "View":
    """The view of some rows of another one, which may repeat.

    Args:
        view: the other one.
        made: how, in words that tell apart what differs; part of the new view's id.
        definition: of the new view.
        rows: the row numbers, ascending.
    """
    from ropeway.view import View

    chosen = rows(view.table())
    table = view.table().take(chosen)
    digest = hashlib.sha256(f"{view.id} {made}".encode()).hexdigest()[:16]
    counts = {task.id: samples.label_counts(table, task) for task in view.info.tasks if task.classes}
    size = int(table.length.sum()) + sum(int(partner.length.sum()) for partner in table.partners)
    info = replace(view.info, id=digest, samples=len(table), bytes=size, label_counts=counts, definition=definition)
    return View(info, RowsSource(view.source, chosen, table))


@dataclass(frozen=True, slots=True)
class RowsSource:
    """The content of some rows of another view."""

    source: "ViewSource"
    rows: Ints
    table: Samples

    def samples(self) -> Samples:
        return self.table

    def reader(self, table: Layout) -> ShardBytes:
        return self.source.reader(table)

    def columns(self, names: Sequence[str]) -> pa.Table:
        return self.source.columns(names).take(pa.array(self.rows))


def _drawn(count: int, seed: int) -> Ints:
    """All rows in a keyed order."""
    return np.argsort(keyed(np.arange(count), fold(seed, _DRAW)))


def _rounded(numbers: Array) -> Array:
    """Numbers rounded to whole ones, and those counted from 0: int64 (n,); −1 where there is none."""
    known = np.isfinite(numbers)
    found = np.full(len(numbers), -1)
    found[known] = np.unique(np.rint(numbers[known]), return_inverse=True)[1]
    return found


def _classes(table: Samples, task: Task) -> Array:
    if not task.classes:
        raise UsageError(f"task {task.id} has no classes to draw from: it is a {task.type}")
    return table.labels[task.id]
