"""A view: the frozen answer to a query, and the unit a job streams."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import pyarrow as pa

from ropeway import joins, subsets
from ropeway.definition import Balanced, Definition, FewShot, Joined, Limited, Missing, Without
from ropeway.errors import UsageError
from ropeway.layouts import Details
from ropeway.manifest import Part, Task
from ropeway.samples import Ints, Layout, Samples
from ropeway.shard_bytes import ShardBytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewInfo:
    """What a view is, without its samples."""

    id: str
    samples: int
    bytes: int
    datasets: Mapping[str, str]
    """Dataset id → version."""
    definition: Definition | None
    """How it is made; None where it was asked over datasets that may not be known."""
    tasks: tuple[Task, ...]
    """Those that labels are of, the query's task first."""
    parts: tuple[Part, ...]
    label_counts: Mapping[str, Mapping[str, int]]
    """Task id → class → samples, for tasks that have classes."""
    namespaces: Mapping[str, str] = field(default_factory=dict)
    """Dataset id → namespace of its pseudonyms: in the same one, a person has the same `subject`."""
    targets: tuple[Task, ...] = ()
    """Tasks whose target is a part; one that is another part in another dataset is there with each of them."""


class ViewSource(Protocol):
    """Where a view's content comes from. Picklable."""

    def samples(self) -> Samples:
        """Where each sample lies, with its key and labels."""
        ...

    def reader(self, table: Layout) -> ShardBytes:
        """Access to the bytes of the view's shards."""
        ...

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Index columns of the view's samples, in row order: `subject`, `split`, `key`, metadata by its bare name.

        Raises:
            UsageError: no dataset of the view has such a column.
        """
        ...


@runtime_checkable
class Distant(Protocol):
    """A source that tells where a view's samples lie first, and the rest of those that are wanted."""

    def layout(self) -> Layout:
        """Where each sample lies; all `samples` where that is as quick."""
        ...

    def spans(self, part: str, layout: Layout) -> tuple[Ints, Ints]:
        """Offset and length of a part in each sample, int64 (n,); −1 and 0 where it lacks the part."""
        ...

    def details(self, rows: Ints) -> Details:
        """Keys, checksums and labels of some rows, ascending and each once."""
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
        self._layout: Layout | None = None

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

    @property
    def definition(self) -> Definition | None:
        """How it is made, in full."""
        return self.info.definition

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

    def layout(self) -> Layout:
        """Where each sample lies: what an order is made of. The table, where that costs no more."""
        if self._table is not None or not isinstance(self.source, Distant):
            return self.table()
        if self._layout is None:
            found = self._layout = self.source.layout()
            self._table = found if isinstance(found, Samples) else None
        return self._layout

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Index columns of the samples, in row order: `subject`, `split`, `key`, metadata by its bare name."""
        return self.source.columns(names)

    def reader(self) -> ShardBytes:
        """Access to the bytes of the view's shards."""
        return self.source.reader(self.layout())

    def urls(self, *, seconds: int = 3600) -> list[str]:
        """Where its shards are, for programs that read them whole: `webdataset.WebDataset(view.urls())`.

        Paths where the store is a folder, else URLs that anybody may read for so many seconds.

        Raises:
            UsageError: the view leaves out samples of its shards, which such a program would read all the same.
        """
        from ropeway.export.urls import urls

        return urls(self, seconds)

    def limit(self, count: int, *, seed: int = 0) -> "View":
        """The view of `count` of these samples, drawn by seed; a larger count keeps the smaller one's samples."""
        made = None if self.definition is None else Limited(of=self.definition, count=count, seed=seed)
        return subsets.derive(self, f"limit {count} {seed}", made, lambda table: subsets.limit(table, count, seed))

    def few_shot(self, task: str, *, per_class: int, seed: int = 0) -> "View":
        """The view of `per_class` samples of each class of a task, drawn by seed; all where a class has fewer.

        A regression's classes are the whole numbers that its labels are rounded to.
        """
        found, of = self.task(task), self.definition
        made = None if of is None else FewShot(of=of, task=task, per_class=per_class, seed=seed)
        how = f"few-shot {task} {per_class} {seed}"
        return subsets.derive(self, how, made, lambda table: subsets.few_shot(table, found, per_class, seed))

    def balanced(self, task: str, *, seed: int = 0) -> "View":
        """The view in which samples of a task's rarer classes repeat until all classes are equally frequent."""
        found, of = self.task(task), self.definition
        made = None if of is None else Balanced(of=of, task=task, seed=seed)
        return subsets.derive(self, f"balanced {task} {seed}", made, lambda table: subsets.balanced(table, found, seed))

    def without(self, other: "View") -> "View":
        """The view of those samples whose content is not in another view: pretraining without the transfer test set.

        Raises:
            UsageError: every sample is in the other view too, or a dataset was packed before contents had numbers.
        """
        there = other.columns(["content"]).column("content")
        here = self.columns(["content"]).column("content")
        known = self.definition is not None and other.definition is not None
        made = Without(of=self.definition, other=other.definition) if known else None  # type: ignore[arg-type]
        return subsets.derive(self, f"without {other.id}", made, lambda _: subsets.without(here, there))

    def join(self, other: "View", *, on: str | Sequence[str] = "subject", within: str | None = None,
             time: str = "time", missing: Missing = "drop") -> "View":  # fmt: skip
        """The view of these samples, each with the parts and labels of its partner in another view.

        A partner has the same values in the columns `on` and is of the same split, so that nothing of the test set gets
        into training. Order, key, split and metadata stay those of this view; a task that both have is this view's.

        Args:
            other: the view of the partners. It has no part of the same name.
            on: columns that are equal: `subject`, or metadata. Subjects are only compared within one namespace of
                pseudonyms.
            within: how far apart in time, such as "48h" (s, m, h, d, w): the nearest is the partner, of two equally
                near the earlier one. None: each sample has one partner at most, or it is an error.
            time: the metadata column of both views with the time: seconds, or text such as 2180-05-06 22:23:00.
            missing: samples without a partner are left out ("drop"), or stay and lack its parts ("keep": `__present__`
                in batches says which have them).

        Raises:
            UsageError: nobody has a partner, or somebody several; both have a part of one name; other columns.
        """
        columns = (on,) if isinstance(on, str) else tuple(on)
        limit = None if within is None else joins.seconds(within)
        known = self.definition is not None and other.definition is not None
        asked = Joined(of=self.definition, other=other.definition, on=columns, within=limit, time=time, missing=missing)  # type: ignore[arg-type]
        joined = joins.join(self, other, asked)
        return joined if known else View(replace(joined.info, definition=None), joined.source)

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
