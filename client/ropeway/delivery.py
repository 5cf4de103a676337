"""Bursts become batches: columns cut by steps, put together, with what the index tells of the samples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ropeway import shard_table
from ropeway.collate import Padding
from ropeway.parts import PartReader
from ropeway.samples import Array, Ints, Samples
from ropeway.steps import Step
from ropeway.texts import Texts
from ropeway.view import View

Batch: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One batch.

    Attributes:
        position: where the whole world is after it.
        batch: see `ropeway.stream.Stream.deliveries`.
        samples: how many it has; padding doesn't count, here nor below.
        bytes: that were brought of them.
        unchecked: those of them whose checksums were not compared.
    """

    position: int
    batch: Batch
    samples: int
    bytes: int
    unchecked: int


class Batches:
    """Makes the batches of one view.

    Args:
        view: what is streamed.
        table: its samples.
        parts: those wanted.
        room: bytes for keys that are kept as texts.
    """

    def __init__(self, view: View, table: Samples, parts: Sequence[PartReader], room: int) -> None:
        self._told, self._parts = _Told(view, table, room), parts

    def cut(
        self, steps: Sequence[Step], rows: Ints, columns: dict[str, Any], sizes: Ints,
        unchecked: npt.NDArray[np.bool_], masked: bool,
    ) -> list[Delivery]:  # fmt: skip
        """The batches of a burst.

        Args:
            steps: the burst's.
            rows: int64 (n,), of the samples given, one step's after the other's.
            columns: the parts of all of them.
            sizes: int64 (n,), bytes that were brought of each.
            unchecked: bool (n,), whose checksums were not compared.
            masked: whether batches say which samples are padding.
        """
        columns = columns | self._told.of(rows)
        deliveries, first = list[Delivery](), 0
        for step, (real, size, blind) in zip(steps, _counts(steps, sizes, unchecked), strict=True):
            here = slice(first, first + len(step.rows))
            deliveries.append(Delivery(step.stop, self._batch(columns, step, here, masked), real, size, blind))
            first = here.stop
        return deliveries

    def _batch(self, columns: dict[str, Any], step: Step, here: slice, masked: bool) -> Batch:
        """One step's share of a burst's columns."""
        batch: Batch = {name: _cut(column, here) for name, column in columns.items()}
        for part in self._parts:
            values = batch[part.part.name]
            if isinstance(values, list):
                together = part.together(values)
                if isinstance(together, Padding):
                    batch.setdefault("__sizes__", {})[part.part.name] = together.sizes
                    together = together.values
                batch[part.part.name] = together
        if masked:
            batch["__mask__"] = step.real.copy()
        if step.groups is not None:
            batch["__group__"] = step.groups
        return batch


def _counts(steps: Sequence[Step], sizes: Ints, unchecked: npt.NDArray[np.bool_]) -> Iterator[tuple[int, ...]]:
    """Of each step's samples that are no padding: how many there are, their bytes, and how many are unchecked."""
    real = np.concatenate([step.real for step in steps])
    stops = np.cumsum([0, *(len(step.rows) for step in steps)])
    return zip(*(_sums(column, stops) for column in (real, sizes * real, unchecked & real)), strict=True)


def _sums(column: Array, stops: Ints) -> list[int]:
    """The sum of each stretch of a column between two stops."""
    until = np.concatenate([[0], np.cumsum(column)])[stops]
    sums: list[int] = np.diff(until).tolist()
    return sums


def _cut(column: Any, here: slice) -> Any:
    """One batch's share of a burst's column; of several where it is a dict of them."""
    return {name: inner[here] for name, inner in column.items()} if isinstance(column, dict) else column[here]


class _Told:
    """What the index tells of samples."""

    def __init__(self, view: View, table: Samples, room: int) -> None:
        self._keys = Texts(table.keys, len(table), room)
        self._shard = table.shard
        self._datasets = shard_table.datasets(table.shards) if len(view.datasets) > 1 else None
        self._labels = table.labels

    def of(self, rows: Ints) -> Batch:
        """The columns of these rows."""
        columns: Batch = {"__key__": self._keys.of(rows)}
        if self._datasets is not None:
            columns["__dataset__"] = self._datasets[self._shard[rows]].tolist()
        for task, values in self._labels.items():
            columns[f"task.{task}"] = _for_training(values[rows])
        return columns


def _for_training(labels: Array) -> Array:
    """Labels as losses take them: classes int64, numbers float32, multi-label float32 with NaN where unlabelled."""
    if labels.ndim == 2:
        return np.where(labels < 0, np.nan, labels).astype(np.float32)
    return labels.astype(np.float32 if labels.dtype.kind == "f" else np.int64)
