"""One dataset's samples as files: which keys there are, by split, class and subject, and where each part lies."""

from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ropeway import tar
from ropeway.cache import DiskCache
from ropeway.errors import FormatError
from ropeway.manifest import Manifest, Task
from ropeway.mount.formats import Formats
from ropeway.mount.shards import shard_paths
from ropeway.mount.sorted_keys import SortedKeys, byte_order
from ropeway.mount.stretches import Stretch, Stretches
from ropeway.samples import Samples
from ropeway.shard_bytes import ShardBytes
from ropeway.view import View

_KEPT = 512
"""Classes whose samples are remembered once somebody looked: the look takes milliseconds, what is kept 4 bytes each."""


class PackedSamples:
    """What a mount knows of the samples of one dataset version: columns, in the order of the index.

    Args:
        manifest: of the version.
        table: its samples that the view has.
        splits, subjects: string (n,); subjects may be null.
        reader: of the table's shards.
        stretches: how bytes of them are read.
        first: the row of the view that is the table's first.

    Attributes:
        parts: names of the parts, in the manifest's order.
        splits: names of the splits that have samples, in the manifest's order.
        subjects: those that have samples, sorted.
    """

    def __init__(
        self, manifest: Manifest, table: Samples, splits: pa.StringArray, subjects: pa.StringArray,
        reader: ShardBytes, stretches: Stretches, first: int = 0,
    ) -> None:  # fmt: skip
        self.manifest, self.table, self.reader, self.first = manifest, table, reader, first
        self.parts = [part.name for part in manifest.parts]
        self._stretches = stretches
        self.formats = Formats(manifest.parts, table, self.read)
        self._order = byte_order(table.keys)
        names, codes = _coded(splits)
        self._splits = {
            name.as_py(): SortedKeys(table.keys, self._order[codes[self._order] == code])
            for code, name in enumerate(names)
        }
        self.splits = [split.name for split in manifest.splits if split.name in self._splits]
        names, subject_codes = _coded(subjects)
        self.subjects = SortedKeys(names, np.arange(len(names), dtype=np.int32))
        self._by_subject = self._order[np.argsort(subject_codes[self._order], kind="stable")]
        self._subject_starts = np.searchsorted(subject_codes[self._by_subject], np.arange(len(self.subjects) + 1))
        self.of_class = lru_cache(_KEPT)(self._of_class)

    @classmethod
    def of(cls, view: View, manifest: Manifest, stretches: Stretches, cache: DiskCache | None) -> "PackedSamples":
        """One dataset's samples in a view, whose shards are read through a cache where there is one.

        Raises:
            FormatError: the view has none of it.
        """
        table, columns = view.table(), view.columns(["split", "subject"])
        mine = np.array([ref.dataset == manifest.dataset for ref in table.shards])[table.shard]
        rows = np.flatnonzero(mine)  # rows are in storage order: those of a dataset are neighbours
        if not len(rows):
            raise FormatError("the view has no samples of this dataset", dataset=manifest.dataset)
        start, stop = int(rows[0]), int(rows[-1]) + 1
        reader = view.reader() if cache is None else cache.over(view.reader(), table.shards)
        split, subject = (_strings(columns.column(name).slice(start, stop - start)) for name in ("split", "subject"))
        return cls(manifest, table.slice(start, stop), split, subject, reader, stretches, start)

    def of_split(self, split: str) -> SortedKeys | None:
        """The samples of a split, or None where there are none."""
        return self._splits.get(split)

    def of_subject(self, subject: str) -> SortedKeys | None:
        """The samples of a subject, or None where there are none."""
        number = self.subjects.row(subject.encode(errors="surrogateescape"))
        if number is None:
            return None
        start, stop = self._subject_starts[number : number + 2]
        return SortedKeys(self.table.keys, self._by_subject[start:stop])

    def _of_class(self, task: str, number: int, split: str) -> SortedKeys:
        """The samples of a split that are labelled with the class of that number in its task."""
        labels, rows = self.table.labels[task], self._splits[split].rows
        held = labels[rows, number] == 1 if labels.ndim == 2 else labels[rows] == number
        return SortedKeys(self.table.keys, rows[held])

    def classes(self, task: Task) -> list[str]:
        """The classes of one of the dataset's tasks that samples are labelled with."""
        labels = self.table.labels[task.id]
        held = (labels == 1).any(axis=0) if labels.ndim == 2 else np.isin(np.arange(len(task.classes)), labels)
        return [name for name, there in zip(task.classes, held, strict=True) if there]

    @cached_property
    def shard_paths(self) -> Mapping[str, int]:
        """The shards that hold the samples, by their paths below the dataset's folder of shards, sorted."""
        return shard_paths(self.table.shards, np.unique(self.table.shard).tolist())

    def files(self, row: int, name: str, first: int = 0) -> Iterator[tuple[int, str]]:
        """The part numbers, from `first` on, and file names of a sample, whose key's last segment is `name`."""
        for number, part in enumerate(self.parts[first:], first):
            if self.table.parts[part][0][row] >= 0:
                yield number, f"{name}.{part}.{self.formats.of(part, row)}"

    def file(self, keys: SortedKeys, path: str) -> Stretch | None:
        """The part whose member name is `path`, if `keys` has its sample."""
        try:
            key, part, form = tar.split_name(path)
        except FormatError:
            return None
        row = keys.row(key.encode(errors="surrogateescape"))
        if row is None or part not in self.parts or path != f"{key}.{part}.{form}":
            return None
        offset, length = (int(column[row]) for column in self.table.parts[part])
        if offset < 0 or self.formats.of(part, row) != form:
            return None
        return self._stretches.stretch(self.reader, self.table, int(self.table.shard[row]), offset, length)

    def shard(self, number: int) -> Stretch:
        """A whole shard."""
        return self._stretches.stretch(self.reader, self.table, number, 0, self.table.shards[number].bytes)

    def read(self, shard: int, start: int, stop: int) -> bytes | memoryview:
        stretch = self._stretches.stretch(self.reader, self.table, shard, start, stop - start)
        return stretch.read(0, stop - start)


def _coded(texts: pa.StringArray) -> tuple[pa.StringArray, npt.NDArray[np.int32]]:
    """The distinct texts, sorted, and for each row the number of its own, int32; −1 for null."""
    encoded = texts.dictionary_encode()
    order = byte_order(encoded.dictionary)
    ranks = np.empty(len(order), np.int32)
    ranks[order] = np.arange(len(order), dtype=np.int32)
    codes = encoded.indices.fill_null(-1).to_numpy().astype(np.int32)
    known = codes >= 0
    codes[known] = ranks[codes[known]]
    return encoded.dictionary.take(pa.array(order)), codes


def _strings(column: Any) -> pa.StringArray:
    joined = column.cast(pa.string()).combine_chunks()
    return pa.concat_arrays(joined.chunks) if isinstance(joined, pa.ChunkedArray) else joined
