"""What a catalog says of a dataset, a task and a sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ropeway.index import Value
from ropeway.manifest import Access, Manifest, Task
from ropeway.tar import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInfo:
    """One line about a dataset's current version."""

    id: str
    version: str
    title: str
    domain: str
    modalities: tuple[str, ...]
    licence: str
    access: Access
    unit: str
    samples: int
    subjects: int
    bytes: int
    shards: int
    splits: Mapping[str, int]
    parts: tuple[str, ...]
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInfo:
    """A task and the datasets that have it."""

    task: Task
    datasets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleInfo:
    """What the index says of one sample.

    Attributes:
        shard: path of its shard, as the manifest names it.
        span: its whole span in the shard, in bytes.
        parts: the span of each part's content.
        labels: per task, the class name, the list of class names, the number, or None where it is unlabelled.
    """

    key: str
    split: str
    subject: str | None
    shard: str
    span: Span
    parts: Mapping[str, Span]
    labels: Mapping[str, str | float | list[str] | None]
    meta: Mapping[str, Value]


def describe(manifest: Manifest) -> DatasetInfo:
    """One line about a manifest."""
    card = manifest.card
    return DatasetInfo(
        id=manifest.dataset,
        version=manifest.version,
        title=card.title,
        domain=card.domain,
        modalities=card.modalities,
        licence=card.licence,
        access=card.access,
        unit=card.unit,
        samples=manifest.samples,
        subjects=sum(split.subjects for split in manifest.splits),
        bytes=manifest.bytes,
        shards=len(manifest.shards),
        splits={split.name: split.samples for split in manifest.splits},
        parts=tuple(part.name for part in manifest.parts),
        tasks=tuple(task.id for task in manifest.tasks),
    )


def describe_sample(manifest: Manifest, row: Mapping[str, Any]) -> SampleInfo:
    """What a row of the index of that manifest's version says, by column."""
    return SampleInfo(
        key=row["key"],
        split=row["split"],
        subject=row["subject"],
        shard=row["shard"],
        span=Span(row["offset"], row["length"]),
        parts={
            part.name: Span(row[f"{part.name}.offset"], row[f"{part.name}.length"])
            for part in manifest.parts
            if row[f"{part.name}.offset"] is not None
        },
        labels={task.id: task.named(row[f"task.{task.id}"]) for task in manifest.labelled},
        meta={name.removeprefix("meta."): row[name] for name in row if name.startswith("meta.")},
    )


def list_tasks(current: Sequence[Manifest]) -> list[TaskInfo]:
    """Every task of these datasets, by id."""
    tasks, holding = dict[str, Task](), dict[str, list[str]]()
    for manifest in current:
        for task in manifest.tasks:
            tasks.setdefault(task.id, task)
            holding.setdefault(task.id, []).append(manifest.dataset)
    return [TaskInfo(task=tasks[name], datasets=tuple(holding[name])) for name in sorted(tasks)]
