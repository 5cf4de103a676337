"""Versions made of versions: the current one with its index, and how another takes its place."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ropeway import index, manifest, manifest_reading
from ropeway.errors import AlreadyExists, Conflict, NotFound
from ropeway.indexed import read_index
from ropeway.keys import check_dataset
from ropeway.lifecycle import withdrawn
from ropeway.manifest import Latest, Manifest, Split
from ropeway.publishing import published
from ropeway.samples import shard_numbers
from ropeway.stores import Store


@dataclass(frozen=True, slots=True)
class Current:
    """A dataset as it is now. `tag` is what `latest.json` is swapped by."""

    latest: Latest
    tag: str
    manifest: Manifest


def current(store: Store, dataset: str) -> Current:
    """What there is of a dataset.

    Raises:
        NotFound: there is no such dataset.
    """
    path = manifest.latest_path(check_dataset(dataset))
    try:
        data, tag = store.load(path)
    except NotFound as error:
        raise NotFound("no such dataset in the store", dataset=dataset, url=store.url) from error
    latest = manifest_reading.loads_latest(data, url=f"{store.url}/{path}")
    found = published(store, dataset, latest.version)
    if found is None:
        raise NotFound(f"the current version {latest.version} has no manifest", dataset=dataset, url=store.url)
    return Current(latest, tag, found)


def version_of(parent: Manifest, change: str, content: Iterable[str] = ()) -> str:
    """The id of the version that a change makes of another one."""
    told = {"format": manifest.FORMAT, "of": parent.version, "change": change, "content": sorted(content)}
    return hashlib.sha256(msgspec.json.encode(told, order="sorted")).hexdigest()[:12]


def publish(store: Store, made: Manifest, digests: frozenset[str]) -> None:
    """Make a version visible to who names it; its shards and index are there. Who was withdrawn is noted beside it."""
    manifest_reading.check(made)
    withdrawn.write(store, made, digests)
    try:
        store.create(manifest.manifest_path(made.dataset, made.version), manifest.dumps(made))
    except AlreadyExists:  # the same change was made before, and was stopped, or is made by somebody else right now
        if published(store, made.dataset, made.version) is None:
            raise


def point(store: Store, now: Current, version: str) -> bool:
    """Make a version the current one, unless another one took that place meanwhile."""
    history = (*(before for before in now.latest.history if before != version), version)
    return swapped(store, now, replace(now.latest, version=version, history=history))


def swapped(store: Store, now: Current, latest: Latest) -> bool:
    """Replace `latest.json`, unless somebody else did meanwhile."""
    try:
        store.swap(manifest.latest_path(now.manifest.dataset), manifest.dumps(latest), now.tag)
    except Conflict:
        return False
    return True


def rows_of(store: Store, made: Manifest) -> pa.Table:
    """A version's whole index with the types that are stored, checked against its manifest."""
    rows = pa.concat_tables([read_index(store, made, file) for file in made.index])
    index.check(rows, made)
    return rows


def by_shard(rows: pa.Table, made: Manifest) -> Iterator[pa.Table]:
    """Index rows as they are stored: a table for each run of rows that lie in one shard; an empty one of no rows."""
    plain = pa.table({field.name: _used(rows.column(field.name)) for field in rows.schema}, schema=rows.schema)
    numbers = shard_numbers(plain.column("shard"), made.shards)
    cuts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(rows)]
    for first, last in pairwise(cuts):
        yield plain.slice(first, last - first)


def _used(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column whose dictionary, if it has one, names nothing that it does not hold."""
    if not pa.types.is_dictionary(column.type):
        return column
    return column.cast(column.type.value_type).dictionary_encode().cast(column.type)


def splits_of(rows: pa.Table, made: Manifest) -> tuple[Split, ...]:
    """The totals of each split that there still is; `made` has the shards that are left."""
    return tuple(_splits(rows, made))


def _splits(rows: pa.Table, made: Manifest) -> Iterator[Split]:
    names = rows.column("split").cast(pa.string())
    for split in made.splits:
        own = [shard for shard in made.shards if shard.split == split.name]
        if own:
            here = rows.filter(pc.equal(names, split.name))
            yield Split(name=split.name, samples=len(here), subjects=_different(here, "subject"),
                        studies=_different(here, "meta.study"), bytes=sum(shard.bytes for shard in own),
                        shards=len(own))  # fmt: skip


def _different(rows: pa.Table, column: str) -> int:
    if column not in rows.column_names:
        return 0
    count: int = pc.count_distinct(rows.column(column)).as_py()
    return count


Announce = Callable[[Manifest, Mapping[str, int]], None]
"""Told of a version that is about to become the current one, and in figures what is changed; an error stops it."""


def unannounced(made: Manifest, figures: Mapping[str, int]) -> None:
    """Nobody is told."""
