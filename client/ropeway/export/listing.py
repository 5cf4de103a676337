"""A dataset as other programs index it: shard by shard, the samples as they lie, with their members."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ropeway import index, tar
from ropeway.errors import FormatError, UsageError
from ropeway.manifest import Manifest, Part, Shard, is_url, object_path
from ropeway.shard_bytes import StoreBytes
from ropeway.stored import reader_of
from ropeway.stores import Store
from ropeway.tar import Span


class ListedPart(NamedTuple):
    """A member: its name after the key and the dot (`ecg.npy`), and where its content lies."""

    extension: str
    span: Span


@dataclass(frozen=True, slots=True)
class ListedSample:
    """A sample and its members, in the order in which they lie."""

    key: str
    span: Span
    parts: tuple[ListedPart, ...]


def listed(store: Store, manifest: Manifest) -> Iterator[tuple[Shard, list[ListedSample]]]:
    """Every shard of a version with its samples.

    Raises:
        UsageError: a shard was adopted, so that its members have names of their own; or it holds samples that the
            index does not name, which a reader of whole shards would bring back.
        StoreError, FormatError: the index can't be read.
    """
    rows = pa.concat_tables([
        index.decode(store.read(object_path(manifest.dataset, file.path)), url=f"{store.url}/{file.path}")
        for file in manifest.index
    ])  # fmt: skip
    numbers = _numbers(rows, manifest)
    order = np.lexsort((rows.column("offset").to_numpy(), numbers))
    starts = np.searchsorted(numbers[order], np.arange(len(manifest.shards) + 1))
    for number, shard in enumerate(manifest.shards):
        if is_url(shard.path):
            raise UsageError("the shard was adopted, and its members have names of their own: index it where it lies, "
                             "with the other program's tool", dataset=manifest.dataset, shard=shard.path)  # fmt: skip
        here = rows.take(pa.array(order[starts[number] : starts[number + 1]]))
        reader, _ = reader_of(store, manifest, shard)
        samples = _samples(here, manifest.parts, reader)
        _check_whole(samples, shard, manifest)
        yield shard, samples


def _numbers(rows: pa.Table, manifest: Manifest) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    paths = pa.array([shard.path for shard in manifest.shards], pa.string())
    found = pc.index_in(rows.column("shard").cast(pa.string()), paths)
    if found.null_count:
        raise FormatError("index names a shard that the manifest does not", dataset=manifest.dataset)
    return np.asarray(found.to_numpy(), np.int64)


def _samples(rows: pa.Table, parts: Sequence[Part], reader: StoreBytes) -> list[ListedSample]:
    columns = {name: rows.column(name).to_pylist() for name in ("key", "offset", "length")}
    spans = {
        part.name: list(zip(*(rows.column(f"{part.name}.{one}").to_pylist() for one in Span._fields), strict=True))
        for part in parts
    }
    made = []
    for row, (key, offset, length) in enumerate(zip(*columns.values(), strict=True)):
        whole = Span(offset, length)
        members = [
            ListedPart(f"{part.name}.{_format(part, whole, reader)}", Span(*spans[part.name][row]))
            for part in parts
            if spans[part.name][row][0] is not None
        ]
        made.append(ListedSample(key, whole, tuple(sorted(members, key=lambda member: member.span))))
    return made


def _format(part: Part, span: Span, reader: StoreBytes) -> str:
    """The manifest says it, unless a part's samples differ: then the sample's own header does."""
    return part.format or tar.part_format(reader.read(0, span.offset, span.offset + span.length), part.name)


def _check_whole(samples: Sequence[ListedSample], shard: Shard, manifest: Manifest) -> None:
    at = 0
    for sample in samples:
        if sample.span.offset != at:
            break
        at += sample.span.length
    if at + len(tar.END) != shard.bytes:
        raise UsageError("the shard holds samples that the index does not name (withdrawn ones?), and other programs "
                         "would read them: compact the dataset first", dataset=manifest.dataset, shard=shard.path,
                         offset=at)  # fmt: skip


def by_split(manifest: Manifest) -> Mapping[str, list[Shard]]:
    """The shards of each split that there is."""
    return {split.name: [shard for shard in manifest.shards if shard.split == split.name] for split in manifest.splits}
