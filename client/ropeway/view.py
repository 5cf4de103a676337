"""A view: the frozen answer to a query, and the unit a job streams."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from ropeway import subsets
from ropeway.errors import UsageError
from ropeway.manifest import Part, Task
from ropeway.query import Query
from ropeway.samples import Samples
from ropeway.shard_bytes import ShardBytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewInfo:
    """What a view is, without its samples."""

    id: str
    samples: int
    bytes: int
    datasets: Mapping[str, str]
    """Dataset id → version."""
    query: Query
    tasks: tuple[Task, ...]
    """The query's task first."""
    parts: tuple[Part, ...]
    label_counts: Mapping[str, Mapping[str, int]]
    """Task id → class → samples, for tasks that have classes."""


class ViewSource(Protocol):
    """Where a view's content comes from. Picklable."""

    def samples(self) -> Samples:
        """Where each sample lies, with its key and labels."""
        ...

    def reader(self, table: Samples) -> ShardBytes:
        """Access to the bytes of the view's shards."""
        ...

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Index columns of the view's samples, in row order: `subject`, `split`, `key`, metadata by its bare name.

        Raises:
            UsageError: no dataset of the view has such a column.
        """
        ...


class View:
    """The samples a query selected, in fixed dataset versions: immutable, and the same id wherever it is asked.

    Attributes:
        info: everything known of it without touching a sample.
        source: where its content comes from.
    """

    def __init__(self, info: ViewInfo, source: ViewSource) -> None:
        self.info, self.source = info, source
        self._table: Samples | None = None

    @property
    def id(self) -> str:
        """16 hex digits that name exactly these samples of these dataset versions."""
        return self.info.id

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return self.info.samples

    @property
    def bytes(self) -> int:
        """Bytes of the samples in their shards, tar headers included."""
        return self.info.bytes

    @property
    def datasets(self) -> Mapping[str, str]:
        """Dataset id → version."""
        return self.info.datasets

    def label_counts(self, task: str) -> Mapping[str, int]:
        """Samples per class of a task."""
        if task not in self.info.label_counts:
            known = ", ".join(self.info.label_counts) or "none"
            raise UsageError(f"no task with classes named {task!r} in this view; there is: {known}")
        return self.info.label_counts[task]

    def table(self) -> Samples:
        """Where each sample lies, with its key and labels; fetched once."""
        if self._table is None:
            self._table = self.source.samples()
        return self._table

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Index columns of the samples, in row order: `subject`, `split`, `key`, metadata by its bare name."""
        return self.source.columns(names)

    def reader(self) -> ShardBytes:
        """Access to the bytes of the view's shards."""
        return self.source.reader(self.table())

    def limit(self, count: int, *, seed: int = 0) -> "View":
        """The view of `count` of these samples, drawn by seed; a larger count keeps the smaller one's samples."""
        return subsets.derive(self, f"limit {count} {seed}", lambda table: subsets.limit(table, count, seed))

    def few_shot(self, task: str, *, per_class: int, seed: int = 0) -> "View":
        """The view of `per_class` samples of each class of a task, drawn by seed; all where a class has fewer."""
        found = self.task(task)
        return subsets.derive(
            self, f"few-shot {task} {per_class} {seed}", lambda table: subsets.few_shot(table, found, per_class, seed)
        )

    def balanced(self, task: str, *, seed: int = 0) -> "View":
        """The view in which samples of a task's rarer classes repeat until all classes are equally frequent."""
        found = self.task(task)
        return subsets.derive(self, f"balanced {task} {seed}", lambda table: subsets.balanced(table, found, seed))

    def task(self, task: str) -> Task:
        """One of the view's tasks.

        Raises:
            UsageError: it has no such task.
        """
        for found in self.info.tasks:
            if found.id == task:
                return found
        known = ", ".join(found.id for found in self.info.tasks) or "none"
        raise UsageError(f"no task {task!r} in this view; there is: {known}")

    def __repr__(self) -> str:
        names = ", ".join(f"{dataset}@{version}" for dataset, version in self.datasets.items())
        return f"<View {self.id}: {self.samples} samples, {self.bytes} bytes of {names}>"
