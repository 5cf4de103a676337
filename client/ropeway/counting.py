"""Counts of samples by any columns: each column as small numbers once, then arithmetic over them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import add
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ropeway import tally
from ropeway.by_subject import Numbers32
from ropeway.codes import Codes
from ropeway.errors import QueryError
from ropeway.indexed import ROW_COLUMNS, Indexed
from ropeway.manifest import Task
from ropeway.query import Scalar
from ropeway.samples import Ints
from ropeway.tally import Column, Groups

T = TypeVar("T", bound=np.generic)

Group: TypeAlias = tuple[Scalar | None, ...]

MOST = 100_000
"""Combinations that an answer may have."""

_KEPT, _SMALL = 64, 1 << 10
"""Answers that are kept of a dataset version, and combinations that each may have."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A random number for each sample and each subject of a dataset version.

    Whole and below 2²⁴, so that sums of 2²⁹ of them are exact.

    Attributes:
        samples: float64 (n,), in the order of `Indexed.by_subject`.
        subjects: float64 (subjects,), in the order of its names.
    """

    samples: npt.NDArray[np.float64]
    subjects: npt.NDArray[np.float64]


Draw: TypeAlias = Callable[[Indexed], Drawn | None]
"""The random numbers of a dataset version; None for one that needs none."""


class Count(NamedTuple):
    """Samples, their bytes in shards, and the subjects they are of; and, where random numbers were drawn, the sums of
    those of the samples and of the subjects, which tell sets apart."""

    samples: int
    bytes: int
    subjects: int
    drawn_samples: int = 0
    drawn_subjects: int = 0


def counted(
    indexed: Indexed, rows: Ints | None, by: Sequence[str], task: Task | None, draw: Draw | None
) -> dict[Group, Count]:
    """What `count` says; a version never changes, so the latest answers about all of its samples are kept."""
    if rows is None and draw is None:
        return _kept(indexed, by, task)
    return count(indexed, rows, by, task, draw)


def count(
    indexed: Indexed, rows: Ints | None, by: Sequence[str], task: Task | None, draw: Draw | None = None
) -> dict[Group, Count]:
    """What there is of each combination of columns in one dataset version.

    Args:
        indexed: the dataset version.
        rows: which of its rows count; None: all.
        by: columns. A sample with several labels counts in each of them, one without any in none.
        task: whose labels `label` stands for.
        draw: gives random numbers to sum; None for none.

    Raises:
        QueryError: more than `MOST` combinations.
    """
    names, order = [name.lower() for name in by], indexed.by_subject
    places, labels = None if rows is None else order.places(rows), None
    if "label" in names and task is not None and task.type == "multilabel" and indexed.manifest.task(task.id):
        places, labels = _several(indexed, places, task)
    size = len(indexed.rows) if places is None else len(places)
    if not size:
        return {}
    columns = [_codes(indexed, name, task, places, labels) for name in names]
    found = tally.grouped([Column(column.codes, len(column.values)) for column in columns], size)
    groups, subjects = len(found.samples), order.subjects_of(places)
    if groups > MOST:
        raise QueryError(f"by {', '.join(by)} gives more than {MOST:,} combinations: count by fewer columns")
    content = tally.sums(found.number, groups, _taken(order.lengths, places))
    sums = [found.samples, content, tally.distinct(found.number, groups, subjects)]
    if draw is not None and (drawn := draw(indexed)) is not None:
        sums += _sums(drawn, places, subjects, found)
    counts = zip(*(column.tolist() for column in sums), strict=True)
    return {group: Count(*count) for group, count in zip(_named(found, columns), counts, strict=True)}


def together(several: Iterable[Mapping[Group, Count]]) -> dict[Group, Count]:
    """The sums over several dataset versions."""
    totals: dict[Group, Count] = {}
    for counts in several:
        for group, count in counts.items():
            before = totals.get(group)
            totals[group] = count if before is None else Count(*map(add, before, count))
    return totals


def _kept(indexed: Indexed, by: Sequence[str], task: Task | None) -> dict[Group, Count]:
    """What `count` says of all samples; large answers are not kept."""
    asked, kept = (tuple(name.lower() for name in by), task), indexed.counted
    found: dict[Group, Count] | None = kept.get(asked)
    if found is None:
        found = count(indexed, None, by, task)
        if len(found) <= _SMALL:
            kept[asked] = found
        for oldest in list(kept)[: max(0, len(kept) - _KEPT)]:
            kept.pop(oldest, None)
    return found


def _sums(drawn: Drawn, places: Ints | None, subjects: Numbers32, found: Groups) -> list[Ints]:
    """Of each group the sum over its samples, and that over its different subjects."""
    groups, several = len(found.samples), len(drawn.subjects)
    met = tally.different(found.number[: len(subjects)] * np.int64(several) + subjects)
    of, subject = np.divmod(met, max(1, several))
    return [
        tally.sums(found.number, groups, _taken(drawn.samples, places)),
        tally.sums(of, groups, drawn.subjects[subject]),
    ]


def _several(indexed: Indexed, places: Ints | None, task: Task) -> tuple[Ints, Codes]:
    """A place for each label that samples have, and those labels."""
    lists = indexed.rows.column(f"task.{task.id}").take(pa.array(indexed.by_subject.rows(places))).combine_chunks()
    parents = np.asarray(pc.list_parent_indices(lists), np.int64)
    labels = np.asarray(pc.list_flatten(lists), np.int32)
    parents, labels = parents[labels >= 0], labels[labels >= 0]
    classes = pa.array(task.classes, pa.string())
    return (parents if places is None else places[parents]), Codes(labels.astype(np.uint32), classes)


def _codes(indexed: Indexed, name: str, task: Task | None, places: Ints | None, labels: Codes | None) -> Codes:
    """A column's values at these places."""
    if name == "label" and labels is not None:
        return labels
    stored = _stored(indexed, name, task)
    if stored is None:
        size = len(indexed.rows) if places is None else len(places)
        return Codes(np.broadcast_to(np.uint8(0), size), pa.array([_constant(indexed, name)], pa.string()))
    everywhere = indexed.codes(stored)
    values = everywhere.values
    if name == "label" and task is not None and task.classes:
        values = pa.array(task.classes, pa.string()).take(values)
    return Codes(_taken(everywhere.codes, places), values)


def _stored(indexed: Indexed, name: str, task: Task | None) -> str | None:
    """The index column behind a name; None where it has one value throughout, or none."""
    if name in ROW_COLUMNS:
        return name
    if name == "label":
        return f"task.{task.id}" if task is not None and indexed.manifest.task(task.id) else None
    found = indexed.metadata.get(name)
    return None if found is None else str(found.name)


def _constant(indexed: Indexed, name: str) -> Scalar | None:
    card = indexed.manifest.card
    match name:
        case "dataset":
            return indexed.manifest.dataset
        case "domain":
            return card.domain
        case "modality":
            return ", ".join(card.modalities)
    return None


def _taken(column: npt.NDArray[T], places: Ints | None) -> npt.NDArray[T]:
    return column if places is None else column[places]


def _named(found: Groups, columns: Sequence[Codes]) -> list[Group]:
    """The values of each group."""
    if not columns:
        return [()]
    values = [
        column.values.take(pa.array(codes)).to_pylist() for column, codes in zip(columns, found.codes, strict=True)
    ]
    return list(zip(*values, strict=True))
