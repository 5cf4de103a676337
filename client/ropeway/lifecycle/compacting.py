"""Compacting: shards that hold withdrawn samples are written anew without them, and no other ones."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ropeway import tar
from ropeway.checksum import crc32c
from ropeway.errors import ChecksumError, UsageError
from ropeway.index_files import write_index
from ropeway.lifecycle import withdrawn
from ropeway.lifecycle.versions import (
    Announce,
    by_shard,
    current,
    point,
    publish,
    rows_of,
    splits_of,
    unannounced,
    version_of,
)
from ropeway.manifest import Manifest, Shard, is_url, object_path
from ropeway.publishing import software
from ropeway.samples import Ints, shard_numbers
from ropeway.shard_bytes import StoreBytes
from ropeway.stored import PIECE, reader_of
from ropeway.stores import Store

CHANGE = "compact"

Advance: TypeAlias = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """What a compaction did.

    Attributes:
        parent: the version that was compacted, empty where there was nothing to do.
        version: the current version now.
        shards: written anew.
        samples: that they held and do not hold any more.
        before, after: bytes of these shards.
    """

    dataset: str
    parent: str
    version: str
    shards: int
    samples: int
    before: int
    after: int


def compact(
    store: Store,
    dataset: str,
    *,
    listed: Callable[[int], None] = lambda _: None,
    advance: Advance = lambda _: None,
    announce: Announce = unannounced,
) -> Compacted:
    """Write the shards anew that hold withdrawn samples, and publish a version of them and of all others.

    The members that stay are byte for byte what they were. The same again, after a kill, ends what was begun.

    Args:
        store: where the dataset lies.
        dataset: its id.
        listed: told the bytes of all shards that are to be read.
        advance: told the bytes of each piece read, for a progress bar.
        announce: told before the new version becomes the current one.

    Raises:
        NotFound: no such dataset.
        UsageError: withdrawn samples lie in adopted shards, which are not ours to rewrite.
        ChecksumError: a sample is not what was packed: damage is not to be made a new version of.
        StoreError, FormatError: the store or what is in it can't be read or written.
    """
    while True:
        now = current(store, dataset)
        parent = now.manifest
        old = [shard for shard in parent.shards if shard.withdrawn]
        _check_own(parent, old)
        if not old:
            return Compacted(dataset=dataset, parent="", version=parent.version, shards=0, samples=0, before=0, after=0)
        listed(sum(shard.bytes for shard in old))
        made = _compacted(store, parent, old, advance)
        publish(store, made, withdrawn.load(store, parent))
        samples = sum(shard.withdrawn for shard in old)
        announce(made, {"shards": len(old), "samples": samples})
        if point(store, now, made.version):
            before, after = (sum(shard.bytes for shard in one.shards) for one in (parent, made))
            kept = sum(shard.bytes for shard in parent.shards if not shard.withdrawn)
            return Compacted(dataset=dataset, parent=parent.version, version=made.version, shards=len(old),
                             samples=samples, before=before - kept, after=after - kept)  # fmt: skip


def _check_own(parent: Manifest, old: Sequence[Shard]) -> None:
    adopted = [shard.path for shard in old if is_url(shard.path)]
    if adopted:
        raise UsageError(
            f"{len(adopted):,} shards with withdrawn samples were adopted, and are not ours to rewrite: no view has "
            "the samples, but whoever reads these tars does; take them out where they come from, then adopt the new "
            "tars", dataset=parent.dataset, shard=adopted[0],
        )  # fmt: skip


def _compacted(store: Store, parent: Manifest, old: Sequence[Shard], advance: Advance) -> Manifest:
    version = version_of(parent, CHANGE)
    rows = rows_of(store, parent)
    numbers = shard_numbers(rows.column("shard"), parent.shards)
    offset = rows.column("offset").to_numpy()
    shift, new = np.zeros(len(rows), np.int64), dict[str, Shard]()
    paths = _paths(old, version)
    for number, shard in enumerate(parent.shards):
        if shard.withdrawn:
            own = np.flatnonzero(numbers == number)
            own = own[np.argsort(offset[own], kind="stable")]
            here = rows.select(["key", "offset", "length", "crc32c"]).take(pa.array(own))
            new[shard.path] = _rewritten(store, parent, shard, here, paths[shard.path], advance)
            shift[own] = _offsets(here) - offset[own]
    starts = ["offset", *(f"{part.name}.offset" for part in parent.parts)]
    moved = _moved(rows, starts, shift, new)
    made = replace(
        parent,
        version=version,
        shards=tuple(new.get(shard.path, shard) for shard in parent.shards),
        provenance=replace(parent.provenance, software=software(), parent=parent.version),
    )
    made = replace(made, splits=splits_of(moved, made))
    return replace(made, index=tuple(write_index(store, made.dataset, version, by_shard(moved, made))))


def _paths(old: Sequence[Shard], version: str) -> Mapping[str, str]:
    """Where each goes: below the new version, by its own name, with its old version's before it where two have one."""
    names = Counter(shard.path.rpartition("/")[2] for shard in old)
    return {
        shard.path: f"{version}/{name if names[name] == 1 else shard.path.replace('/', '-')}"
        for shard in old
        for name in [shard.path.rpartition("/")[2]]
    }


def _rewritten(store: Store, parent: Manifest, shard: Shard, rows: pa.Table, path: str, advance: Advance) -> Shard:
    """Write a shard of the samples that are left, which lie in the order of these rows."""
    reader, _ = reader_of(store, parent, shard)
    digest, size = hashlib.sha256(), 0
    with store.writing(object_path(parent.dataset, path)) as file:
        for piece in chain(_pieces(reader, shard, rows, advance), [memoryview(tar.END)]):
            digest.update(piece)
            file.write(piece)
            size += len(piece)
    return replace(shard, path=path, bytes=size, sha256=digest.hexdigest(), withdrawn=0)


def _pieces(reader: StoreBytes, shard: Shard, rows: pa.Table, advance: Advance) -> Iterator[memoryview]:
    """The samples, in runs of neighbours that are read at once; each is held against its checksum."""
    keys, offset, length, expected = (rows.column(name).to_pylist() for name in ("key", "offset", "length", "crc32c"))
    first = done = 0
    for last in range(1, len(keys) + 1):
        end = offset[last - 1] + length[last - 1]
        if last < len(keys) and offset[last] == end and end + length[last] - offset[first] <= PIECE:
            continue
        content = reader.read(0, offset[first], end)
        for at in range(first, last):
            start = offset[at] - offset[first]
            if crc32c(content[start : start + length[at]]) != expected[at]:
                raise ChecksumError("crc32c of the sample differs from the index's: mend the shard, or withdraw its "
                                    "subject too", shard=shard.path, key=keys[at], offset=offset[at])  # fmt: skip
        yield content
        advance(end - done)
        first, done = last, end
    advance(shard.bytes - done)


def _offsets(rows: pa.Table) -> Ints:
    """Where samples begin that lie one after the other, int64 (n,)."""
    ends = np.cumsum(rows.column("length").to_numpy())
    return np.append(0, ends[:-1]).astype(np.int64)


def _moved(rows: pa.Table, starts: Sequence[str], shift: Ints, new: Mapping[str, Shard]) -> pa.Table:
    """Index rows with their new shards, where all that `starts` say is so many bytes further on."""
    by = pa.array(shift)
    for name in starts:
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, rows.schema.field(place), pc.add(rows.column(place), by))
    place, field = rows.schema.get_field_index("shard"), rows.schema.field("shard")
    old = rows.column("shard").cast(pa.string())
    codes = old.combine_chunks().dictionary_encode()
    paths = [new[path].path if path in new else path for path in codes.dictionary.to_pylist()]
    renamed = pa.DictionaryArray.from_arrays(codes.indices, pa.array(paths, pa.string())).cast(field.type)
    return rows.set_column(place, field, renamed)
