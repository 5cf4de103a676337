"""A dataset version's index in memory, and how its columns read in SQL."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ropeway import index, samples, shard_table
from ropeway.by_subject import BySubject, by_subject
from ropeway.codes import FEW, Codes, coded, has_few
from ropeway.errors import ChecksumError
from ropeway.filters import Column, ColumnType
from ropeway.manifest import IndexFile, Manifest, Task, object_path
from ropeway.query import Scalar
from ropeway.samples import Array, Ints
from ropeway.shard_table import ShardTable
from ropeway.stores import Store

_NUMBERED = 8
"""Columns of few values whose codes are made when an index is read: most counts are by these."""

_DATASET_COLUMNS = ("dataset", "domain", "modality")
ROW_COLUMNS = ("split", "subject", "key")


@dataclass(frozen=True)
class Indexed:
    """A dataset version with its index in memory.

    Attributes:
        manifest: the version.
        rows: its index rows, in storage order, each with its number from `first` in the column `row`.
        first: the number of the first row; the rows of all indexes of an engine have different ones.
        by_subject: the order in which they are counted.
    """

    manifest: Manifest
    rows: pa.Table
    first: int
    by_subject: BySubject
    _codes: dict[str, Codes] = field(default_factory=dict, compare=False)
    _labels: dict[str, Array] = field(default_factory=dict, compare=False)
    counted: dict[Any, Any] = field(default_factory=dict, compare=False)
    """What `counting.whole` keeps."""

    @cached_property
    def refs(self) -> ShardTable:
        """The version's shards, as views name them."""
        return shard_table.of_manifest(self.manifest)

    @cached_property
    def metadata(self) -> Mapping[str, pa.Field]:
        """The index's columns of metadata by their bare names in lower case; of two alike, the first."""
        stored = [column for column in self.rows.schema if column.name.startswith("meta.")]
        return {column.name.removeprefix("meta.").lower(): column for column in reversed(stored)}

    @cached_property
    def shard_numbers(self) -> npt.NDArray[np.int32]:
        """In which of `refs` each sample lies: int32 (n,)."""
        return samples.shard_numbers(self.rows.column("shard"), self.manifest.shards)

    def numbers(self, column: str) -> Ints:
        """Whole numbers of every row, int64 (n,), without copying them."""
        return np.asarray(self.rows.column(column).to_numpy(), np.int64)

    def labels(self, task: Task) -> Array:
        """The labels of a task that this version has, as `Samples` has them; worked out once."""
        if task.id not in self._labels:
            self._labels[task.id] = samples.labels_of(self.rows, task)
        return self._labels[task.id]

    def codes(self, column: str) -> Codes:
        """A column of the index as numbers, in the order of `by_subject`; worked out once."""
        if column not in self._codes:
            self._codes[column] = coded(self.rows.column(column).combine_chunks(), self.by_subject.place)
        return self._codes[column]

    def column(self, name: str, task: Task | None) -> Column | None:
        """How a filter's column reads here, or None when this dataset lacks it."""
        card = self.manifest.card
        match name:
            case "dataset":
                return Column(quote(self.manifest.dataset), "string")
            case "domain":
                return Column(quote(card.domain), "string")
            case "modality":
                return Column(f"[{', '.join(map(quote, card.modalities))}]", "string", many=True)
            case "split" | "subject" | "key":
                return Column(f'"{name}"', "string")
            case "label":
                return self._label(task)
        return self._meta(name)

    def _meta(self, name: str) -> Column | None:
        """Metadata by its bare name, in any case, as in SQL."""
        stored = self.metadata.get(name)
        return None if stored is None else Column(identifier(stored.name), _column_type(stored.type))

    def _label(self, task: Task | None) -> Column | None:
        if task is None or task.target or self.manifest.task(task.id) is None:
            return None
        sql = identifier(f"task.{task.id}")
        if task.type == "regression":
            return Column(sql, "number")
        positions: dict[Scalar, int] = {name: number for number, name in enumerate(task.classes)}
        if task.type == "multilabel":
            return Column(f"list_filter({sql}, lambda label: label >= 0)", "string", many=True, values=positions)
        return Column(sql, "string", values=positions)

    def names(self, task: Task | None) -> set[str]:
        """Every column a filter or a statistic can name here, in lower case."""
        return {*_DATASET_COLUMNS, *ROW_COLUMNS, *self.metadata} | (
            {"label"} if task and not task.target and self.manifest.task(task.id) else set()
        )


def load(store: Store, manifest: Manifest, first: int) -> Indexed:
    """A dataset version with its index; `first` is the number of its first row."""
    rows = load_index(store, manifest)
    rows = rows.append_column("row", pa.array(np.arange(first, first + len(rows))))
    indexed = Indexed(manifest, rows, first, by_subject(rows))
    columns = ["split", *(column.name for column in indexed.metadata.values())]
    few = (name for name in columns if has_few(rows.column(name).combine_chunks()))
    for name in islice(few, _NUMBERED):
        indexed.codes(name)
    return indexed


def load_index(store: Store, manifest: Manifest) -> pa.Table:
    """A version's whole index, checked against its manifest."""
    # Parquet has subjects as numbers of the different ones: to find those anew would take twice as long
    rows = pa.concat_tables([read_index(store, manifest, file, coded=["subject"]) for file in manifest.index])
    index.check(rows, manifest)
    for place, column in enumerate(rows.schema):
        if column.name.startswith("meta.") and pa.types.is_string(column.type):
            rows = rows.set_column(place, column.name, _few(rows.column(place)))
    return rows.unify_dictionaries().combine_chunks()


def _few(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts, as numbers of the different ones where those are few: they are compared in half the time."""
    coded = texts.dictionary_encode()
    values = coded.chunk(0).dictionary if coded.num_chunks else ()
    return coded if len(values) <= min(FEW, len(texts) // 8) else texts


def read_index(store: Store, manifest: Manifest, file: IndexFile, *, coded: Sequence[str] = ()) -> pa.Table:
    """One file of a version's index, held against its checksum; `coded` as in `index.decode`."""
    path = object_path(manifest.dataset, file.path)
    url = f"{store.url}/{path}"
    data = store.read(path)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise ChecksumError("sha256 of the index file differs from the manifest's", dataset=manifest.dataset, url=url)
    return index.decode(data, url=url, coded=coded)


def _column_type(kind: pa.DataType) -> ColumnType:
    if pa.types.is_boolean(kind):
        return "boolean"
    return "number" if pa.types.is_integer(kind) or pa.types.is_floating(kind) else "string"


def quote(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """The name of a column as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'
