"""Counts of samples by any columns: each column as small numbers once, then arithmetic over them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ropeway import tally
from ropeway.errors import QueryError
from ropeway.indexed import ROW_COLUMNS, Codes, Indexed
from ropeway.manifest import Task
from ropeway.query import Scalar
from ropeway.samples import Ints
from ropeway.tally import Numbers

T = TypeVar("T", bound=np.generic)

Group: TypeAlias = tuple[Scalar | None, ...]

MOST = 100_000
"""Combinations that an answer may have."""

_KEPT, _SMALL = 64, 1 << 10
"""Answers that are kept of a dataset version, and combinations that each may have."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A random number for each sample, float64 (n,), and each subject, float64 (subjects,), of a dataset version.

    Whole and below 2²⁴, so that sums of 2²⁹ of them are exact.
    """

    samples: npt.NDArray[np.float64]
    subjects: npt.NDArray[np.float64]


Draw: TypeAlias = Callable[[Indexed], Drawn | None]
"""The random numbers of a dataset version; None for one that needs none."""


@dataclass(frozen=True, slots=True)
class Count:
    """Samples, their bytes in shards, and the subjects they are of.

    Attributes:
        drawn: sums of the samples' and of the subjects' random numbers, where any were drawn: they tell sets apart.
    """

    samples: int
    bytes: int
    subjects: int
    drawn: tuple[int, int] = (0, 0)


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
    names = [name.lower() for name in by]
    chosen, labels = rows, None
    if "label" in names and task is not None and task.type == "multilabel" and indexed.manifest.task(task.id):
        chosen, labels = _several(indexed, rows, task)
    columns = [_codes(indexed, name, task, chosen, labels) for name in names]
    size = len(indexed.rows) if chosen is None else len(chosen)
    if not size:
        return {}
    number, found = tally.numbered([(column.codes, len(column.values)) for column in columns], size)
    if len(found) > MOST:
        raise QueryError(f"by {', '.join(by)} gives more than {MOST:,} combinations: count by fewer columns")
    sizes = _taken(indexed.rows.column("length").to_numpy(), chosen)
    samples, content = tally.sums(number, len(found)), tally.sums(number, len(found), sizes)
    subjects = indexed.codes("subject")
    people = _taken(subjects.codes, chosen)
    persons = tally.distinct(number, len(found), people, len(subjects.values))
    groups = _named(found, columns)
    numbers = None if draw is None else draw(indexed)
    drawn = [(0, 0)] * len(found) if numbers is None else _sums(numbers, chosen, people, number, len(found))
    return {
        group: Count(int(n), int(size), int(several), sums)
        for group, n, size, several, sums in zip(groups, samples, content, persons, drawn, strict=True)
    }


def whole(indexed: Indexed, by: Sequence[str], task: Task | None) -> dict[Group, Count]:
    """What `count` says of all samples. A version never changes, so the latest answers are kept, but for large ones."""
    asked, kept = (tuple(name.lower() for name in by), task), indexed.counted
    found: dict[Group, Count] | None = kept.get(asked)
    if found is None:
        found = count(indexed, None, by, task)
        if len(found) <= _SMALL:
            kept[asked] = found
        for oldest in list(kept)[: max(0, len(kept) - _KEPT)]:
            kept.pop(oldest, None)
    return found


def _sums(drawn: Drawn, rows: Ints | None, people: Numbers, number: Numbers, groups: int) -> list[tuple[int, int]]:
    """Of each group the sum over its samples, and that over its different subjects."""
    samples = tally.sums(number, groups, _taken(drawn.samples, rows))
    known, several = people >= 0, len(drawn.subjects)
    met = tally.different(number[known] * np.int64(several) + people[known])
    weights = drawn.subjects[met % several] if len(met) else None
    subjects = np.bincount(met // max(1, several), weights=weights, minlength=groups)
    return [(int(one), int(other)) for one, other in zip(samples, subjects, strict=True)]


def _several(indexed: Indexed, rows: Ints | None, task: Task) -> tuple[Ints, Codes]:
    """A row for each label that samples have, and those labels."""
    lists = indexed.rows.column(f"task.{task.id}")
    lists = (lists if rows is None else lists.take(pa.array(rows))).combine_chunks()
    parents = np.asarray(pc.list_parent_indices(lists), np.int64)
    labels = np.asarray(pc.list_flatten(lists), np.int32)
    parents, labels = parents[labels >= 0], labels[labels >= 0]
    return (parents if rows is None else rows[parents]), Codes(labels, pa.array(task.classes, pa.string()))


def _codes(indexed: Indexed, name: str, task: Task | None, rows: Ints | None, labels: Codes | None) -> Codes:
    """A column's values at these rows."""
    if name == "label" and labels is not None:
        return labels
    stored = _stored(indexed, name, task)
    if stored is None:
        size = len(indexed.rows) if rows is None else len(rows)
        value = _constant(indexed, name)
        code = np.int32(-1 if value is None else 0)
        return Codes(np.broadcast_to(code, size), pa.array([] if value is None else [value], pa.string()))
    whole = indexed.codes(stored)
    if name == "label" and task is not None and task.classes:
        whole = Codes(whole.codes, pa.array(task.classes, pa.string()).take(whole.values))
    return Codes(_taken(whole.codes, rows), whole.values)


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


def _taken(column: npt.NDArray[T], rows: Ints | None) -> npt.NDArray[T]:
    return column if rows is None else column[rows]


def _named(found: Ints, columns: Sequence[Codes]) -> list[Group]:
    """The values of each group."""
    values = list[list[Scalar | None]]()
    for column in reversed(columns):
        found, digit = np.divmod(found, len(column.values) + 1)
        values.append(column.values.take(pa.array(digit - 1, mask=digit == 0)).to_pylist())
    return list(zip(*reversed(values), strict=True)) if values else [()]
